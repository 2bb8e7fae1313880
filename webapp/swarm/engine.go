package swarm

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// Config says what to fetch and how to reach others.
type Config struct {
	Torrent  *torrent.Torrent
	Duration time.Duration // of the film; 0 if unknown
	Network  Network
	Store    piecestore.Store
	Complete bool // Store has every piece: this engine only seeds
	// Kept waits until Store is open and gives the pieces that it has from an earlier visit,
	// not checked. Others are met meanwhile, and nothing is fetched. nil: Store is open.
	Kept func() []int

	Trackers []string // WebSocket URLs; the origin's first
	OfferURL string   // where the pod's seeder takes offers; "" for none
	WebSeed  string   // URL of the file; "" for none

	// Latency is what a request to the web seed is expected to take until its first byte; 0
	// for a guess.
	Latency time.Duration

	// Siblings joins the other engines of this viewer and has heard called with what they
	// say, from any goroutine; nil, or a nil result: there are none.
	Siblings func(heard func(text []byte)) Siblings

	Terms        Terms // at first
	LeastViewers int   // how many have to watch, this one too, until WebRTC connections are made

	Log *slog.Logger
}

// Engine is one swarm of one video.
type Engine struct {
	// immutable
	cfg Config
	t   *torrent.Torrent
	id  wire.PeerID
	box *mailbox
	log *slog.Logger

	// owned by Run
	now      time.Time
	ticked   time.Time     // the last tick, by the clock on the wall
	lag      time.Duration // how late ticks come lately: what the device takes to get to anything
	terms    Terms
	joined   time.Time // the swarm; at first when Run began
	have     wire.Bits
	source   []Source
	missing  int // pieces
	kept     kept
	opening  bool // Store is not open yet
	busy     map[int]*fetch
	waiting  map[int]int // readers that wait for a piece
	beside   map[int]int // of them, those of other tabs
	waiters  []waiter
	head     int64         // where the player reads, bytes
	slack    time.Duration // what the player has buffered past its position
	stalled  bool          // the player stands still
	read     bool          // somebody has read
	plain    int64         // where the player began to read: it had what stands before by plain HTTP
	position float64       // seconds

	peers    map[*peer]struct{}
	avail    []int // viewers that have a piece
	banned   map[wire.PeerID]bool
	podID    wire.PeerID
	told     int // the piece where we said that we play
	web      webSeed
	trackers []*tracker
	pod      podLink
	counted  bool // the tracker told how many there are
	others   int  // viewers that the tracker counts besides us

	down, up     meter
	from         [Local + 1]int64
	wasted       int64
	gone         traffic      // of connections that were closed
	mixed        map[int]bool // pieces that were wrong when two sources brought them
	met          time.Time    // when a viewer first said what it has; zero for not yet
	budget       allowance    // where terms have an upload rate
	home         family
	pace         float64 // bytes that viewers may be asked for within window, see earn
	paceBehind   float64 // and behind the head
	changed      bool    // schedule has something to do
	lastSchedule time.Time
}

type waiter struct {
	piece     int
	off, most int // of bytes of the piece
	beside    bool
	done      chan<- reading
}

// reading is what a reader gets: an error, bytes that are not checked yet, or nothing
// where the piece is in the store.
type reading struct {
	early piecestore.Chunk
	err   error
}

// New makes an engine that does nothing until Run.
func New(cfg Config) *Engine {
	e := &Engine{
		cfg: cfg, t: cfg.Torrent, box: newMailbox(), log: cfg.Log.With("infoHash", cfg.Torrent.InfoHash),
		have: wire.NewBits(cfg.Torrent.Pieces()), source: make([]Source, cfg.Torrent.Pieces()), missing: cfg.Torrent.Pieces(),
		terms: cfg.Terms, busy: map[int]*fetch{}, waiting: map[int]int{}, peers: map[*peer]struct{}{}, avail: make([]int, cfg.Torrent.Pieces()), banned: map[wire.PeerID]bool{},
		web: webSeed{url: cfg.WebSeed, guess: cfg.Latency}, kept: newKept(cfg.Torrent.Pieces()), opening: cfg.Kept != nil, beside: map[int]int{}, mixed: map[int]bool{},
	}
	copy(e.id[:], wire.ViewerID)
	_, _ = rand.Read(e.id[8:])
	if cfg.Complete {
		for i := range e.t.Pieces() {
			e.have.Set(i)
			e.source[i] = Local
		}
		e.missing = 0
	}
	return e
}

