package federation

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Paths of the protocol.
const (
	PathCard    = "/.well-known/kinopod"
	PathHello   = "/federation/v1/hello"
	PathEvents  = "/federation/v1/events"
	PathDigest  = "/federation/v1/digest"
	PathVideos  = "/federation/v1/videos"
	PathDetails = "/federation/v1/details"
	PathViews   = "/federation/v1/views"
)

// Speaks are the versions of the protocol that this pod speaks.
var Speaks = network.Versions{Min: 1, Max: 1}

// Kind says what an event is about.
type Kind string

// The kinds.
const (
	VideoPut    Kind = "video.put"
	VideoRemove Kind = "video.remove"
	PodKey      Kind = "pod.key"
	PodLeave    Kind = "pod.leave"
)

// Event is something that happened at its sender.
type Event struct {
	Kind  Kind      `json:"kind"`
	Video *Video    `json:"video,omitempty"` // of video.put
	ID    *video.ID `json:"id,omitempty"`    // of video.remove
	Key   *Key      `json:"key,omitempty"`   // of pod.key
}

// MaxBatch is how many events a batch has at most.
const MaxBatch = 500

// Batch are events in order.
type Batch struct {
	Events []Event `json:"events"`
	// Compare says that some events are lost: the digest tells what they were.
	Compare bool `json:"compare,omitempty"`
}

// Video is a video as its origin tells of it.
type Video struct {
	ID          video.ID    `json:"id"`
	Revision    int64       `json:"revision"` // grows with each change; ms since 1970, roughly
	Name        string      `json:"name"`
	Description string      `json:"description,omitempty"`
	Uploader    string      `json:"uploader"`
	Tags        []string    `json:"tags,omitempty"`
	Created     int64       `json:"created"`            // ms since 1970
	Duration    int64       `json:"duration,omitempty"` // ms
	Thumbnail   string      `json:"thumbnail,omitempty"`
	Renditions  []Rendition `json:"renditions"`
}

// Rendition is one file of a video.
type Rendition struct {
	InfoHash magnet.InfoHash `json:"infoHash"`
	Size     int64           `json:"size"` // bytes
	Width    int             `json:"width,omitempty"`
	Height   int             `json:"height,omitempty"`
	MIME     string          `json:"mime"`
	FileName string          `json:"fileName"`
}

// VideoOf is what v's origin tells of it.
func VideoOf(v video.Video) Video {
	out := Video{
		ID: v.ID, Revision: v.Revision, Name: v.Name, Description: v.Description, Uploader: v.Uploader, Tags: v.Tags,
		Created: v.Created.UnixMilli(), Duration: v.Duration.Milliseconds(), Thumbnail: v.Thumbnail,
	}
	for _, r := range v.Renditions {
		out.Renditions = append(out.Renditions, Rendition(r))
	}
	return out
}

// Times that a video may have: what is outside is a mistake or a lie, and would not fit
// what is made of it.
const (
	maxDuration = 100 * 24 * time.Hour
	maxMillis   = 1 << 52 // beyond what anybody lives to see, and exact in a score of Redis
)

// From is the video in the catalogue of somebody else: origin is who said it.
func (v Video) From(origin network.Host) (video.Video, error) {
	if v.Created <= 0 || v.Created > maxMillis || v.Revision <= 0 || v.Revision > maxMillis || v.Duration < 0 || v.Duration > maxDuration.Milliseconds() {
		return video.Video{}, fmt.Errorf("%w: time", video.ErrInvalid)
	}
	if !v.ID.Of(origin) {
		return video.Video{}, fmt.Errorf("%w: the id is not of %s", video.ErrInvalid, origin)
	}
	out := video.Video{
		ID: v.ID, Origin: origin, Revision: v.Revision, Name: v.Name, Description: v.Description, Uploader: v.Uploader, Tags: v.Tags,
		Created: time.UnixMilli(v.Created).UTC(), Duration: time.Duration(v.Duration) * time.Millisecond, Thumbnail: v.Thumbnail,
	}
	for _, r := range v.Renditions {
		out.Renditions = append(out.Renditions, video.Rendition(r))
	}
	return out, out.Validate()
}

