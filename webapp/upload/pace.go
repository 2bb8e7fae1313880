package upload

import (
	"math"
	"time"
)

// Sizes of a part, in bytes.
const (
	probePart = 16 << 10 // at most, after a failure
	firstPart = 1 << 20  // at most, before the speed is known
	maxPart   = 16 << 20
)

// minPart is the smallest part of a file of that size: smaller ones, when nearly all of
// the budget is wasted, would take longer than they save.
func minPart(size int64) int64 { return min(max(size/2048, 512), 128<<10) }

const (
	// overhead is how many round trips a part should last: between two parts the
	// line is idle for one, so it is busy eight ninths of the time.
	overhead = 8
	// longest bounds a part's duration, because proxies bound that of a request.
	longest = 20 * time.Second
)

// ledger counts an upload's bytes over all attempts, those of an earlier page too.
type ledger struct {
	size     int64
	sent     int64 // left us
	received int64 // the pod has them
}

// wasted is how many bytes were sent in vain.
func (l ledger) wasted() int64 { return max(0, l.sent-l.received) }

// budget is how many bytes parts may still waste: nine tenths of one percent of the
// file in all. The last tenth is for parts that find no budget left.
func (l ledger) budget() int64 { return max(0, l.size*9/1000-l.wasted()) }

// pace chooses how large a part is. A large part keeps the line busy, a small one
// loses little when it is lost whole. It is never larger than half of what is left
// of the ledger's budget (but minPart where that is more), so that any number of
// losses stays within it; nor smaller than a quarter, so that there are at most
// some hundred parts. Between the two it is as large as the line needs; a small file
// pays for the promise with up to two hundred round trips.
type pace struct {
	trip  time.Duration // the shortest round trip seen; 0 is not known
	rate  float64       // bytes per second, smoothed; 0 is not known
	probe bool          // the last part failed: the next one only tries
}

// next is the size of the part that begins at l.received.
func (p *pace) next(l ledger) int64 {
	if p.probe {
		return min(probePart, max(l.budget()/2, minPart(l.size)), l.size-l.received)
	}
	least, most := l.budget()/4, min(l.budget()/2, maxPart)
	want := int64(overhead * p.trip.Seconds() * p.rate)
	if p.rate == 0 {
		most = min(most, firstPart)
	} else {
		most = min(most, int64(p.rate*longest.Seconds()))
	}
	n := max(min(max(want, least), most), minPart(l.size))
	return min(n, l.size-l.received)
}

// failed notes that a part was cut or refused.
func (p *pace) failed() { p.probe = true }

// answered notes the round trip of a request without a body.
func (p *pace) answered(took time.Duration) {
	if p.trip == 0 || took < p.trip {
		p.trip = took
	}
}

// finished notes that a part of n bytes took that long, answer included.
func (p *pace) finished(n int64, took time.Duration) {
	if p.probe {
		p.probe = false // too small to tell the rate
		return
	}
	rate := float64(n) / max(took.Seconds(), 1e-3)
	if p.rate == 0 {
		p.rate = rate
		return
	}
	p.rate += (rate - p.rate) / 4
}

// meter is the speed that a person is shown: a mean over the last seconds.
type meter struct {
	began, at time.Time
	pending   int64
	rate      float64 // bytes per second; 0 until the first second is over
}

const (
	meterStep = 250 * time.Millisecond
	meterMean = 4 * time.Second
)

// add notes n more bytes at now.
func (m *meter) add(n int64, now time.Time) {
	if m.began.IsZero() {
		m.began, m.at = now, now
	}
	m.pending += n
	step := now.Sub(m.at)
	if step < meterStep {
		return
	}
	rate := float64(m.pending) / step.Seconds()
	// At first the mean is over all that there is, then over meterMean.
	weight := 1 - math.Exp(-step.Seconds()/min(meterMean, now.Sub(m.began)).Seconds())
	m.rate += (rate - m.rate) * max(weight, 0)
	m.at, m.pending = now, 0
}

// left is how long n more bytes take; 0 is not known.
func (m *meter) left(n int64) time.Duration {
	if m.rate < 1 {
		return 0
	}
	return time.Duration(float64(n) / m.rate * float64(time.Second))
}
