package swarm

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kinopod/shared/wire"
)

// film is a world of its own time with a film of 4 Mbit/s and a web seed at five times
// that.
func film(t *testing.T, seconds int) *world {
	w := newWorld(t, seconds*500<<10, 256<<10)
	w.latency = 10 * time.Millisecond
	w.webSeedDelay = time.Second * (16 << 10) / (5 * 500 << 10)
	return w
}

func isBlock(b []byte) bool { return len(b) > wire.PieceHeader && wire.Kind(b[4]) == wire.Piece }

// One good source that is too slow alone, five peers at 50 kB/s, one that answers nothing and one that sends
// wrong bytes: nothing is seen of it, and the bad ones are left alone within 2 s.
func TestBadPeersAreNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 60)
		e := w.engine(nil) // first, so that those who come are introduced to it
		time.Sleep(time.Second)
		silent := w.engine(func(c *Config) {
			c.Complete, c.Network = true, &memNetwork{w: w, tamper: func(b []byte) []byte {
				if isBlock(b) {
					return nil
				}
				return b
			}}
		})
		liar := w.engine(func(c *Config) {
			c.Complete, c.Network = true, &memNetwork{w: w, tamper: func(b []byte) []byte {
				if isBlock(b) {
					b[len(b)-1] ^= 1
				}
				return b
			}}
		})
		for _, rate := range []float64{300e3, 50e3, 50e3, 50e3, 50e3, 50e3} {
			w.engine(func(c *Config) {
				c.Complete, c.Network = true, &memNetwork{w: w, up: w.uplink(rate)}
			})
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		var asked, benched, lied, banned time.Time
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for ctx.Err() == nil {
				_ = e.ask(ctx, func() {
					for p := range e.peers {
						switch {
						case p.id == silent.id && asked.IsZero() && p.outstanding > 0:
							asked = e.now
						case p.id == silent.id && benched.IsZero() && e.now.Before(p.benched):
							benched = e.now
						case p.id == liar.id && lied.IsZero() && p.outstanding > 0:
							lied = e.now
						}
					}
					if banned.IsZero() && e.banned[liar.id] {
						if banned = e.now; lied.IsZero() {
							lied = banned // between two looks
						}
					}
				})
				time.Sleep(20 * time.Millisecond)
			}
		}()
		stalled, err := w.play(ctx, e, 10*time.Second, 500<<10)
		cancel()
		<-watched
		if err != nil || stalled > 0 {
			t.Errorf("stalled %s, %v", stalled, err)
		}
		if asked.IsZero() || benched.IsZero() || benched.Sub(asked) > 2*time.Second {
			t.Errorf("the silent one: asked %s, benched %s", asked, benched)
		}
		if lied.IsZero() || banned.IsZero() || banned.Sub(lied) > 2*time.Second {
			t.Errorf("the liar: lied %s, banned %s", lied, banned)
		}
	})
}

// Sources that die while they send: the web seed, for good, and then a viewer in the
// middle of a piece.
func TestSourcesThatDieAreNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 60)
		viewers := map[wire.PeerID]*Engine{}
		for range 2 {
			v := w.engine(func(c *Config) {
				c.Complete, c.Network = true, &memNetwork{w: w, up: w.uplink(2e6)}
			})
			viewers[v.id] = v
		}
		time.Sleep(time.Second)
		e := w.engine(nil)
		ctx := within(t, 10*time.Minute)
		// in waits until e is in the middle of something.
		in := func(middle func() bool) {
			for found := false; !found && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
				_ = e.ask(ctx, func() { found = middle() })
			}
		}
		died := make(chan struct{})
		go func() {
			defer close(died)
			in(func() bool { return e.web.got > 0 && e.web.cancel != nil })
			w.mu.Lock()
			w.webSeedDown = true
			w.mu.Unlock()
			time.Sleep(10 * time.Second)
			var dying *Engine
			in(func() bool {
				for p := range e.peers {
					if len(p.fetching) > 0 && p.fetching[0].prefix() > 0 {
						dying = viewers[p.id]
					}
				}
				return dying != nil
			})
			_ = dying.ask(ctx, func() {
				for p := range dying.peers {
					p.close(errors.New("gone"))
				}
				dying.terms.NoUpload = true
			})
		}()
		if stalled, err := w.play(ctx, e, 10*time.Second, 500<<10); err != nil || stalled > 0 {
			t.Errorf("stalled %s, %v", stalled, err)
		}
		<-died
	})
}

