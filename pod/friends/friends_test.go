package friends_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kinopod/build/leak"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

const us, them = network.Host("us.example"), network.Host("them.example")

// clock is time as the test says.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

var card = friends.Card{Name: "Them", Key: "key", Secure: true, Protocol: network.Versions{Min: 1, Max: 1}}

// known are the states that a pod may be in.
func known(now time.Time) map[string]*friends.Friend {
	since := now.Add(-48 * time.Hour)
	of := func(s network.State, score network.Score) *friends.Friend {
		return &friends.Friend{Host: them, State: s, Score: score, Since: since, Key: "key"}
	}
	all := map[string]*friends.Friend{
		"nobody": nil, "asked": of(network.Asked, 70), "friend": of(network.Friend, 60), "at its end": of(network.Friend, 10),
		"we left": of(network.Left, 60), "it left": of(network.Left, 60), "revoked": of(network.Revoked, 0), "revoked long ago": of(network.Revoked, 0), "blocked": of(network.Blocked, 60),
	}
	all["asked"].Key = ""
	all["we left"].ByUs = true
	all["revoked"].Until = now.Add(time.Millisecond)
	all["revoked long ago"].Until = now
	for _, name := range []string{"friend", "at its end"} {
		all[name].Attempts, all[name].Cursor, all[name].Problem = friends.Tries-1, "1-1", "timeout"
	}
	return all
}

// said is a pod's record in short.
func said(now time.Time, f friends.Friend) string {
	if f.State == "" {
		return "nobody"
	}
	out := fmt.Sprintf("%s %d", f.State, f.Score)
	if f.ByUs {
		out += " by us"
	}
	if !f.Until.IsZero() {
		out += fmt.Sprintf(" for %s", f.Until.Sub(now))
	}
	return out
}

