package tracker

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"kinopod/shared/announce"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

func TestSeederAnswersInAnEmptySwarm(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		type asked struct {
			h    magnet.InfoHash
			peer wire.PeerID
			from netip.Addr
		}
		got := make(chan asked, 1)
		seeder := &fakeSeeder{answer: func(_ context.Context, h magnet.InfoHash, peer wire.PeerID, from netip.Addr, sdp string) (string, error) {
			got <- asked{h, peer, from}
			return "line\r\n\"" + sdp, nil
		}}
		w := start(t, p, Config{Serves: serving(h)}, seeder)
		c := w.dial()
		message := c.message(h, offers(5))
		c.send(message)
		if r := c.response(h); r.Complete != 1 || r.Incomplete != 1 {
			t.Errorf("the pod is not one complete: %+v", r)
		}
		m := c.answer()
		if *m.PeerID != announce.ID(seederID) || m.InfoHash != announce.ID(h) || m.Answer.Type != "answer" || m.Answer.SDP != "line\r\n\"v=0 offer" {
			t.Errorf("%+v %+v", m, m.Answer)
		}
		if *m.OfferID != message.Offers[0].OfferID {
			t.Errorf("the answer is to offer %x", *m.OfferID)
		}
		if a := <-got; a != (asked{h, c.id, netip.MustParseAddr("127.0.0.1")}) {
			t.Errorf("asked %+v", a)
		}
		if n := w.tracker.Stats().SeederAnswers; n != 1 {
			t.Errorf("%d answers of the seeder are counted", n)
		}
	})
}

func TestViewersComeBeforeTheSeeder(t *testing.T) {
	h := hash("film")
	foreign, friends := hash("foreign film"), hash("a friend's film")
	for _, c := range []struct {
		name    string
		viewers int
		h       magnet.InfoHash
		change  func(*announce.Announce)
		asked   int64
		relayed int
	}{
		{"nobody else", 0, h, offers(5), 1, 0},
		{"one viewer, one offer", 1, h, offers(1), 0, 1},
		{"one viewer, two offers", 1, h, offers(2), 1, 1},
		{"some viewers", 3, h, offers(5), 1, 3},
		{"viewers enough", 4, h, offers(10), 0, 4},
		{"no offers", 0, h, nil, 0, 0},
		{"none wanted", 0, h, func(a *announce.Announce) { offers(5)(a); a.NumWant = 0 }, 0, 0},
		{"a seeder", 0, h, func(a *announce.Announce) { offers(5)(a); seeding(a) }, 0, 0},
		{"leaving", 0, h, func(a *announce.Announce) { offers(5)(a); a.Event = announce.Stopped }, 0, 0},
		{"a torrent of others", 0, foreign, offers(5), 0, 0},
		{"a torrent of a friend", 1, friends, offers(5), 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			seeder := &fakeSeeder{answer: func(context.Context, magnet.InfoHash, wire.PeerID, netip.Addr, string) (string, error) {
				asked.Add(1)
				return "v=0", nil
			}}
			w := start(t, plain, Config{Open: c.h == foreign, Serves: serving(h, friends), Has: serving(h)}, seeder)
			viewers := make([]*client, c.viewers)
			for i := range viewers {
				viewers[i] = w.dial()
				viewers[i].announce(c.h, nil)
			}
			newcomer := w.dial()
			r := newcomer.announce(c.h, c.change)
			if own := 0; c.h == h {
				if own = 1; r.Complete < own {
					t.Errorf("response %+v", r)
				}
			} else if r.Complete != 0 {
				t.Errorf("the pod counts in the swarm of others: %+v", r)
			}
			relayed := 0
			for _, v := range viewers {
				v.barrier(isFailure, "failure")
				for _, m := range v.got {
					if m.Offer != nil {
						relayed++
					}
				}
			}
			if c.asked > 0 {
				newcomer.answer()
			}
			w.stop() // and with it whatever is still asked
			if asked.Load() != c.asked || relayed != c.relayed {
				t.Errorf("the seeder got %d offers, viewers %d; want %d, %d", asked.Load(), relayed, c.asked, c.relayed)
			}
		})
	}
}

