package swarm

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Times of the picker.
const (
	// leastReserve and mostReserve bound the deadline below which a piece comes from
	// whoever is sure to be in time.
	leastReserve, mostReserve = 2 * time.Second, 6 * time.Second
	// inOrder is the deadline below which pieces come in the order of the film; beyond
	// it the rarest comes first.
	inOrder = 10 * time.Second
	// window is how far ahead viewers are asked at windowPace times the speed at which
	// the film plays: somebody may leave in the middle, and what a device does for later
	// it lacks for now. Beyond it they are asked at farPace.
	window              = 30 * time.Second
	windowPace, farPace = 2.0, 0.25
	// minRest and maxRest bound the threshold that an engine draws: pieces that no
	// viewer has come from the web seed once their deadline is below it.
	minRest, maxRest = 12 * time.Second, 28 * time.Second
	// introductions is how long a new engine waits for the viewers that the tracker
	// counts, before it takes from the web seed what is not urgent.
	introductions = 5 * time.Second
	// sip is how often the pod's seeder gives a piece while the web seed works.
	sip = 20 * time.Second
)

// Guesses for what has not been measured, in bytes a second.
const (
	guessedRate     = 384 << 10 // of a viewer
	guessedByteRate = 500 << 10 // of a film of unknown length
)

// byteRate is what the player eats, in bytes a second.
func (e *Engine) byteRate() float64 {
	if e.cfg.Duration <= 0 {
		return guessedByteRate
	}
	return max(1, float64(e.t.Length)/e.cfg.Duration.Seconds())
}

// deadline is the time until the player needs piece i; it is far away for a piece
// behind the head. That a reader waits does not make a piece urgent: players read
// ahead.
func (e *Engine) deadline(i int) time.Duration {
	if e.waiting[i] > 0 {
		return e.slack
	}
	ahead := e.t.Offset(i) - e.head
	if ahead+e.t.PieceSize(i) <= 0 {
		return math.MaxInt64
	}
	return e.slack + time.Duration(max(0, float64(ahead))/e.byteRate()*float64(time.Second))
}

// headPiece is the piece that the player reads.
func (e *Engine) headPiece() int { return int(e.head / e.t.PieceLength) }

// firstMissing is the first piece from the head on that is not here, or Pieces().
func (e *Engine) firstMissing() int {
	i := e.headPiece()
	for i < e.t.Pieces() && e.have.Has(i) {
		i++
	}
	return i
}

// reserve is what the player has to have ahead for the web seed to be in time for
// sure: what is due later can wait for viewers. A player that stands still wants more
// than one that plays, before it goes on.
func (e *Engine) reserve() time.Duration {
	if e.stalled {
		return mostReserve
	}
	return min(mostReserve, max(leastReserve, 3*e.web.eta(e.t.PieceLength)))
}

// inTime says whether a peer can be asked for piece i now and will bring it within d.
func (e *Engine) inTime(i int, d time.Duration) bool {
	for p := range e.peers {
		if p.useful(e.now) && p.has.Has(i) && p.eta(e.t.PieceSize(i)) < d/2 {
			return true
		}
	}
	return false
}

// wanted says whether piece i is neither here nor on its way.
func (e *Engine) wanted(i int) bool { return !e.have.Has(i) && e.busy[i] == nil }

// schedule gives work to everybody who can take some.
func (e *Engine) schedule() {
	if e.missing == 0 {
		return
	}
	e.scheduleWebSeed()
	peers := make([]*peer, 0, len(e.peers))
	for p := range e.peers {
		if p.useful(e.now) {
			peers = append(peers, p)
		}
	}
	slices.SortFunc(peers, func(a, b *peer) int { return int(b.speed() - a.speed()) })
	for _, p := range peers {
		for p.roomFor(e.now) {
			i, ok := e.pick(p)
			if !ok {
				break
			}
			e.fetchFrom(p, i)
		}
	}
}

// pick chooses the next piece to ask p for.
func (e *Engine) pick(p *peer) (int, bool) {
	if p.pod && e.web.usable(e.now) && !e.maySip() {
		return 0, false
	}
	best, bestKey, found := 0, pieceKey{}, false
	for i := range e.t.Pieces() {
		if !p.has.Has(i) || !e.wanted(i) {
			continue
		}
		d := e.deadline(i)
		if d < inOrder && e.web.usable(e.now) && p.eta(e.t.PieceSize(i)) > d {
			continue // it would come late: the web seed's
		}
		if k := e.keyOf(i, d); e.mayAsk(p, i, k.zone) && (!found || k.before(bestKey)) {
			best, bestKey, found = i, k, true
		}
	}
	if found && p.pod {
		e.lastSip = e.now
	}
	if found {
		e.spend(best, bestKey.zone)
	}
	return best, found
}

// mayAsk says whether p may be asked for piece i, in zone z, at the pace that viewers
// are asked at. Beside a web seed the pod's seeder is asked for what no viewer has.
func (e *Engine) mayAsk(p *peer, i int, z zone) bool {
	if p.pod && e.web.usable(e.now) && (z == zoneFar || e.avail[i] > 0) {
		return false
	}
	switch z {
	case zoneWindow:
		return e.pace >= 0
	case zoneFar:
		return e.farPace >= 0 && len(p.fetching) == 0
	}
	return true
}