// A web seed that fails takes nothing from viewers, who are just fast enough for the film.
func TestAWebSeedThatFailsTakesNothingFromViewers(t *testing.T) {
	for name, fail := range map[string]func(w *world){
		"with errors": func(w *world) { w.webSeedDown = true },
		"by silence":  func(w *world) { w.webSeedHangs = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := film(t, 60)
				for range 3 {
					w.engine(func(c *Config) {
						c.Complete, c.Network = true, &memNetwork{w: w, up: w.uplink(234e3)}
					})
				}
				fail(w)
				time.Sleep(time.Second)
				e := w.engine(nil)
				w.until("they are met", 10*time.Second, func() bool { return len(statsOf(t, e).Peers) == 3 })
				stalled, err := w.play(t.Context(), e, 10*time.Second, 3*500<<10)
				if err != nil || stalled > 0 {
					t.Errorf("stalled %s, %v", stalled, err)
				}
			})
		})
	}
}

// Viewers that lie in the first half of each piece, and do not send the other: what they
// begin and the web seed ends is wrong, and nobody can tell whose fault it is. The web seed
// brings such a piece whole, and is trusted as before.
func TestPiecesThatLiarsBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 150)
		for range 16 {
			w.engine(func(c *Config) {
				c.Complete, c.Network = true, &memNetwork{w: w, tamper: func(b []byte) []byte {
					switch {
					case !isBlock(b):
					case binary.BigEndian.Uint32(b[9:]) >= 128<<10:
						return nil
					default:
						b[len(b)-1] ^= 1
					}
					return b
				}}
			})
		}
		e := w.engine(nil)
		w.until("the liars are met", 10*time.Second, func() bool { return len(statsOf(t, e).Peers) >= 5 })
		if stalled, err := w.play(within(t, 10*time.Minute), e, 10*time.Second, 500<<10); err != nil || stalled > 0 {
			t.Errorf("stalled %s, %v", stalled, err)
		}
		if err := e.ask(t.Context(), func() {
			if len(e.mixed) == 0 {
				t.Error("no piece came of both")
			}
			if e.web.lied || e.web.strikes > 0 {
				t.Errorf("the web seed was blamed: %+v", e.web)
			}
			if e.from[Viewer] != 0 {
				t.Errorf("%d bytes of the liars were kept", e.from[Viewer])
			}
		}); err != nil {
			t.Error(err)
		}
	})
}

// The tracker is away for five minutes: who plays notices nothing, and all are back
// within 30 s, also where it went without a word.
func TestTheTrackerDiesAndReturns(t *testing.T) {
	for name, away := range map[string]struct {
		silent     bool // its connections die without a word, else they are reset
		lost, mute bool // new ones are; else they are refused
	}{
		"refuses":                      {},
		"refuses, and nobody heard":    {silent: true},
		"is cut off":                   {lost: true},
		"is cut off, and nobody heard": {silent: true, lost: true},
		"answers nothing":              {mute: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := film(t, 400)
				var all []*Engine
				for range 8 {
					all = append(all, w.engine(func(c *Config) { c.Complete = true }))
				}
				e := w.engine(nil)
				all = append(all, e)
				done := make(chan error, 1)
				go func() {
					stalled, err := w.play(context.Background(), e, 10*time.Second, 500<<10)
					if err == nil && stalled > 0 {
						err = errors.New("stalled " + stalled.String())
					}
					done <- err
				}()
				time.Sleep(20 * time.Second)
				if away.silent {
					for _, e := range all {
						e.cfg.Network.(*memNetwork).cut()
					}
				}
				w.endTracker()
				w.mu.Lock()
				w.trackerLost, w.trackerMute = away.lost, away.mute
				w.mu.Unlock()
				if away.mute {
					w.startTracker()
				}
				time.Sleep(5 * time.Minute)
				w.mu.Lock()
				w.trackerLost, w.trackerMute = false, false
				w.mu.Unlock()
				if !away.mute {
					w.startTracker()
				}
				time.Sleep(30 * time.Second)
				if n := w.listed(); n != len(all) {
					t.Errorf("%d of %d are back within 30 s", n, len(all))
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A film of ten minutes that is left in the middle: little was fetched for nothing.
func TestWhoLeavesInTheMiddleHasLittleForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 600*50<<10, 32<<10)
		w.latency = 10 * time.Millisecond
		w.engine(func(c *Config) { c.Complete, c.Duration = true, 10*time.Minute })
		e := w.engine(func(c *Config) { c.Duration = 10 * time.Minute })
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		_, _ = w.play(ctx, e, 10*time.Second, 50<<10)
		s := statsOf(t, e)
		came := s.FromWebSeed + s.FromPod + s.FromViewers
		if came < w.torrent.Length/3 {
			t.Errorf("%d bytes of %d came in half of the film's time", came, w.torrent.Length)
		}
		if played := int64(s.Playhead * float64(w.torrent.Length)); came-played > came/20+2*w.torrent.PieceLength {
			t.Errorf("%d bytes came, %d were played", came, played)
		}
	})
}
