package swarm

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kinopod/shared/announce"
	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// outgoing counts what an engine says to others than the web seed.
type outgoing struct {
	*memNetwork
	dials, conns, posts atomic.Int64
}

func (n *outgoing) Dial(url string, on SocketEvents) Socket {
	n.dials.Add(1)
	return n.memNetwork.Dial(url, on)
}

func (n *outgoing) Offer(gather bool, on ConnEvents) Conn {
	n.conns.Add(1)
	return n.memNetwork.Offer(gather, on)
}

func (n *outgoing) Answer(offer string, on ConnEvents) Conn {
	n.conns.Add(1)
	return n.memNetwork.Answer(offer, on)
}

func (n *outgoing) Post(url string, body []byte, done func(int, []byte, error)) {
	n.posts.Add(1)
	n.memNetwork.Post(url, body, done)
}

func (n *outgoing) all() int64 { return n.dials.Load() + n.conns.Load() + n.posts.Load() }

// viewersOf is how many other viewers an engine is connected to.
func viewersOf(t testing.TB, e *Engine) (n int) {
	for _, p := range statsOf(t, e).Peers {
		if !p.Pod && p.State != "connecting" {
			n++
		}
	}
	return n
}

// follow plays a film of 60 s beside the test; the result comes when it ends.
func (w *world) follow(e *Engine) <-chan error {
	done := make(chan error, 1)
	go func() {
		stalled, err := w.play(context.Background(), e, 10*time.Second, 500<<10)
		if err == nil && stalled > 0 {
			w.t.Errorf("stalled %s", stalled)
		}
		done <- err
	}()
	return done
}

// Before the viewer was told, nobody hears of it; the film plays by the web seed, which
// brings no more than has to be while the viewer is being told.
func TestNobodyHearsOfWhoWasNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 60)
		w.seeder = w.engine(func(c *Config) { c.Complete, c.Trackers = true, nil })
		other := w.engine(func(c *Config) { c.Complete = true })
		n := &outgoing{memNetwork: &memNetwork{w: w}}
		e := w.engine(func(c *Config) { c.Network, c.OfferURL, c.Terms.Company = n, "mem:offer", Soon })
		end := w.follow(e)
		time.Sleep(2 * time.Second)
		if s := statsOf(t, e); s.FromWebSeed > 10*500<<10 {
			t.Errorf("%d bytes from the web seed, while other viewers are soon there", s.FromWebSeed)
		}
		time.Sleep(20 * time.Second)
		if s := statsOf(t, e); n.all() != 0 || len(s.Peers) != 0 || s.FromWebSeed < 20*500<<10 {
			t.Errorf("not told: %d dials, %d connections, %d posts, %d peers; %d from the web seed", n.dials.Load(), n.conns.Load(), n.posts.Load(), len(s.Peers), s.FromWebSeed)
		}
		e.SetTerms(Terms{})
		time.Sleep(3 * time.Second)
		if viewersOf(t, e) != 1 || viewersOf(t, other) != 1 {
			t.Errorf("told: with %d viewers, and the other with %d", viewersOf(t, e), viewersOf(t, other))
		}
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

// The switch takes effect at once, and back; the film plays on.
func TestASwitchToAloneAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 60)
		other := w.engine(func(c *Config) { c.Complete = true })
		n := &outgoing{memNetwork: &memNetwork{w: w}}
		e := w.engine(func(c *Config) { c.Network = n })
		end := w.follow(e)
		time.Sleep(10 * time.Second)
		if viewersOf(t, e) != 1 {
			t.Fatal("no company at first")
		}
		e.SetTerms(Terms{Company: Alone})
		time.Sleep(time.Second)
		if s, listed := statsOf(t, e), w.listed(); listed != 1 || len(s.Peers) != 0 || viewersOf(t, other) != 0 {
			t.Errorf("alone: the tracker knows %d, %d peers, the other has %d", listed, len(s.Peers), viewersOf(t, other))
		}
		was, before := n.all(), statsOf(t, e).FromViewers
		time.Sleep(20 * time.Second)
		if s := statsOf(t, e); n.all() != was || s.FromViewers != before {
			t.Errorf("alone: %d things said, %d bytes from viewers", n.all()-was, s.FromViewers-before)
		}
		e.SetTerms(Terms{})
		time.Sleep(3 * time.Second)
		if viewersOf(t, e) != 1 {
			t.Error("no company any more")
		}
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