// TestRules has every state meet everything that may happen. "=" is that the record
// stays as it is; "!code" that it does, with an error.
func TestRules(t *testing.T) {
	only := func(_ any, err error) error { return err }
	same := map[string]string{"nobody": "=", "asked": "=", "friend": "=", "at its end": "=", "we left": "=", "it left": "=", "revoked": "=", "revoked long ago": "=", "blocked": "="}
	with := func(base map[string]string, states ...string) map[string]string {
		out := map[string]string{}
		for k, v := range base {
			out[k] = v
		}
		for i := 0; i < len(states); i += 2 {
			out[states[i]] = states[i+1]
		}
		return out
	}
	ask := with(same, "nobody", "asked 100", "we left", "!conflict", "it left", "asked 60", "revoked", "!conflict", "revoked long ago", "asked 50", "blocked", "!forbidden")
	meet := with(same, "nobody", "friend 100", "asked", "friend 70", "friend", "friend 60", "at its end", "friend 10", "we left", "!forbidden", "it left", "friend 60", "revoked", "!unavailable", "revoked long ago", "friend 50", "blocked", "!forbidden")
	type call func(context.Context, *friends.List) error
	for _, c := range []struct {
		name string
		do   call
		want map[string]string
	}{
		{"Ask", func(ctx context.Context, l *friends.List) error { return only(l.Ask(ctx, them, false)) }, ask},
		{"Ask, insisting, and Meet with another key", func(ctx context.Context, l *friends.List) error {
			other := card
			other.Key = "another"
			return errors.Join(only(l.Leave(ctx, them, false)), only(l.Ask(ctx, them, true)), only(l.Meet(ctx, them, other, "7-7")))
		}, map[string]string{
			"nobody": "friend 100", "asked": "friend 70", "friend": "friend 60", "at its end": "friend 10", "we left": "friend 60", "it left": "friend 60",
			"revoked": "friend 50", "revoked long ago": "friend 50", "blocked": "!forbidden",
		}},
		{"Ask, insisting", func(ctx context.Context, l *friends.List) error { return only(l.Ask(ctx, them, true)) }, with(ask, "we left", "asked 60", "revoked", "asked 50")},
		{"Meet", func(ctx context.Context, l *friends.List) error { return only(l.Meet(ctx, them, card, "7-7")) }, meet},
		{"Meet with another key", func(ctx context.Context, l *friends.List) error {
			other := card
			other.Key = "another"
			return only(l.Meet(ctx, them, other, "7-7"))
		}, with(meet, "friend", "!conflict", "at its end", "!conflict", "it left", "!conflict", "revoked long ago", "!conflict")},
		{"Leave, our word", func(ctx context.Context, l *friends.List) error { return only(l.Leave(ctx, them, true)) }, with(same, "asked", "left 70 by us", "friend", "left 60 by us", "at its end", "left 10 by us")},
		{"Leave, their word", func(ctx context.Context, l *friends.List) error { return only(l.Leave(ctx, them, false)) }, with(same, "asked", "left 70", "friend", "left 60", "at its end", "left 10")},
		{"Block", func(ctx context.Context, l *friends.List) error { return l.Block(ctx, them) }, with(same, "nobody", "blocked 0", "asked", "blocked 70", "friend", "blocked 60", "at its end", "blocked 10", "we left", "blocked 60", "it left", "blocked 60", "revoked", "blocked 0", "revoked long ago", "blocked 0")},
		{"Unblock", func(ctx context.Context, l *friends.List) error { return l.Unblock(ctx, them) }, map[string]string{"nobody": "!not_found", "asked": "!not_found", "friend": "!not_found", "at its end": "!not_found", "we left": "!not_found", "it left": "!not_found", "revoked": "!not_found", "revoked long ago": "!not_found", "blocked": "left 60"}},
		{"Failed for the last time", func(ctx context.Context, l *friends.List) error {
			_, _, err := l.Failed(ctx, them, "no answer")
			return err
		}, with(same, "friend", "friend 50", "at its end", "revoked 0 for 24h0m0s")},
		{"Delivered", func(ctx context.Context, l *friends.List) error { return l.Delivered(ctx, them, "7-7", true) }, with(same, "friend", "friend 70", "at its end", "friend 20")},
		{"a greeting", func(ctx context.Context, l *friends.List) error { return l.Delivered(ctx, them, "7-7", false) }, with(same, "friend", "friend 60", "at its end", "friend 10")},
		{"Heard", func(ctx context.Context, l *friends.List) error { return l.Heard(ctx, them) }, with(same, "friend", "friend 60", "at its end", "friend 10")},
		{"SetKey", func(ctx context.Context, l *friends.List) error { return l.SetKey(ctx, them, "new") }, with(same, "friend", "friend 60", "at its end", "friend 10")},
		{"Repaired", func(ctx context.Context, l *friends.List) error { return l.Repaired(ctx, them) }, with(same, "friend", "friend 60", "at its end", "friend 10")},
	} {
		clock := newClock()
		for state, before := range known(clock.now()) {
			t.Run(c.name+"/"+state, func(t *testing.T) {
				m := newMemory()
				if before != nil {
					m.all[them] = *before
				}
				l := friends.New(m, us, 0, clock.now)
				err := c.do(t.Context(), l)
				got, ok, getErr := l.Get(t.Context(), them)
				if getErr != nil || ok != (got.State != "") {
					t.Fatal(got, ok, getErr)
				}
				want := c.want[state]
				if code, refused := strings.CutPrefix(want, "!"); refused {
					if !api.Is(err, api.Code(code)) {
						t.Errorf("%v, want code %s", err, code)
					}
					want = "="
				} else if err != nil {
					t.Error(err)
				}
				if want != "=" {
					if said(clock.now(), got) != want {
						t.Errorf("%s, want %s", said(clock.now(), got), want)
					}
					if before != nil && before.State != got.State && !got.Since.Equal(clock.now()) {
						t.Errorf("it entered %s at %v", got.State, got.Since)
					}
					return
				}
				if c.name == "Ask, insisting" && got.Wanted {
					got.Wanted = before.Wanted // is all that happens
				}
				if before == nil && ok || before != nil && got != *before {
					t.Errorf("it became %+v, it was %+v", got, before)
				}
			})
		}
	}
}

