package tracker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/gofiber/fiber/v2"
	"go.uber.org/goleak"

	"kinopod/shared/announce"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// patience is how long a test waits for what must come, on a machine that has much else
// to do.
const patience = 2 * time.Minute

// path is a way that connections take through the tracker.
type path struct {
	name   string
	listen func(net.Listener) net.Listener
	dial   func(net.Conn) net.Conn
	stream bool // a goroutine reads
	bell   bool // and there is no other way
}

// plain is where Linux has epoll.
var plain = path{name: "plain", listen: func(l net.Listener) net.Listener { return l }, dial: func(c net.Conn) net.Conn { return c }}

// paths are all: what holds of one holds of the others.
func paths(t testing.TB) []path {
	cert := certificate(t)
	return []path{
		plain,
		{
			name: "stream", stream: true, bell: true, dial: plain.dial,
			listen: func(l net.Listener) net.Listener { return hidden{l} },
		},
		{
			name: "tls", stream: true,
			listen: func(l net.Listener) net.Listener {
				return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
			},
			dial: func(c net.Conn) net.Conn { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) },
		},
	}
}

// hidden gives connections that nobody can tell for TCP.
type hidden struct{ net.Listener }

func (h hidden) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{c}, nil
}

func certificate(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// world is a tracker that serves.
type world struct {
	t       testing.TB
	path    path
	tracker *Tracker
	addr    string
	stop    func() // ends Run and waits for it
}

// start serves a tracker until the test ends, and then looks for leaks.
func start(t testing.TB, p path, cfg Config, seeder Seeder) *world {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.Goroutines = p.bell
	tracker := New(cfg, seeder)
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true, ReadTimeout: 2 * time.Second, IdleTimeout: 10 * time.Second, StreamRequestBody: true, BodyLimit: 1 << 20,
	})
	app.Server().MaxIdleWorkerDuration = 50 * time.Millisecond // and not 10 s until its workers are gone
	tracker.Mount(app)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, path: p, tracker: tracker, addr: ln.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	served, ran := make(chan error, 1), make(chan error, 1)
	go func() { served <- app.Listener(p.listen(ln)) }()
	go func() { ran <- tracker.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		w.stop()
		if err := app.ShutdownWithTimeout(patience); err != nil {
			t.Errorf("shut down: %v", err)
		}
		<-served
		if !t.Failed() {
			// The server keeps its date up to date for ever.
			goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
		}
	})
	return w
}

// tcp opens a connection to the tracker.
func (w *world) tcp() net.Conn {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	nc.(*net.TCPConn).SetLinger(0)
	w.t.Cleanup(func() { nc.Close() })
	return w.path.dial(nc)
}

// client is a peer at a WebSocket.
type client struct {
	t   testing.TB
	nc  net.Conn
	id  wire.PeerID
	rd  io.Reader
	got []announce.Received // read, and not yet taken
	raw [][]byte            // the same as it came
}

// dialStatus opens a WebSocket with header lines; err is a ws.StatusError where it
// is refused.
func (w *world) dialStatus(header string) (*client, error) {
	d := ws.Dialer{Header: ws.HandshakeHeaderString(header), Timeout: patience}
	nc := w.tcp()
	br, _, err := d.Upgrade(nc, &url.URL{Scheme: "ws", Host: w.addr, Path: api.PathTrackerSocket})
	if err != nil {
		nc.Close()
		return nil, err
	}
	c := &client{t: w.t, nc: nc, rd: nc}
	if br != nil {
		c.rd = br
	}
	rand.Read(c.id[:])
	return c, nil
}

func (w *world) dial() *client {
	w.t.Helper()
	c, err := w.dialStatus("")
	if err != nil {
		w.t.Fatalf("dial: %v", err)
	}
	return c
}

