package swarm

import (
	"errors"
	"time"
)

// slept is the time without a tick after which the device slept. Browsers let pages that
// nobody looks at wait for a minute.
const slept = 90 * time.Second

var errAway = errors.New("we were away")

// Resume says that the network is there again: what rests because it failed is tried at
// once, and trackers are dialed anew, whose connections may be dead without a word.
func (e *Engine) Resume() { e.box.post(e.resume) }

func (e *Engine) resume() {
	for _, tr := range e.trackers {
		tr.redial()
	}
	e.pod.retries, e.pod.retryAt = 0, e.now
	e.web.strikes, e.web.benched = 0, time.Time{}
	e.changed = true
}

// tickClock notices that the device slept, by the clock on the wall: the other may have
// stood still. The others have given us up meanwhile.
func (e *Engine) tickClock() {
	now := e.now.Round(0)
	away := now.Sub(e.ticked)
	switch {
	case e.ticked.IsZero():
	case away <= slept:
		e.lag = max(away-tick, e.lag-e.lag/8)
	default:
		e.log.Info("the device slept", "for", away.Round(time.Second))
		for p := range e.peers {
			p.close(errAway)
		}
		e.web.stop(e)
		e.resume()
	}
	e.ticked = now
}

// patience is how long to wait for what others should do within d: what they did may be
// here, and not come to yet.
func (e *Engine) patience(d time.Duration) time.Duration { return d + 2*e.lag }

// redial dials anew at once.
func (tr *tracker) redial() {
	if tr.socket != nil {
		tr.giveUp(errAway)
	}
	tr.retries, tr.dialAt = 0, tr.e.now
}
