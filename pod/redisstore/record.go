package redisstore

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Records are what rests in Redis: a version byte, then the fields in a fixed order.
// Integers are varints, texts and hashes of no fixed length have theirs before them,
// times are milliseconds since 1970. testdata has a golden file for each version.

const (
	videoVersion       = 3
	userVersion        = 1
	sessionVersion     = 1
	reservationVersion = 1
)

// errRecord is wrapped by what the decode functions return.
var errRecord = errors.New("not a record that this version of the pod can read")

// Values of a rendition's MIME byte.
const (
	mimeOther = iota // its text follows
	mimeMP4
	mimeWebM
	// namedSo is added where the file is named as the video is: no name follows. That is
	// a tenth of many records. Since version 3.
	namedSo = 0x80
)

func encodeVideo(v *video.Video) ([]byte, error) {
	b := make([]byte, 0, 256)
	b = append(b, videoVersion)
	b = append(b, v.ID[:]...)
	b = binary.AppendVarint(b, v.Revision)
	b = appendText(b, string(v.Origin))
	b = appendText(b, v.Name)
	b = appendText(b, v.Description)
	b = appendText(b, v.Uploader)
	b = binary.AppendUvarint(b, uint64(len(v.Tags)))
	for _, t := range v.Tags {
		b = appendText(b, t)
	}
	b = binary.AppendVarint(b, v.Created.UnixMilli())
	b = binary.AppendVarint(b, v.Duration.Milliseconds())
	thumbnail, err := hex.DecodeString(v.Thumbnail)
	if err != nil {
		return nil, fmt.Errorf("thumbnail of %s: %w", v.ID, err)
	}
	b = appendText(b, string(thumbnail))
	b = binary.AppendUvarint(b, uint64(len(v.Renditions)))
	for _, r := range v.Renditions {
		b = append(b, r.InfoHash[:]...)
		b = binary.AppendVarint(b, r.Size)
		b = binary.AppendVarint(b, int64(r.Width))
		b = binary.AppendVarint(b, int64(r.Height))
		named := byte(0)
		if r.FileName == video.FileName(v.Name, r.MIME) {
			named = namedSo
		}
		switch r.MIME {
		case video.MP4:
			b = append(b, mimeMP4|named)
		case video.WebM:
			b = append(b, mimeWebM|named)
		default:
			b = appendText(append(b, mimeOther|named), r.MIME)
		}
		if named == 0 {
			b = appendText(b, r.FileName)
		}
	}
	return b, nil
}

func decodeVideo(b string) (video.Video, error) {
	r := reader{rest: b}
	version := r.byte()
	if version < 1 || version > videoVersion {
		r.fail()
	}
	var v video.Video
	copy(v.ID[:], r.take(len(v.ID)))
	if version > 1 {
		v.Revision = r.varint()
	}
	v.Origin = network.Host(r.text())
	v.Name = r.text()
	v.Description = r.text()
	v.Uploader = r.text()
	for range r.count(1) {
		v.Tags = append(v.Tags, r.text())
	}
	v.Created = r.time()
	if version == 1 {
		v.Revision = v.Created.UnixMilli()
	}
	v.Duration = r.duration()
	v.Thumbnail = hex.EncodeToString([]byte(r.text()))
	for range r.count(25) {
		var f video.Rendition
		copy(f.InfoHash[:], r.take(len(f.InfoHash)))
		f.Size = r.varint()
		f.Width = int(r.varint())
		f.Height = int(r.varint())
		kind := r.byte()
		named := version > 2 && kind&namedSo != 0
		if named {
			kind &^= namedSo
		}
		switch kind {
		case mimeMP4:
			f.MIME = video.MP4
		case mimeWebM:
			f.MIME = video.WebM
		case mimeOther:
			f.MIME = r.text()
		default:
			r.fail()
		}
		if named {
			f.FileName = video.FileName(v.Name, f.MIME)
		} else {
			f.FileName = r.text()
		}
		v.Renditions = append(v.Renditions, f)
	}
	return v, r.end("video")
}

func encodeUser(u *accounts.User) []byte {
	b := []byte{userVersion}
	b = appendText(b, u.Name)
	b = appendText(b, string(u.Role))
	b = appendText(b, string(u.Password))
	return binary.AppendVarint(b, u.Created.UnixMilli())
}

func decodeUser(b string) (accounts.User, error) {
	r := reader{rest: b}
	r.version(userVersion)
	u := accounts.User{Name: r.text(), Role: api.Role(r.text()), Password: accounts.PasswordHash(r.text()), Created: r.time()}
	return u, r.end("user")
}

// encodeSession leaves the id out: it is the key.
func encodeSession(s *accounts.Session) []byte {
	b := []byte{sessionVersion}
	b = appendText(b, s.User)
	b = appendText(b, s.Client)
	for _, t := range []time.Time{s.Created, s.LastSeen, s.Expires} {
		b = binary.AppendVarint(b, t.UnixMilli())
	}
	return b
}

func decodeSession(id accounts.TokenHash, b string) (accounts.Session, error) {
	r := reader{rest: b}
	r.version(sessionVersion)
	s := accounts.Session{ID: id, User: r.text(), Client: r.text(), Created: r.time(), LastSeen: r.time(), Expires: r.time()}
	return s, r.end("session")
}

// encodeReservation leaves the id out: it is the field.
func encodeReservation(v *accounts.Reservation) []byte {
	b := []byte{reservationVersion}
	b = binary.AppendVarint(b, v.Bytes)
	return binary.AppendVarint(b, v.At.UnixMilli())
}

func decodeReservation(id video.ID, b string) (accounts.Reservation, error) {
	r := reader{rest: b}
	r.version(reservationVersion)
	v := accounts.Reservation{ID: id, Bytes: r.varint(), At: r.time()}
	return v, r.end("reservation")
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes a record apart. After a failure it gives zero values; end tells.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) fail() { r.rest, r.bad = "", true }

func (r *reader) version(want byte) {
	if r.byte() != want {
		r.fail()
	}
}

func (r *reader) byte() byte {
	s := r.take(1)
	if s == "" {
		return 0
	}
	return s[0]
}

func (r *reader) take(n int) string {
	if n > len(r.rest) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) text() string { return r.take(r.count(1)) }

// count reads how many things of at least size bytes follow.
func (r *reader) count(size int) int {
	n, used := binary.Uvarint([]byte(r.rest[:min(len(r.rest), binary.MaxVarintLen64)]))
	if used <= 0 || n > uint64(len(r.rest)-used)/uint64(size) {
		r.fail()
		return 0
	}
	r.rest = r.rest[used:]
	return int(n)
}

func (r *reader) varint() int64 {
	n, used := binary.Varint([]byte(r.rest[:min(len(r.rest), binary.MaxVarintLen64)]))
	if used <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[used:]
	return n
}

func (r *reader) time() time.Time { return time.UnixMilli(r.varint()).UTC() }

func (r *reader) duration() time.Duration {
	const most = int64(math.MaxInt64 / time.Millisecond)
	ms := r.varint()
	if ms > most || ms < -most {
		r.fail()
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func (r *reader) end(what string) error {
	if r.bad || r.rest != "" {
		return fmt.Errorf("%s: %w", what, errRecord)
	}
	return nil
}