// A device that comes to a metered connection gives nothing from then on, takes on, and
// gives again later.
func TestUploadEndsAndBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 120)
		w.webSeedDown = true
		giver := w.engine(func(c *Config) { c.Complete, c.Network = true, &memNetwork{w: w, up: w.uplink(300e3)} })
		e := w.engine(nil)
		w.wait.Go(func() { _, _ = w.play(context.Background(), e, 10*time.Second, 0) })
		given := func(d time.Duration) int64 {
			was := statsOf(t, giver).Uploaded
			time.Sleep(d)
			return statsOf(t, giver).Uploaded - was
		}
		if given(5*time.Second) == 0 {
			t.Fatal("nothing was given at first")
		}
		giver.SetTerms(Terms{NoUpload: true})
		time.Sleep(10 * time.Millisecond)
		if n := given(20 * time.Second); n != 0 {
			t.Errorf("%d bytes were given", n)
		}
		if s := statsOf(t, giver); len(s.Peers) != 1 {
			t.Errorf("%d peers: who gives nothing may still take", len(s.Peers))
		}
		giver.SetTerms(Terms{})
		if given(5*time.Second) == 0 {
			t.Error("nothing is given again")
		}
	})
}

// hungry is a peer that has asked for more than it gets, always. got counts the bytes of
// its blocks.
func (w *world) hungry(e *Engine, id byte, got *atomic.Int64) {
	n := &memNetwork{w: w}
	opened, next := make(chan struct{}), uint32(0)
	var in wire.Splitter
	var conn Conn
	ask := func(n int) {
		for range n {
			at := int64(next) * wire.MaxBlock
			next = (next + 1) % uint32(w.torrent.Length/wire.MaxBlock)
			m := wire.Message{Kind: wire.Request, Index: uint32(at / w.torrent.PieceLength), Begin: uint32(at % w.torrent.PieceLength), Length: wire.MaxBlock}
			conn.Send(m.Append(nil), piecestore.Chunk{})
		}
	}
	conn = n.Offer(false, ConnEvents{
		Described: func(string) {}, Open: func() { close(opened) }, Low: func() {}, Closed: func(error) {},
		Message: func(c piecestore.Chunk) {
			err := in.Feed(c.Bytes(), func(wire.Handshake) error { return nil }, func(m wire.Message) error {
				switch m.Kind {
				case wire.Unchoke:
					ask(64)
				case wire.Piece:
					got.Add(int64(len(m.Data)))
					ask(1)
				}
				return nil
			})
			if err != nil {
				w.t.Error(err)
			}
		},
	})
	answer := make(chan string, 1)
	e.box.post(func() {
		e.newPeer(false, func(_ *peer, sdp string) { answer <- sdp }, func(on ConnEvents) Conn { return e.cfg.Network.Answer(conn.(*line).sdp, on) })
	})
	conn.Accept(<-answer)
	<-opened
	conn.Send(wire.Handshake{InfoHash: e.t.InfoHash, PeerID: wire.PeerID{id}, Fast: true}.Append(nil), piecestore.Chunk{})
	conn.Send(wire.Message{Kind: wire.Interested}.Append(nil), piecestore.Chunk{})
}

// onTheLine is what a block of 16 KiB takes of a line: Chromium counted 123,194 bytes of
// packets for seven, with the headers of UDP and IPv4 (the browser's test of the cap logs it).
const onTheLine = 17_600

// takes is which part of rate the blocks take that come to got within window, from now on.
func takes(got *atomic.Int64, rate int64, window time.Duration) float64 {
	was := got.Load()
	time.Sleep(window)
	return float64(got.Load()-was) / wire.MaxBlock * onTheLine / window.Seconds() / float64(rate)
}

// capWindow is the time in which a cap has to hold.
const capWindow = 20 * time.Second

