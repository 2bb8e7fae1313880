package swarm

import (
	"context"
	"crypto/rand"
	"log/slog"
	mrand "math/rand/v2"
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

	Trackers []string // WebSocket URLs; the origin's first
	OfferURL string   // where the pod's seeder takes offers; "" for none
	WebSeed  string   // URL of the file; "" for none

	UploadRate int64 // bytes a second to all peers; 0 is no limit
	NoUpload   bool  // gives nothing to others

	Log *slog.Logger
}

// Engine is one swarm of one video.
type Engine struct {
	// immutable
	cfg       Config
	t         *torrent.Torrent
	id        wire.PeerID
	box       *mailbox
	log       *slog.Logger
	threshold time.Duration // see rest
	started   time.Time

	// owned by Run
	now      time.Time
	have     wire.Bits
	source   []Source
	missing  int // pieces
	busy     map[int]*fetch
	waiting  map[int]int // readers that wait for a piece
	waiters  []waiter
	head     int64         // where the player reads, bytes
	slack    time.Duration // what the player has buffered past its position
	stalled  bool          // the player stands still
	read     bool          // somebody has read
	position float64       // seconds

	peers    map[*peer]struct{}
	avail    []int // viewers that have a piece
	banned   map[wire.PeerID]bool
	podID    wire.PeerID
	lastSip  time.Time
	web      webSeed
	trackers []*tracker
	pod      podLink
	counted  bool // the tracker told how many there are
	others   int  // viewers that the tracker counts besides us

	down, up     meter
	from         [Local + 1]int64
	wasted       int64
	budget       float64 // bytes that may be uploaded now
	pace         float64 // bytes that viewers may be asked for within window, see earn
	farPace      float64 // and beyond it
	changed      bool    // schedule has something to do
	lastSchedule time.Time
}

type waiter struct {
	piece int
	done  chan<- error
}

// New makes an engine that does nothing until Run.
func New(cfg Config) *Engine {
	e := &Engine{
		cfg: cfg, t: cfg.Torrent, box: newMailbox(), log: cfg.Log.With("infoHash", cfg.Torrent.InfoHash),
		threshold: minRest + mrand.N(maxRest-minRest),
		have:      wire.NewBits(cfg.Torrent.Pieces()), source: make([]Source, cfg.Torrent.Pieces()), missing: cfg.Torrent.Pieces(),
		busy: map[int]*fetch{}, waiting: map[int]int{}, peers: map[*peer]struct{}{}, avail: make([]int, cfg.Torrent.Pieces()), banned: map[wire.PeerID]bool{},
		web: webSeed{url: cfg.WebSeed},
	}
	copy(e.id[:], "-KP0001-")
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
// block.
const scheduleEvery = 15 * time.Millisecond

// Run takes part in the swarm until ctx ends, and then leaves it.
func (e *Engine) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer e.stop()
	e.now = time.Now()
	e.started = e.now
	e.startPod()
	e.startTrackers()
	e.changed = true
	soon := time.NewTimer(0)
	defer soon.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			e.now = time.Now()
			e.onTick()
		case <-soon.C:
			e.now = time.Now()
		case <-e.box.ready:
			e.now = time.Now()
			for _, f := range e.box.take() {
				f()
			}
		}
		if e.changed {
			if wait := scheduleEvery - e.now.Sub(e.lastSchedule); wait > 0 {
				soon.Reset(wait)
			} else {
				e.changed = false
				e.lastSchedule = e.now
				e.schedule()
			}
		}
	}
}

func (e *Engine) onTick() {
	e.down.tick(tick)
	e.up.tick(tick)
	if e.cfg.UploadRate > 0 {
		e.budget = min(float64(e.cfg.UploadRate), e.budget+float64(e.cfg.UploadRate)*tick.Seconds())
	}
	e.earn()
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
	e.web.stop(e)
	for p := range e.peers {
		p.conn.Close()
	}
	for _, w := range e.waiters {
		w.done <- context.Canceled
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
	Paused   bool
	Stalled  bool // it would play, and has not enough to
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
		e.changed = true
	})
}

func (e *Engine) playhead() float64 {
	if e.cfg.Duration <= 0 {
		return float64(e.head) / float64(e.t.Length)
	}
	return min(1, e.position/e.cfg.Duration.Seconds())
}

// Read waits until the byte at off is here and gives it with what follows in its
// piece, at most most bytes. The bytes are shared: do not change them.
func (e *Engine) Read(ctx context.Context, off int64, most int) (piecestore.Chunk, error) {
	i := int(off / e.t.PieceLength)
	done := make(chan error, 1)
	if !e.box.post(func() { e.await(i, off, done) }) {
		return piecestore.Chunk{}, context.Canceled
	}
	select {
	case err := <-done:
		if err != nil {
			return piecestore.Chunk{}, err
		}
	case <-ctx.Done():
		e.box.post(func() { e.giveUp(i, done) })
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
		from := int(off - e.t.Offset(i))
		return r.c.Slice(from, min(r.c.Len(), from+most)), nil
	case <-ctx.Done():
		return piecestore.Chunk{}, ctx.Err()
	}
}

// await notes a reader at off.
func (e *Engine) await(i int, off int64, done chan<- error) {
	if gap := off - e.head; gap < -e.t.PieceLength || gap > e.t.PieceLength {
		e.slack = 0 // a seek: the player has nothing there until it says so
	}
	e.read = true
	e.head = off
	e.changed = true
	if e.have.Has(i) {
		done <- nil
		return
	}
	e.waiting[i]++
	e.waiters = append(e.waiters, waiter{i, done})
	e.lastSchedule = time.Time{} // at once
}

// giveUp takes a reader back.
func (e *Engine) giveUp(i int, done chan<- error) {
	for k, w := range e.waiters {
		if w.done == done {
			e.waiters = append(e.waiters[:k], e.waiters[k+1:]...)
			e.unwait(i)
			return
		}
	}
}

func (e *Engine) unwait(i int) {
	if e.waiting[i]--; e.waiting[i] <= 0 {
		delete(e.waiting, i)
	}
}

// wake lets the readers of piece i go on.
func (e *Engine) wake(i int) {
	rest := e.waiters[:0]
	for _, w := range e.waiters {
		if w.piece == i {
			w.done <- nil
			e.unwait(i)
			continue
		}
		rest = append(rest, w)
	}
	e.waiters = rest
}
