// Package views counts how often videos are watched, and ranks them by it.
//
// # Once a viewer and day
//
// A viewer is an account, or who comes from one address (of IPv6: one network of 64
// bits). What is remembered of who watched what are bits of a filter of a fixed size,
// chosen by a hash with a key that is drawn at the beginning of each day (UTC). Key and
// filter are in the memory of the process only, and go with the day: nobody can find out
// later who watched what, the operator neither. The price: after a restart of the pod, and
// at each of several processes, a viewer counts once more on that day; and one in some
// thousands is taken for one that was counted.
//
// # Videos of other pods
//
// What is watched here of another pod's videos is told to that pod in batches, each of
// which counts once however often it comes; that pod tells all its friends how often its
// videos were watched everywhere. It alone knows: nobody else's word is taken for it, and
// of what one friend reports it takes so many a day.
//
// # Trending
//
// Each view is worth half after HalfLife. Instead of making all scores smaller as time goes, a
// view of now is worth more than one of before: a score is the binary logarithm of the sum
// of 2^(time/HalfLife) over all views. Scores only grow, and nothing has to be written when
// nothing happens. That makes cursors right, too: a video that was on a page stays above
// its end, so none comes twice, and none that stays as it is, is passed over.
package views

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// HalfLife is how long it takes until a view is worth half in the ranking.
const HalfLife = 48 * time.Hour

// Store keeps the numbers.
type Store interface {
	// CountView counts one view of a video, and where that is not the pod host's own, what is
	// to be told to its origin. ErrNotFound for what is not listed.
	CountView(ctx context.Context, host network.Host, id video.ID) error
	// Ranked lists videos, the most watched first, with their places; more says that others
	// follow last. With an origin some are passed over, and there may be none before last.
	Ranked(ctx context.Context, origin network.Host, after *Rank, most int) (some []Ranked, last *Rank, more bool, err error)
}

// ErrNotFound is what a Store answers for a video that is not listed.
var ErrNotFound = errors.New("no such video")

// Ranked is a video with its place.
type Ranked struct {
	video.Video
	At Rank
}

// Counter counts for one process.
type Counter struct {
	store Store
	host  network.Host
	now   func() time.Time

	mu      sync.Mutex
	day     int64            // guarded by mu: since 1970
	key     [32]byte         // guarded by mu
	seen    filter           // guarded by mu
	counts  map[uint64]int   // guarded by mu: of viewers, on this day
	running map[sum]struct{} // guarded by mu: are being counted
}

const (
	// viewsADay is how many videos one viewer counts for on one day.
	viewsADay = 200
	// viewersBounded is for how many viewers that is looked at: it bounds the memory.
	viewersBounded = 100_000
)

// New makes the counter of the pod host.
func New(store Store, host network.Host, now func() time.Time) *Counter {
	return &Counter{store: store, host: host, now: now, counts: map[uint64]int{}, running: map[sum]struct{}{}}
}

// Watched is called when a viewer has really watched a video: an account or an address,
// which is not kept. It counts where that is the first time on this day. What is not listed
// is passed over, and not remembered: IDs that somebody makes up would fill the filter.
func (c *Counter) Watched(ctx context.Context, viewer string, id video.ID) error {
	who, what, ok := c.begin(viewer, id)
	if !ok {
		return nil
	}
	err := c.store.CountView(ctx, c.host, id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, same := c.running[what]; !same {
		return err // another day has begun
	}
	delete(c.running, what)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.seen.add(what)
	if n := c.counts[who]; n > 0 || len(c.counts) < viewersBounded {
		c.counts[who] = n + 1
	}
	return nil
}

func (c *Counter) begin(viewer string, id video.ID) (who uint64, what sum, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if day := c.now().Unix() / (24 * 60 * 60); day != c.day || c.seen == nil {
		c.day, c.seen = day, make(filter, filterBits/64)
		clear(c.counts)
		clear(c.running)
		_, _ = rand.Read(c.key[:]) // never fails
	}
	first := c.sum("viewer", viewer)
	who = binary.BigEndian.Uint64(first[:])
	what = c.sum(string(id[:]), viewer)
	_, running := c.running[what]
	if running || c.seen.has(what) || c.counts[who] >= viewsADay {
		return who, what, false
	}
	c.running[what] = struct{}{}
	return who, what, true
}

type sum [sha256.Size]byte

func (c *Counter) sum(what, viewer string) (s sum) {
	m := hmac.New(sha256.New, c.key[:])
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(what))))
	m.Write([]byte(what))
	m.Write([]byte(viewer))
	m.Sum(s[:0])
	return s
}

