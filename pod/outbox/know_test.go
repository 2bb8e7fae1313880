package outbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// nextKeys are keys that we change to.
var nextKeys = sync.OnceValue(func() federation.Ring { return federation.Ring{newKey(), newKey()} })

// ringOf are our keys after n changes.
func ringOf(n int) federation.Ring {
	ring := federation.Ring{ourKey()}
	for _, k := range nextKeys()[:n] {
		ring = slices.Insert(ring, 0, k)
	}
	return ring
}

func idOf(r federation.Ring, i int) string { return federation.Key{PublicKey: &r[i].PublicKey}.ID() }

// looksAtUs makes a peer answer a hello as a pod does that has a key of ours on record.
func looksAtUs(w *world, p *peer) {
	p.hello = func() (bool, error) {
		if !p.ours.Equal(&w.keys[0].PublicKey) {
			return false, &api.Error{Code: api.CodeConflict, Message: "Another key."}
		}
		return false, nil
	}
}

// TestKeyChange: a friend is told of a new key with the one that it has on record,
// whatever came between.
func TestKeyChange(t *testing.T) {
	for name, c := range map[string]struct {
		has     int // changes that the friend has heard of
		noted   int // and that we know it has
		changes int
	}{
		"one":                                {0, 0, 1},
		"two":                                {0, 0, 2},
		"one, and the answer was lost":       {1, 0, 1},
		"two, and the first answer was lost": {1, 0, 2},
		"two, and both answers were lost":    {2, 0, 2},
		"we remember more than it":           {0, 1, 2}, // its memory is an older one
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.befriend(them)
			w.keys = ringOf(c.changes)
			looksAtUs(w, p)
			p.ours = &w.keys[c.changes-c.has].PublicKey
			if err := w.list.Knows(t.Context(), them, idOf(w.keys, c.changes-c.noted), ""); err != nil {
				t.Fatal(err)
			}
			v := w.add(1)
			w.mustFlush(them)
			want := []string{"pod.key", "put " + v.Name}
			if c.has == c.changes {
				want = want[1:]
			}
			if got := w.peers.took(p); !slices.Equal(kinds(got), want) || c.has < c.changes && (len(got) != 2 || len(got[0].Events) != 1) {
				t.Errorf("it is told %q, want %q", kinds(got), want)
			}
			f := w.friend(them)
			if !p.ours.Equal(&w.keys[0].PublicKey) || f.OurKey != idOf(w.keys, 0) || f.Attempts != 0 || f.Score != network.StartScore+network.ScoreStep {
				t.Errorf("%+v", f)
			}
			w.mustFlush(them)
			if got := w.peers.took(p); len(got) != 0 {
				t.Errorf("once more: %q", kinds(got))
			}
		})
	}
	t.Run("it is down", func(t *testing.T) {
		w := newWorld(t)
		p := w.befriend(them)
		w.keys = ringOf(1)
		p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, errDown }
		if w.waits(them); w.friend(them).OurKey != idOf(w.keys, 1) {
			t.Errorf("it is said to know: %+v", w.friend(them))
		}
		w.sweep(t.Context())
		if w.task(taskFlush, them) == "" {
			t.Error("nobody tells it")
		}
		p.send = nil
		if w.mustFlush(them); w.friend(them).OurKey != idOf(w.keys, 0) {
			t.Errorf("%+v", w.friend(them))
		}
	})
	t.Run("it takes none of our keys", func(t *testing.T) {
		w := newWorld(t)
		p := w.befriend(them)
		w.keys = ringOf(1)
		looksAtUs(w, p)
		p.ours = &key().PublicKey
		if wait := w.waits(them); wait != friends.RetryAfter(1) || w.friend(them).Attempts != 1 || w.friend(them).OurKey != idOf(w.keys, 1) {
			t.Errorf("a wait of %v, %+v", wait, w.friend(them))
		}
	})
	t.Run("of before ids were noted", func(t *testing.T) {
		w := newWorld(t)
		p := w.befriend(them)
		if err := w.list.Knows(t.Context(), them, "", ""); err != nil {
			t.Fatal(err)
		}
		w.keys = ringOf(1)
		if w.mustFlush(them); !p.ours.Equal(&w.keys[0].PublicKey) {
			t.Error("it is not told")
		}
	})
	t.Run("we forgot it, and it has an old key", func(t *testing.T) {
		w := newWorld(t)
		p := w.peers.add(them)
		w.keys = ringOf(2)
		looksAtUs(w, p)
		p.ours = &w.keys[1].PublicKey
		if _, err := w.list.Ask(t.Context(), them, false); err != nil {
			t.Fatal(err)
		}
		if err := w.join(t.Context(), them); err != nil {
			t.Fatal(err)
		}
		if f := w.friend(them); f.State != network.Friend || f.OurKey != idOf(w.keys, 0) || !p.ours.Equal(&w.keys[0].PublicKey) {
			t.Errorf("%+v", f)
		}
	})
}

