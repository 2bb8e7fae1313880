package tracker

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"kinopod/shared/announce"
	"kinopod/shared/magnet"
)

func refusedWith(err error) int {
	var status ws.StatusError
	if errors.As(err, &status) {
		return int(status)
	}
	return 0
}

func TestSocketsOfOneAddress(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		const most, crowd = 20, 1000
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h), ConnectionsPerAddress: most}, nil)
		first := w.dial()
		first.announce(h, nil)
		for range most - 1 {
			w.dial()
		}
		n := crowd
		if p.stream {
			n = 50
		}
		var wg sync.WaitGroup
		statuses := make(chan int, n)
		for range 20 {
			wg.Go(func() {
				for range n / 20 {
					nc := w.tcp()
					io.WriteString(nc, upgrade)
					b, _ := io.ReadAll(nc) // until it is closed
					nc.Close()
					if strings.HasPrefix(string(b), "HTTP/1.1 429 Too Many Requests\r\n") && strings.Contains(string(b), `"code":"rate_limited"`) {
						statuses <- 429
					} else {
						statuses <- 0
					}
				}
			})
		}
		wg.Wait()
		close(statuses)
		for s := range statuses {
			if s != 429 {
				t.Fatal("a connection beyond the limit was not refused with 429")
			}
		}
		first.announce(h, nil) // who is in stays in
		s := w.tracker.Stats()
		if s.Connections != most || s.Refused["connections"] != int64(n/20*20) {
			t.Errorf("%+v", s)
		}
		first.nc.Close() // a place is free again
		until(t, "a place is free", func() bool { c, err := w.dialStatus(""); return err == nil && c != nil })
	})
}

const upgrade = "GET /tracker/socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func TestSocketsInAll(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		w := start(t, p, Config{Open: true, Limits: Limits{Connections: 2}}, nil)
		w.dial()
		w.dial()
		if _, err := w.dialStatus(""); refusedWith(err) != 503 {
			t.Errorf("%v", err)
		}
	})
}

func TestAddressesAreLimitedOneByOne(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
		type hop struct {
			forwarded string
			ok        bool
		}
		for _, c := range []struct {
			name    string
			trusted []netip.Prefix
			hops    []hop
		}{
			{"behind a proxy", trusted, []hop{{"192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true}}},
			{"a /64 is one address", trusted, []hop{{"2001:db8::1", true}, {"2001:db8::ffff:1", false}, {"2001:db8:0:1::1", true}}},
			{"a forged first hop", trusted, []hop{{"1.1.1.1, 192.0.2.1", true}, {"2.2.2.2, 192.0.2.1", false}}},
			{"a second proxy", trusted, []hop{{"192.0.2.1, 10.0.0.9", true}, {"192.0.2.1", false}}},
			{"mapped", trusted, []hop{{"::ffff:192.0.2.1", true}, {"192.0.2.1", false}}},
			{"nonsense is the proxy's", trusted, []hop{{"nobody", true}, {"127.0.0.1", false}}},
			{"nobody is trusted", nil, []hop{{"192.0.2.1", true}, {"192.0.2.2", false}}},
		} {
			t.Run(c.name, func(t *testing.T) {
				w := start(t, p, Config{Open: true, ConnectionsPerAddress: 1, TrustedProxies: c.trusted}, nil)
				for _, hop := range c.hops {
					_, err := w.dialStatus("X-Forwarded-For: " + hop.forwarded + "\r\n")
					if hop.ok && err != nil || !hop.ok && refusedWith(err) != 429 {
						t.Errorf("%s: %v", hop.forwarded, err)
					}
				}
			})
		}
	})
}

func TestMessagesOfOneAddress(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h), MessagesPerSecond: 1, Limits: Limits{Failures: 3}}, nil)
		a := w.dial()
		b := w.dial() // two of the ten
		for range 7 { // and seven more
			a.announce(h, nil)
		}
		// The rest of the budget, and what time gave back meanwhile.
		for refused := false; !refused; {
			b.send(b.message(h, nil))
			m := b.take("response or failure", func(announce.Received) bool { return true })
			if refused = m.Failure != ""; refused && (m.InfoHash != announce.ID(h) || m.Action != announce.ActionAnnounce) {
				t.Errorf("%+v", m)
			}
		}
		for range 30 {
			ws.WriteFrame(a.nc, ws.MaskFrame(ws.NewPingFrame(nil)))
		}
		if code := a.closed(); code != closePolicy {
			t.Errorf("closed with %d", code)
		}
		if _, err := w.dialStatus(""); refusedWith(err) != 429 {
			t.Errorf("a new connection: %v", err)
		}
	})
}

