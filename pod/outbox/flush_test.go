package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

func TestCompose(t *testing.T) {
	a, b, gone := film(us, 1), film(us, 2), film(us, 3)
	at := func(ids ...video.ID) (out []catalog.Change) {
		for i, id := range ids {
			out = append(out, catalog.Change{Position: strconv.Itoa(i+1) + "-0", ID: id})
		}
		return out
	}
	for name, c := range map[string]struct {
		changes []catalog.Change
		want    []string
		cursor  string
	}{
		"nothing":                       {nil, nil, "0-0"},
		"the begin of a log":            {at(video.ID{}), nil, "1-0"},
		"in order":                      {at(b.ID, a.ID), []string{"put " + b.Name, "put " + a.Name}, "2-0"},
		"many of one are one":           {at(a.ID, b.ID, a.ID, a.ID, b.ID), []string{"put " + a.Name, "put " + b.Name}, "5-0"},
		"what is gone":                  {at(a.ID, gone.ID, gone.ID), []string{"put " + a.Name, "remove " + gone.ID.String()}, "3-0"},
		"nothing to say of what begins": {at(video.ID{}, a.ID), []string{"put " + a.Name}, "2-0"},
	} {
		batch, cursor, err := compose("0-0", c.changes, []video.Video{b, a, b})
		batch.Compare = false
		var got []string
		if len(batch.Events) > 0 {
			got = kinds([]federation.Batch{batch})
		}
		if err != nil || cursor != c.cursor || !slices.Equal(got, c.want) || batch.Events == nil {
			t.Errorf("%s: %q up to %s, %v; want %q up to %s", name, got, cursor, err, c.want, c.cursor)
		}
	}
}

// TestComposeIsBounded: batches fit into a message however much is said of each video,
// and all of them together say all.
func TestComposeIsBounded(t *testing.T) {
	var changes []catalog.Change
	var videos []video.Video
	for i := range changesAtOnce {
		v := film(us, i)
		v.Description = strings.Repeat("\u2028", video.MaxDescription*(i%4)/3) // six bytes each in JSON
		if i == 100 {
			v.Description = strings.Repeat("<", 2*batchBytes) // no video is so large; a batch goes on
		}
		videos = append(videos, v)
		changes = append(changes, catalog.Change{Position: strconv.Itoa(i+1) + "-0", ID: v.ID})
	}
	cursor, batches := "0-0", 0
	var got []string
	for at := 0; at < len(changes); batches++ {
		b, next, err := compose(cursor, changes[at:], videos)
		if err != nil || next == cursor {
			t.Fatal(next, err)
		}
		text, _ := json.Marshal(b)
		if len(text) > federation.MaxBody && len(b.Events) > 1 {
			t.Errorf("%d events have %d bytes", len(b.Events), len(text))
		}
		got = append(got, kinds([]federation.Batch{b})...)
		at += len(b.Events)
		if cursor = next; cursor != changes[at-1].Position {
			t.Fatalf("%s after %d changes", cursor, at)
		}
	}
	for i, g := range got {
		if g != "put "+name(i) {
			t.Fatalf("%d is %s", i, g)
		}
	}
	if len(got) != len(changes) || batches < 4 || batches > 20 {
		t.Errorf("%d events in %d batches", len(got), batches)
	}
}

func TestFlush(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	before := w.add(0)
	p := w.befriend(them)
	w.mustFlush(them)
	if got := w.peers.took(p); len(got) > 0 {
		t.Errorf("nothing happened, and it is told %q", kinds(got))
	}
	a, b := w.add(1), w.add(2)
	for _, title := range []string{"x", "y", "Final"} {
		if _, err := w.db.Update(ctx, a.ID, func(v *video.Video) error { v.Name = title; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []video.ID{b.ID, before.ID} {
		if _, err := w.db.Withdraw(ctx, id, func(*video.Video) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"put Final", "remove " + b.ID.String(), "remove " + before.ID.String()}
	// It is down: nothing moves. Then it is told the same.
	p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, errDown }
	cursor := w.friend(them).Cursor
	if wait := w.waits(them); wait != 2*time.Second {
		t.Errorf("the first wait is %v", wait)
	}
	if f := w.friend(them); f.Cursor != cursor || f.Attempts != 1 || f.Score != network.StartScore || !strings.Contains(f.Problem, "refused") || f.Reachable() {
		t.Errorf("%+v", f)
	}
	p.send = nil
	w.mustFlush(them)
	if got := w.peers.took(p); len(got) != 1 || !slices.Equal(kinds(got), want) {
		t.Errorf("%q, want %q", kinds(got), want)
	}
	last, err := w.db.LastChange(ctx)
	if f := w.friend(them); err != nil || f.Cursor != last || f.Attempts != 0 || f.Score != network.StartScore+network.ScoreStep || f.Problem != "" {
		t.Errorf("%+v, %v", f, err)
	}
	w.mustFlush(them)
	if got := w.peers.took(p); len(got) > 0 {
		t.Errorf("once more: %q", kinds(got))
	}
	// A greeting is no delivery.
	w.Greet(ctx, them)
	w.mustFlush(them)
	if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"greeting"}) || w.friend(them).Score != network.StartScore+network.ScoreStep {
		t.Errorf("%q, %+v", got, w.friend(them))
	}
	w.mustFlush(them)
	if got := w.peers.took(p); len(got) > 0 {
		t.Errorf("greeted again: %q", kinds(got))
	}
	// What is to be told is a greeting as well.
	w.add(3)
	w.Greet(ctx, them)
	w.mustFlush(them)
	if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"put " + name(3)}) {
		t.Errorf("%q", got)
	}
}

