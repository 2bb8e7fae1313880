package friends_test

import (
	"testing"
	"time"

	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

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
	if _, err := l.Meet(t.Context(), them, card, "9-9"); !api.Is(err, api.CodeUnavailable) {
		t.Errorf("at once: %v", err)
	}
	clock.advance(24*time.Hour - time.Millisecond)
	if _, err := l.Meet(t.Context(), them, card, "9-9"); !api.Is(err, api.CodeUnavailable) {
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
