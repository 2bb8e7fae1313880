package tracker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kinopod/shared/announce"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
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

// A scrape names as many torrents as it likes, and is answered for 100.
func TestLongScrapes(t *testing.T) {
	var many []string // short where they are escaped, for a query
	for i := range 110 {
		many = append(many, fmt.Sprintf("%020d", i))
	}
	everyPath(t, func(t *testing.T, p path) {
		c := start(t, p, Config{Open: true}, nil).dial()
		c.send(map[string]any{"action": announce.ActionScrape, "info_hash": many})
		c.take("scrape", func(m announce.Received) bool { return m.Action == announce.ActionScrape })
		if n := strings.Count(string(c.raw[len(c.raw)-1]), `"complete"`); n != 100 {
			t.Errorf("%d of 110 are answered", n)
		}
	})
	w := start(t, plain, Config{Open: true}, nil)
	_, m := w.ask(api.PathScrape, url.Values{"info_hash": many}.Encode())
	if files, _ := m["files"].(map[string]any); len(files) != 100 {
		t.Errorf("%d of 110 are answered over HTTP", len(files))
	}
}

func TestLongestMessage(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		c := start(t, p, Config{Open: true}, nil).dial()
		b, err := json.Marshal(c.message(h, nil))
		if err != nil {
			t.Fatal(err)
		}
		pad := func(to int) []byte { return append(b, bytes.Repeat([]byte(" "), to-len(b))...) }
		c.send(pad(64 << 10))
		c.response(h)
		c.send(pad(64<<10 + 1))
		if code := c.closed(); code != closeTooBig {
			t.Errorf("closed with %d", code)
		}
	})
}

// Of the offers of an announce those are handed on that are offers, of at most 8 KiB.
func TestBrokenOffers(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Open: true}, nil)
		var others []*client
		for range 5 {
			o := w.dial()
			o.announce(h, nil)
			others = append(others, o)
		}
		c := w.dial()
		c.announce(h, func(a *announce.Announce) {
			offers(4)(a)
			a.Offers[0].Offer.Type = "answer"
			a.Offers[1].Offer.SDP = strings.Repeat("x", 8<<10+1)
			a.Offers[2].Offer.SDP = strings.Repeat("y", 8<<10)
		})
		if s := w.tracker.Stats(); s.Offers != 2 || s.Refused["offer"] != 2 {
			t.Errorf("%d handed on, %d refused", s.Offers, s.Refused["offer"])
		}
		for _, o := range others {
			o.barrier(func(m announce.Received) bool {
				return m.Offer != nil && (m.Offer.Type != "offer" || len(m.Offer.SDP) > 8<<10)
			}, "a broken offer")
		}
	})
}

// A viewer who sends through WebSockets and requests, from all over a /64, has one budget.
func TestOneBudgetOfAHousehold(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		w := start(t, p, Config{Open: true, MessagesPerSecond: 1, TrustedProxies: trustAll}, nil)
		from := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)) }
		c, err := w.dialStatus(forwarded + ": " + from(0).String() + "\r\n")
		if err != nil {
			t.Fatal(err)
		}
		visitors := w.tracker.loop.visitors
		for i := 0; visitors.visit(from(i)).take(time.Now()); i++ { // as each request does
			if i > 1000 {
				t.Fatal("a /64 may ask without end")
			}
		}
		for refused := false; !refused; { // and what time gave back meanwhile
			c.send(c.message(hash("film"), nil))
			refused = c.take("response or failure", func(announce.Received) bool { return true }).Failure != ""
		}
		if !visitors.visit(netip.MustParseAddr("2001:db8:0:1::1")).take(time.Now()) {
			t.Error("a neighbour's budget is spent")
		}
	})
}

// The clock of the loop is its own, so a peer's age can be had without waiting for it.
func TestPeersStayForThreeIntervals(t *testing.T) {
	h := hash("film")
	w := start(t, plain, Config{Open: true}, nil)
	w.dial().announce(h, nil)
	aged := func(age time.Duration) (peers int) {
		l := w.tracker.loop
		l.do(func() {
			l.peers.oldest.announced = l.now - age
			l.sweep()
			peers = int(l.count.peers.Load())
		})
		return peers
	}
	if n := aged(3 * DefaultInterval); n != 1 {
		t.Fatal("a peer is gone before three intervals")
	}
	if n := aged(3*DefaultInterval + 1); n != 0 {
		t.Error("a peer stays beyond three intervals")
	}
}

// Within limits.Ping each connection is pinged once.
func TestEachConnectionIsPingedOnceInAMinute(t *testing.T) {
	w := start(t, plain, Config{Open: true}, nil)
	h := hash("film")
	for range 3 {
		w.dial().announce(h, nil)
	}
	l := w.tracker.loop
	l.do(func() {
		if step := l.nextTick - l.now; step > time.Minute/ticks {
			t.Errorf("the next tick is in %v", step)
		}
		conns := slices.Concat(l.buckets...)
		pings := map[*conn]int{}
		for range ticks {
			for _, c := range conns {
				c.pinged = 0
			}
			l.sweep()
			for _, c := range conns {
				if c.pinged > 0 {
					pings[c]++
				}
			}
		}
		for _, c := range conns {
			if pings[c] != 1 {
				t.Errorf("%d pings", pings[c])
			}
		}
	})
}

// An offer is to be answered within 60 s, and that once.
func TestAnswersInTime(t *testing.T) {
	l := New(Config{Goroutines: true}, nil).loop
	h := hash("film")
	s, c := &swarm{hash: h}, &conn{}
	asks, answers := &peer{conn: &conn{}, id: wire.PeerID{1}}, &peer{conn: c, id: wire.PeerID{2}}
	l.swarms[h] = s
	s.add(asks)
	s.add(answers)
	c.peers = []*peer{answers}
	l.request = announce.Request{InfoHashes: []magnet.InfoHash{h}, PeerID: answers.id, ToPeerID: asks.id}
	for age, want := range map[time.Duration]*peer{0: asks, time.Minute: asks, time.Minute + 1: nil} {
		c.offered = []introduction{{from: asks, at: l.now - age}}
		if l.takeOffer(c) != want {
			t.Errorf("an offer of %v ago: wrongly answered or not", age)
		}
		if want != nil && l.takeOffer(c) != nil {
			t.Error("an offer is answered twice")
		}
	}
}