// ParseBatch reads the body of a message to PathEvents; a *Refusal for what is none.
func ParseBatch(body []byte) (Batch, error) {
	var b Batch
	if err := parse(body, &b); err != nil {
		return Batch{}, err
	}
	if len(b.Events) > MaxBatch {
		return Batch{}, refuse(BadBody, fmt.Errorf("%d events", len(b.Events)))
	}
	for _, e := range b.Events {
		if err := e.check(); err != nil {
			return Batch{}, refuse(BadBody, err)
		}
	}
	return b, nil
}

// check looks at the shape. A kind that is not known is for somebody newer, and passed
// over.
func (e Event) check() error {
	switch {
	case e.Kind == VideoPut && e.Video == nil, e.Kind == VideoRemove && (e.ID == nil || e.ID.IsZero()), e.Kind == PodKey && (e.Key == nil || e.Key.PublicKey == nil), e.Kind == "":
		return fmt.Errorf("event %q without what it is about", e.Kind)
	}
	return nil
}

// parse reads a body leniently: who is newer may say more.
func parse(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return refuse(BadBody, err)
	}
	return nil
}

// Buckets is how many parts a Digest has: a video is in the one of its id's first byte.
const Buckets = 256

// Digest tells whether two pods know the same of one pod's videos.
type Digest struct {
	Count  int    `json:"count"`
	Hashes Hashes `json:"hashes"`
}

// Hashes has for each bucket the exclusive or of its videos' hashes.
type Hashes [Buckets]uint64

// Add puts a video into the digest, or takes it out again.
func (h *Hashes) Add(id video.ID, revision int64) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte(nil), id[:]...), uint64(revision)))
	h[id[0]] ^= binary.BigEndian.Uint64(sum[:])
}

// MarshalText gives base64url of all of them, big endian.
func (h Hashes) MarshalText() ([]byte, error) {
	b := make([]byte, 0, 8*Buckets)
	for _, x := range h {
		b = binary.BigEndian.AppendUint64(b, x)
	}
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

// UnmarshalText reads what MarshalText writes.
func (h *Hashes) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(b) != 8*Buckets {
		return errors.New("not the hashes of a digest")
	}
	for i := range h {
		h[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return nil
}

// ParseDigest reads an answer of PathDigest.
func ParseDigest(body []byte) (d Digest, err error) { return d, parse(body, &d) }

// MaxPage is how many videos a Page has at most; MaxBody may allow fewer.
const MaxPage = 500

// PageRequest asks for a friend's own videos, ids ascending.
type PageRequest struct {
	After video.ID `json:"after"` // ids greater than this
	Last  video.ID `json:"last"`  // up to this
}

// ParsePageRequest reads a body of PathVideos.
func ParsePageRequest(body []byte) (r PageRequest, err error) { return r, parse(body, &r) }

// Page are videos from a range.
type Page struct {
	Videos []Video `json:"videos"`
	More   bool    `json:"more"`  // after the last of them
	AsOf   int64   `json:"as_of"` // what has a later revision may be missing
}

// ParsePage reads an answer of PathVideos.
func ParsePage(body []byte) (p Page, err error) {
	if err := parse(body, &p); err != nil {
		return Page{}, err
	}
	for i, v := range p.Videos {
		if i > 0 && bytes.Compare(p.Videos[i-1].ID[:], v.ID[:]) >= 0 {
			return Page{}, refuse(BadBody, errors.New("a page out of order"))
		}
	}
	if len(p.Videos) > MaxPage || p.More && len(p.Videos) == 0 {
		return Page{}, refuse(BadBody, errors.New("a page of a strange size"))
	}
	return p, nil
}