// InfoHash names the swarm.
func (e *Engine) InfoHash() magnet.InfoHash { return e.t.InfoHash }

// tick is how often rates, deadlines and time limits are looked at.
const tick = 250 * time.Millisecond

// scheduleEvery bounds how often the picker runs, so that it does not run for every
// block; scheduleCalm where the player has comfort ahead.
const (
	scheduleEvery = 15 * time.Millisecond
	scheduleCalm  = 60 * time.Millisecond
	comfort       = 5 * time.Second
)

// Run takes part in the swarm until ctx ends, and then leaves it.
func (e *Engine) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer e.stop()
	e.now = time.Now()
	e.joined = e.now
	e.meetSiblings()
	if e.opening {
		go func() {
			pieces := e.cfg.Kept()
			e.box.post(func() { e.opened(pieces) })
		}()
	}
	if e.terms.Company == Together {
		e.join()
	}
	e.changed = true
	soon := time.NewTimer(0)
	defer soon.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			e.now = time.Now()
			e.runPosted() // what has come is not late
			e.onTick()
		case <-soon.C:
			e.now = time.Now()
		case <-e.box.ready:
			e.now = time.Now()
			e.runPosted()
		}
		if e.changed {
			every := scheduleEvery
			if e.slack > comfort && len(e.waiting) == 0 {
				every = scheduleCalm
			}
			if wait := every - e.now.Sub(e.lastSchedule); wait > 0 {
				soon.Reset(wait)
			} else {
				e.changed = false
				e.lastSchedule = e.now
				e.schedule()
			}
		}
	}
}

func (e *Engine) runPosted() {
	for _, f := range e.box.take() {
		f()
	}
}

func (e *Engine) onTick() {
	e.tickClock()
	e.down.tick(tick)
	e.up.tick(tick)
	e.earn()
	e.tickKept()
	e.tickSiblings()
	for p := range e.peers {
		p.tick()
	}
	e.web.tick(e)
	e.tickPod()
	for _, tr := range e.trackers {
		tr.tick()
	}
	e.changed = true
}

// stop leaves the swarm. What is still posted is refused.
func (e *Engine) stop() {
	for _, f := range e.box.close() {
		f()
	}
	for _, tr := range e.trackers {
		tr.stop()
	}
	e.leaveSiblings()
	e.web.stop(e)
	for p := range e.peers {
		p.conn.Close()
	}
	for _, w := range e.waiters {
		w.done <- reading{err: context.Canceled}
	}
	e.waiters = nil
	e.cfg.Store.Close()
}