// TestFlushMuch: very many changes are told in their order, and what was told is not
// told again where it breaks off.
func TestFlushMuch(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	var want []string
	for i := range 2*changesAtOnce + 50 {
		w.add(i)
		want = append(want, "put "+name(i))
	}
	n := 0
	p.send = func(_ context.Context, path string, body []byte) (any, bool, error) {
		if n++; n == 2 {
			return nil, false, errDown
		}
		return w.peers.answer(p, path, body)
	}
	w.waits(them)
	w.mustFlush(them)
	got := w.peers.took(p)
	if !slices.Equal(kinds(got), want) || len(got) != 3 {
		t.Errorf("%d events in %d batches", len(kinds(got)), len(got))
	}
	if f := w.friend(them); f.Score != network.StartScore+3*network.ScoreStep {
		t.Errorf("a score of %d", f.Score)
	}
}

// TestLogIsLost: where the log does not go back to what a friend knows, it is to
// compare.
func TestLogIsLost(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	for i := range 3 {
		w.add(i)
	}
	r := redis.NewClient(&redis.Options{Network: "unix", Addr: w.redis})
	defer r.Close()
	if err := r.Del(t.Context(), "fed:log").Err(); err != nil {
		t.Fatal(err)
	}
	w.mustFlush(them)
	if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"compare"}) {
		t.Errorf("%q", got)
	}
	if f := w.friend(them); f.Score != network.StartScore {
		t.Errorf("it is paid for: %+v", f)
	}
	w.add(4)
	w.mustFlush(them)
	if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"put " + name(4)}) {
		t.Errorf("then %q", got)
	}
}

