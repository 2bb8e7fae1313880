package swarm

import (
	"errors"
	"time"

	"kinopod/webapp/piecestore"
)

// Bounds of the web seed.
const (
	webSeedRun     = 2 << 20 // bytes asked for at once
	wrongBytesRest = 2 * time.Minute
	maxRestAfter   = time.Minute
)

// Without a byte for four times as long as it took to answer so far, a request has
// failed; within these bounds.
const leastSilence, mostSilence = 3 * time.Second, 10 * time.Second

// What is expected of a web seed that has not been measured.
const (
	guessedLatency     = 300 * time.Millisecond
	guessedWebSeedRate = 512 << 10 // bytes a second
)

// webSeed is the file on the pod by HTTP (BEP 19): one request at a time, for a run
// of pieces.
type webSeed struct {
	url     string // "" for none
	strikes int
	benched time.Time // it rests until then

	// what was measured, 0 for nothing
	latency time.Duration // until the first byte
	rate    float64       // bytes a second from then on

	// the request under way
	began  time.Time
	first  time.Time // the first byte; zero while there is none
	got    int       // bytes
	cancel func()    // nil for none
	serial int       // tells late callbacks of an earlier request
	run    []*fetch
}

func (w *webSeed) usable(now time.Time) bool { return w.url != "" && !now.Before(w.benched) }

// eta is the time until n bytes that are asked for now are here.
func (w *webSeed) eta(n int64) time.Duration {
	latency, rate := w.latency, w.rate
	if latency == 0 {
		latency, rate = guessedLatency, guessedWebSeedRate
	}
	return latency + time.Duration(float64(n)/rate*float64(time.Second))
}

// measure takes what the request under way tells of the web seed.
func (w *webSeed) measure(now time.Time) {
	if w.first.IsZero() || w.got == 0 {
		return
	}
	latency, rate := w.first.Sub(w.began), float64(w.got)/max(0.001, now.Sub(w.first).Seconds())
	if w.latency == 0 {
		w.latency, w.rate = max(1, latency), rate
		return
	}
	w.latency += (latency - w.latency) / 4
	w.rate += (rate - w.rate) / 4
}

// scheduleWebSeed begins the next request, or leaves the one under way for what a
// reader waits for now.
func (e *Engine) scheduleWebSeed() {
	w := &e.web
	if !w.usable(e.now) {
		return
	}
	if w.cancel != nil {
		if e.webSeedServesPlayer() {
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
			f.by.overtaken(f)
		}
		w.run = append(w.run, e.newFetch(i, nil))
	}
	w.began, w.first, w.got = e.now, time.Time{}, 0
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

// webSeedServesPlayer holds where what the player waits for comes soon with the request
// under way, or does not come from the web seed. The player alone ends a request: two
// readers at two places would end each other's for ever.
func (e *Engine) webSeedServesPlayer() bool {
	i := e.headPiece()
	f := e.busy[i]
	switch {
	case e.waiting[i] == 0 || e.have.Has(i) || f != nil && f.verifying:
		return true
	case f == nil || f.by != nil:
		return !e.webSeedWants(i, e.reserve())
	}
	return len(e.web.run) == 0 || e.t.Offset(i)-e.t.Offset(e.web.run[0].piece) <= webSeedRun/2
}

func (w *webSeed) data(e *Engine, c piecestore.Chunk) {
	e.down.add(c.Len())
	if w.first.IsZero() {
		w.first = e.now
	} else {
		w.got += c.Len()
	}
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
	w.measure(e.now)
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
	if w.cancel != nil && len(w.run) > 0 && e.now.Sub(w.run[0].last) > min(mostSilence, max(leastSilence, 4*w.latency)) {
		e.log.Warn("the web seed is silent")
		w.fail(e, 0)
	}
}