// ask runs f on the loop and waits for it.
func (e *Engine) ask(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if !e.box.post(func() { f(); close(done) }) {
		return context.Canceled
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats tells how the swarm is.
func (e *Engine) Stats(ctx context.Context) (s Stats, err error) {
	err = e.ask(ctx, func() { s = e.stats() })
	return s, err
}

// Playback is where the player is.
type Playback struct {
	Position float64 // seconds
	Buffered float64 // seconds of the film up to which the player has all, from Position on
	Stalled  bool    // it would play, and has not enough to
}

// SetPlayback tells the picker where the player is.
func (e *Engine) SetPlayback(p Playback) {
	e.box.post(func() {
		e.position = p.Position
		e.slack = time.Duration(max(0, p.Buffered-p.Position) * float64(time.Second))
		if e.stalled = p.Stalled; p.Stalled {
			e.slack = 0
		}
		if !e.read { // the player still reads by plain HTTP
			e.head = min(e.t.Length-1, int64(p.Buffered*e.byteRate()))
		}
		if at := e.playedPiece(); at != e.told {
			e.tellComing(false)
		}
		e.changed = true
	})
}

// playedPiece is the piece that is on the screen.
func (e *Engine) playedPiece() int {
	return min(e.t.Pieces()-1, int(e.playhead()*float64(e.t.Pieces())))
}

func (e *Engine) playhead() float64 {
	if e.cfg.Duration <= 0 {
		return float64(e.head) / float64(e.t.Length)
	}
	return min(1, e.position/e.cfg.Duration.Seconds())
}

// Read waits until the byte at off is here and gives it with what follows in its
// piece, at most most bytes. The bytes are shared: do not change them. Where the player
// stands still it gets what the web seed sends as it comes, before it is checked, as it
// would by plain HTTP.
func (e *Engine) Read(ctx context.Context, off int64, most int) (piecestore.Chunk, error) {
	return e.readAt(ctx, off, most, false)
}

// ReadBeside is Read for another tab that shows the same video: it gets what it asks for
// at once, and the player's place, by which the picker looks ahead, stays where it is.
func (e *Engine) ReadBeside(ctx context.Context, off int64, most int) (piecestore.Chunk, error) {
	return e.readAt(ctx, off, most, true)
}

func (e *Engine) readAt(ctx context.Context, off int64, most int, beside bool) (piecestore.Chunk, error) {
	for {
		c, err := e.readPiece(ctx, off, most, beside)
		if !errors.Is(err, piecestore.ErrAbsent) {
			return c, err
		}
		i := int(off / e.t.PieceLength)
		e.box.post(func() { e.lost(i) }) // it fell out of the store, and is fetched again
	}
}

// readPiece waits for what is at off in its piece.
func (e *Engine) readPiece(ctx context.Context, off int64, most int, beside bool) (piecestore.Chunk, error) {
	i := int(off / e.t.PieceLength)
	from := int(off - e.t.Offset(i))
	done := make(chan reading, 1)
	if !e.box.post(func() { e.await(waiter{i, from, most, beside, done}) }) {
		return piecestore.Chunk{}, context.Canceled
	}
	select {
	case r := <-done:
		if r.err != nil || r.early.Len() > 0 {
			return r.early, r.err
		}
	case <-ctx.Done():
		e.box.post(func() { e.giveUp(done) })
		return piecestore.Chunk{}, ctx.Err()
	}
	type result struct {
		c   piecestore.Chunk
		err error
	}
	got := make(chan result, 1)
	if !e.box.post(func() { e.cfg.Store.Get(i, func(c piecestore.Chunk, err error) { got <- result{c, err} }) }) {
		return piecestore.Chunk{}, context.Canceled
	}
	select {
	case r := <-got:
		if r.err != nil {
			return piecestore.Chunk{}, r.err
		}
		return r.c.Slice(from, min(r.c.Len(), from+most)), nil
	case <-ctx.Done():
		return piecestore.Chunk{}, ctx.Err()
	}
}

// await notes a reader.
func (e *Engine) await(w waiter) {
	off := e.t.Offset(w.piece) + int64(w.off)
	if !w.beside {
		if gap := off - e.head; e.read && (gap < -e.t.PieceLength || gap > e.t.PieceLength) {
			e.slack = 0 // a seek: the player has nothing there until it says so
		}
		e.head = off
	}
	if !e.read {
		e.read, e.plain = true, off
	}
	e.changed = true
	if e.have.Has(w.piece) {
		w.done <- reading{}
		return
	}
	if c, ok := e.early(w); ok {
		w.done <- reading{early: c}
		return
	}
	e.waiting[w.piece]++
	if w.beside {
		e.beside[w.piece]++
	}
	e.waiters = append(e.waiters, w)
	e.lastSchedule = time.Time{} // at once
	if e.kept.pieces.Has(w.piece) {
		e.check(w.piece)
	}
}

// early gives what has come of what a reader waits for, where the player stands still.
func (e *Engine) early(w waiter) (piecestore.Chunk, bool) {
	f := e.busy[w.piece]
	if !e.stalled || e.web.lied || f == nil {
		return piecestore.Chunk{}, false
	}
	n := min(w.most, f.here(w.off, int(e.t.PieceSize(w.piece))))
	if n <= 0 {
		return piecestore.Chunk{}, false
	}
	return f.buf.Slice(w.off, w.off+n), true
}

// giveUp takes a reader back.
func (e *Engine) giveUp(done chan<- reading) {
	for k, w := range e.waiters {
		if w.done == done {
			e.waiters = append(e.waiters[:k], e.waiters[k+1:]...)
			e.unwait(w)
			return
		}
	}
}

func (e *Engine) unwait(w waiter) {
	less(e.waiting, w.piece)
	if w.beside {
		less(e.beside, w.piece)
	}
}

func less(counts map[int]int, i int) {
	if counts[i]--; counts[i] <= 0 {
		delete(counts, i)
	}
}

// wake lets the readers of piece i go on whose bytes are here.
func (e *Engine) wake(i int) {
	rest := e.waiters[:0]
	for _, w := range e.waiters {
		if w.piece == i {
			c, ok := piecestore.Chunk{}, e.have.Has(i)
			if !ok {
				c, ok = e.early(w)
			}
			if ok {
				w.done <- reading{early: c}
				e.unwait(w)
				continue
			}
		}
		rest = append(rest, w)
	}
	e.waiters = rest
}