// TestTheirNewKey: a friend's card with another key is not believed.
func TestTheirNewKey(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	before := w.friend(them)
	p.look = func() (federation.Card, error) {
		return federation.Card{Host: them, Name: "Mallory", Key: federation.Key{PublicKey: &nextKeys()[0].PublicKey}, Protocol: network.Versions{Min: 7, Max: 7}}, nil
	}
	if err := w.look(t.Context(), them); err != nil {
		t.Error(err)
	}
	card, err := w.Look(t.Context(), them, false)
	if err == nil {
		err = w.Meet(t.Context(), them, card)
	}
	if !api.Is(err, api.CodeConflict) {
		t.Errorf("it is met: %v", err)
	}
	if f := w.friend(them); f.Key != before.Key || f.Name != before.Name || f.Protocol != before.Protocol || f.State != network.Friend {
		t.Errorf("%+v", f)
	}
}

// TestVersions: two pods use the highest version that both speak.
func TestVersions(t *testing.T) {
	for name, c := range map[string]struct {
		ours, theirs network.Versions
		want         int
	}{
		"the same":        {network.Versions{Min: 1, Max: 1}, network.Versions{Min: 1, Max: 1}, 1},
		"the highest":     {network.Versions{Min: 1, Max: 3}, network.Versions{Min: 2, Max: 5}, 3},
		"theirs is lower": {network.Versions{Min: 1, Max: 4}, network.Versions{Min: 1, Max: 2}, 2},
	} {
		w := newWorld(t, func(cfg *Config) { cfg.Speaks = c.ours })
		p := w.peers.add(them)
		p.speaks = c.theirs
		card, err := w.Look(t.Context(), them, false)
		if err == nil {
			err = w.Meet(t.Context(), them, card)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.add(1)
		if w.mustFlush(them); p.version != c.want {
			t.Errorf("%s: %d, want %d", name, p.version, c.want)
		}
	}
}

// TestDormant: a friend that is left behind by a switch is kept and not punished, and is
// told what waited for it when it has upgraded.
func TestDormant(t *testing.T) {
	var at int64
	w := newWorld(t, func(cfg *Config) {
		at = cfg.Now().Add(time.Hour).Unix()
		cfg.Speaks = network.Versions{Min: 1, Max: 2, SwitchAt: at}
	})
	p := w.befriend(them, films(them, 3)...)
	w.mustRepair(them)
	w.add(1)
	if w.mustFlush(them); p.version != 1 || len(w.peers.took(p)) != 1 {
		t.Errorf("before the switch by version %d", p.version)
	}
	before := w.friend(them)
	w.clock.advance(time.Hour)
	w.add(2)
	w.Greet(t.Context(), them)
	for range 20 {
		w.clock.advance(time.Hour)
		w.mustFlush(them)
		w.mustRepair(them)
		w.sweep(t.Context())
	}
	if f := w.friend(them); f.State != network.Friend || f.Score != before.Score || f.Attempts != 0 || w.count(them) != 3 || len(w.peers.took(p)) != 0 {
		t.Errorf("%+v, %d videos", f, w.count(them))
	}
	if w.task(taskLook, them) == "" {
		t.Error("nobody looks whether it has upgraded")
	}
	asked := p.asked[federation.PathDigest]
	if err := w.look(t.Context(), them); err != nil || !w.dormant(w.friend(them)) {
		t.Errorf("before it has: %v", err)
	}
	p.speaks = network.Versions{Min: 1, Max: 2}
	if err := w.look(t.Context(), them); err != nil || w.dormant(w.friend(them)) {
		t.Errorf("it has upgraded: %v", err)
	}
	if w.task(taskFlush, them) == "" || w.task(taskRepair, them) == "" {
		t.Error("what waits for it waits on")
	}
	w.mustFlush(them)
	if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"put " + name(2)}) || p.version != 2 || p.asked[federation.PathDigest] != asked {
		t.Errorf("%q by version %d", got, p.version)
	}
}

