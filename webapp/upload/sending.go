package upload

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// send moves one file up.
func (q *Queue) send(ctx context.Context, it *item) {
	t := q.transfer(it)
	id, err := t.run(ctx)
	q.change(func() {
		it.halt(nil)
		it.working, it.halt = false, nil
		pausing := it.pausing
		it.pausing = false
		it.ledger = t.ledger
		it.Speed, it.Left = 0, 0
		var f *failure
		switch {
		case it.ctx.Err() != nil:
		case err == nil:
			q.done(it, id)
		case errors.As(err, &f):
			it.gone = f.gone()
			it.fail(f.err)
			q.remember(it)
		case pausing:
			it.State = Paused
			q.remember(it)
		case errors.Is(err, errEnough):
			it.State = Waiting // paused, and resumed before the part was through
		default:
			it.fail(api.AsError(err))
		}
	})
}

func (q *Queue) done(it *item, id video.ID) {
	it.ID, it.State = id, Done
	it.Bytes, it.Sent = it.Size, it.ledger.sent
	q.cfg.Memory.forget(it.print)
	q.drop(id)
	if it.release != nil {
		it.release()
		it.release = nil
	}
	poke(it.edited)
	q.jobs = append(q.jobs, func(context.Context) { q.fetch(it) })
}

// fetch asks for the video that a file became, and gives it on from here.
func (q *Queue) fetch(it *item) {
	var v api.Video
	var err error
	for n := range 8 {
		if v, err = q.cfg.API.Video(it.ctx, it.ID); err == nil || !sleep(it.ctx, firstWait<<n) {
			break
		}
	}
	if err != nil {
		return // the link to it is known without
	}
	_ = q.Refresh(it.ctx) // how much space is left is of no weight
	var stop func()
	if q.cfg.Seeder != nil {
		if stop, err = q.cfg.Seeder.SeedFile(v, it.file); err != nil {
			stop = nil // the pod has the file: nothing is lost
		}
	}
	q.change(func() {
		it.Video, it.stopSeed, it.Seeding = &v, stop, stop != nil
		if !it.sure {
			it.saved, it.sure = fields{name: v.Name, description: v.Description, tags: v.Tags}, true
			poke(it.edited)
		}
		if it.ctx.Err() != nil {
			it.letGo()
		}
	})
}

// transfer is what sends it; the queue must not be locked.
func (q *Queue) transfer(it *item) *transfer {
	q.mu.Lock()
	defer q.mu.Unlock()
	announced := it.announced(q.mostDescription())
	it.meter = meter{}
	return &transfer{
		client: q.client, file: it.file, id: it.ID, ledger: it.ledger, wake: it.wake,
		metadata: func() map[string]string {
			q.mu.Lock()
			defer q.mu.Unlock()
			announced = it.announced(q.mostDescription())
			return map[string]string{
				api.MetaFileName: it.FileName, api.MetaFileType: it.mime,
				api.MetaName: announced.name, api.MetaDescription: announced.description, api.MetaTags: strings.Join(announced.tags, ","),
			}
		},
		adopt: func(ctx context.Context) (video.ID, bool) { return q.adopt(ctx, it) },
		published: func(ctx context.Context, id video.ID) (bool, error) {
			_, err := q.cfg.API.Video(ctx, id)
			if api.Is(err, api.CodeNotFound) {
				return false, nil
			}
			return err == nil, err
		},
		created: func(id video.ID) {
			q.change(func() {
				it.ID, it.saved, it.sure, it.shown = id, announced, true, -1
				it.Bytes, it.Resumed, it.goesOn = 0, 0, false
				it.ledger = ledger{size: it.Size}
				q.remember(it)
				poke(it.edited)
			})
		},
		moved:   func(l ledger, more int64) { q.moved(it, l, more) },
		waiting: func(cause *api.Error, until time.Time) { q.waiting(it, cause, until) },
		enough:  func() bool { return q.pausing(it) },
	}
}

// adopt finds an upload that an earlier attempt made without our hearing of it.
func (q *Queue) adopt(ctx context.Context, it *item) (video.ID, bool) {
	uploads, err := q.cfg.API.Uploads(ctx)
	if err != nil {
		return video.ID{}, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	old := func(id video.ID) bool {
		return slices.ContainsFunc(q.unfinished, func(u api.Upload) bool { return u.ID == id })
	}
	for _, u := range uploads {
		if u.Size == it.Size && u.Offset == 0 && sameName(it.FileName, u.FileName) && !old(u.ID) && !q.has(u.ID) {
			return u.ID, true
		}
	}
	return video.ID{}, false
}

// moved takes over how far a transfer is; more bytes of the part under way than l
// has are out.
func (q *Queue) moved(it *item, l ledger, more int64) {
	now := time.Now()
	q.change(func() {
		if more > 0 {
			it.meter.add(l.sent-it.ledger.sent, now)
		} else if it.goesOn {
			it.goesOn, it.Resumed = false, l.received
		}
		it.ledger = l
		it.Bytes, it.Sent = min(l.received+more, l.size), l.sent
		if it.pausing || it.ctx.Err() != nil {
			return
		}
		it.State, it.Err = Sending, nil
		if it.Bytes == l.size {
			it.State = Finishing
		}
		it.Speed, it.Left = it.meter.rate, it.meter.left(l.size-it.Bytes)
		if more == 0 {
			q.remember(it)
		}
	})
}

// waiting takes over that a transfer rests until its next attempt.
func (q *Queue) waiting(it *item, cause *api.Error, until time.Time) {
	q.change(func() {
		it.Speed, it.Left, it.meter = 0, 0, meter{}
		if it.pausing || it.ctx.Err() != nil || cause == errPreparing.err {
			return
		}
		it.State, it.Err, it.RetryAt = Retrying, cause, until
	})
}
