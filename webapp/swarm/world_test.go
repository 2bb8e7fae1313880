package swarm

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// world is a network in memory: a pod's tracker, a web seed, a pod's seeder, and lines
// between peers that keep order. Faults are switches on it.
type world struct {
	t       testing.TB
	data    []byte
	torrent *torrent.Torrent

	mu       sync.Mutex
	nodes    map[string]*line // by description of an offer or an answer
	tracker  *servedTracker   // nil while there is none
	served   int64            // bytes by the web seed
	requests int
	serial   int
	wait     sync.WaitGroup

	webSeedDown  bool
	webSeedHangs bool // it takes requests, and sends nothing
	trackerLost  bool // nothing comes of a connection to it; guarded by mu
	trackerMute  bool // connections to it open, and carry nothing; guarded by mu
	unopened     int  // connections that are agreed on next, and never open; guarded by mu
	webSeedSpoil bool
	webSeedDelay time.Duration // a 16 KiB
	latency      time.Duration // of everything, one way
	seeder       *Engine       // stands for the pod's seeder
}

func newWorld(t testing.TB, size int, pieceLength int64) *world {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	var hashes []byte
	h := torrent.NewHasher(pieceLength, func(sum [sha1.Size]byte) { hashes = append(hashes, sum[:]...) })
	_, _ = h.Write(data)
	h.Close()
	tor, err := torrent.Build("film.mp4", int64(size), pieceLength, hashes, "test")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, data: data, torrent: tor, nodes: map[string]*line{}}
	t.Cleanup(w.wait.Wait)
	w.startTracker()
	return w
}

// engine starts an engine in the world and ends it with the test. One that has all and
// asks no tracker can be the pod's seeder.
func (w *world) engine(change func(*Config)) *Engine {
	w.t.Helper()
	cfg := Config{
		Torrent: w.torrent, Duration: time.Duration(len(w.data)) * time.Second / (500 << 10), Network: &memNetwork{w: w}, Store: piecestore.NewMemory(),
		Trackers: []string{"ws://pod" + api.PathTrackerSocket}, WebSeed: "mem:webseed", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if testing.Verbose() {
		cfg.Log = slog.New(slog.NewTextHandler(testWriter{w.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&cfg)
	}
	if cfg.Complete {
		for i := range w.torrent.Pieces() {
			cfg.Store.Put(i, w.piece(i))
		}
	}
	e := New(cfg)
	if cfg.Complete && len(cfg.Trackers) == 0 {
		copy(e.id[:], wire.SeederID)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = e.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
	return e
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func (w *world) piece(i int) piecestore.Chunk {
	off := w.torrent.Offset(i)
	return piecestore.FromBytes(w.data[off : off+w.torrent.PieceSize(i)])
}

// fromWebSeed is how many bytes the web seed gave.
func (w *world) fromWebSeed() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.served
}

// readAll reads the file from from to its end and compares.
func (w *world) readAll(ctx context.Context, e *Engine, from int) error {
	got := make([]byte, 0, len(w.data))
	for off := int64(from); off < w.torrent.Length; {
		c, err := e.Read(ctx, off, 256<<10)
		if err != nil {
			return fmt.Errorf("read at %d: %w", off, err)
		}
		got = append(got, c.Bytes()...)
		off += int64(c.Len())
	}
	if !bytes.Equal(got, w.data[from:]) {
		return errors.New("the bytes differ")
	}
	return nil
}

// play reads as a player does: it reads ahead up to ahead, and plays in real time. What
// stands before from it has already. It gives the time that it stalled after the first
// bytes.
func (w *world) play(ctx context.Context, e *Engine, ahead time.Duration, from int64) (time.Duration, error) {
	rate := e.byteRate()
	var mu sync.Mutex
	var stalled time.Duration                     // guarded by mu
	position, buffered := 0.0, float64(from)/rate // seconds, guarded by mu
	last := time.Now()
	// advance plays on, and gives how much is ahead, in seconds.
	advance := func() float64 {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		step := now.Sub(last).Seconds()
		last = now
		short := position + step - buffered
		if buffered > 0 {
			if short > 0 {
				stalled += time.Duration(short * float64(time.Second))
				step = buffered - position
			}
			position += step
			e.SetPlayback(Playback{Position: position, Buffered: buffered, Stalled: short > 0})
		}
		return buffered - position
	}
	stop, done := make(chan struct{}), make(chan struct{})
	defer func() {
		close(stop)
		<-done
	}()
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				advance()
			}
		}
	}()
	for off := from; off < w.torrent.Length; {
		if advance() > ahead.Seconds() {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		c, err := e.Read(ctx, off, 256<<10)
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(c.Bytes(), w.data[off:off+int64(c.Len())]) {
			return 0, errors.New("the bytes differ")
		}
		advance()
		off += int64(c.Len())
		mu.Lock()
		buffered = float64(off) / rate
		mu.Unlock()
	}
	mu.Lock()
	defer mu.Unlock()
	return stalled, nil
}

func (w *world) until(what string, d time.Duration, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s", d, what)
		}
	}
}

