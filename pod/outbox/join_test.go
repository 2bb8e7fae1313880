package outbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// states are the pods that are known, "host state".
func (w *world) states() string {
	w.t.Helper()
	all, err := w.list.All(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, f := range all {
		out = append(out, string(f.Host)+" "+string(f.State))
	}
	return strings.Join(out, ", ")
}

// TestJoin: everybody asked, and who stands in at least half of the lists.
func TestJoin(t *testing.T) {
	for name, c := range map[string]struct {
		lists  map[network.Host][]network.Host // of who answers
		ask    []network.Host
		want   string
		failed api.Code
	}{
		"the example of the idea": {
			map[network.Host][]network.Host{"pod1": {"pod2", "pod3", "pod4", "pod5"}, "pod2": {"pod3", "pod5"}, "pod3": {"pod5"}},
			[]network.Host{"pod1", "pod2", "pod3"},
			"pod1 asked, pod2 asked, pod3 asked, pod5 asked", "",
		},
		"nobody":                         {nil, nil, "", ""},
		"ourselves":                      {nil, []network.Host{us}, "", ""},
		"we stand in the lists":          {map[network.Host][]network.Host{"pod1": {us, "pod2"}}, []network.Host{"pod1"}, "pod1 asked, pod2 asked", ""},
		"who does not answer is retried": {map[network.Host][]network.Host{"pod1": {"pod2"}}, []network.Host{"pod1", "down"}, "down asked, pod1 asked, pod2 asked", ""},
		"nobody answers":                 {nil, []network.Host{"down", "gone"}, "down asked, gone asked", ""},
		"twice":                          {map[network.Host][]network.Host{"pod1": nil}, []network.Host{"pod1", "pod1", "down", "down"}, "down asked, pod1 asked", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for h, list := range c.lists {
				w.peers.add(h).list = list
			}
			if err := w.Join(t.Context(), c.ask, false); err != nil {
				t.Error(err)
			}
			if got := w.states(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			for _, f := range strings.Fields(strings.ReplaceAll(c.want, ",", "")) {
				if f != "asked" && w.task(taskJoin, network.Host(f)) == "" {
					t.Errorf("nobody asks %s", f)
				}
			}
		})
	}
}

// TestJoinInsists: an operator's word is about the pods that it names. Whom the network
// brings along stays away where it was left, revoked or blocked.
func TestJoinInsists(t *testing.T) {
	setUp := func(t *testing.T) *world {
		w := newWorld(t)
		for _, h := range []network.Host{"left", "blocked", "revoked"} {
			w.befriend(h)
		}
		w.peers.add("pod1").list = []network.Host{"left", "blocked", "revoked", "new"}
		_, err := w.list.Leave(t.Context(), "left", true)
		if err := errors.Join(err, w.list.Block(t.Context(), "blocked")); err != nil {
			t.Fatal(err)
		}
		for range 10 * friends.Tries {
			if _, _, err := w.list.Failed(t.Context(), "revoked", "x"); err != nil {
				t.Fatal(err)
			}
		}
		return w
	}
	const rest = "new asked, pod1 asked, "
	t.Run("of the network", func(t *testing.T) {
		for _, insist := range []bool{false, true} {
			w := setUp(t)
			if err := w.Join(t.Context(), []network.Host{"pod1"}, insist); err != nil {
				t.Errorf("insisting %v: %v", insist, err)
			}
			if got, want := w.states(), "blocked blocked, left left, "+rest+"revoked revoked"; got != want {
				t.Errorf("insisting %v: %s, want %s", insist, got, want)
			}
		}
	})
	t.Run("by name", func(t *testing.T) {
		w := setUp(t)
		if err := w.Join(t.Context(), []network.Host{"pod1", "left", "revoked"}, true); err != nil {
			t.Error(err)
		}
		if got, want := w.states(), "blocked blocked, left asked, "+rest+"revoked asked"; !strings.Contains(got, "left asked") || got != want && !strings.Contains(got, "revoked asked") {
			t.Errorf("%s, want %s", got, want)
		}
		if err := w.Join(t.Context(), []network.Host{"blocked"}, true); !api.Is(err, api.CodeForbidden) || !strings.Contains(w.states(), "blocked blocked") {
			t.Errorf("a block is undone: %v, %s", err, w.states())
		}
	})
	t.Run("by name, without insisting", func(t *testing.T) {
		w := setUp(t)
		if err := w.Join(t.Context(), []network.Host{"left"}, false); !api.Is(err, api.CodeConflict) || !strings.Contains(w.states(), "left left") {
			t.Errorf("%v, %s", err, w.states())
		}
	})
}

// TestPresent: the steps from asked to friend.
func TestPresent(t *testing.T) {
	ask := func(t *testing.T) (*world, *peer) {
		w := newWorld(t)
		p := w.peers.add(them, films(them, 3)...)
		if _, err := w.list.Ask(t.Context(), them, false); err != nil {
			t.Fatal(err)
		}
		return w, p
	}
	later := func(t *testing.T, w *world, atMost time.Duration) {
		t.Helper()
		var a *again
		if err := w.join(t.Context(), them); !errors.As(err, &a) || a.after <= 0 || a.after > atMost {
			t.Errorf("%v", err)
		}
		if got := w.states(); got != "them.example asked" {
			t.Error(got)
		}
	}
	t.Run("friends", func(t *testing.T) {
		w, p := ask(t)
		last, err := w.db.LastChange(t.Context())
		if err := errors.Join(err, w.join(t.Context(), them)); err != nil {
			t.Fatal(err)
		}
		if f := w.friend(them); f.State != network.Friend || f.Cursor != last || !f.Secure || f.Name != "A pod" || p.hellos != 1 || w.task(taskRepair, them) == "" {
			t.Errorf("%+v, %d hellos", f, p.hellos)
		}
		if err := w.join(t.Context(), them); err != nil || p.hellos != 1 {
			t.Errorf("again: %v, %d hellos", err, p.hellos)
		}
		w.mustRepair(them)
		if w.count(them) != 3 {
			t.Errorf("%d videos", w.count(them))
		}
	})
	t.Run("it is down", func(t *testing.T) {
		w, p := ask(t)
		p.look = func() (federation.Card, error) { return federation.Card{}, errDown }
		if later(t, w, joinEvery); p.hellos != 0 {
			t.Error("it is greeted")
		}
		p.look = nil
		if err := w.join(t.Context(), them); err != nil || w.friend(them).State != network.Friend {
			t.Error(err)
		}
	})
	t.Run("it speaks another version", func(t *testing.T) {
		w, p := ask(t)
		p.look = func() (federation.Card, error) {
			return federation.Card{Host: them, Key: federation.Key{PublicKey: &key().PublicKey}, Protocol: network.Versions{Min: 7, Max: 8}}, nil
		}
		if later(t, w, joinEvery); p.hellos != 0 {
			t.Error("it is greeted")
		}
	})
	t.Run("it cannot call back", func(t *testing.T) {
		w, p := ask(t)
		p.hello = func() (bool, error) { return false, errors.New("503") }
		later(t, w, joinEvery)
	})
	t.Run("it does not want", func(t *testing.T) {
		w, p := ask(t)
		p.hello = func() (bool, error) { return true, errors.New("403") }
		later(t, w, 10*joinEvery)
	})
	t.Run("at the same time", func(t *testing.T) {
		w, _ := ask(t)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				card, err := w.Look(t.Context(), them, false)
				if err := errors.Join(err, w.Meet(t.Context(), them, card)); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				if err := w.join(t.Context(), them); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if f := w.friend(them); f.State != network.Friend || f.Score != network.StartScore {
			t.Errorf("%+v", f)
		}
	})
}

// TestLeave: the other side is told, and where this pod ends in the middle, the
// friendship has ended all the same.
func TestLeave(t *testing.T) {
	setUp := func(t *testing.T) (*world, *peer) {
		w := newWorld(t)
		p := w.befriend(them, films(them, 3)...)
		w.mustRepair(them)
		return w, p
	}
	for name, c := range map[string]struct {
		end  func(ctx context.Context, w *world) error
		want network.State
	}{
		"left":    {func(ctx context.Context, w *world) error { return w.Leave(ctx, them) }, network.Left},
		"blocked": {func(ctx context.Context, w *world) error { return w.Block(ctx, them) }, network.Blocked},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := setUp(t)
			if err := c.end(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"pod.leave"}) {
				t.Errorf("it is told %q", got)
			}
			if f := w.friend(them); f.State != c.want || f.ByUs != (c.want == network.Left) || w.count(them) != 0 {
				t.Errorf("%+v, %d videos", f, w.count(them))
			}
		})
		t.Run(name+", and it is down", func(t *testing.T) {
			w, p := setUp(t)
			p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, errDown }
			if err := c.end(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			if f := w.friend(them); f.State != c.want || w.count(them) != 0 || f.Attempts != 0 {
				t.Errorf("%+v, %d videos", f, w.count(them))
			}
		})
		t.Run(name+", and this pod ends", func(t *testing.T) {
			w, p := setUp(t)
			ctx, stop := context.WithCancel(t.Context())
			p.send = func(_ context.Context, path string, body []byte) (any, bool, error) {
				stop() // it is told, and nothing more happens here
				return w.peers.answer(p, path, body)
			}
			_ = c.end(ctx, w)
			if f := w.friend(them); f.State != c.want {
				t.Errorf("it was told, and is a %s", f.State)
			}
		})
	}
	w := newWorld(t)
	if err := w.Leave(t.Context(), "stranger.example"); !api.Is(err, api.CodeNotFound) {
		t.Error(err)
	}
	if _, err := w.list.Ask(t.Context(), them, false); err != nil {
		t.Fatal(err)
	}
	if err := w.Leave(t.Context(), them); err != nil || w.friend(them).State != network.Left {
		t.Errorf("a wish is taken back: %v", err)
	}
}