// TestHeardOfADormantFriend: it has upgraded, or it would not be understood.
func TestHeardOfADormantFriend(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Speaks = network.Versions{Min: 1, Max: 2} })
	w.befriend(them)
	w.Heard(t.Context(), them)
	if w.task(taskLook, them) != "" {
		t.Error("it is looked at each time")
	}
	card := friends.Card{Key: w.friend(them).Key, Protocol: network.Versions{Min: 3, Max: 3}}
	if _, _, err := w.list.Refresh(t.Context(), them, card); err != nil {
		t.Fatal(err)
	}
	w.Heard(t.Context(), them)
	if w.task(taskLook, them) == "" {
		t.Error("nobody looks")
	}
}

// TestRefusedForItsVersion: a friend that upgraded without a word to us, and takes our
// version no more, is dormant and not punished.
func TestRefusedForItsVersion(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	w.add(1)
	p.speaks = network.Versions{Min: 2, Max: 3}
	w.mustFlush(them)
	if f := w.friend(them); !w.dormant(f) || f.Attempts != 0 || f.Score != network.StartScore || p.hellos != 0 {
		t.Errorf("%+v, %d hellos", f, p.hellos)
	}
}

// TestOurCardChanged: a pod that upgraded, or has another name or scheme, says hello to
// its friends until they took it, once.
func TestOurCardChanged(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	look := func() {
		t.Helper()
		if err := w.look(t.Context(), them); err != nil {
			t.Error(err)
		}
	}
	if look(); p.hellos != 0 {
		t.Error("it says hello without a reason")
	}
	for name, change := range map[string]func(*Config){
		"upgraded": func(c *Config) { c.Speaks.Max = 2 }, "renamed": func(c *Config) { c.Name = "Another" }, "https": func(c *Config) { c.Secure = true },
	} {
		change(&w.cfg)
		w.told = digestOf(w.cfg)
		p.hellos = 0
		p.hello = func() (bool, error) { return false, errDown }
		var failed *again
		if err := w.look(t.Context(), them); !errors.As(err, &failed) || w.friend(them).Told == w.told {
			t.Errorf("%s, and it is down: %v", name, err)
		}
		w.sweep(t.Context())
		if w.task(taskLook, them) == "" {
			t.Errorf("%s: nobody tries again", name)
		}
		p.hello = nil
		look()
		look()
		if p.hellos != 2 || w.friend(them).Told != w.told {
			t.Errorf("%s: %d hellos", name, p.hellos)
		}
	}
	p.hello = func() (bool, error) { return true, errors.New("403") }
	w.told = "new"
	look()
	if f := w.friend(them); f.State != network.Left {
		t.Errorf("it wants no more: %+v", f)
	}
}

// TestRevokedComesBack: whom we asked once is asked again after its cool-down, and is a
// friend at half the score.
func TestRevokedComesBack(t *testing.T) {
	w := newWorld(t)
	w.befriend(third)
	p := w.peers.add(them)
	if err := w.Join(t.Context(), []network.Host{them}, false); err != nil {
		t.Fatal(err)
	}
	if err := w.join(t.Context(), them); err != nil {
		t.Fatal(err)
	}
	for range 10 * friends.Tries {
		for _, h := range []network.Host{them, third} {
			if _, _, err := w.list.Failed(t.Context(), h, "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.clock.advance(24*time.Hour - time.Second)
	w.sweep(t.Context())
	if got := w.states(); got != "them.example revoked, third.example revoked" {
		t.Error(got)
	}
	w.clock.advance(time.Second)
	w.sweep(t.Context())
	if got := w.states(); got != "them.example asked, third.example revoked" || w.task(taskJoin, them) == "" {
		t.Error(got)
	}
	p.hello = nil
	if err := w.join(t.Context(), them); err != nil {
		t.Fatal(err)
	}
	if f := w.friend(them); f.State != network.Friend || f.Score != network.StartScore/2 {
		t.Errorf("%+v", f)
	}
	// Who asked us comes back by its own hello.
	card, err := w.Look(t.Context(), third, false)
	if err = errors.Join(err, w.Meet(t.Context(), third, card)); err != nil || w.friend(third).Score != network.StartScore/2 {
		t.Errorf("%v, %+v", err, w.friend(third))
	}
}
