package publish

import (
	"context"
	"sync"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// turns says who may change an upload or a video. The zero value is ready.
type turns struct {
	mu   sync.Mutex
	held map[video.ID]*turn
}

type turn struct {
	interrupt func() // nil: this one does not take long
	released  chan struct{}
}

// again is how often a holder is asked to let go: a connection that just begins to
// wait for bytes when it is asked sleeps through it.
const again = 50 * time.Millisecond

// take waits for the turn of id and gives what ends it. Whoever has it is asked to
// let go. interrupt is called, more than once and from other goroutines, when
// another one waits. The error is an *api.Error.
func (t *turns) take(ctx context.Context, id video.ID, interrupt func()) (release func(), err error) {
	for {
		holder := t.try(id, interrupt)
		if holder == nil {
			return func() { t.release(id) }, nil
		}
		if err := holder.wait(ctx); err != nil {
			return nil, &api.Error{Code: api.CodeConflict, Message: "Another connection is still busy with this upload. Try again in a moment.", Cause: err}
		}
	}
}

// takeIdle is take where nobody has the turn, and not ok otherwise.
func (t *turns) takeIdle(id video.ID) (release func(), ok bool) {
	if t.try(id, nil) != nil {
		return nil, false
	}
	return func() { t.release(id) }, true
}

// try takes the turn, or gives who has it.
func (t *turns) try(id video.ID, interrupt func()) (holder *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if holder := t.held[id]; holder != nil {
		return holder
	}
	if t.held == nil {
		t.held = map[video.ID]*turn{}
	}
	t.held[id] = &turn{interrupt: interrupt, released: make(chan struct{})}
	return nil
}

func (t *turns) release(id video.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.held[id].released)
	delete(t.held, id)
}

func (h *turn) wait(ctx context.Context) error {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		if h.interrupt != nil {
			h.interrupt()
		}
		select {
		case <-h.released:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
