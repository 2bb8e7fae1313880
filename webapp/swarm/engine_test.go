package swarm

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"kinopod/build/leak"
	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

const (
	mib   = 1 << 20
	piece = 64 << 10
)

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestWebSeedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3*mib+12345, piece)
		e := w.engine(func(c *Config) { c.Trackers = nil })
		if err := w.readAll(within(t, 10*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		s := statsOf(t, e)
		if s.FromWebSeed != w.torrent.Length || !s.Complete || w.fromWebSeed() != w.torrent.Length {
			t.Errorf("%d of %d from the web seed, which served %d", s.FromWebSeed, w.torrent.Length, w.fromWebSeed())
		}
	})
}

func TestASecondViewerGetsItFromTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		w.engine(func(c *Config) { c.Complete = true })
		w.webSeedDown = true
		e := w.engine(nil)
		if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, e); s.FromViewers != w.torrent.Length || !s.Complete {
			t.Errorf("%d of %d from viewers", s.FromViewers, w.torrent.Length)
		}
	})
}

func TestViewersServeMostWhereTheWebSeedWorksToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 30)
		w.engine(func(c *Config) { c.Complete = true })
		e := w.engine(nil)
		stalled, err := w.play(context.Background(), e, 5*time.Second, 500<<10)
		if err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, e); s.FromViewers < w.torrent.Length*8/10 || stalled > 0 {
			t.Errorf("viewers gave %d, the web seed %d; stalled %s", s.FromViewers, s.FromWebSeed, stalled)
		}
	})
}

func TestThePodsSeederGivesWhereTheWebSeedFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		w.seeder = w.engine(func(c *Config) { c.Complete, c.Trackers = true, nil })
		w.webSeedDown = true
		e := w.engine(func(c *Config) { c.OfferURL = "mem:offer" })
		if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, e); s.FromPod != w.torrent.Length {
			t.Errorf("%d of %d from the pod, %d from viewers", s.FromPod, w.torrent.Length, s.FromViewers)
		}
	})
}

func TestThePodsSeederIsSparedWhereTheWebSeedWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		w.seeder = w.engine(func(c *Config) { c.Complete, c.Trackers = true, nil })
		e := w.engine(func(c *Config) { c.LeastViewers, c.OfferURL = 2, "mem:offer" })
		if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, e); len(s.Peers) != 0 || s.FromWebSeed != w.torrent.Length {
			t.Errorf("%d peers, %d from the pod's seeder, %d from the web seed", len(s.Peers), s.FromPod, s.FromWebSeed)
		}
	})
}

// The seeder of a pod is the pod's also where it came through the tracker.
func TestThePodsSeederThroughTheTracker(t *testing.T) {
	for name, down := range map[string]bool{"the web seed works": false, "it fails": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 4*mib, piece)
				w.webSeedDown = down
				w.engine(func(c *Config) {
					c.Complete = true
					c.Network = &memNetwork{w: w, tamper: func(b []byte) []byte {
						if len(b) == wire.HandshakeLength {
							copy(b[wire.HandshakeLength-len(wire.PeerID{}):], wire.SeederID)
						}
						return b
					}}
				})
				e := w.engine(nil)
				time.Sleep(time.Second) // they are connected
				if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
					t.Fatal(err)
				}
				s := statsOf(t, e)
				want := s.FromWebSeed
				if down {
					want = s.FromPod
				}
				if len(s.Peers) != 1 || !s.Peers[0].Pod || want != w.torrent.Length {
					t.Errorf("%+v; %d from the pod's seeder, %d from the web seed, %d from viewers", s.Peers, s.FromPod, s.FromWebSeed, s.FromViewers)
				}
			})
		})
	}
}

func TestAPeerWithWrongBytesIsBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		liar := w.engine(func(c *Config) {
			c.Complete = true
			c.Network = &memNetwork{w: w, tamper: func(b []byte) []byte {
				if len(b) > wire.PieceHeader && wire.Kind(b[4]) == wire.Piece {
					b[len(b)-1] ^= 1
				}
				return b
			}}
		})
		e := w.engine(nil)
		if _, err := w.play(within(t, 20*time.Second), e, 8*time.Second, 0); err != nil {
			t.Fatal(err)
		}
		var banned bool
		if err := e.ask(context.Background(), func() { banned = e.banned[liar.id] }); err != nil || !banned {
			t.Error("not banned", err)
		}
		s := statsOf(t, e)
		if s.FromViewers != 0 {
			t.Errorf("%d wrong bytes were counted", s.FromViewers)
		}
		for _, p := range s.Peers {
			if p.State == "connected" {
				t.Error("still connected")
			}
		}
	})
}

func TestASilentPeerDoesNotHoldThePlayerUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2*mib, piece)
		w.engine(func(c *Config) {
			c.Complete = true
			c.Network = &memNetwork{w: w, tamper: func(b []byte) []byte {
				if len(b) > wire.PieceHeader && wire.Kind(b[4]) == wire.Piece {
					return nil
				}
				return b
			}}
		})
		e := w.engine(nil)
		w.until("a peer", 5*time.Second, func() bool { return len(statsOf(t, e).Peers) > 0 })
		if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTheWebSeedSendsWrongBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2*mib, piece)
		w.engine(func(c *Config) { c.Complete = true })
		w.webSeedSpoil = true
		e := w.engine(nil)
		if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, e); s.FromWebSeed != 0 || !s.WebSeedResting {
			t.Errorf("%d from the web seed, resting %v", s.FromWebSeed, s.WebSeedResting)
		}
	})
}

func TestSeekFetchesWhatIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32*mib, piece)
		w.webSeedDelay = 2 * time.Millisecond
		e := w.engine(func(c *Config) { c.Trackers = nil })
		ctx := within(t, 20*time.Second)
		if _, err := e.Read(ctx, 0, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Read(ctx, 30*mib, 1); err != nil {
			t.Fatal(err)
		}
		if n := w.fromWebSeed(); n > 3*mib {
			t.Errorf("the web seed served %d bytes before the seek was answered", n)
		}
	})
}

func TestViewersSideBySideShareOneCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8*mib, piece)
		type result struct {
			stalled time.Duration
			err     error
		}
		const viewers = 4
		results := make(chan result, viewers)
		for i := range viewers {
			e := w.engine(func(c *Config) { c.Log = c.Log.With("viewer", i) })
			go func() {
				stalled, err := w.play(within(t, 40*time.Second), e, 5*time.Second, 0)
				results <- result{stalled, err}
			}()
			time.Sleep(time.Second)
		}
		for range viewers {
			if r := <-results; r.err != nil || r.stalled > 0 {
				t.Errorf("stalled %s, %v", r.stalled, r.err)
			}
		}
		copies := float64(w.fromWebSeed()) / float64(w.torrent.Length)
		t.Logf("%.2f copies by HTTP for %d viewers", copies, viewers)
		if copies > 2 {
			t.Errorf("%.2f copies by HTTP for %d viewers", copies, viewers)
		}
	})
}

func TestNoUploadGivesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mib, piece)
		first := w.engine(func(c *Config) { c.Complete, c.Terms.NoUpload = true, true })
		e := w.engine(nil)
		if err := w.readAll(within(t, 10*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, first); s.Uploaded != 0 {
			t.Errorf("%d bytes were uploaded", s.Uploaded)
		}
	})
}

func TestBackfillBringsWhatWasPlayedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		e := w.engine(func(c *Config) { c.Trackers = nil })
		if err := w.readAll(within(t, 10*time.Second), e, 2*mib); err != nil {
			t.Fatal(err)
		}
		w.until("everything", 10*time.Second, func() bool { return statsOf(t, e).Complete })
	})
}

func TestHostileMessages(t *testing.T) {
	hs := wire.Handshake{PeerID: wire.PeerID{9}, Fast: true, Extension: true}
	message := func(ms ...wire.Message) (b []byte) {
		for _, m := range ms {
			b = m.Append(b)
		}
		return b
	}
	for what, b := range map[string][]byte{
		"garbage":                []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nGET / HTTP/1.1\r\nHost: x\r\n"),
		"a huge message":         binary.BigEndian.AppendUint32(nil, 1<<30),
		"have past the end":      message(wire.Message{Kind: wire.Have, Index: 1 << 30}),
		"a bitfield too short":   message(wire.Message{Kind: wire.Bitfield, Data: []byte{1}}),
		"a request past the end": message(wire.Message{Kind: wire.Request, Index: 0, Begin: 1 << 31, Length: 16384}),
		"a request of 1 GiB":     message(wire.Message{Kind: wire.Request, Index: 0, Length: 1 << 30}),
		"a broken extension":     message(wire.Message{Kind: wire.Extended, Index: 0, Data: []byte("x")}),
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, mib, piece)
			e := w.engine(func(c *Config) { c.Complete = true })
			n := &memNetwork{w: w}
			closed, opened := make(chan struct{}), make(chan struct{})
			answer := make(chan string, 1)
			conn := n.Offer(false, ConnEvents{Described: func(string) {}, Open: func() { close(opened) }, Message: func(piecestore.Chunk) {}, Low: func() {}, Closed: func(error) { close(closed) }})
			e.box.post(func() {
				e.newPeer(false, func(_ *peer, sdp string) { answer <- sdp }, func(on ConnEvents) Conn { return e.cfg.Network.Answer(conn.(*line).sdp, on) })
			})
			conn.Accept(<-answer)
			<-opened
			if what != "garbage" {
				h := hs
				h.InfoHash = e.t.InfoHash
				conn.Send(h.Append(nil), piecestore.Chunk{})
			}
			conn.Send(b, piecestore.Chunk{})
			select {
			case <-closed:
			case <-time.After(time.Minute):
				t.Error("the connection is still open")
			}
		})
	}
}

// Who says that the whole film is coming to it is waited for with as much as one run of the
// web seed has.
func TestNobodyIsWaitedForWithAllOfTheFilm(t *testing.T) {
	w := newWorld(t, 64*mib, piece)
	e := New(Config{Torrent: w.torrent, Log: slog.New(slog.DiscardHandler)})
	p := &peer{e: e, known: true, has: wire.NewBits(e.t.Pieces())}
	e.peers[p] = struct{}{}
	if err := p.extended(wire.ComingMessage{First: 3, End: math.MaxUint32}.Message(wire.ComingID)); err != nil {
		t.Fatal(err)
	}
	if run := webSeedRun/piece + 1; !e.comes(3) || e.comes(3+run) {
		t.Errorf("pieces %d up to %d come", p.coming.First, p.coming.End)
	}
}
