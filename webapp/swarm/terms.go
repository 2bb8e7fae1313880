package swarm

import (
	"time"

	"kinopod/shared/wire"
)

// Terms are what the viewer and the device allow at the moment. They may change while
// the engine runs (Engine.SetTerms). The zero value allows everything.
type Terms struct {
	Company    Company
	NoUpload   bool  // gives nothing to others
	UploadRate int64 // bytes a second to all peers, of all siblings together, with what carries them (see onWire); 0 is no limit
}

// Company says whether others may learn of this viewer.
type Company uint8

// The kinds of company.
const (
	Together Company = iota // with other viewers
	Soon                    // the viewer is being told: nobody hears of this one yet
	Alone                   // by the web seed only
)

// SetTerms takes other terms, at once: who does not want company any more is with
// nobody, and plays on by the web seed.
func (e *Engine) SetTerms(t Terms) { e.box.post(func() { e.agree(t) }) }

func (e *Engine) agree(t Terms) {
	was := e.terms
	e.terms = t
	switch {
	case t.Company == Together && was.Company != Together:
		e.join()
	case t.Company != Together && was.Company == Together:
		e.part()
	}
	if t.NoUpload {
		for p := range e.peers {
			p.choke()
		}
	}
	if t.longest() != was.longest() {
		for p := range e.peers {
			if p.comingID != 0 { // others ask for no long blocks
				p.tellExtensions()
			}
		}
	}
	e.sayNeed()
	e.changed = true
}

// join makes the engine known to others.
func (e *Engine) join() {
	e.joined, e.met = e.now, time.Time{}
	e.tickPod()
	e.startTrackers()
}

// part takes leave of everybody.
func (e *Engine) part() {
	for _, tr := range e.trackers {
		tr.stop()
	}
	e.trackers, e.counted, e.others = nil, false, 0
	for p := range e.peers {
		p.close(errSelf)
	}
}

// enough says whether as many watch as make connections worth it.
func (e *Engine) enough() bool { return e.others+1 >= e.cfg.LeastViewers }

// gives says whether what is here may be given to others, so that it is worth fetching
// for them.
func (e *Engine) gives() bool { return e.terms.Company != Alone && !e.terms.NoUpload }

// longest is the longest block that peers may ask for, 0 for what everybody gives. Under a
// low rate a long one would make others wait, and who waits for it takes us for silent.
func (t Terms) longest() int {
	if t.UploadRate > 0 && t.UploadRate < leastLongRate {
		return 0
	}
	return wire.LongBlock
}

// leastLongRate is the upload rate, in bytes a second, from which on peers are given long
// blocks: where several engines share it a block does not take half a second.
const leastLongRate = 4 * longBlockRate

// allowance is a bucket of bytes that may be uploaded. It holds what one and a half ticks
// and the block that waits take, so that in any 20 s no more than 5 % too much goes out, and
// little is lost where a tick comes late.
type allowance struct {
	bytes float64
	at    time.Time // when it was filled
}

// fill adds what came since at rate, for a block of n bytes.
func (a *allowance) fill(now time.Time, rate, n float64) {
	if a.at.IsZero() {
		a.at = now
	}
	a.bytes = min(rate*1.5*tick.Seconds()+n, a.bytes+rate*now.Sub(a.at).Seconds())
	a.at = now
}

// take says whether n bytes may go now.
func (a *allowance) take(n float64) bool {
	if a.bytes < n {
		return false
	}
	a.bytes -= n
	return true
}
