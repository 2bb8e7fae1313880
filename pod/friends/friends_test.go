package friends_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	ask := with(same, "nobody", "asked 100", "we left", "!conflict", "it left", "asked 100", "revoked", "!conflict", "revoked long ago", "asked 50", "blocked", "!forbidden")
	meet := with(same, "nobody", "friend 100", "asked", "friend 70", "friend", "friend 60", "at its end", "friend 10", "we left", "!forbidden", "it left", "friend 100", "revoked", "!forbidden", "revoked long ago", "friend 50", "blocked", "!forbidden")
	type call func(context.Context, *friends.List) error
	for _, c := range []struct {
		name string
		do   call
		want map[string]string
	}{
		{"Ask", func(ctx context.Context, l *friends.List) error { return only(l.Ask(ctx, them, false)) }, ask},
		{"Ask, insisting", func(ctx context.Context, l *friends.List) error { return only(l.Ask(ctx, them, true)) }, with(ask, "we left", "asked 100", "revoked", "asked 50")},
		{"Meet", func(ctx context.Context, l *friends.List) error { return only(l.Meet(ctx, them, card, "7-7")) }, meet},
		{"Meet with another key", func(ctx context.Context, l *friends.List) error {
			other := card
			other.Key = "another"
			return only(l.Meet(ctx, them, other, "7-7"))
		}, with(meet, "friend", "!conflict", "at its end", "!conflict")},
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

func TestScoreHasBounds(t *testing.T) {
	for most, want := range map[network.Score]network.Score{0: network.DefaultScore, 150: 150, 105: 105} {
		l := friends.New(newMemory(*known(newClock().now())["friend"]), us, most, newClock().now)
		for range 200 {
			if err := l.Delivered(t.Context(), them, "7-7", true); err != nil {
				t.Fatal(err)
			}
		}
		f, _, _ := l.Get(t.Context(), them)
		if f.Score != want || f.Attempts != 0 || f.Problem != "" || f.Cursor != "7-7" || f.LastSuccess.IsZero() {
			t.Errorf("%+v, want a score of %d", f, want)
		}
	}
	odd := *known(newClock().now())["at its end"]
	odd.Score = 5
	l := friends.New(newMemory(odd), us, 0, newClock().now)
	if f, revoked, err := l.Failed(t.Context(), them, "x"); err != nil || !revoked || f.Score != 0 {
		t.Errorf("below 0: %+v, %v, %v", f, revoked, err)
	}
}

func TestRetryAfter(t *testing.T) {
	var sum time.Duration
	want := 2 * time.Second
	for n := 1; n < friends.Tries; n++ {
		if got := friends.RetryAfter(n); got != want {
			t.Errorf("after attempt %d: %v, want %v", n, got, want)
		}
		sum += friends.RetryAfter(n)
		want *= 3
	}
	if sum != 59048*time.Second || sum.Round(time.Minute) != 16*time.Hour+24*time.Minute {
		t.Errorf("%v in all", sum)
	}
	for _, n := range []int{-1, 0} {
		if got := friends.RetryAfter(n); got != 2*time.Second {
			t.Errorf("RetryAfter(%d) is %v", n, got)
		}
	}
	if got := friends.RetryAfter(1 << 40); got != friends.RetryAfter(friends.Tries-1) {
		t.Errorf("after very many: %v", got)
	}
}

// TestDown: a pod that is down for two days is still a friend; one that never comes
// back is revoked after ten deliveries that failed for good.
func TestDown(t *testing.T) {
	clock := newClock()
	f := *known(clock.now())["friend"]
	f.Attempts, f.Score = 0, network.StartScore
	l := friends.New(newMemory(f), us, 0, clock.now)
	began := clock.now()
	for attempts := 1; ; attempts++ {
		f, revoked, err := l.Failed(t.Context(), them, "connection refused")
		if err != nil {
			t.Fatal(err)
		}
		down := clock.now().Sub(began)
		if want := network.StartScore - network.Score(10*(attempts/friends.Tries)); f.Score != want {
			t.Fatalf("a score of %d after %d attempts", f.Score, attempts)
		}
		if f.Reachable() || f.Problem == "" || !f.LastFailure.Equal(clock.now()) {
			t.Fatalf("%+v", f)
		}
		if !revoked {
			if down < 48*time.Hour && f.State != network.Friend {
				t.Fatalf("%s after %v", f.State, down)
			}
			clock.advance(f.NextTry())
			continue
		}
		if attempts != 110 || down != 10*59048*time.Second || f.State != network.Revoked || !f.Until.Equal(clock.now().Add(24*time.Hour)) {
			t.Errorf("revoked after %d attempts and %v: %+v", attempts, down, f)
		}
		break
	}
	if again, revoked, err := l.Failed(t.Context(), them, "x"); err != nil || revoked || again.State != "" {
		t.Errorf("revoked once more: %+v, %v, %v", again, revoked, err)
	}
	// It comes back: not at once, and at half the score.
	if _, err := l.Meet(t.Context(), them, card, "9-9"); !api.Is(err, api.CodeForbidden) {
		t.Errorf("at once: %v", err)
	}
	clock.advance(24*time.Hour - time.Millisecond)
	if _, err := l.Meet(t.Context(), them, card, "9-9"); !api.Is(err, api.CodeForbidden) {
		t.Errorf("a moment too early: %v", err)
	}
	clock.advance(time.Millisecond)
	if fresh, err := l.Meet(t.Context(), them, card, "9-9"); err != nil || !fresh {
		t.Errorf("after the cool-down: %v, %v", fresh, err)
	}
	if f, _, _ := l.Get(t.Context(), them); f.Score != network.StartScore/2 || !f.Until.IsZero() || f.Attempts != 0 {
		t.Errorf("%+v", f)
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

// TestChangesAreSeen: what this process changed is what it reads from then on, also
// where a reading was under way; what another one changed is seen after a moment.
func TestChangesAreSeen(t *testing.T) {
	clock := newClock()
	m := newMemory(*known(clock.now())["friend"])
	l := friends.New(m, us, 0, clock.now)
	reading, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.read = func() { once.Do(func() { close(reading); <-goOn }) }
	go func() {
		defer close(done)
		_, _, _ = l.Get(t.Context(), them)
	}()
	<-reading
	if err := l.Block(t.Context(), them); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	<-done
	if f, _, err := l.Get(t.Context(), them); err != nil || f.State != network.Blocked {
		t.Errorf("a blocked pod is a %s, %v", f.State, err)
	}
	other := friends.New(m, us, 0, clock.now)
	if err := other.Unblock(t.Context(), them); err != nil {
		t.Fatal(err)
	}
	clock.advance(time.Second)
	if f, _, err := l.Get(t.Context(), them); err != nil || f.State != network.Left {
		t.Errorf("another process changed it: %s, %v", f.State, err)
	}
	if err := other.Block(t.Context(), them); err != nil {
		t.Fatal(err)
	}
	clock.advance(-time.Hour) // somebody sets the clock
	if f, _, err := l.Get(t.Context(), them); err != nil || f.State != network.Blocked {
		t.Errorf("after the clock was set: %s, %v", f.State, err)
	}
}

// TestOneAtATime: changes of one pod wait for each other, and nobody waits for longer
// than they want.
func TestOneAtATime(t *testing.T) {
	s := &slow{memory: newMemory(*known(newClock().now())["friend"]), inside: make(chan struct{}), goOn: make(chan struct{})}
	l := friends.New(s, us, 0, newClock().now)
	done := make(chan error, 1)
	go func() { done <- l.Delivered(t.Context(), them, "7-7", true) }()
	<-s.inside
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := l.Delivered(ctx, them, "8-8", true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who waits: %v", err)
	}
	close(s.goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if f, _, _ := l.Get(t.Context(), them); f.Score != 70 || f.Cursor != "7-7" {
		t.Errorf("%+v", f)
	}
}

// slow is a store whose changes take until goOn is closed.
type slow struct {
	*memory
	inside, goOn chan struct{}
}

func (s *slow) ChangeFriend(ctx context.Context, h network.Host, change func(*friends.Friend) error) (friends.Friend, error) {
	close(s.inside)
	<-s.goOn
	return s.memory.ChangeFriend(ctx, h, change)
}

func TestStoreIsDown(t *testing.T) {
	m := newMemory(*known(newClock().now())["friend"])
	l := friends.New(m, us, 0, newClock().now)
	m.fail = &api.Error{Code: api.CodeUnavailable}
	only := func(_ any, err error) error { return err }
	_, revoked, failed := l.Failed(t.Context(), them, "x")
	left, leave := l.Leave(t.Context(), them, true)
	fresh, meet := l.Meet(t.Context(), them, card, "1-1")
	for name, err := range map[string]error{
		"Ask": only(l.Ask(t.Context(), them, true)), "Meet": meet, "Leave": leave, "Failed": failed,
		"Delivered": l.Delivered(t.Context(), them, "1", true), "Block": l.Block(t.Context(), them), "Unblock": l.Unblock(t.Context(), them),
		"Heard": l.Heard(t.Context(), them), "SetKey": l.SetKey(t.Context(), them, "x"), "Repaired": l.Repaired(t.Context(), them),
	} {
		if !api.Is(err, api.CodeUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if revoked || left || fresh {
		t.Error("something is said to have happened")
	}
}