// What goes out is counted where it arrives, and what carries it is added: within 5 % of
// the cap, in any 20 s, whoever asks; and after a rest too.
func TestUploadCap(t *testing.T) {
	for _, megabits := range []int64{1, 2, 5, 10} {
		for _, takers := range []byte{1, 12} {
			synctest.Test(t, func(t *testing.T) {
				w := film(t, 60)
				rate := megabits * 1e6 / 8
				e := w.engine(func(c *Config) { c.Complete, c.Terms.UploadRate = true, rate })
				time.Sleep(20 * time.Second)
				var got atomic.Int64
				for i := range takers {
					w.hungry(e, i+1, &got)
				}
				for range 3 {
					share := takes(&got, rate, capWindow)
					if t.Logf("%d Mbit/s, %d takers: %.1f %% of the cap", megabits, takers, 100*share); share < 0.97 || share > 1.05 {
						t.Errorf("%d Mbit/s, %d takers: %.1f %% of the cap in %s", megabits, takers, 100*share, capWindow)
					}
				}
			})
		}
	}
}

// A swarm that is too small stays on HTTP: the tracker is asked how many there are, and
// nothing else is said; with one viewer more all meet.
func TestTooFewStayOnHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 120)
		w.seeder = w.engine(func(c *Config) { c.Complete, c.Trackers = true, nil })
		var all []*Engine
		var said []*outgoing
		come := func() {
			n := &outgoing{memNetwork: &memNetwork{w: w}}
			e := w.engine(func(c *Config) { c.Network, c.LeastViewers, c.OfferURL = n, 3, "mem:offer" })
			w.wait.Go(func() { _, _ = w.play(context.Background(), e, 10*time.Second, 0) })
			all, said = append(all, e), append(said, n)
			time.Sleep(10 * time.Second)
		}
		come()
		come()
		for i, n := range said {
			if s := statsOf(t, all[i]); n.conns.Load() != 0 || n.dials.Load() != 1 || !s.TooFew || s.FromWebSeed == 0 {
				t.Errorf("viewer %d of two: %d connections, %d dials, too few %v", i, n.conns.Load(), n.dials.Load(), s.TooFew)
			}
		}
		come()
		time.Sleep(lonelyInterval)
		for i, e := range all {
			if n := viewersOf(t, e); n == 0 || statsOf(t, e).TooFew {
				t.Errorf("viewer %d of three is with %d", i, n)
			}
		}
	})
}

// The default: who is alone makes no connection, and the second comes at once.
func TestTwoHelpEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 60)
		w.seeder = w.engine(func(c *Config) { c.Complete, c.Trackers = true, nil })
		n := &outgoing{memNetwork: &memNetwork{w: w}}
		first := w.engine(func(c *Config) { c.Network, c.LeastViewers, c.OfferURL = n, 2, "mem:offer" })
		end := w.follow(first)
		time.Sleep(10 * time.Second)
		if n.conns.Load() != 0 || n.posts.Load() != 0 {
			t.Errorf("alone: %d connections, %d posts", n.conns.Load(), n.posts.Load())
		}
		second := w.engine(func(c *Config) { c.LeastViewers = 2 })
		time.Sleep(time.Second)
		if viewersOf(t, first) != 1 || viewersOf(t, second) != 1 {
			t.Error("two do not meet within a second")
		}
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

// Where the web seed fails the pod's seeder is asked, however few watch.
func TestThePodIsAskedWhereTheWebSeedFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		w.seeder = w.engine(func(c *Config) { c.Complete, c.Trackers = true, nil })
		w.webSeedDown = true
		e := w.engine(func(c *Config) { c.LeastViewers, c.OfferURL = 2, "mem:offer" })
		if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, e); s.FromPod != w.torrent.Length {
			t.Errorf("%d of %d from the pod", s.FromPod, w.torrent.Length)
		}
	})
}

// A connection is offered to each viewer that there is, not to more.
func TestOffersForWhoIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		two := func(c *Config) { c.LeastViewers = 2 }
		w.engine(two)
		time.Sleep(time.Second)
		n := &outgoing{memNetwork: &memNetwork{w: w}}
		e := w.engine(func(c *Config) { two(c); c.Network = n })
		time.Sleep(5 * time.Second)
		if viewersOf(t, e) != 1 || n.conns.Load() != 1 {
			t.Errorf("%d connections were made to meet %d of 1 viewer", n.conns.Load(), viewersOf(t, e))
		}
	})
}