// spend takes piece i from what may be asked for now.
func (e *Engine) spend(i int, z zone) {
	switch z {
	case zoneWindow:
		e.pace -= float64(e.t.PieceSize(i))
	case zoneFar:
		e.farPace -= float64(e.t.PieceSize(i))
	}
}

// earn lets more be asked for, once a tick: up to a second's worth at a time.
func (e *Engine) earn() {
	rate := e.byteRate()
	e.pace = min(windowPace*rate, e.pace+windowPace*rate*tick.Seconds())
	e.farPace = min(farPace*rate, e.farPace+farPace*rate*tick.Seconds())
}

// maySip says whether the pod's seeder is to give a piece although the web seed
// works.
func (e *Engine) maySip() bool {
	return e.now.Sub(e.lastSip) >= sip && e.deadline(e.firstMissing()) > mostReserve
}

// zone orders pieces roughly by when they are needed.
type zone uint8

const (
	zoneOrder  zone = iota // by deadline
	zoneWindow             // the rarest first
	zoneFar                // the rarest first, one at a time; also what is behind the head
)

// pieceKey orders pieces within what one peer has.
type pieceKey struct {
	zone  zone
	first int // deadline in ms, or the number of viewers that have it
	tie   int
}

func (k pieceKey) before(o pieceKey) bool {
	if k.zone != o.zone {
		return k.zone < o.zone
	}
	if k.first != o.first {
		return k.first < o.first
	}
	return k.tie < o.tie
}

func (e *Engine) keyOf(i int, d time.Duration) pieceKey {
	switch {
	case d < inOrder:
		return pieceKey{zoneOrder, int(d.Milliseconds()), i}
	case d < window:
		return pieceKey{zoneWindow, e.avail[i], rand.Int()}
	default:
		return pieceKey{zoneFar, e.avail[i], rand.Int()}
	}
}

// webSeedWants says whether the web seed is to bring piece i.
func (e *Engine) webSeedWants(i int, rest time.Duration) bool {
	if e.have.Has(i) {
		return false
	}
	d, reserve := e.deadline(i), e.reserve()
	if f := e.busy[i]; f != nil {
		// It takes over what a peer will not bring in time.
		return f.by != nil && !f.verifying && d < reserve && f.by.finishes(f) > max(d, e.web.eta(e.t.PieceSize(i)))
	}
	if d < reserve {
		return !e.inTime(i, d)
	}
	return d < rest && e.avail[i] == 0
}

// rest is the deadline below which the web seed brings what no viewer has.
func (e *Engine) rest() time.Duration {
	if e.introducing() {
		return e.reserve()
	}
	return e.threshold
}

// introducing holds while the tracker counts viewers that we have not met yet.
func (e *Engine) introducing() bool {
	since := e.now.Sub(e.started)
	if since > introductions || len(e.cfg.Trackers) == 0 {
		return false
	}
	if !e.counted {
		return since < introductions/2
	}
	return e.others > 0 && e.viewers() == 0
}

// nextForWebSeed is the run of pieces first..last that the web seed is to bring
// next; ok is false where it may rest.
func (e *Engine) nextForWebSeed() (first, last int, ok bool) {
	if !e.read {
		// The player has its bytes by plain HTTP, and would have them twice. A film so
		// small that it came whole is fetched for the others.
		if e.t.Length > webSeedRun {
			return 0, 0, false
		}
		return e.backfill()
	}
	rest := e.rest()
	first = -1
	// The latest reader is the player; one that waits elsewhere may be left over from
	// before a seek.
	if i := e.headPiece(); e.waiting[i] > 0 && e.webSeedWants(i, rest) {
		first = i
	}
	for i := e.firstMissing(); first < 0 && i < e.t.Pieces() && e.deadline(i) < rest; i++ {
		if e.webSeedWants(i, rest) {
			first = i
		}
	}
	for i := range e.waiting {
		if first < 0 && e.webSeedWants(i, rest) {
			first = i
		}
	}
	if first < 0 {
		return e.backfill()
	}
	// A little beyond the threshold, so that requests are few; no more, so that
	// others have their turn.
	most := rest
	if !e.introducing() {
		most += 2 * time.Second
	}
	last = first
	for n := e.t.PieceSize(first); last+1 < e.t.Pieces() && n < webSeedRun && e.webSeedWants(last+1, most); last++ {
		n += e.t.PieceSize(last + 1)
	}
	return first, last, true
}

// backfill is what was played before the engine was there, and every newcomer needs
// first: the web seed brings it when nothing else is to do.
func (e *Engine) backfill() (first, last int, ok bool) {
	// Where others are, one of them has it soon.
	if e.introducing() || e.others > 0 && e.now.Sub(e.started) < e.threshold {
		return 0, 0, false
	}
	end := e.headPiece()
	if !e.read {
		end = e.t.Pieces()
	}
	for i := range min(end, e.t.Pieces()) {
		if !e.wanted(i) || e.avail[i] > 0 {
			continue
		}
		last = i
		for n := e.t.PieceSize(i); last+1 < end && n < webSeedRun && e.wanted(last+1) && e.avail[last+1] == 0; last++ {
			n += e.t.PieceSize(last + 1)
		}
		return i, last, true
	}
	return 0, 0, false
}
