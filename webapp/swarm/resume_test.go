package swarm

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The connection to the tracker died without a word while the device slept.
func TestTheDeviceSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		e := w.engine(func(c *Config) { c.Complete = true })
		first := w.engine(nil)
		w.until("they are connected", 10*time.Second, func() bool { return len(statsOf(t, e).Peers) == 1 })
		e.cfg.Network.(*memNetwork).cut()
		w.until("the tracker has given it up", 5*time.Minute, func() bool { return w.listed() == 1 })
		var was *peer
		sleep := func() {
			for p := range e.peers {
				was = p
			}
			e.ticked = e.ticked.Add(-time.Hour)
		}
		if err := e.ask(context.Background(), sleep); err != nil {
			t.Fatal(err)
		}
		w.until("they are connected anew", 10*time.Second, func() bool {
			closed := false
			_ = e.ask(context.Background(), func() { closed = was.closed })
			return closed && len(statsOf(t, e).Peers) == 1 && len(statsOf(t, first).Peers) == 1
		})
		w.webSeedDown = true
		if err := w.readAll(within(t, 20*time.Second), w.engine(nil), 0); err != nil {
			t.Errorf("a newcomer: %v", err)
		}
	})
}

func TestTheNetworkIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		w.endTracker()
		w.webSeedDown = true
		e := w.engine(nil)
		got := make(chan error, 1)
		go func() { got <- w.readAll(within(t, time.Hour), e, 0) }()
		time.Sleep(40 * time.Second) // the web seed failed after 0, 1, 3, 7, 15 and 31 s, and rests for 32
		w.startTracker()
		w.mu.Lock()
		w.webSeedDown = false
		w.mu.Unlock()
		time.Sleep(5 * time.Second)
		select {
		case <-got:
			t.Fatal("it did not rest: this test shows nothing")
		default:
		}
		began := time.Now()
		e.Resume()
		if err := <-got; err != nil || time.Since(began) > 2*time.Second { // of the test's own time
			t.Errorf("%v after %s", err, time.Since(began))
		}
		w.until("the tracker knows us", time.Second, func() bool { return w.listed() == 1 })
	})
}