func (c *client) send(v any) {
	c.t.Helper()
	b, isText := v.([]byte)
	if !isText {
		var err error
		if b, err = json.Marshal(v); err != nil {
			c.t.Fatal(err)
		}
	}
	c.nc.SetWriteDeadline(time.Now().Add(patience))
	if err := wsutil.WriteClientText(c.nc, b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// readFrame reads a frame of the tracker.
func readFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	if f.Header.Length > 1<<20 {
		return f, errors.New("a frame of more than 1 MiB")
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// frame reads a frame; pings are answered on the way.
func (c *client) frame(within time.Duration) (ws.Frame, error) {
	c.nc.SetReadDeadline(time.Now().Add(within))
	for {
		f, err := readFrame(c.rd)
		if err != nil || f.Header.OpCode != ws.OpPing {
			return f, err
		}
		if err := ws.WriteFrame(c.nc, ws.MaskFrame(ws.NewPongFrame(f.Payload))); err != nil {
			return f, err
		}
	}
}

// pinged waits for the next ping, before which nothing else may come, and answers it.
func (c *client) pinged() {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	f, err := readFrame(c.rd)
	if err != nil || f.Header.OpCode != ws.OpPing {
		c.t.Fatalf("no ping but %v %q, %v", f.Header.OpCode, f.Payload, err)
	}
	if err := ws.WriteFrame(c.nc, ws.MaskFrame(ws.NewPongFrame(f.Payload))); err != nil {
		c.t.Fatal(err)
	}
}

// take gives the first message that fits, also one that came before.
func (c *client) take(what string, fits func(announce.Received) bool) announce.Received {
	c.t.Helper()
	if i := slices.IndexFunc(c.got, fits); i >= 0 {
		m := c.got[i]
		c.got = slices.Delete(c.got, i, i+1)
		return m
	}
	for end := time.Now().Add(patience); ; {
		f, err := c.frame(time.Until(end))
		if err != nil {
			c.t.Fatalf("no %s: %v; came: %s", what, err, c.raw)
		}
		if f.Header.OpCode != ws.OpText {
			c.t.Fatalf("no %s but %v %q; came: %s", what, f.Header.OpCode, f.Payload, c.raw)
		}
		c.raw = append(c.raw, f.Payload)
		m, err := announce.ParseReceived(f.Payload)
		if err != nil {
			c.t.Fatalf("%s: %v", f.Payload, err)
		}
		if fits(m) {
			return m
		}
		c.got = append(c.got, m)
	}
}

// closed waits for a close frame and gives its code, or 0 for an end without one.
func (c *client) closed() ws.StatusCode {
	c.t.Helper()
	for end := time.Now().Add(patience); ; {
		f, err := c.frame(time.Until(end))
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.t.Fatal("the connection is not closed")
		}
		if err != nil {
			return 0
		}
		if f.Header.OpCode == ws.OpClose {
			code, _ := ws.ParseCloseFrameData(f.Payload)
			return code
		}
	}
}

// message is an announce of this peer.
func (c *client) message(h magnet.InfoHash, change func(*announce.Announce)) announce.Announce {
	left := int64(100)
	a := announce.Announce{InfoHash: h, PeerID: c.id, Left: &left}
	if change != nil {
		change(&a)
	}
	return a
}

// announce announces and waits for the response.
func (c *client) announce(h magnet.InfoHash, change func(*announce.Announce)) announce.Received {
	c.t.Helper()
	c.send(c.message(h, change))
	return c.response(h)
}

func (c *client) response(h magnet.InfoHash) announce.Received {
	c.t.Helper()
	return c.take("response", func(m announce.Received) bool { return m.Interval > 0 && m.InfoHash == announce.ID(h) })
}

func (c *client) failure() announce.Received {
	c.t.Helper()
	return c.take("failure", func(m announce.Received) bool { return m.Failure != "" })
}

func (c *client) offer() announce.Received {
	c.t.Helper()
	return c.take("offer", func(m announce.Received) bool { return m.Offer != nil })
}

func (c *client) answer() announce.Received {
	c.t.Helper()
	return c.take("answer", func(m announce.Received) bool { return m.Answer != nil })
}

// barrier waits until the tracker has acted on what c sent before, and fails if
// something unfit came.
func (c *client) barrier(unfit func(announce.Received) bool, what string) {
	c.t.Helper()
	c.send([]byte(`{"action":"scrape","info_hash":"` + "barrierbarrierbarrie" + `"}`))
	c.take("scrape", func(m announce.Received) bool { return m.Action == announce.ActionScrape })
	if slices.ContainsFunc(c.got, unfit) {
		c.t.Errorf("%s: %s", what, c.raw)
	}
}

func isOffer(m announce.Received) bool   { return m.Offer != nil }
func isAnswer(m announce.Received) bool  { return m.Answer != nil }
func isFailure(m announce.Received) bool { return m.Failure != "" }

// reply is an answer of c to an offer that came.
func (c *client) reply(m announce.Received) announce.Answer {
	return announce.Answer{
		InfoHash: magnet.InfoHash(m.InfoHash), PeerID: c.id, ToPeerID: wire.PeerID(*m.PeerID), OfferID: *m.OfferID,
		Answer: announce.Description{Type: "answer", SDP: "v=0 answer"},
	}
}

// offers gives an announce n offers.
func offers(n int) func(*announce.Announce) {
	return func(a *announce.Announce) {
		a.Event, a.NumWant = announce.Started, n
		for range n {
			o := announce.Offer{Offer: announce.Description{Type: "offer", SDP: "v=0 offer"}}
			rand.Read(o.OfferID[:])
			a.Offers = append(a.Offers, o)
		}
	}
}

func seeding(a *announce.Announce) { a.Left = new(int64) }

func event(name string) func(*announce.Announce) {
	return func(a *announce.Announce) { a.Event = name }
}

func hash(name string) magnet.InfoHash { return sha1.Sum([]byte(name)) }

// fakeSeeder is a seeder that answers as its field says.
type fakeSeeder struct {
	answer func(ctx context.Context, h magnet.InfoHash, peer wire.PeerID, from netip.Addr, sdp string) (string, error)
	port   uint16

	mu     sync.Mutex
	wanted []magnet.InfoHash
	known  []wire.PeerID
}

var seederID = wire.PeerID([]byte("-KP0001-the-seeder--"))

func (s *fakeSeeder) PeerID() wire.PeerID { return seederID }

func (s *fakeSeeder) Answer(ctx context.Context, h magnet.InfoHash, peer wire.PeerID, from netip.Addr, sdp string) (string, error) {
	if s.answer == nil {
		return "answer to " + sdp, nil
	}
	return s.answer(ctx, h, peer, from, sdp)
}

func (s *fakeSeeder) Knows(_ magnet.InfoHash, peer wire.PeerID, _ netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.known, peer)
}

func (s *fakeSeeder) Wanted(h magnet.InfoHash) (uint16, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = append(s.wanted, h)
	return s.port, s.port != 0
}

// serving gives a Serves that knows some torrents.
func serving(hashes ...magnet.InfoHash) func(magnet.InfoHash) bool {
	return func(h magnet.InfoHash) bool { return slices.Contains(hashes, h) }
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
