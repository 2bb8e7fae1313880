package swarm

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// Times of the picker.
const (
	// leastReserve and mostReserve bound the deadline below which a piece comes from
	// whoever is sure to be in time.
	leastReserve, mostReserve = 1500 * time.Millisecond, 4 * time.Second
	// inOrder is the deadline below which pieces come in the order of the film; beyond
	// it the rarest comes first.
	inOrder = 5 * time.Second
	// leastReach and mostReach bound how far ahead of the player anything is asked for;
	// within them it is reachPart of the film. Who leaves in the middle has little that
	// was not played.
	leastReach, mostReach = 15 * time.Second, 30 * time.Second
	reachPart             = 0.025
	// turns is the part of the reach, at its far end, in which viewers of one play head
	// take turns in bringing what nobody has from the web seed.
	turns = 6 * time.Second
	// windowPace is how fast viewers are asked for what is not due soon, in times of
	// the film's speed: what a device does for later it lacks for now. What lies behind
	// the head they are asked for at behindPace, and at restPace when nothing is missing
	// before it any more: what was skipped is for others.
	windowPace, behindPace, restPace = 1.5, 0.25, 4.0
	// introductions is how long a new engine waits for the viewers that the tracker
	// counts, before it takes from the web seed what is not urgent.
	introductions = 5 * time.Second
	// firstOf is how much longer, after the first viewer said what it has: others are
	// about to.
	firstOf = 400 * time.Millisecond
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

// behind is the deadline of a piece behind the head.
const behind = time.Duration(math.MaxInt64)

// deadline is the time until the player needs piece i. What a reader waits for is due
// when what the player has buffered ends: players read ahead.
func (e *Engine) deadline(i int) time.Duration {
	if e.beside[i] > 0 {
		return 0 // how much that player has ahead nobody knows
	}
	if e.waiting[i] > 0 {
		return e.slack
	}
	ahead := e.t.Offset(i) - e.head
	if ahead+e.t.PieceSize(i) <= 0 {
		return behind
	}
	return e.slack + time.Duration(max(0, float64(ahead))/e.byteRate()*float64(time.Second))
}

// headPiece is the piece that the player reads.
func (e *Engine) headPiece() int { return int(e.head / e.t.PieceLength) }

// firstMissing is the first piece from the head on that is not here, or Pieces().
func (e *Engine) firstMissing() int {
	i := e.headPiece()
	for i < e.t.Pieces() && (e.have.Has(i) || e.kept.pieces.Has(i)) {
		i++
	}
	return i
}

// reserve is what the player has to have ahead for the web seed to be in time for
// sure: what is due later can wait for viewers. A player that stands still wants more
// than one that plays, before it goes on; a device that has much to do is late with all.
func (e *Engine) reserve() time.Duration {
	if e.stalled {
		return mostReserve
	}
	return min(mostReserve, max(leastReserve, 3*(e.web.eta(e.t.PieceLength)+e.lag)))
}

// inTime says whether a viewer can be asked for piece i now and will bring it within d.
// The pod's seeder is not asked while there is the web seed.
func (e *Engine) inTime(i int, d time.Duration) bool {
	for p := range e.peers {
		if !p.pod && p.useful(e.now) && p.has.Has(i) && p.eta(e.t.PieceSize(i)) < d/2 {
			return true
		}
	}
	return false
}

// wanted says whether piece i is neither here nor on its way.
func (e *Engine) wanted(i int) bool {
	return !e.have.Has(i) && e.busy[i] == nil && !e.kept.pieces.Has(i)
}

// wantedForOthers says whether piece i, which was played, is to be brought once more.
func (e *Engine) wantedForOthers(i int) bool { return e.wanted(i) && !e.kept.gone.Has(i) }

// schedule gives work to everybody who can take some.
func (e *Engine) schedule() {
	if e.missing == 0 || e.opening {
		return
	}
	e.scheduleWebSeed()
	peers := make([]*peer, 0, len(e.peers))
	for p := range e.peers {
		if p.useful(e.now) {
			peers = append(peers, p)
		}
	}
	slices.SortFunc(peers, func(a, b *peer) int {
		return cmp.Or(cmp.Compare(a.lead(), b.lead()), cmp.Compare(b.speed(), a.speed()))
	})
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

// lead is how many pieces ahead of us p plays. Who plays next before us is asked
// first: it has what we need, and those who come after us can ask us. Without an order
// all would ask the first one.
func (p *peer) lead() int {
	if n := int(p.coming.At) - p.e.playedPiece(); p.comingAt.IsZero() || n < 0 {
		return math.MaxInt
	} else {
		return n
	}
}

// pick chooses the next piece to ask p for. The pod's seeder is asked where the web
// seed fails only.
func (e *Engine) pick(p *peer) (int, bool) {
	if p.pod && e.web.usable(e.now) {
		return 0, false
	}
	best, bestKey, found := 0, pieceKey{}, false
	next := e.next(p)
	consider := func(i int, d time.Duration) {
		if !p.has.Has(i) || !e.wanted(i) || d < inOrder && e.web.usable(e.now) && p.eta(e.t.PieceSize(i)) > d {
			return // where it would come late it is the web seed's
		}
		if k := e.keyOf(i, d); (!found || k.before(bestKey)) && e.mayAsk(p, next, i, d, k.zone) {
			best, bestKey, found = i, k, true
		}
	}
	reach := e.reach()
	for i := e.headPiece(); i < e.t.Pieces(); i++ {
		d := e.deadline(i)
		if d >= reach && e.waiting[i] == 0 {
			break
		}
		consider(i, d)
	}
	for i := range e.waiting {
		consider(i, e.deadline(i))
	}
	for i := 0; !found && e.gives() && i < e.headPiece() && e.paceBehind >= 0 && len(p.fetching) == 0; i++ {
		if !e.kept.gone.Has(i) {
			consider(i, behind)
		}
	}
	if found {
		e.spend(best, bestKey.zone)
	}
	return best, found
}

// nearer says whether somebody brings piece i in time who plays nearer ahead of us than
// p does.
func (e *Engine) nearer(p *peer, i int, d time.Duration) bool {
	lead := p.lead()
	for q := range e.peers {
		if q != p && !q.pod && q.useful(e.now) && q.has.Has(i) && q.lead() < lead && q.eta(e.t.PieceSize(i)) < d/2 {
			return true
		}
	}
	return false
}

// next says whether nobody plays nearer ahead of us than p does who is fast enough to be
// waited for. What p has sooner than they do comes down to them, and from them to us: who
// asks p past them takes from those whose only source p is.
func (e *Engine) next(p *peer) bool {
	lead := p.lead()
	for q := range e.peers {
		if q != p && !q.pod && q.useful(e.now) && q.lead() < lead && q.speed() > e.byteRate()/2 {
			return false
		}
	}
	return true
}

// mayAsk says whether p, who is next or not, may be asked for piece i in zone z, at the
// pace that viewers are asked at.
func (e *Engine) mayAsk(p *peer, next bool, i int, d time.Duration, z zone) bool {
	switch z {
	case zoneOrder:
		return !e.nearer(p, i, d)
	case zoneWindow:
		return next && e.pace >= 0 && !e.nearer(p, i, d)
	}
	return true
}

// spend takes piece i from what may be asked for now.
func (e *Engine) spend(i int, z zone) {
	switch z {
	case zoneWindow:
		e.pace -= float64(e.t.PieceSize(i))
	case zoneBehind:
		e.paceBehind -= float64(e.t.PieceSize(i))
	}
}

// earn lets more be asked for, once a tick: up to a second's worth at a time.
func (e *Engine) earn() {
	rate := e.byteRate()
	e.pace = min(windowPace*rate, e.pace+windowPace*rate*tick.Seconds())
	pace := behindPace
	if e.firstMissing() == e.t.Pieces() {
		pace = restPace
	}
	e.paceBehind = min(pace*rate, e.paceBehind+pace*rate*tick.Seconds())
}

// reach is how far ahead of the player anything is asked for.
func (e *Engine) reach() time.Duration {
	return min(mostReach, max(leastReach, time.Duration(reachPart*float64(e.cfg.Duration))))
}

// zone orders pieces roughly by when they are needed.
type zone uint8

const (
	zoneOrder  zone = iota // by deadline
	zoneWindow             // the rarest first
	zoneBehind             // the head: the rarest first, one at a time, for newcomers
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
	case d == behind:
		return pieceKey{zoneBehind, e.avail[i], e.lot(i)}
	default:
		return pieceKey{zoneWindow, e.avail[i], e.lot(i)}
	}
}

// lot is piece i's place in an order that each engine has of its own.
func (e *Engine) lot(i int) int {
	return int((uint32(i) ^ binary.BigEndian.Uint32(e.id[16:])) * 0x9e3779b1)
}

// webSeedWants says whether the web seed is to bring piece i.
func (e *Engine) webSeedWants(i int) bool {
	if e.have.Has(i) || e.kept.pieces.Has(i) {
		return false
	}
	d, reserve := e.deadline(i), e.reserve()
	if f := e.busy[i]; f != nil {
		// It takes over what a peer will not bring in time; where it failed it has to bring
		// something else first.
		return f.by != nil && !f.verifying && e.web.strikes == 0 && d < reserve && f.by.finishes(f) > max(d, e.web.eta(e.t.PieceSize(i)))
	}
	if d < reserve {
		return !e.inTime(i, d)
	}
	return e.avail[i] == 0 && d < e.rest(i) && !e.comes(i)
}

// rest is the deadline below which the web seed brings piece i where no viewer has it.
// Where viewers are near, each has its turn at another time: who is first brings it,
// and the others get it from there.
func (e *Engine) rest(i int) time.Duration {
	switch {
	case e.introducing():
		if e.slack < e.reserve()/2 {
			return 2 * e.reserve() // not from hand to mouth
		}
		return e.reserve()
	case e.viewers() == 0:
		return e.reach()
	}
	return e.reach() - time.Duration(e.turn(i)*float64(turns))
}

// introducing holds while the tracker counts viewers that we have not met yet, or will
// soon.
func (e *Engine) introducing() bool {
	since := e.now.Sub(e.joined)
	switch {
	case since > introductions || len(e.cfg.Trackers) == 0 || e.terms.Company == Alone:
		return false
	case e.terms.Company == Soon:
		return true
	case !e.counted:
		return since < introductions/2
	}
	if e.met.IsZero() {
		return e.others > 0 && e.enough()
	}
	return e.now.Sub(e.met) < firstOf
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
	first = -1
	// The latest reader is the player; one that waits elsewhere may be left over from
	// before a seek.
	if i := e.headPiece(); e.waiting[i] > 0 && e.webSeedWants(i) {
		first = i
	}
	reach := e.reach()
	for i := e.firstMissing(); first < 0 && i < e.t.Pieces() && e.deadline(i) < reach; i++ {
		if e.webSeedWants(i) {
			first = i
		}
	}
	for i := range e.waiting {
		if first < 0 && e.webSeedWants(i) {
			first = i
		}
	}
	if first < 0 && e.web.strikes > 0 { // is it back?
		if i, ok := e.nobodys(); ok {
			return i, i, true
		}
	}
	if first < 0 {
		return e.backfill()
	}
	last = first
	run := int64(webSeedRun)
	if e.introducing() { // those who are met meanwhile have what follows
		run = min(run, int64(e.byteRate()))
	}
	for n := e.t.PieceSize(first); last+1 < e.t.Pieces() && n < run && e.webSeedWants(last+1); last++ {
		n += e.t.PieceSize(last + 1)
	}
	return first, last, true
}

// nobodys is the first piece within the reach that is neither here nor on its way; ok is
// false where there is none.
func (e *Engine) nobodys() (i int, ok bool) {
	reach := e.reach()
	for i := e.firstMissing(); i < e.t.Pieces() && e.deadline(i) < reach; i++ {
		if e.wanted(i) {
			return i, true
		}
	}
	return 0, false
}

// backfill is what was played before the engine was there, and every newcomer needs
// first: the web seed brings it when nothing else is to do.
func (e *Engine) backfill() (first, last int, ok bool) {
	// Where others are, one of them has it soon.
	if !e.gives() || e.introducing() || e.others > 0 && e.now.Sub(e.joined) < e.reach() {
		return 0, 0, false
	}
	end := e.headPiece()
	if !e.read {
		end = e.t.Pieces()
	}
	for i := range min(end, e.t.Pieces()) {
		if !e.wantedForOthers(i) || e.avail[i] > 0 {
			continue
		}
		last = i
		for n := e.t.PieceSize(i); last+1 < end && n < webSeedRun && e.wantedForOthers(last+1) && e.avail[last+1] == 0; last++ {
			n += e.t.PieceSize(last + 1)
		}
		return i, last, true
	}
	return 0, 0, false
}
