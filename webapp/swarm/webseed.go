package swarm

import (
	"errors"
	"time"

	"kinopod/webapp/piecestore"
)

// Bounds of the web seed.
const (
	webSeedRun     = 2 << 20  // bytes asked for at once
	leastHead      = 32 << 10 // bytes of a piece that are worth a request of their own, later
	wrongBytesRest = 2 * time.Minute
	maxRestAfter   = time.Minute
)

// Without a byte for four times as long as it took to answer so far, a request has
// failed; within these bounds.
const leastSilence, mostSilence = 3 * time.Second, 10 * time.Second

// What is expected of a web seed that has not been measured.
const (
	guessedLatency     = 200 * time.Millisecond
	guessedWebSeedRate = 1 << 20 // bytes a second
)

// webSeed is the file on the pod by HTTP (BEP 19): one request at a time, for a run
// of pieces. Where the player waits for what is in the middle of a piece the run begins
// there, and the head of that piece comes later.
type webSeed struct {
	url     string        // "" for none
	guess   time.Duration // of latency
	lied    bool          // it sent wrong bytes
	half    *fetch        // its head is to come; nil for none
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
		latency, rate = max(w.guess, guessedLatency), guessedWebSeedRate
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
	var from, to int64
	switch h := w.half; {
	case h != nil && (!ok || e.waiting[h.piece] > 0 || e.deadline(first) >= e.reserve()):
		w.half, h.last = nil, e.now
		w.run = append(w.run, h)
		from = e.t.Offset(h.piece)
		to = from + int64(h.from)
	case !ok:
		return
	default:
		from, to = e.t.Offset(first), e.t.Offset(last)+e.t.PieceSize(last)
		for i := first; i <= last; i++ {
			f := e.busy[i]
			if f != nil {
				f.by.overtaken(f)
			}
			if f != nil && i == first && !e.mixed[i] {
				f = e.goOn(f)
				from += e.t.PieceSize(i) - f.left()
			} else {
				f = e.newFetch(i, nil)
			}
			w.run = append(w.run, f)
		}
		if skip := e.head - from; e.stalled && w.run[0].begun == nil && w.half == nil && first == e.headPiece() && skip >= leastHead {
			w.run[0].from = int(skip)
			from = e.head
		}
	}
	e.tellComing(true)
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
	w.cancel = e.cfg.Network.Fetch(w.url, from, to, e.stalled, FetchEvents{
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
		return !e.webSeedWants(i)
	}
	if f == e.web.half || e.head-e.t.Offset(i) < int64(f.from) && f.missing > f.from {
		return false // at the head, which would come last
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
		at, room := f.at(size)
		n := min(c.Len(), room)
		f.room(size).CopyFrom(at, c.Slice(0, n))
		f.missing -= n
		c = c.Slice(n, c.Len())
		if n == room {
			if w.run = w.run[1:]; len(w.run) > 0 {
				w.run[0].last = e.now
			}
			w.strikes = 0
			if f.missing > 0 {
				w.half = f
			} else {
				e.verify(f)
			}
		}
		e.wake(f.piece)
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
	if w.half != nil { // for others to bring
		e.release(w.half)
		w.half = nil
	}
	if rest == 0 {
		rest = min(maxRestAfter, time.Second<<min(w.strikes, 10))
	}
	w.strikes++
	w.benched = e.now.Add(rest)
	e.tickPod() // at once
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
	e.tellComing(true)
	cancel()
}

// silence is how long the request under way may bring nothing. Where the player waits for
// what a viewer has it is no longer than a viewer's would be.
func (w *webSeed) silence(e *Engine) time.Duration {
	least := leastSilence
	if i := w.run[0].piece; e.stalled && e.avail[i] > 0 {
		least = silence
	}
	return min(mostSilence, max(least, 4*w.latency))
}

func (w *webSeed) tick(e *Engine) {
	if w.cancel != nil && len(w.run) > 0 && e.now.Sub(w.run[0].last) > e.patience(w.silence(e)) {
		e.log.Warn("the web seed is silent")
		w.fail(e, 0)
	}
}
