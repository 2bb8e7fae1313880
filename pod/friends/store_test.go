package friends_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

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

// TestManyAreReadOnce: what changes of one of a thousand friends does not make the whole
// list be read again, and is seen at once.
func TestManyAreReadOnce(t *testing.T) {
	clock, m := newClock(), newMemory()
	reads := 0
	m.read = func() { reads++ }
	l := friends.New(m, us, 0, clock.now)
	host := func(i int) network.Host { return network.Host(fmt.Sprintf("pod%d.example", i)) }
	for i := range 1000 {
		if _, err := l.Meet(t.Context(), host(i), card, "1-1"); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := l.All(t.Context()); err != nil || len(all) != 1000 {
		t.Fatal(len(all), err)
	}
	for i := range 1000 {
		if err := l.Delivered(t.Context(), host(i), "2-2", true); err != nil {
			t.Fatal(err)
		}
		if f, ok, err := l.Get(t.Context(), host(i)); err != nil || !ok || f.Cursor != "2-2" || f.Score != network.StartScore+network.ScoreStep {
			t.Fatalf("%+v, %v, %v", f, ok, err)
		}
	}
	if _, err := l.Ask(t.Context(), host(1000), false); err != nil {
		t.Fatal(err)
	}
	if all, err := l.All(t.Context()); err != nil || len(all) != 1001 || reads != 1 {
		t.Errorf("%d friends, read %d times, %v", len(all), reads, err)
	}
	m.fail = errors.New("no answer") // nobody knows whether it was kept
	if err := l.Delivered(t.Context(), host(0), "3-3", true); err == nil {
		t.Error("no error")
	}
	if _, _, err := l.Get(t.Context(), host(0)); err != nil || reads != 2 {
		t.Errorf("after a change that failed: read %d times, %v", reads, err)
	}
}