// TestDown: the waits of one delivery are 16 h 24 min in all, and it costs score once;
// who stays down is revoked after ten of them, and its videos go.
func TestDown(t *testing.T) {
	w := newWorld(t)
	for _, v := range films(them, 3) {
		if _, err := w.db.Take(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	p := w.befriend(them)
	w.befriend(third)
	w.add(1)
	attempts := 0
	p.send = func(context.Context, string, []byte) (any, bool, error) { attempts++; return nil, false, errDown }
	began := w.clock.now()
	for delivery := 1; delivery <= 10; delivery++ {
		started := w.clock.now()
		for n := 1; n <= friends.Tries; n++ {
			if delivery == 10 && n == friends.Tries {
				w.mustFlush(them)
				continue
			}
			wait, want := w.waits(them), time.Duration(0)
			if n < friends.Tries {
				want = friends.RetryAfter(n)
			}
			if wait != want {
				t.Errorf("delivery %d, attempt %d: a wait of %v, want %v", delivery, n, wait, want)
			}
			w.clock.advance(wait)
			score := network.StartScore - network.Score(10*(delivery-1))
			if n == friends.Tries {
				score -= network.ScoreStep
			}
			if f := w.friend(them); f.Score != score || f.State != network.Friend {
				t.Fatalf("delivery %d, attempt %d: %+v, want a score of %d", delivery, n, f, score)
			}
		}
		if took := w.clock.now().Sub(started); took != 59048*time.Second {
			t.Errorf("delivery %d took %v", delivery, took)
		}
		if w.clock.now().Sub(began) < 48*time.Hour && w.count(them) != 3 {
			t.Error("its videos are gone")
		}
	}
	if attempts != 110 {
		t.Errorf("%d attempts", attempts)
	}
	if f := w.friend(them); f.State != network.Revoked || f.Score != 0 || w.count(them) != 0 {
		t.Errorf("%+v, %d videos", f, w.count(them))
	}
	w.mustFlush(them)
	if f := w.friend(third); attempts != 110 || f.State != network.Friend || f.Score != network.StartScore {
		t.Errorf("%d attempts, another friend is %+v", attempts, f)
	}
}

// TestBackInTime: a friend that comes back in the middle loses nothing, and one that is
// heard of is tried from the beginning.
func TestBackInTime(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	w.add(1)
	p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, errDown }
	for range 10 {
		w.clock.advance(w.waits(them))
	}
	w.Heard(t.Context(), them)
	if f := w.friend(them); !f.Reachable() || w.task(taskFlush, them) == "" || w.task(taskRepair, them) == "" {
		t.Errorf("heard of, and %+v, %q", f, w.task(taskFlush, them))
	}
	if wait := w.waits(them); wait != friends.RetryAfter(1) {
		t.Errorf("a wait of %v", wait)
	}
	p.send = nil
	w.mustFlush(them)
	if f := w.friend(them); f.Score != network.StartScore+network.ScoreStep || f.Attempts != 0 {
		t.Errorf("%+v", f)
	}
}

// TestWeStartOften: a pod that starts again and again says hello each time, which is no
// reason to give up a friend that is down for an hour.
func TestWeStartOften(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, errDown }
	before := w.clock.now()
	var left time.Duration
	for range 200 {
		w.Greet(t.Context(), them)
		left = w.waits(them)
		w.clock.advance(18 * time.Second)
	}
	f := w.friend(them)
	if f.State != network.Friend || f.Score != network.StartScore || f.Attempts >= friends.Tries {
		t.Errorf("after %v: %+v", w.clock.now().Sub(before), f)
	}
	if want := f.LastFailure.Add(f.NextTry()).Sub(w.clock.now().Add(-18 * time.Second)); left != want {
		t.Errorf("the wait for the next attempt is %v, want %v", left, want)
	}
}

// TestGreetingIsTriedAgain: who was away when we said that we are here is told so when
// it is back, and is not taken for unreachable for ever.
func TestGreetingIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, errDown }
	w.Greet(t.Context(), them)
	if wait := w.waits(them); wait != friends.RetryAfter(1) {
		t.Errorf("a wait of %v", wait)
	}
	w.clock.advance(friends.RetryAfter(1))
	if wait := w.waits(them); wait != friends.RetryAfter(2) {
		t.Errorf("then a wait of %v", wait)
	}
	p.send = nil
	w.mustFlush(them)
	if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"greeting"}) || !w.friend(them).Reachable() {
		t.Errorf("%q, %+v", got, w.friend(them))
	}
	w.mustFlush(them)
	if got := w.peers.took(p); len(got) > 0 {
		t.Errorf("greeted again: %q", kinds(got))
	}
}

// TestUnknown: a friend that does not take our messages has forgotten us, or left.
func TestUnknown(t *testing.T) {
	unknown := func(context.Context, string, []byte) (any, bool, error) { return nil, true, nil }
	t.Run("forgotten", func(t *testing.T) {
		w := newWorld(t)
		p := w.befriend(them)
		w.add(1)
		p.send = unknown
		p.hello = func() (bool, error) { p.send = nil; return false, nil } // it knows us from now on
		w.mustFlush(them)
		if got := kinds(w.peers.took(p)); len(got) != 1 {
			t.Errorf("it is told %q", got)
		}
		if f := w.friend(them); p.hellos != 1 || f.Attempts != 0 || f.Score != network.StartScore+network.ScoreStep || f.State != network.Friend {
			t.Errorf("%d hellos, %+v", p.hellos, f)
		}
	})
	t.Run("it takes us and nothing of us", func(t *testing.T) { // its clock is wrong, say
		w := newWorld(t)
		p := w.befriend(them)
		w.add(1)
		p.send = unknown
		for n := 1; n < friends.Tries; n++ {
			if wait := w.waits(them); wait != friends.RetryAfter(n) {
				t.Errorf("attempt %d: a wait of %v, want %v", n, wait, friends.RetryAfter(n))
			}
			w.clock.advance(friends.RetryAfter(n))
		}
		w.waits(them)
		if f := w.friend(them); f.Score != network.StartScore-network.ScoreStep || p.hellos != friends.Tries || f.Problem == "" {
			t.Errorf("%+v after %d hellos", f, p.hellos)
		}
	})
	t.Run("left", func(t *testing.T) {
		w := newWorld(t)
		p := w.befriend(them)
		if _, err := w.db.Take(t.Context(), film(them, 1)); err != nil {
			t.Fatal(err)
		}
		w.add(1)
		p.send = unknown
		p.hello = func() (bool, error) { return true, errors.New("403") }
		w.mustFlush(them)
		if f := w.friend(them); f.State != network.Left || f.ByUs || w.count(them) != 0 {
			t.Errorf("%+v, %d videos", f, w.count(them))
		}
	})
	t.Run("silent", func(t *testing.T) {
		w := newWorld(t)
		p := w.befriend(them)
		w.add(1)
		p.send = unknown
		p.hello = func() (bool, error) { return false, errDown }
		if wait := w.waits(them); wait != friends.RetryAfter(1) || w.friend(them).Attempts != 1 {
			t.Errorf("a wait of %v, %+v", wait, w.friend(them))
		}
	})
}

