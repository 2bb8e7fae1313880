package upload

import (
	"context"
	"errors"
	"sync"
	"time"

	"kinopod/shared/video"
)

// Run moves the queue until ctx ends. It owns every goroutine of the queue and
// returns when the last has ended.
func (q *Queue) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer q.end()
	defer group.Wait()
	for {
		for _, work := range q.take(ctx) {
			group.Go(func() { work(ctx) })
		}
		select {
		case <-q.due:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// end frees what the items hold of the browser.
func (q *Queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items {
		q.remember(it)
		it.letGo()
	}
}

// letGo frees what an item holds of the browser.
func (it *item) letGo() {
	if it.release != nil {
		it.release()
		it.release = nil
	}
	if it.stopSeed != nil {
		it.stopSeed()
		it.stopSeed, it.Seeding = nil, false
	}
	if it.Preview.Release != nil {
		it.Preview.Release()
		it.Preview.Release = nil
	}
}

// take hands out what there is to do now.
func (q *Queue) take(ctx context.Context) []func(context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	work := q.jobs
	q.jobs = nil
	sending, looking := 0, false
	for _, it := range q.items {
		if it.halt != nil {
			sending++
		}
		looking = looking || it.looked && it.Looking
	}
	for _, it := range q.items {
		if it.stop == nil {
			it.ctx, it.stop = context.WithCancel(ctx)
			work = append(work, func(context.Context) { q.keep(it) })
		}
		switch {
		case it.working:
		case it.State == Checking:
			it.working = true
			work = append(work, func(context.Context) { q.check(it) })
		case it.State == Waiting && sending < atOnce:
			sending++
			it.working, it.State = true, Sending
			sendCtx, halt := context.WithCancelCause(it.ctx)
			it.halt = halt
			work = append(work, func(context.Context) { q.send(sendCtx, it) })
		}
		if !it.looked && !looking && it.Looking && it.State != Checking && it.State != Failed {
			it.looked, looking = true, true
			work = append(work, func(context.Context) { q.look(it) })
		}
	}
	return work
}

// discard ends an item that left the queue; called with the queue locked.
func (q *Queue) discard(it *item) {
	if it.stop != nil {
		it.stop()
	}
	it.letGo()
	if it.State == Done {
		return
	}
	if it.print != "" {
		q.cfg.Memory.forget(it.print)
	}
	if id := it.ID; !id.IsZero() {
		q.drop(id)
		q.jobs = append(q.jobs, func(ctx context.Context) { q.terminate(ctx, id) })
	}
}

// terminate tries a few times: what it does not reach expires at the pod.
func (q *Queue) terminate(ctx context.Context, id video.ID) {
	for n := range 5 {
		err := q.client.terminate(ctx, id)
		var f *failure
		if err == nil || !errors.As(err, &f) || !f.again() || !sleep(ctx, firstWait<<n) {
			return
		}
	}
}

// sleep is false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// look makes the preview.
func (q *Queue) look(it *item) {
	p, err := q.cfg.Preview(it.ctx, it.file)
	q.change(func() {
		it.Looking = false
		if err != nil {
			return // the pod makes a thumbnail by itself
		}
		it.Preview = p
		if n := len(p.Pictures); n > 0 {
			it.Chosen = best(p.Pictures)
			if it.wanted > 0 && it.wanted <= n {
				it.Chosen = it.wanted - 1
			}
		}
		if it.ctx.Err() != nil {
			it.letGo()
		}
		poke(it.edited)
	})
}