// filter is Bloom's: it knows sums by a few bits each. At a million of them it takes one
// in 2,000 for one that it knows.
type filter []uint64

const (
	filterBits   = 1 << 24 // 2 MiB
	filterHashes = 8
)

func (f filter) add(s sum) {
	for i := range filterHashes {
		n := binary.BigEndian.Uint32(s[4*i:]) % filterBits
		f[n/64] |= 1 << (n % 64)
	}
}

func (f filter) has(s sum) bool {
	for i := range filterHashes {
		n := binary.BigEndian.Uint32(s[4*i:]) % filterBits
		if f[n/64]&(1<<(n%64)) == 0 {
			return false
		}
	}
	return true
}

// Rank is a place in the ranking: a score, and a video's number where several have the
// same.
type Rank struct {
	Score float64
	Seq   uint32
}

// ErrRank is what ParseRank returns.
var ErrRank = errors.New("not a place in the ranking")

const rankSize = 8 + 4

// String gives the rank as a cursor: base64url, 16 characters.
func (r Rank) String() string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, rankSize), math.Float64bits(r.Score))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, r.Seq))
}

// ParseRank reads exactly what String writes.
func ParseRank(s string) (r Rank, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != rankSize || len(s) != 16 { // line breaks are skipped in it
		return r, ErrRank
	}
	r = Rank{math.Float64frombits(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])}
	if math.IsNaN(r.Score) || math.IsInf(r.Score, 0) {
		return Rank{}, ErrRank
	}
	return r, nil
}

// Weight is what the first view of now is worth as a score.
func Weight(now time.Time) float64 {
	return float64(now.UnixMilli()) / float64(HalfLife.Milliseconds())
}

const (
	// scanMost is how many videos one page looks at where it filters: it may be short, or
	// empty, and more follow.
	scanMost  = 2000
	scanAtime = 500
)

// Trending is a page of videos, the most watched of late first, and the cursor of the next
// one, "" on the last. With a filter a page may be short of the limit although more follow.
func (c *Counter) Trending(ctx context.Context, q api.VideosQuery) (page []video.Video, cursor string, err error) {
	limit := api.PageLimit(q.Limit)
	if q.Uploader != "" && q.Origin == "" {
		q.Origin = c.host
	}
	var at *Rank
	if q.Cursor != "" {
		r, err := ParseRank(q.Cursor)
		if err != nil {
			return nil, "", &api.Error{Code: api.CodeInvalid, Message: "The cursor is not one of this pod's. Start over without it.", Cause: err}
		}
		at = &r
	}
	step := limit
	if q.Origin != "" || q.Tag != "" {
		step = scanAtime
	}
	for seen := 0; seen < scanMost; seen += step {
		some, last, more, err := c.store.Ranked(ctx, q.Origin, at, step)
		if err != nil {
			return nil, "", err
		}
		for _, r := range some {
			if fits(&r.Video, q) {
				page = append(page, r.Video)
			}
			if len(page) == limit {
				if more || r.At != *last {
					cursor = r.At.String()
				}
				return page, cursor, nil
			}
		}
		if !more {
			return page, "", nil
		}
		at = last
	}
	return page, at.String(), nil
}

func fits(v *video.Video, q api.VideosQuery) bool {
	if q.Uploader != "" && !strings.EqualFold(v.Uploader, q.Uploader) || q.Origin != "" && v.Origin != q.Origin {
		return false
	}
	return q.Tag == "" || v.HasTag(q.Tag)
}