// Two whose first connection does not open meet all the same, also where a third viewer
// came meanwhile.
func TestAConnectionThatDoesNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		w.unopened = 1
		two := func(c *Config) { c.LeastViewers = 2 }
		first := w.engine(two)
		time.Sleep(time.Second)
		second := w.engine(two)
		time.Sleep(2 * time.Second)
		w.engine(two)
		time.Sleep(10 * time.Second)
		if viewersOf(t, first) != 2 || viewersOf(t, second) != 2 {
			t.Errorf("the first met %d of 2 viewers, the second %d", viewersOf(t, first), viewersOf(t, second))
		}
	})
}

// Where several connections between two open, both keep the same one, in whatever order each
// sees them open.
func TestOneConnectionOfSeveral(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			w, r := newWorld(t, mib, piece), rand.New(rand.NewPCG(seed, 0))
			var ends [2]*Engine
			for i := range ends {
				ends[i] = w.engine(func(c *Config) { c.Trackers, c.WebSeed = nil, "" })
			}
			lines := 2 + r.IntN(3)
			for i := range lines {
				from := r.IntN(2)
				a, b := ends[from], ends[1-from]
				offer := announce.OfferID{byte(r.Uint32()), byte(i)}
				d := func() time.Duration { return time.Duration(r.IntN(1000)) * time.Millisecond }
				lateA, lateB, openA, openB := d(), d(), d(), d()
				a.box.post(func() {
					p := a.newPeer(true, func(p *peer, sdp string) {
						b.box.post(func() {
							b.newPeer(false, func(_ *peer, sdp string) { a.box.post(func() { p.conn.Accept(sdp) }) }, func(on ConnEvents) Conn {
								return b.cfg.Network.Answer(sdp, w.late(on, openB, lateB))
							}).offer = offer
						})
					}, func(on ConnEvents) Conn { return a.cfg.Network.Offer(true, w.late(on, openA, lateA)) })
					p.offer = offer
				})
			}
			time.Sleep(10 * time.Second)
			if n, m := viewersOf(t, ends[0]), viewersOf(t, ends[1]); n != 1 || m != 1 {
				t.Errorf("of %d connections (seed %d) one has %d, the other %d", lines, seed, n, m)
			}
		})
	}
}

// Who met some, but nobody who is ahead, looks for others soon.
func TestWhoHasNobodyAheadLooksForOthers(t *testing.T) {
	w := newWorld(t, 4*mib, piece)
	e := New(Config{Torrent: w.torrent, Log: slog.New(slog.DiscardHandler)})
	tr := &tracker{e: e, interval: defaultInterval}
	e.others, e.counted = 7, true
	var met []*peer
	for range 6 {
		p := &peer{e: e, known: true, has: wire.NewBits(e.t.Pieces())}
		e.peers[p] = struct{}{}
		met = append(met, p)
	}
	if got := tr.wait(); got != alone {
		t.Errorf("with nobody ahead the next announce is after %s", got)
	}
	e.others = len(met)
	if got := tr.wait(); got != lonelyInterval {
		t.Errorf("with nobody ahead of all whom the tracker counted the next announce is after %s", got)
	}
	met[0].count(0, true)
	if got := tr.wait(); got != defaultInterval {
		t.Errorf("with somebody ahead the next announce is after %s", got)
	}
	e.peers = map[*peer]struct{}{}
	e.others = 0
	if got := tr.wait(); got != defaultInterval {
		t.Errorf("with nobody else the next announce is after %s", got)
	}
}

// A device that gets to everything late has more in reserve, until it is well again.
func TestALateDeviceKeepsMoreInReserve(t *testing.T) {
	w := newWorld(t, 4*mib, piece)
	e := New(Config{Torrent: w.torrent, Log: slog.New(slog.DiscardHandler)})
	e.now = time.Now()
	after := func(d time.Duration) time.Duration {
		e.now = e.now.Add(d)
		e.tickClock()
		return e.reserve()
	}
	usual := after(0)
	if got := after(tick); got != usual {
		t.Errorf("in time, and %s instead of %s", got, usual)
	}
	if got := after(tick + 500*time.Millisecond); got < usual+500*time.Millisecond {
		t.Errorf("late by half a second, and %s instead of %s", got, usual)
	}
	for range 100 {
		after(tick)
	}
	if got := after(tick); got != usual {
		t.Errorf("long in time, and %s instead of %s", got, usual)
	}
}