// TestMeet: what is kept, and what not, of who becomes a friend.
func TestMeet(t *testing.T) {
	clock := newClock()
	for state, before := range known(clock.now()) {
		m := newMemory()
		if before != nil {
			m.all[them] = *before
		}
		l := friends.New(m, us, 0, clock.now)
		fresh, err := l.Meet(t.Context(), them, card, "7-7")
		f, _, _ := l.Get(t.Context(), them)
		if err != nil {
			if fresh {
				t.Errorf("%s: refused, and new", state)
			}
			continue
		}
		was := before != nil && before.State == network.Friend
		if fresh == was || f.Name != "Them" || f.Key != "key" || !f.Secure || f.Protocol != card.Protocol {
			t.Errorf("%s: fresh %v, %+v", state, fresh, f)
		}
		if was && f.Cursor != "1-1" || !was && f.Cursor != "7-7" {
			t.Errorf("%s: it is told from %s on", state, f.Cursor)
		}
		if !was && (f.Attempts != 0 || f.Problem != "" || !f.Repaired.IsZero()) {
			t.Errorf("%s: of former times is left %+v", state, f)
		}
		plain := card
		plain.Secure = false
		if _, err := l.Meet(t.Context(), them, plain, "8-8"); err != nil {
			t.Error(err)
		}
		if f, _, _ := l.Get(t.Context(), them); !f.Secure {
			t.Errorf("%s: https is unlearnt", state)
		}
	}
	l := friends.New(newMemory(*known(clock.now())["friend"]), us, 0, clock.now)
	other := card
	other.Key = "another"
	if _, err := l.Meet(t.Context(), them, other, "7-7"); !errors.Is(err, friends.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	if err := l.SetKey(t.Context(), them, "another"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Meet(t.Context(), them, other, "7-7"); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if _, err := l.Meet(t.Context(), them, card, "7-7"); !errors.Is(err, friends.ErrOtherKey) {
		t.Errorf("the former key: %v", err)
	}
}

func TestOurselves(t *testing.T) {
	m := newMemory()
	l := friends.New(m, us, 0, newClock().now)
	_, asked := l.Ask(t.Context(), us, true)
	_, met := l.Meet(t.Context(), us, card, "1-1")
	for name, err := range map[string]error{"Ask": asked, "Meet": met, "Block": l.Block(t.Context(), us)} {
		if !api.Is(err, api.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(m.all) > 0 {
		t.Errorf("%+v", m.all)
	}
}

// TestSameTime: two pods that present themselves at the same time, or twice, end as one
// friendship.
func TestSameTime(t *testing.T) {
	l := friends.New(newMemory(friends.Friend{Host: them, State: network.Asked, Score: 100}), us, 0, newClock().now)
	var fresh atomic.Int64
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			first, err := l.Meet(t.Context(), them, card, fmt.Sprintf("%d-1", i+1))
			if err != nil {
				t.Error(err)
			}
			if first {
				fresh.Add(1)
			}
			if _, err := l.Ask(t.Context(), them, false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	known, err := l.All(t.Context())
	if err != nil || fresh.Load() != 1 || len(known) != 1 || known[0].State != network.Friend || known[0].Score != network.StartScore {
		t.Errorf("%d times new: %+v, %v", fresh.Load(), known, err)
	}
}

// TestHeard: a delivery begins anew where its friend was heard of, and one that
// succeeds costs nothing.
func TestHeard(t *testing.T) {
	f := *known(newClock().now())["friend"]
	l := friends.New(newMemory(f), us, 0, newClock().now)
	for range 3 {
		if err := l.Heard(t.Context(), them); err != nil {
			t.Fatal(err)
		}
		for range friends.Tries - 1 {
			if _, _, err := l.Failed(t.Context(), them, "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f, _, _ := l.Get(t.Context(), them); f.Score != 60 || f.Attempts != friends.Tries-1 {
		t.Errorf("%+v", f)
	}
	if f, _, _ := l.Failed(t.Context(), them, "x"); f.Score != 50 || f.NextTry() != 0 {
		t.Errorf("%+v", f)
	}
	if f, _, _ := l.Failed(t.Context(), them, "x"); f.Score != 50 || f.NextTry() != friends.RetryAfter(1) {
		t.Errorf("the next delivery: %+v", f)
	}
}

// TestTalksAndTakesNothing: a friend that is heard of all the time and takes no message
// loses score as one does that is away.
func TestTalksAndTakesNothing(t *testing.T) {
	clock := newClock()
	f := *known(clock.now())["friend"]
	f.Attempts = 0
	l := friends.New(newMemory(f), us, 0, clock.now)
	scoreAfter := func(d time.Duration) network.Score {
		t.Helper()
		for end := clock.now().Add(d); clock.now().Before(end); clock.advance(time.Minute) {
			if _, _, err := l.Failed(t.Context(), them, "x"); err != nil {
				t.Fatal(err)
			}
			if err := l.Heard(t.Context(), them); err != nil {
				t.Fatal(err)
			}
		}
		f, _, _ := l.Get(t.Context(), them)
		return f.Score
	}
	if got := scoreAfter(15 * time.Hour); got != 60 {
		t.Errorf("%d, and a delivery has longer than that", got)
	}
	if got := scoreAfter(2 * time.Hour); got != 50 {
		t.Errorf("%d after 17 hours of refusals", got)
	}
	if got := scoreAfter(16 * time.Hour); got != 40 {
		t.Errorf("%d after 33 hours of refusals", got)
	}
	if err := l.Delivered(t.Context(), them, "7-7", false); err != nil {
		t.Fatal(err)
	}
	if got := scoreAfter(15 * time.Hour); got != 40 {
		t.Errorf("%d: what succeeded counts for nothing", got)
	}
	if scoreAfter(100 * time.Hour); l.Heard(t.Context(), them) != nil {
		t.Error("it cannot be heard")
	}
	if f, _, _ := l.Get(t.Context(), them); f.State != network.Revoked {
		t.Errorf("%+v", f)
	}
}

// TestLeavingKeepsTheScore: who leaves and comes back is who it was.
func TestLeavingKeepsTheScore(t *testing.T) {
	for score, want := range map[network.Score]network.Score{10: 10, 60: 60, 700: 700} {
		f := *known(newClock().now())["friend"]
		f.Score = score
		l := friends.New(newMemory(f), us, 0, newClock().now)
		if _, err := l.Leave(t.Context(), them, false); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Meet(t.Context(), them, card, "7-7"); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := l.Get(t.Context(), them); got.Score != want {
			t.Errorf("%d became %d, want %d", score, got.Score, want)
		}
	}
	// Nor is one that was blocked after it was revoked whole again.
	clock := newClock()
	l := friends.New(newMemory(*known(clock.now())["revoked"]), us, 0, clock.now)
	if err := errors.Join(l.Block(t.Context(), them), l.Unblock(t.Context(), them)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Meet(t.Context(), them, card, "7-7"); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := l.Get(t.Context(), them); got.Score != network.StartScore/2 {
		t.Errorf("unblocked: %d", got.Score)
	}
}

// TestRefresh: a card is believed where the key on record stands in it.
func TestRefresh(t *testing.T) {
	clock := newClock()
	before := *known(clock.now())["friend"]
	for key, believed := range map[string]bool{"key": true, "another": false} {
		l := friends.New(newMemory(before), us, 0, clock.now)
		seen := friends.Card{Name: "New name", Key: key, Secure: true, Protocol: network.Versions{Min: 2, Max: 3}}
		f, ok, err := l.Refresh(t.Context(), them, seen)
		if err != nil || !ok || !f.Looked.Equal(clock.now()) || f.Key != "key" || f.Score != 60 || f.Cursor != "1-1" {
			t.Errorf("key %q: %+v, %v, %v", key, f, ok, err)
		}
		if (f.Name == "New name") != believed || f.Secure != believed || (f.Protocol == seen.Protocol) != believed {
			t.Errorf("key %q: %+v", key, f)
		}
	}
	l := friends.New(newMemory(*known(clock.now())["we left"]), us, 0, clock.now)
	if _, ok, err := l.Refresh(t.Context(), them, card); ok || err != nil {
		t.Errorf("no friend: %v, %v", ok, err)
	}
}

// TestSecured: that https has worked is noted of everybody who is known, and of nobody
// else.
func TestSecured(t *testing.T) {
	for state, before := range known(newClock().now()) {
		m := newMemory()
		if before != nil {
			m.all[them] = *before
		}
		l := friends.New(m, us, 0, newClock().now)
		if err := l.Secured(t.Context(), them); err != nil {
			t.Error(err)
		}
		if f, ok, _ := l.Get(t.Context(), them); f.Secure != (before != nil) || ok != (before != nil) {
			t.Errorf("%s: %+v", state, f)
		}
	}
}

// TestDormant: who has no version in common with us, at a time.
func TestDormant(t *testing.T) {
	ours := network.Versions{Min: 1, Max: 2, SwitchAt: 1000}
	f := friends.Friend{Protocol: network.Versions{Min: 1, Max: 1}}
	if f.Dormant(ours, time.Unix(999, 0)) || !f.Dormant(ours, time.Unix(1000, 0)) {
		t.Error("it is left behind at the switch, and not before")
	}
	if f.Protocol.Max = 2; f.Dormant(ours, time.Unix(5000, 0)) {
		t.Error("it has upgraded")
	}
}