func statsOf(t testing.TB, e *Engine) Stats {
	t.Helper()
	s, err := e.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// queue runs functions in order on a goroutine of its own.
type queue struct{ box *mailbox }

func (w *world) queue() *queue {
	q := &queue{newMailbox()}
	stop := make(chan struct{})
	w.wait.Add(1)
	go func() {
		defer w.wait.Done()
		for {
			select {
			case <-stop:
				return
			case <-q.box.ready:
				for _, f := range q.box.take() {
					f()
				}
			}
		}
	}()
	w.t.Cleanup(func() { close(stop) })
	return q
}

// line is one end of a connection.
type line struct {
	w    *world
	on   ConnEvents
	in   *queue
	sdp  string
	peer *line

	mu     sync.Mutex
	closed bool
	unsent int // bytes that wait at the uplink
	tamper func([]byte) []byte
	up     *uplink
}

type memNetwork struct {
	w *world
	// up shapes what this network's connections send; nil: no bound.
	up *uplink
	// tamper changes what this network's connections send.
	tamper func([]byte) []byte
	socket *memSocket // the latest
}

func (n *memNetwork) line(on ConnEvents) *line {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.serial++
	l := &line{w: n.w, on: on, in: n.w.queue(), sdp: fmt.Sprintf("line %d", n.w.serial), tamper: n.tamper, up: n.up}
	n.w.nodes[l.sdp] = l
	return l
}

func (n *memNetwork) Offer(_ bool, on ConnEvents) Conn {
	l := n.line(on)
	l.in.box.post(func() { on.Described(l.sdp) })
	return l
}

func (n *memNetwork) Answer(offer string, on ConnEvents) Conn {
	l := n.line(on)
	n.w.mu.Lock()
	l.peer = n.w.nodes[offer]
	n.w.mu.Unlock()
	l.in.box.post(func() { on.Described(l.sdp) })
	return l
}

// late is on, told that the connection is open after one time more, and what comes through it
// after another.
func (w *world) late(on ConnEvents, opens, comes time.Duration) ConnEvents {
	opened, came := w.queue(), w.queue()
	later := func(q *queue, d time.Duration, f func()) {
		due := time.Now().Add(d)
		q.box.post(func() { time.Sleep(time.Until(due)); f() })
	}
	return ConnEvents{
		Described: on.Described,
		Open:      func() { later(opened, opens, on.Open) },
		Message:   func(c piecestore.Chunk) { later(came, comes, func() { on.Message(c) }) },
		Low:       on.Low,
		Closed:    func(err error) { later(came, comes, func() { on.Closed(err) }) },
	}
}

func (l *line) Accept(answer string) {
	l.w.mu.Lock()
	l.peer = l.w.nodes[answer]
	lost := l.w.unopened > 0
	if lost {
		l.w.unopened--
	}
	l.w.mu.Unlock()
	if lost {
		return
	}
	due := time.Now().Add(4 * l.w.latency) // ICE and DTLS
	l.in.box.post(func() { time.Sleep(time.Until(due)); l.on.Open() })
	l.peer.in.box.post(func() { time.Sleep(time.Until(due)); l.peer.on.Open() })
}

func (l *line) Send(head []byte, body piecestore.Chunk) {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed || l.peer == nil {
		return
	}
	b := append(bytes.Clone(head), body.Bytes()...)
	if l.tamper != nil {
		if b = l.tamper(b); b == nil {
			return
		}
	}
	if l.up != nil {
		l.mu.Lock()
		l.unsent += len(b)
		l.mu.Unlock()
		l.up.post(l, b)
		return
	}
	l.deliver(b)
}

func (l *line) deliver(b []byte) {
	p, due := l.peer, time.Now().Add(l.w.latency)
	p.in.box.post(func() {
		time.Sleep(time.Until(due))
		p.mu.Lock()
		closed := p.closed
		p.mu.Unlock()
		if !closed {
			p.on.Message(piecestore.FromBytes(b))
		}
	})
}

func (l *line) Buffered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unsent
}

func (l *line) Carried(func(up, down int64)) {}

func (l *line) Close() {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	if was || l.peer == nil {
		return
	}
	p := l.peer
	p.in.box.post(func() {
		p.mu.Lock()
		was := p.closed
		p.closed = true
		p.mu.Unlock()
		if !was {
			p.on.Closed(errors.New("closed by the other side"))
		}
	})
}

func (n *memNetwork) Fetch(_ string, from, to int64, _ bool, on FetchEvents) func() {
	w := n.w
	ctx, cancel := context.WithCancel(context.Background())
	w.mu.Lock()
	down, hangs, spoil, delay := w.webSeedDown, w.webSeedHangs, w.webSeedSpoil, w.webSeedDelay
	w.requests++
	w.mu.Unlock()
	w.wait.Add(1)
	go func() {
		defer w.wait.Done()
		if down {
			on.Done(errors.New("503"))
			return
		}
		if hangs {
			<-ctx.Done()
			return
		}
		time.Sleep(2 * w.latency)
		for at := from; at < to && ctx.Err() == nil; {
			w.mu.Lock()
			died := w.webSeedDown
			w.mu.Unlock()
			if died {
				on.Done(errors.New("reset"))
				return
			}
			b := bytes.Clone(w.data[at:min(to, at+16<<10)])
			if spoil {
				b[0] ^= 1
			}
			time.Sleep(delay)
			w.mu.Lock()
			w.served += int64(len(b))
			w.mu.Unlock()
			on.Data(piecestore.FromBytes(b))
			at += int64(len(b))
		}
		if ctx.Err() == nil {
			on.Done(nil)
		}
	}()
	return cancel
}

var _ Network = (*memNetwork)(nil)
