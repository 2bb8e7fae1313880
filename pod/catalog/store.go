package catalog

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Store keeps the catalogue durably. Each method is atomic: it happens whole or not
// at all, and another caller sees it before or after. Created is kept to the
// millisecond, and so is Duration. Package catalogtest says by tests what a Store
// has to do.
type Store interface {
	// Add lists a video of this pod unless its ID is listed (false) or was withdrawn
	// (ErrWithdrawn), see Catalog.Add. Where it has no Revision it gets one.
	Add(ctx context.Context, v video.Video) (added bool, err error)
	// Get gives ErrNotFound for an ID that is not listed.
	Get(ctx context.Context, id video.ID) (video.Video, error)
	// Text gives the whole description of a video: Text where it was added or updated with
	// one, which other methods do not give, else Description. ErrNotFound.
	Text(ctx context.Context, id video.ID) (string, error)
	// ByInfoHash gives a video that has this file, or ErrNotFound. origin "" is any.
	ByInfoHash(ctx context.Context, origin network.Host, h magnet.InfoHash) (video.Video, error)
	// Page lists videos, the newest first, and where the next page begins after,
	// nil on the last.
	Page(ctx context.Context, l Listing) ([]video.Video, *Position, error)
	// BySeq gives videos by their numbers (Position), in that order; those that are gone
	// are left out.
	BySeq(ctx context.Context, seqs []uint32) ([]Numbered, error)
	// Update lets change work on a copy of a video and keeps Name, Description, Text, Tags
	// and Thumbnail of it; Revision grows where that changed something. change may be called several times; its error is
	// answered, and nothing kept then. ErrNotFound.
	Update(ctx context.Context, id video.ID, change func(*video.Video) error) (video.Video, error)
	// Withdraw takes a video out of every index unless allow answers an error, which
	// is answered then. It puts what no other video has on the lists below, and
	// remembers the ID for Add. ErrNotFound.
	Withdraw(ctx context.Context, id video.ID, allow func(*video.Video) error) (video.Video, error)

	// Take lists friends' videos as their origins tell of them, in place of what was
	// listed, and says what became of each. Each is atomic for itself; after
	// an error any of them may have been taken.
	Take(ctx context.Context, videos ...video.Video) ([]Outcome, error)
	// Drop takes a friend's video out of every index; where final, it remembers the ID for
	// Take. ErrNotFound where origin has none of this ID.
	Drop(ctx context.Context, origin network.Host, id video.ID, final bool) error
	// DropSome takes up to most videos of origin out of every index, and says how many;
	// they may come back.
	DropSome(ctx context.Context, origin network.Host, most int) (dropped int, err error)
	// Marks gives the marks of all videos of origin, some at a time, in no order; a video
	// may come twice.
	Marks(ctx context.Context, origin network.Host, each func([]Mark) error) error
	// Count is how many videos of origin are listed.
	Count(ctx context.Context, origin network.Host) (int, error)

	// Withdrawn lists the files to delete, the longest waiting first.
	Withdrawn(ctx context.Context) ([]magnet.InfoHash, error)
	Deleted(ctx context.Context, h magnet.InfoHash) error
	// UnusedThumbnails lists the thumbnails to delete, the longest waiting first.
	UnusedThumbnails(ctx context.Context) ([]string, error)
	ThumbnailDeleted(ctx context.Context, hash string) error
	// ByThumbnail gives a video that has this thumbnail, or ErrNotFound.
	ByThumbnail(ctx context.Context, hash string) (video.Video, error)
	// Unclaimed gives those of some thumbnails that no video has.
	Unclaimed(ctx context.Context, hashes []string) ([]string, error)
}

// ErrNotFound is what a Store answers for a video that is not listed.
var ErrNotFound = errors.New("no such video")

// ErrForeign is what a Catalog answers where a video is this pod's own, and is to be
// changed as a friend's.
var ErrForeign = errors.New("another pod has a video of this id")

// Outcome is what became of a friend's video that was to be taken.
type Outcome uint8

// The outcomes.
const (
	Known     Outcome = iota // this revision or a later one is listed: nothing happened
	Taken                    // it is listed now
	Foreign                  // its ID is listed as another origin's
	Withdrawn                // it was here, and is gone for good
	Full                     // its origin, or the file or picture that it names, has as many videos here as it may
)

// Mark tells one version of a video from others.
type Mark struct {
	ID       video.ID
	Revision int64
}

// Change is that something is to be told of a video of this pod. What it is stands in
// the catalogue.
type Change struct {
	Position string // in the log of changes
	ID       video.ID
}

// Listing says which videos a page has.
type Listing struct {
	Origin   network.Host // "" is any
	Uploader string       // "" is any, else a name at Origin, without regard to case
	After    *Position    // nil is from the newest
	Limit    int          // more than 0
}

// Position is a place in a listing: a video's time, and its number where several
// have the same. It stays a place when that video is gone.
type Position struct {
	Created time.Time // to the millisecond
	Seq     uint32
}

// ErrPosition is what ParsePosition returns.
var ErrPosition = errors.New("not a position in a listing")

const positionSize = 8 + 4

// String gives the position as a cursor: base64url, 16 characters.
func (p Position) String() string {
	var b [positionSize]byte
	binary.BigEndian.PutUint64(b[:], uint64(p.Created.UnixMilli()))
	binary.BigEndian.PutUint32(b[8:], p.Seq)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ParsePosition reads exactly what String writes.
func ParsePosition(s string) (Position, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != positionSize || len(s) != 16 { // line breaks are skipped in it
		return Position{}, ErrPosition
	}
	return Position{
		Created: time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC(),
		Seq:     binary.BigEndian.Uint32(b[8:]),
	}, nil
}
