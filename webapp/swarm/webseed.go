package swarm

import (
	"errors"
	"time"

	"kinopod/webapp/piecestore"
)

// Bounds of the web seed.
const (
	webSeedRun     = 2 << 20          // bytes asked for at once
	webSeedSilence = 10 * time.Second // without a byte, a request has failed
	wrongBytesRest = 2 * time.Minute
	maxRestAfter   = time.Minute
)

// webSeed is the file on the pod by HTTP (BEP 19): one request at a time, for a run
// of pieces.
type webSeed struct {
	url     string // "" for none
	strikes int
	benched time.Time // it rests until then

	// the request under way
	cancel  func() // nil for none
	serial  int    // tells late callbacks of an earlier request
	run     []*fetch
	lastRun int // the last piece of it
}

func (w *webSeed) usable(now time.Time) bool { return w.url != "" && !now.Before(w.benched) }

// scheduleWebSeed begins the next request, or leaves the one under way for what a
// reader waits for now.
func (e *Engine) scheduleWebSeed() {
	w := &e.web
	if !w.usable(e.now) {
		return
	}
	if w.cancel != nil {
		if len(e.waiting) == 0 || e.webSeedServesWaiting() {
			return
		}
		w.stop(e)
	}
	first, last, ok := e.nextForWebSeed()
	if !ok {
		return
	}
	for i := first; i <= last; i++ {
		if f := e.busy[i]; f != nil {
			f.by.late(f)
		}
		w.run = append(w.run, e.newFetch(i, nil))
	}
	w.lastRun = last
	w.serial++
	serial := w.serial
	mine := func(f func()) func() {
		return func() {
			if w.serial == serial && w.cancel != nil {
				f()
			}
		}
	}
	w.cancel = e.cfg.Network.Fetch(w.url, e.t.Offset(first), e.t.Offset(last)+e.t.PieceSize(last), FetchEvents{
		Data: func(c piecestore.Chunk) { e.box.post(mine(func() { w.data(e, c) })) },
		Done: func(err error) { e.box.post(mine(func() { w.done(e, err) })) },
	})
}

// webSeedServesWaiting holds where what readers wait for comes soon with the request
// under way, or does not come from the web seed.
func (e *Engine) webSeedServesWaiting() bool {
	for i := range e.waiting {
		f := e.busy[i]
		if e.have.Has(i) || f != nil && f.verifying {
			continue
		}
		if f == nil {
			return false
		}
		if f.by != nil {
			if e.webSeedWants(i, urgent) {
				return false
			}
			continue
		}
		if len(e.web.run) > 0 && e.t.Offset(i)-e.t.Offset(e.web.run[0].piece) > webSeedRun/2 {
			return false
		}
	}
	return true
}

func (w *webSeed) data(e *Engine, c piecestore.Chunk) {
	e.down.add(c.Len())
	for c.Len() > 0 && len(w.run) > 0 {
		f := w.run[0]
		f.last = e.now
		size := int(e.t.PieceSize(f.piece))
		n := min(c.Len(), f.missing)
		f.room(size).CopyFrom(size-f.missing, c.Slice(0, n))
		f.missing -= n
		c = c.Slice(n, c.Len())
		if f.missing == 0 {
			w.run = w.run[1:]
			w.strikes = 0
			e.verify(f)
		}
	}
	if c.Len() > 0 {
		w.fail(e, 0) // more than was asked for
	}
}

func (w *webSeed) done(e *Engine, err error) {
	if err == nil && len(w.run) > 0 {
		err = errors.New("the answer ended early")
	}
	if err != nil {
		e.log.Warn("the web seed failed", "err", err)
		w.fail(e, 0)
		return
	}
	w.cancel = nil
	e.changed = true
}

// fail ends the request under way and lets the web seed rest: for rest, or longer
// with each failure.
func (w *webSeed) fail(e *Engine, rest time.Duration) {
	w.stop(e)
	if rest == 0 {
		rest = min(maxRestAfter, time.Second<<min(w.strikes, 10))
	}
	w.strikes++
	w.benched = e.now.Add(rest)
}

// stop ends the request under way and gives its pieces back.
func (w *webSeed) stop(e *Engine) {
	if w.cancel == nil {
		return
	}
	cancel := w.cancel
	w.cancel = nil
	for _, f := range w.run {
		e.release(f)
	}
	w.run = nil
	cancel()
}

func (w *webSeed) tick(e *Engine) {
	if w.cancel != nil && len(w.run) > 0 && e.now.Sub(w.run[0].last) > webSeedSilence {
		e.log.Warn("the web seed is silent")
		w.fail(e, 0)
	}
}