func TestSlowSeederKeepsNobodyWaiting(t *testing.T) {
	h := hash("film")
	var working, most atomic.Int64
	seeder := &fakeSeeder{answer: func(ctx context.Context, _ magnet.InfoHash, _ wire.PeerID, _ netip.Addr, _ string) (string, error) {
		most.Store(max(most.Load(), working.Add(1)))
		defer working.Add(-1)
		<-ctx.Done()
		return "", ctx.Err()
	}}
	w := start(t, plain, Config{Serves: serving(h), Limits: Limits{SeederOffers: 2, SeederTime: 300 * time.Millisecond}}, seeder)
	began := time.Now()
	for range 20 { // each alone in the swarm
		c := w.dial()
		c.announce(h, offers(1))
		c.announce(h, event(announce.Stopped))
	}
	until(t, "every offer has its end", func() bool { return w.tracker.Stats().Refused["seeder"] == 20 })
	if most.Load() > 2 {
		t.Errorf("%d offers were worked on at once", most.Load())
	}
	t.Logf("20 offers in %v", time.Since(began))
}

func TestSeederThatRefuses(t *testing.T) {
	h := hash("film")
	seeder := &fakeSeeder{answer: func(context.Context, magnet.InfoHash, wire.PeerID, netip.Addr, string) (string, error) {
		return "", errors.New("no")
	}}
	w := start(t, plain, Config{Serves: serving(h)}, seeder)
	c := w.dial()
	c.announce(h, offers(1))
	until(t, "the refusal is counted", func() bool { return w.tracker.Stats().Refused["seeder"] == 1 })
	c.barrier(func(m announce.Received) bool { return isAnswer(m) || isFailure(m) }, "word of a refusal")
}

func TestAnswerForOneWhoLeft(t *testing.T) {
	h := hash("film")
	asked, gone := make(chan struct{}), make(chan struct{})
	seeder := &fakeSeeder{answer: func(context.Context, magnet.InfoHash, wire.PeerID, netip.Addr, string) (string, error) {
		close(asked)
		<-gone
		return "v=0", nil
	}}
	w := start(t, plain, Config{Serves: serving(h)}, seeder)
	c := w.dial()
	c.announce(h, offers(1))
	<-asked
	c.announce(h, event(announce.Stopped))
	close(gone)
	until(t, "the seeder answers", func() bool { return w.tracker.Stats().SeederAnswers == 1 })
	c.barrier(isAnswer, "an answer for one who left")
}

func TestRunEndsWhatTheSeederWorksOn(t *testing.T) {
	h := hash("film")
	asked := make(chan struct{})
	seeder := &fakeSeeder{answer: func(ctx context.Context, _ magnet.InfoHash, _ wire.PeerID, _ netip.Addr, _ string) (string, error) {
		close(asked)
		<-ctx.Done()
		return "", ctx.Err()
	}}
	w := start(t, plain, Config{Serves: serving(h)}, seeder)
	w.dial().announce(h, offers(1))
	<-asked
	w.stop()
}

// A page offers to the seeder in a request of its own, then announces: another offer of
// it would end the connection that it is about to have.
func TestSeederKnowsThePeer(t *testing.T) {
	h := hash("film")
	seeder := &fakeSeeder{}
	w := start(t, plain, Config{Serves: serving(h)}, seeder)
	c := w.dial()
	seeder.mu.Lock()
	seeder.known = []wire.PeerID{c.id}
	seeder.mu.Unlock()
	c.announce(h, offers(5))
	c.barrier(isAnswer, "an answer of the seeder, which knows the peer")
	if n := w.tracker.Stats().SeederAnswers; n != 0 {
		t.Errorf("the seeder answered %d offers", n)
	}
}
