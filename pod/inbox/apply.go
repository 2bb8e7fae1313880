package inbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// events applies a batch. It may come twice: what is known already changes nothing.
func (in *Inbox) events(ctx context.Context, from network.Host, body []byte) (any, error) {
	b, err := federation.ParseBatch(body)
	if err != nil {
		return nil, err
	}
	for at := 0; at < len(b.Events); {
		if videos := putsOf(b.Events[at:]); len(videos) > 0 {
			if _, err := in.outbox.Take(ctx, from, videos); err != nil {
				return nil, err
			}
			at += len(videos)
			continue
		}
		e := b.Events[at]
		at++
		if err := in.apply(ctx, from, e); err != nil {
			return nil, err
		}
		if e.Kind == federation.PodLeave {
			return nil, nil // who is no friend has nothing more to say
		}
	}
	if b.Compare {
		in.outbox.Compare(ctx, from)
	}
	return nil, nil
}

// putsOf gives the videos of the events that come first and put one: they are taken
// together. A video has the sender as its origin, whatever its id.
func putsOf(events []federation.Event) (videos []federation.Video) {
	for _, e := range events {
		if e.Kind != federation.VideoPut {
			break
		}
		videos = append(videos, *e.Video)
	}
	return videos
}

// apply does what one event says that puts no video. It acts on what is the sender's
// only.
func (in *Inbox) apply(ctx context.Context, from network.Host, e federation.Event) error {
	switch e.Kind {
	case federation.VideoRemove:
		err := in.catalog.Drop(ctx, from, *e.ID)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		return err
	case federation.PodKey:
		key, err := json.Marshal(e.Key)
		if err != nil {
			return err
		}
		in.cfg.Log.Info("a friend has a new key", "friend", from)
		return in.friends.SetKey(ctx, from, string(key))
	case federation.PodLeave:
		in.cfg.Log.Info("a friend left", "friend", from)
		return in.outbox.Gone(ctx, from, false)
	}
	return nil // of somebody newer
}

// own are the marks of this pod's videos in order, read again when something changed.
type own struct {
	host    network.Host
	catalog Catalog
	store   Store

	mu    sync.Mutex
	at    string         // guarded by mu: the last change that marks know
	asOf  int64          // guarded by mu
	marks []catalog.Mark // guarded by mu; not changed, but replaced
}

// get gives the marks, by id, and what revision may be missing in them.
func (o *own) get(ctx context.Context) (marks []catalog.Mark, asOf int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now().UnixMilli()
	last, err := o.store.LastChange(ctx)
	if err != nil {
		return nil, 0, err
	}
	if last == o.at {
		return o.marks, o.asOf, nil
	}
	seen := map[video.ID]int64{}
	err = o.catalog.Marks(ctx, o.host, func(some []catalog.Mark) error {
		for _, m := range some {
			seen[m.ID] = m.Revision
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	marks = make([]catalog.Mark, 0, len(seen))
	for id, revision := range seen {
		marks = append(marks, catalog.Mark{ID: id, Revision: revision})
	}
	slices.SortFunc(marks, func(a, b catalog.Mark) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	o.at, o.asOf, o.marks = last, now, marks
	return marks, now, nil
}

// digest tells what this pod has.
func (in *Inbox) digest(ctx context.Context, _ network.Host, _ []byte) (any, error) {
	marks, _, err := in.own.get(ctx)
	if err != nil {
		return nil, err
	}
	d := federation.Digest{Count: len(marks)}
	for _, m := range marks {
		d.Hashes.Add(m.ID, m.Revision)
	}
	return d, nil
}

// pageBytes bounds a page, within federation.MaxBody.
const pageBytes = 200 << 10

// videos gives a page of this pod's videos.
func (in *Inbox) videos(ctx context.Context, _ network.Host, body []byte) (any, error) {
	q, err := federation.ParsePageRequest(body)
	if err != nil {
		return nil, err
	}
	marks, asOf, err := in.own.get(ctx)
	if err != nil {
		return nil, err
	}
	first, found := slices.BinarySearchFunc(marks, q.After, func(m catalog.Mark, id video.ID) int { return bytes.Compare(m.ID[:], id[:]) })
	if found {
		first++
	}
	var ids []video.ID
	for _, m := range marks[first:] {
		if len(ids) == federation.MaxPage || bytes.Compare(m.ID[:], q.Last[:]) > 0 {
			break
		}
		ids = append(ids, m.ID)
	}
	videos, err := in.store.Versions(ctx, ids)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(videos, func(a, b video.Video) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	page := federation.Page{Videos: []federation.Video{}, AsOf: asOf}
	size := 0
	for i, v := range videos {
		wire := federation.VideoOf(v)
		text, err := json.Marshal(wire)
		if err != nil {
			return nil, err
		}
		if size += len(text) + 1; size > pageBytes && i > 0 {
			page.More = true
			return page, nil
		}
		page.Videos = append(page.Videos, wire)
	}
	page.More = len(ids) == federation.MaxPage
	if page.More && len(page.Videos) == 0 { // all of them went just now
		return nil, &api.Error{Code: api.CodeUnavailable, Message: "Try again in a moment."}
	}
	return page, nil
}

// details tells a friend what it has no room for of one of this pod's videos.
func (in *Inbox) details(ctx context.Context, from network.Host, body []byte) (any, error) {
	q, err := federation.ParseDetailsRequest(body)
	if err != nil {
		return nil, err
	}
	return in.cfg.Details(ctx, from, q)
}

// views takes a friend's word for what its viewers watched of this pod's videos.
func (in *Inbox) views(ctx context.Context, from network.Host, body []byte) (any, error) {
	q, err := federation.ParseViewsRequest(body)
	if err != nil {
		return nil, err
	}
	return in.cfg.Views(ctx, from, q)
}