func TestVisitorsAreForgotten(t *testing.T) {
	vs := newVisitors(1, 0, 1)
	stays, _, _ := vs.connect(netip.MustParseAddr("192.0.2.1"))
	for i := range 5000 {
		vs.visit(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	if n := len(vs.known); n > 2100 {
		t.Errorf("%d addresses are remembered", n)
	}
	if vs.visit(netip.MustParseAddr("192.0.2.1")) != stays {
		t.Error("a connected address was forgotten")
	}
	busy := vs.visit(netip.MustParseAddr("192.0.2.2"))
	busy.take(time.Now())
	for i := range 5000 {
		vs.visit(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	if vs.visit(netip.MustParseAddr("192.0.2.2")) != busy {
		t.Error("an address was forgotten that spent its budget just now")
	}
}

func TestTorrentsOfOneConnection(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		w := start(t, p, Config{Open: true, Limits: Limits{Torrents: 2}}, nil)
		c := w.dial()
		c.announce(hash("one"), nil)
		c.announce(hash("two"), nil)
		c.send(c.message(hash("three"), nil))
		c.failure()
		c.announce(hash("one"), event(announce.Stopped))
		c.announce(hash("three"), nil)
	})
}

// waiting is how many bytes wait for the reader that has most of them.
func (w *world) waiting() (most int) {
	w.tracker.loop.do(func() {
		for _, bucket := range w.tracker.loop.buckets {
			for _, c := range bucket {
				most = max(most, len(c.out)-c.sent)
			}
		}
	})
	return most
}

// A reader that does not read is cut off when one offer more would be beyond the limit,
// whatever the kernel took before.
func TestSlowReader(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		const limit, sdp = 256 << 10, 8000
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h)}, nil)
		slow, fast := w.dial(), w.dial()
		slow.announce(h, nil) // and reads nothing from now on
		waiting := 0
		for w.tracker.Stats().Refused["queue"] == 0 {
			if waiting = w.waiting(); waiting > limit {
				t.Fatalf("%d bytes wait for a reader that does not read", waiting)
			}
			fast.announce(h, func(a *announce.Announce) {
				offers(1)(a)
				a.Left = new(int64) // so that nothing comes back
				a.Offers[0].Offer.SDP = strings.Repeat("x", sdp)
			})
		}
		if waiting < limit-sdp-1000 { // which the rest of the message has not
			t.Errorf("cut off when %d bytes waited", waiting)
		}
		until(t, "the slow reader is gone", func() bool { return w.tracker.Stats().Connections == 1 })
		if r := fast.announce(h, seeding); r.Incomplete != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// A reader that rests a while misses nothing.
func TestReaderThatRests(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h), Limits: Limits{Queue: 4 << 20}}, nil)
		rests, fast := w.dial(), w.dial()
		rests.announce(h, nil)
		var sent []announce.OfferID
		for w.waiting() < 1<<20 {
			fast.announce(h, func(a *announce.Announce) {
				offers(1)(a)
				a.Left = new(int64)
				a.Offers[0].Offer.SDP = strings.Repeat("x", 8000)
				sent = append(sent, a.Offers[0].OfferID)
			})
		}
		for i, id := range sent {
			if m := rests.offer(); *m.OfferID != id || len(m.Offer.SDP) != 8000 {
				t.Fatalf("offer %d of %d is another one", i, len(sent))
			}
		}
		rests.announce(h, nil)
	})
}