// TestOurEnd: a delivery that is cut off because this pod ends is not the friend's fault.
func TestOurEnd(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	w.add(1)
	ctx, stop := context.WithCancel(t.Context())
	p.send = func(ctx context.Context, _ string, _ []byte) (any, bool, error) {
		stop()
		<-ctx.Done()
		return nil, false, ctx.Err()
	}
	var a *again
	if err := w.flush(ctx, them); !errors.As(err, &a) || a.after != friends.RetryAfter(1) {
		t.Errorf("%v", err)
	}
	if f := w.friend(them); f.Attempts != 0 || !f.Reachable() || f.Problem != "" {
		t.Errorf("%+v", f)
	}
}

// TestNotTold: who is no friend is told nothing, nor who speaks no version of ours.
func TestNotTold(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.befriend(them)
	w.add(1)
	speaks := func(v network.Versions) {
		t.Helper()
		card, err := w.Look(ctx, them, false)
		card.Protocol = v
		if _, err2 := w.list.Meet(ctx, them, card, "1-1"); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
	}
	for name, v := range map[string]network.Versions{"newer": {Min: 7, Max: 9}, "after the switch": {Min: 1, Max: 2, SwitchAt: 1}} {
		speaks(v)
		w.Greet(ctx, them)
		w.mustFlush(them)
		if err := w.repair(ctx, them); err != nil {
			t.Error(err)
		}
		if f := w.friend(them); len(p.asked) > 0 || f.Attempts != 0 || f.Score != network.StartScore {
			t.Errorf("%s: %v, %+v", name, p.asked, f)
		}
	}
	speaks(federation.Speaks)
	w.mustFlush(them)
	if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"put " + name(1)}) {
		t.Errorf("awake again: %q", got)
	}
	clear(p.asked)
	w.add(2)
	for _, change := range []func() error{ // blocked, left, asked
		func() error { return w.list.Block(ctx, them) },
		func() error { return w.list.Unblock(ctx, them) },
		func() error { _, err := w.list.Ask(ctx, them, true); return err },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		w.mustFlush(them)
		if err := w.repair(ctx, them); err != nil || len(p.asked) > 0 {
			t.Errorf("%s: %v, %v", w.friend(them).State, p.asked, err)
		}
	}
	w.mustFlush("stranger.example")
}

// TestKilledBeforeTheVideosWent: the end of a friendship and that of its videos are two
// steps, and what comes between them is made up for.
func TestKilledBeforeTheVideosWent(t *testing.T) {
	down := error(errLater)
	for name, end := range map[string]func(w *world) error{
		"they left": func(w *world) error { return w.Gone(w.t.Context(), them, false) },
		"we left":   func(w *world) error { return w.Leave(w.t.Context(), them) },
		"blocked":   func(w *world) error { return w.Block(w.t.Context(), them) },
		"revoked": func(w *world) error {
			w.peers.all[them].send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, errDown }
			w.add(1)
			for range 109 {
				w.clock.advance(w.waits(them))
			}
			return w.flush(w.t.Context(), them)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.befriend(them)
			for _, v := range films(them, 3) {
				if _, err := w.db.Take(t.Context(), v); err != nil {
					t.Fatal(err)
				}
			}
			w.catalog.forgetAll.Store(&down)
			if err := end(w); !errors.Is(err, down) {
				t.Fatal(err)
			}
			if f := w.friend(them); f.State == network.Friend || w.count(them) != 3 {
				t.Fatalf("%+v, %d videos", f, w.count(them))
			}
			w.sweep(t.Context())
			if w.task(taskFlush, them) == "" {
				t.Error("nobody sees to it")
			}
			w.mustFlush(them)
			if w.count(them) != 0 {
				t.Errorf("%d videos of who is no friend", w.count(them))
			}
		})
	}
}
