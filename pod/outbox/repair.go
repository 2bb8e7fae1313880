package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// errTurn is for a friend whose turn it is later.
var errTurn = errors.New("others are compared now")

const repairTurn = 2 * time.Second // until it is tried again

// repairsAtOnce leaves most workers to deliveries: friends that answer slowly hold theirs
// for long.
const repairsAtOnce = 4

// repair makes what we have of a friend's videos what the friend has. Errors do not
// count against it: deliveries do.
func (o *Outbox) repair(ctx context.Context, h network.Host) error {
	select {
	case o.repairs <- struct{}{}:
		defer func() { <-o.repairs }()
	default:
		return &again{repairTurn, errTurn}
	}
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil || !ok || f.State != network.Friend {
		return err
	}
	if o.dormant(f) {
		return nil
	}
	started := time.Now()
	taken, gone, err := o.compare(ctx, f)
	if err != nil {
		if f.Reachable() {
			o.cfg.Log.Info("a friend's videos could not be compared; it is tried again", "friend", h, "err", err)
		}
		return &again{min(o.cfg.Repair, time.Minute), err}
	}
	if taken+gone > 0 {
		o.cfg.Log.Info("a friend's videos were compared", "friend", h, "taken", taken, "gone", gone, "took", time.Since(started).Round(time.Millisecond))
	}
	return o.parts.Friends.Repaired(ctx, h)
}

func (o *Outbox) compare(ctx context.Context, f friends.Friend) (taken, gone int, err error) {
	answer, err := o.ask(ctx, f, federation.PathDigest, struct{}{})
	if err != nil {
		return 0, 0, err
	}
	theirs, err := federation.ParseDigest(answer)
	if err != nil {
		return 0, 0, err
	}
	var ours federation.Hashes
	have := map[video.ID]int64{}
	err = o.parts.Catalog.Marks(ctx, f.Host, func(marks []catalog.Mark) error {
		for _, m := range marks {
			if _, twice := have[m.ID]; !twice {
				have[m.ID] = m.Revision
				ours.Add(m.ID, m.Revision)
			}
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	// Some may have come since the digest was made; pages without end are a lie.
	most := min(2*min(max(theirs.Count, 0), mostVideos)+10*federation.MaxPage, mostVideos)
	for first := 0; first < federation.Buckets; first++ {
		if ours[first] == theirs.Hashes[first] {
			continue
		}
		last := first
		for last+1 < federation.Buckets && ours[last+1] != theirs.Hashes[last+1] {
			last++
		}
		t, g, err := o.fetch(ctx, f, first, last, have, &most)
		taken, gone = taken+t, gone+g
		if err != nil {
			return taken, gone, err
		}
		first = last
	}
	return taken, gone, nil
}

const (
	mostVideos = 10_000_000 // of one friend
	// leastPage is what a page counts at least: no video is so large that fewer fit.
	leastPage = 20
)

// fetch takes all that a friend has in some buckets, at most most videos, and forgets
// what it has not.
func (o *Outbox) fetch(ctx context.Context, f friends.Friend, first, last int, have map[video.ID]int64, most *int) (taken, gone int, err error) {
	var after, end video.ID
	if first > 0 {
		after = lastOf(first - 1)
	}
	end = lastOf(last)
	for more := true; more; {
		answer, err := o.ask(ctx, f, federation.PathVideos, federation.PageRequest{After: after, Last: end})
		if err != nil {
			return taken, gone, err
		}
		page, err := federation.ParsePage(answer)
		if err != nil {
			return taken, gone, err
		}
		until, n := end, len(page.Videos)
		if n > 0 && (bytes.Compare(page.Videos[0].ID[:], after[:]) <= 0 || bytes.Compare(page.Videos[n-1].ID[:], end[:]) > 0) {
			return taken, gone, errors.New("a page has what was not asked for")
		}
		if *most -= max(n, leastPage); *most < 0 {
			return taken, gone, errors.New("the pages do not end")
		}
		if more = page.More; more {
			until = page.Videos[n-1].ID
		}
		n, err = o.Take(ctx, f.Host, page.Videos)
		if taken += n; err != nil {
			return taken, gone, err
		}
		n, err = o.forget(ctx, f.Host, page, after, until, have)
		if gone += n; err != nil {
			return taken, gone, err
		}
		after = until
	}
	return taken, gone, nil
}

// lastOf is the greatest id of a bucket.
func lastOf(bucket int) (id video.ID) {
	for i := range id {
		id[i] = 0xff
	}
	id[0] = byte(bucket)
	return id
}

// Take lists videos that origin told of, and says how many changed something. What no
// catalogue can have is passed over.
func (o *Outbox) Take(ctx context.Context, origin network.Host, told []federation.Video) (changed int, err error) {
	videos := make([]video.Video, 0, len(told))
	for _, wire := range told {
		v, err := wire.From(origin)
		if errors.Is(err, video.ErrInvalid) {
			o.cfg.Log.Warn("a friend told of a video that is none", "friend", origin, "err", err)
			continue
		}
		if err != nil {
			return 0, err
		}
		videos = append(videos, v)
	}
	outcomes, err := o.parts.Catalog.Take(ctx, origin, videos)
	if err != nil {
		return 0, fmt.Errorf("take videos of %s: %w", origin, err)
	}
	for i, outcome := range outcomes {
		if outcome == catalog.Taken {
			changed++
			o.wantPicture(origin, videos[i].Thumbnail)
		}
	}
	return changed, nil
}

// forget drops what we have between two ids and a page does not name.
func (o *Outbox) forget(ctx context.Context, origin network.Host, page federation.Page, after, until video.ID, have map[video.ID]int64) (gone int, err error) {
	named := map[video.ID]bool{}
	for _, v := range page.Videos {
		named[v.ID] = true
	}
	for id, revision := range have {
		if named[id] || revision > page.AsOf || bytes.Compare(id[:], after[:]) <= 0 || bytes.Compare(id[:], until[:]) > 0 {
			continue
		}
		if err := o.parts.Catalog.Forget(ctx, origin, id); err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return gone, err
		}
		gone++
	}
	return gone, nil
}
