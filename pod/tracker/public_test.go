package tracker

import (
	"strconv"
	"testing"
	"time"

	"kinopod/shared/announce"
)

// What a public tracker grants, where nobody configured anything else. Tests of the
// single limits make them smaller.
func TestLimitsOfAPublicTracker(t *testing.T) {
	want := Limits{
		Message: 64 << 10, Offers: 10, Scrape: 100, SDP: 8 << 10, Torrents: 32, Queue: 256 << 10, Failures: 10, Connections: 50_000,
		Peers: 100, PortsPerSwarm: 8, SmallSwarm: 4, SeederOffers: 64, SeederTime: 10 * time.Second, Answer: time.Minute, Ping: time.Minute,
	}
	if got := (Limits{}).withDefaults(); got != want {
		t.Errorf("%+v", got)
	}
	w := start(t, plain, Config{Open: true}, nil)
	if got := w.tracker.loop.expiry(); got != 3*DefaultInterval {
		t.Errorf("a peer is taken for gone after %v", got)
	}
	h := hash("film")
	others := make([]*client, 15)
	for i := range others {
		others[i] = w.dial()
		others[i].announce(h, nil)
	}
	c, handed := w.dial(), int64(0)
	for _, x := range []struct{ offers, numwant, handed int }{{20, 20, 10}, {8, 3, 3}, {4, 20, 4}, {2, 0, 0}} {
		c.announce(h, func(a *announce.Announce) { offers(x.offers)(a); a.NumWant = x.numwant })
		now := w.tracker.Stats().Offers
		if now-handed != int64(x.handed) {
			t.Errorf("of %d offers, %d wanted, %d were handed on", x.offers, x.numwant, now-handed)
		}
		seen := int64(0)
		for _, o := range others {
			o.barrier(func(announce.Received) bool { return false }, "")
			if n := len(o.got); n > 1 {
				t.Errorf("%d offers of one announce for one peer", n)
			}
			seen += int64(len(o.got))
			o.got = nil
		}
		if seen != now-handed {
			t.Errorf("%d offers came of %d", seen, now-handed)
		}
		handed = now
	}
	for i := range 31 {
		c.announce(hash(strconv.Itoa(i)), nil)
	}
	c.send(c.message(hash("one too many"), nil))
	c.failure()
}