// TestRun: the parts together, with tasks in a real Redis.
func TestRun(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Join = []network.Host{third}
	})
	p := w.befriend(them, films(them, 20)...)
	w.peers.add(third, films(third, 10)...)
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := run()
	eventually(t, "all friends' videos are here", func() bool { return w.count(them) == 20 && w.count(third) == 10 })
	eventually(t, "a friend is greeted", func() bool { return slices.Contains(kinds(w.peers.took(p)), "greeting") })
	v := w.add(1)
	eventually(t, "it is told of a video", func() bool { return slices.Contains(kinds(w.peers.took(p)), "put "+v.Name) })
	stop()
	w.add(2)
	stop = run()
	eventually(t, "after a restart it is told what is new", func() bool { return slices.Contains(kinds(w.peers.took(p)), "put "+name(2)) })
	w.peers.mu.Lock()
	n := 0
	p.send = func(_ context.Context, path string, body []byte) (any, bool, error) {
		if path != federation.PathEvents {
			return w.peers.answer(p, path, body)
		}
		if n++; n < 3 {
			return nil, false, errDown
		}
		return w.peers.answer(p, path, body)
	}
	w.peers.mu.Unlock()
	w.clock.advance(time.Hour)
	w.add(3)
	w.add(4)
	var got []string
	eventually(t, "after failures it is told", func() bool {
		w.clock.advance(time.Second)
		got = append(got, kinds(w.peers.took(p))...)
		return slices.Contains(got, "put "+name(4))
	})
	if i, j := slices.Index(got, "put "+name(3)), slices.Index(got, "put "+name(4)); i < 0 || i > j {
		t.Errorf("in this order: %q", got)
	}
	stop()
	// One pending task a friend, however often something happens.
	for i := range 50 {
		w.add(10 + i)
		w.flushAll(t.Context())
		w.sweep(t.Context())
	}
	tasks, err := w.jobs.ListPendingTasks(queue)
	if err != nil || len(tasks) > 2+2 {
		t.Errorf("%d tasks for two friends, %v", len(tasks), err)
	}
}
