package swarm

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gofiber/fiber/v2"

	podtracker "kinopod/pod/tracker"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// servedTracker is a pod's tracker behind pipes: the one of pod/tracker, with goroutines, so
// that it lives in the time of testing/synctest too.
type servedTracker struct {
	*podtracker.Tracker
	app *fiber.App
	end func() // waits until it has closed every connection
}

// startTracker has the world's tracker run, until endTracker or the end of the test.
func (w *world) startTracker() {
	t := podtracker.New(podtracker.Config{
		Goroutines: true,
		Serves:     func(h magnet.InfoHash) bool { return h == w.torrent.InfoHash },
		Has:        func(magnet.InfoHash) bool { return w.seeder != nil },
	}, podSeeder{w})
	app := fiber.New(fiber.Config{DisableStartupMessage: true, DisableDefaultDate: true}) // keeping the date would never end
	t.Mount(app)
	app.Handler() // makes it ready
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = t.Run(ctx) }()
	p := &servedTracker{t, app, sync.OnceFunc(func() { cancel(); <-done })}
	w.mu.Lock()
	w.tracker = p
	w.mu.Unlock()
	w.t.Cleanup(p.end)
}

// endTracker closes every connection to the tracker; later ones are refused.
func (w *world) endTracker() {
	w.mu.Lock()
	p := w.tracker
	w.tracker = nil
	w.mu.Unlock()
	p.end()
}

// listed is how many viewers the tracker knows.
func (w *world) listed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int(w.tracker.Stats().Peers)
}

// podSeeder is the pod's seeder, as its tracker knows it: the world's.
type podSeeder struct{ w *world }

var _ podtracker.Seeder = podSeeder{}

func (s podSeeder) PeerID() wire.PeerID { return s.w.seeder.id }

func (s podSeeder) Answer(ctx context.Context, _ magnet.InfoHash, _ wire.PeerID, _ netip.Addr, offer string) (string, error) {
	if s.w.seeder == nil {
		return "", errors.New("no seeder")
	}
	e, answer := s.w.seeder, make(chan string, 1)
	e.box.post(func() {
		e.newPeer(false, func(_ *peer, sdp string) { answer <- sdp }, func(on ConnEvents) Conn { return e.cfg.Network.Answer(offer, on) })
	})
	select {
	case sdp := <-answer:
		return sdp, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s podSeeder) Knows(_ magnet.InfoHash, id wire.PeerID, _ netip.Addr) (knows bool) {
	e := s.w.seeder
	_ = e.ask(context.Background(), func() {
		for p := range e.peers {
			knows = knows || p.known && p.id == id
		}
	})
	return knows
}

func (s podSeeder) Wanted(magnet.InfoHash) (uint16, bool) { return 0, false }

// Post is the way to the pod's seeder.
func (n *memNetwork) Post(_ string, body []byte, done func(int, []byte, error)) {
	n.w.wait.Go(func() {
		var o api.SeederOffer
		if err := json.Unmarshal(body, &o); err != nil {
			done(400, nil, nil)
			return
		}
		s := podSeeder{n.w}
		sdp, err := s.Answer(context.Background(), o.InfoHash, wire.PeerID{}, netip.Addr{}, o.SDP)
		if err != nil {
			done(503, nil, nil)
			return
		}
		b, _ := json.Marshal(api.SeederAnswer{PeerID: fmt.Sprintf("%x", s.PeerID()), SDP: sdp})
		done(200, b, nil)
	})
}

// memSocket is a WebSocket to the world's tracker.
type memSocket struct {
	w       *world
	on      SocketEvents
	in, out *queue

	mu     sync.Mutex
	nc     net.Conn // nil until it is open
	closed bool
	deaf   bool // neither end hears the other any more, without a word
}

func (n *memNetwork) Dial(address string, on SocketEvents) Socket {
	s := &memSocket{w: n.w, on: on, in: n.w.queue(), out: n.w.queue()}
	n.w.mu.Lock()
	n.socket = s
	n.w.mu.Unlock()
	n.w.wait.Go(func() {
		time.Sleep(3 * n.w.latency)
		n.w.mu.Lock()
		lost := n.w.trackerLost
		n.w.mu.Unlock()
		if lost {
			return
		}
		if err := s.run(address); err != nil && !s.is(&s.deaf) {
			s.later(func() { on.Closed(err) })
		}
	})
	return s
}

// cut has the connection to the tracker carry nothing any more, without a word.
func (n *memNetwork) cut() {
	n.w.mu.Lock()
	s := n.socket
	n.w.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = true
}

func (s *memSocket) is(what *bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *what
}

// later runs f when what just happened at the tracker is known here.
func (s *memSocket) later(f func()) {
	due := time.Now().Add(s.w.latency)
	s.in.box.post(func() { time.Sleep(time.Until(due)); f() })
}

// run opens the socket and takes what comes until it ends.
func (s *memSocket) run(address string) error {
	s.w.mu.Lock()
	p, mute := s.w.tracker, s.w.trackerMute
	s.w.mu.Unlock()
	if p == nil {
		return errors.New("refused")
	}
	at, err := url.Parse(address)
	if err != nil {
		return err
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	s.w.wait.Go(func() { _ = p.app.Server().ServeConn(theirs) })
	early, _, err := ws.Dialer{}.Upgrade(ours, at)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.nc, s.deaf = ours, mute
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.in.box.post(s.on.Open)
	from := cmp.Or(early, bufio.NewReader(ours))
	for {
		h, err := ws.ReadHeader(from)
		b := make([]byte, h.Length)
		if err == nil {
			_, err = io.ReadFull(from, b)
		}
		switch {
		case err != nil && s.is(&s.closed):
			return nil
		case err != nil:
			return err
		case s.is(&s.deaf):
		case h.OpCode == ws.OpText:
			s.later(func() { s.on.Message(b) })
		case h.OpCode == ws.OpPing:
			s.write(ws.NewPongFrame(b))
		case h.OpCode == ws.OpClose:
			return io.EOF
		}
	}
}

func (s *memSocket) Send(text []byte) { s.write(ws.NewTextFrame(text)) }

// write sends a frame, behind those before it.
func (s *memSocket) write(f ws.Frame) {
	b := ws.MustCompileFrame(ws.MaskFrame(f))
	due := time.Now().Add(s.w.latency)
	s.out.box.post(func() {
		time.Sleep(time.Until(due))
		s.mu.Lock()
		nc, lost := s.nc, s.deaf
		s.mu.Unlock()
		if !lost {
			_, _ = nc.Write(b)
		}
	})
}

// Close closes the socket behind what was sent.
func (s *memSocket) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.out.box.post(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.nc != nil && !s.deaf {
			s.nc.Close()
		}
	})
}