func TestQuietConnections(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h), Interval: 700 * time.Millisecond, Limits: Limits{Ping: 2 * time.Second}}, nil)
		half := w.dial()
		half.announce(h, nil)
		half.nc.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(make([]byte, 1000))))[:50])
		if code := half.closed(); code != closePolicy {
			t.Errorf("an unfinished message: closed with %d", code)
		}
		mute := w.dial()
		if code := mute.closed(); code != closeGoingAway {
			t.Errorf("a connection without announces: closed with %d", code)
		}
		alive, dead := w.dial(), w.dial()
		dead.announce(h, nil) // and answers no ping
		until(t, "the dead connection ends", func() bool {
			alive.announce(h, nil)
			return w.tracker.Stats().Connections == 1
		})
	})
}

func TestPeersExpire(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		g := hash("other film")
		w := start(t, p, Config{Serves: serving(h, g), Interval: 500 * time.Millisecond, Limits: Limits{Ping: 3 * time.Second}}, nil)
		a, b := w.dial(), w.dial()
		a.announce(h, nil)
		// a lives, but announces this film no more.
		until(t, "the peer expires", func() bool {
			a.announce(g, nil)
			return b.announce(h, event(announce.Stopped)).Incomplete == 0
		})
		a.announce(h, nil)
	})
}

func TestGhostOfAPeerID(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h), Limits: Limits{Ping: 3 * time.Second}}, nil)
		ghost, back := w.dial(), w.dial()
		ghost.announce(h, nil) // then its network is gone: no pong
		back.id = ghost.id
		back.send(back.message(h, nil))
		back.failure()
		until(t, "the ghost is gone", func() bool { return w.tracker.Stats().Connections == 1 })
		if r := back.announce(h, nil); r.Incomplete != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestDrop(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		var there atomic.Bool
		there.Store(true)
		h := hash("film")
		serves := func(magnet.InfoHash) bool { return there.Load() }
		w := start(t, p, Config{Open: true, Serves: serves, Limits: Limits{Ping: time.Second}}, &fakeSeeder{})
		a := w.dial()
		a.announce(h, nil)
		w.tracker.loop.do(func() {
			w.tracker.loop.announceNative(native{hash: h, addr: netip.MustParseAddrPort("192.0.2.1:1000")})
		})
		w.tracker.Drop(h)
		if m := a.failure(); m.InfoHash != announce.ID(h) {
			t.Errorf("%+v", m)
		}
		refused := func(when string) {
			a.send(a.message(h, nil))
			if m := a.take("response", func(announce.Received) bool { return true }); m.Failure == "" {
				t.Errorf("taken %s", when)
			}
			if s := w.tracker.Stats(); s.Swarms != 0 || s.Peers != 0 {
				t.Errorf("%s: %+v", when, s)
			}
		}
		refused("with the file still there")
		there.Store(false)
		refused("without the file")
		there.Store(true)
		a.announce(h, nil) // the file was put back

		w.tracker.Drop(h) // nobody asks while the file is away
		a.failure()
		there.Store(false)
		until(t, "the tracker sees that the file is gone", func() (gone bool) {
			w.tracker.loop.do(func() { gone = w.tracker.loop.dropped[h].gone })
			return gone
		})
		there.Store(true)
		a.announce(h, nil)
	})
}

func TestDropBeforeRun(t *testing.T) {
	h := hash("film")
	tracker := New(Config{Open: true, Serves: serving(h)}, nil)
	tracker.Drop(h)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- tracker.Run(ctx) }()
	var served bool
	tracker.loop.do(func() { served = tracker.loop.served(h) != nil })
	cancel()
	if err := <-ran; err != nil || served {
		t.Errorf("served %v, %v", served, err)
	}
}
