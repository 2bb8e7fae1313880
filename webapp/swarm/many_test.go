package swarm

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	manyViewers = flag.Int("viewers", 8, "how many watch in TestManyViewers")
	manyApart   = flag.Duration("apart", 5*time.Second, "time between two of them")
	manySeconds = flag.Int("seconds", 60, "length of their film")
	manyRate    = flag.Float64("megabits", 4, "bit rate of it")
	manyUplink  = flag.Float64("uplink", 0, "what each can give, Mbit/s; 0 for no bound")
	manyWeak    = flag.Float64("weak", 0, "what each second one can give, Mbit/s; 0 for as much as the others")
)

// manyTrace prints what each viewer did, every so often.
var manyTrace = flag.Duration("trace", 0, "print every so often what each viewer has ahead, and what came and went since, in times of the film's rate")

// scene is a number of viewers of one film, one after another, in a time of its own.
type scene struct {
	viewers  int
	apart    time.Duration
	seconds  int
	megabits float64
	uplink   float64 // Mbit/s of each viewer; 0 for no bound
	weak     float64 // Mbit/s of each second one; 0 for uplink
}

// outcome is what a scene came to.
type outcome struct {
	webSeed, plain, pod, viewers float64 // copies
	wasted                       float64 // of what came
	stalled                      int     // viewers
	stall                        time.Duration
}

func (o outcome) copies() float64 { return o.webSeed + o.plain + o.pod }

// play lets the viewers watch to the end. Each begins by plain HTTP, as a page does, and
// its engine comes when the first two seconds are here.
func (s scene) play(t *testing.T) (o outcome) {
	rate := s.megabits * 1e6 / 8
	size := int(rate * float64(s.seconds))
	piece := int64(16 << 10)
	for piece < 256<<10 && float64(piece) < rate/3 {
		piece *= 2
	}
	w := newWorld(t, size, piece)
	w.latency = 10 * time.Millisecond
	w.webSeedDelay = time.Duration(float64(16<<10) / (5 * rate) * float64(time.Second))
	w.seeder = w.engine(func(c *Config) {
		c.Complete, c.Trackers = true, nil
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	})
	var mu sync.Mutex
	var all sync.WaitGroup
	engines := make([]*Engine, s.viewers) // guarded by mu
	if *manyTrace > 0 {
		stop := make(chan struct{})
		defer close(stop)
		go trace(t, *manyTrace, rate, stop, func() []*Engine {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(engines)
		})
	}
	for i := range s.viewers {
		all.Go(func() {
			time.Sleep(time.Duration(i)*s.apart + rand.N(200*time.Millisecond))
			plain := int64(2 * rate)
			up := s.uplink
			if i%2 == 1 && s.weak > 0 {
				up = s.weak
			}
			e := w.engine(func(c *Config) {
				n := &memNetwork{w: w}
				if up > 0 {
					n.up = w.uplink(up * 1e6 / 8)
				}
				c.Network, c.Store, c.OfferURL, c.Duration = n, &shared{w, map[int]bool{}}, "mem:offer", time.Duration(s.seconds)*time.Second
				c.LeastViewers = 2 // as pods have it
				c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
			})
			mu.Lock()
			engines[i] = e
			mu.Unlock()
			stalled, err := w.play(context.Background(), e, 10*time.Second, plain)
			if err != nil {
				t.Error(err)
			}
			st := statsOf(t, e)
			mu.Lock()
			defer mu.Unlock()
			o.plain += float64(plain) / float64(size)
			o.webSeed += float64(st.FromWebSeed) / float64(size)
			o.pod += float64(st.FromPod) / float64(size)
			o.viewers += float64(st.FromViewers) / float64(size)
			o.wasted += float64(st.Wasted) / float64(size) / float64(s.viewers)
			if stalled > 0 {
				o.stalled++
				o.stall += stalled
			}
		})
	}
	all.Wait()
	return o
}

// trace prints a line every so often, until stop is closed.
func trace(t *testing.T, every time.Duration, rate float64, stop <-chan struct{}, engines func() []*Engine) {
	began := time.Now()
	last := map[*Engine][3]int64{}
	for {
		select {
		case <-stop:
			return
		case <-time.After(every):
		}
		all := engines()
		var line strings.Builder
		fmt.Fprintf(&line, "%5.1f s", time.Since(began).Seconds())
		for i, e := range all {
			if e == nil {
				continue
			}
			_ = e.ask(context.Background(), func() { // it may have ended
				now := [3]int64{e.from[WebSeed], e.from[Viewer], e.up.total}
				times := func(k int) float64 { return float64(now[k]-last[e][k]) / rate / every.Seconds() }
				fmt.Fprintf(&line, " | %d: %.1f s ahead, web seed %.2f, viewers %.2f, up %.2f, asks", i, e.slack.Seconds(), times(0), times(1), times(2))
				for k, o := range all {
					for p := range e.peers {
						if o != nil && p.known && p.id == o.id && p.outstanding > 0 {
							fmt.Fprintf(&line, " %d", k)
						}
					}
				}
				last[e] = now
			})
		}
		t.Log(line.String())
	}
}

// TestManyViewers plays the scene of the flags.
func TestManyViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scene{*manyViewers, *manyApart, *manySeconds, *manyRate, *manyUplink, *manyWeak}
		o := s.play(t)
		t.Logf("%d viewers %s apart, %d s of %.1f Mbit/s, uplink %.1f, %.1f: %.2f copies (web seed %.2f, plain %.2f, pod %.2f), viewers gave %.2f, wasted %.1f %%; %d stalled for %s",
			s.viewers, s.apart, s.seconds, s.megabits, s.uplink, s.weak, o.copies(), o.webSeed, o.plain, o.pod, o.viewers, 100*o.wasted, o.stalled, o.stall.Round(time.Millisecond))
	})
}

// Time in these is not the machine's: what they come to does not depend on it, but by lot.
func TestCopiesOfEightViewers(t *testing.T) {
	staysBelow(t, scene{8, 5 * time.Second, 60, 4, 0, 0}, 1.4)
	// Where each can give little more than the film takes, what one has goes to who plays
	// next behind, and comes to all from there.
	staysBelow(t, scene{8, 5 * time.Second, 60, 4, 5, 0}, 1.55)
}

// Who begin together have nobody ahead: each brings a part from the web seed, and tells the
// others what.
func TestCopiesOfViewersWhoBeginTogether(t *testing.T) {
	staysBelow(t, scene{8, 100 * time.Millisecond, 60, 4, 0, 0}, 2)
}

// staysBelow plays s, in which nobody may stall and the pod may send most copies.
func staysBelow(t *testing.T, s scene, most float64) {
	t.Run(fmt.Sprintf("uplink %.0f", s.uplink), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if o := s.play(t); o.stalled > 0 || o.copies() > most {
				t.Errorf("%.2f copies, at most %.2f; %d stalled for %s", o.copies(), most, o.stalled, o.stall)
			}
		})
	})
}
