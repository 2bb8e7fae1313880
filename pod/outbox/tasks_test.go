package outbox

import (
	"context"
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/network"
)

// runTasks runs tasks, and nothing that looks for what was forgotten: no sweep.
func (w *world) runTasks() {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	server, err := w.startTasks(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); w.catchUp(ctx) }()
	w.t.Cleanup(func() {
		stop()
		<-ended
		server.Shutdown()
	})
}

func (c *peers) heard(p *peer, what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(kinds(p.batches), what)
}

// begun makes of a task that waits what asynq keeps of one that is worked at.
func (w *world) begun(t task) {
	w.t.Helper()
	ctx := w.t.Context()
	r := redis.NewClient(&redis.Options{Network: "unix", Addr: w.redis})
	defer r.Close()
	if _, err := r.TxPipelined(ctx, func(x redis.Pipeliner) error {
		x.LRem(ctx, "asynq:{federation}:pending", 1, t.id())
		x.LPush(ctx, "asynq:{federation}:active", t.id())
		x.HSet(ctx, "asynq:{federation}:t:"+t.id(), "state", "active")
		x.ZAdd(ctx, "asynq:{federation}:lease", redis.Z{Score: float64(time.Now().Add(30 * time.Second).Unix()), Member: t.id()})
		return nil
	}); err != nil || w.task(t.kind, t.host) != "active" {
		w.t.Fatal(err, w.task(t.kind, t.host))
	}
}

// TestLate: an event is told at once, also where it comes when the friend's task has
// looked for the last time, and asynq has not taken it away yet.
func TestLate(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	flush := task{taskFlush, them}
	w.enqueue(t.Context(), taskFlush, them)
	w.begun(flush)
	w.runTasks()
	if err := w.work(t.Context(), flush, w.flush); err != nil {
		t.Fatal(err)
	}
	w.add(1)
	w.enqueue(t.Context(), taskFlush, them)
	time.Sleep(3 * lateEvery)
	if got := w.task(taskFlush, them); got != "active" {
		t.Fatalf("the task is %q", got)
	}
	if err := w.db.DropTask(t.Context(), queue, flush.id()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is told", func() bool { return w.peers.heard(p, "put "+name(1)) })
	for i := range 15 { // and so on, near the end of the task of the one before
		w.add(2 + i)
		w.enqueue(t.Context(), taskFlush, them)
		eventually(t, "it is told of "+name(2+i), func() bool { return w.peers.heard(p, "put "+name(2+i)) })
	}
}

// TestHurry: who is heard of while an attempt to reach it is under way is tried again
// at once when that has failed, however long the wait would be.
func TestHurry(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	w.add(1)
	p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, errDown }
	for range 8 {
		w.clock.advance(w.waits(them))
	}
	trying, fail := make(chan struct{}), make(chan struct{})
	p.send = func(_ context.Context, path string, body []byte) (any, bool, error) {
		if path != federation.PathEvents {
			return nil, false, errDown
		}
		close(trying)
		<-fail
		w.peers.mu.Lock()
		p.send = nil
		w.peers.mu.Unlock()
		return nil, false, errDown
	}
	w.runTasks()
	w.enqueue(t.Context(), taskFlush, them)
	<-trying
	w.Greet(t.Context(), them)
	close(fail)
	eventually(t, "it is tried again", func() bool { return w.peers.heard(p, "put "+name(1)) })
	eventually(t, "it is reached", func() bool {
		f := w.friend(them)
		return f.Reachable() && f.Score == network.StartScore+network.ScoreStep
	})
}

// TestNewFriendIsCompared: one that did not know us yet when we asked for its videos is
// asked again when it speaks to us, not a minute later.
func TestNewFriendIsCompared(t *testing.T) {
	w := newWorld(t)
	w.runTasks()
	p := w.peers.add(them, films(them, 3)...)
	p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, true, nil } // it does not know us
	card, err := w.Look(t.Context(), them, false)
	if err == nil {
		err = w.Meet(t.Context(), them, card)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is asked in vain", func() bool { return w.task(taskRepair, them) == "retry" })
	w.peers.mu.Lock()
	p.send = nil
	w.peers.mu.Unlock()
	w.Heard(t.Context(), them)
	eventually(t, "its videos are here", func() bool { return w.count(them) == 3 })
	eventually(t, "they were compared", func() bool { return !w.friend(them).Repaired.IsZero() })
	w.peers.mu.Lock()
	asked := p.asked[federation.PathDigest]
	w.peers.mu.Unlock()
	w.Heard(t.Context(), them)
	if w.task(taskRepair, them) != "" || asked != 2 {
		t.Errorf("who was compared is compared with each message: asked %d times, %q", asked, w.task(taskRepair, them))
	}
}

// TestAnswerLost: where the connection breaks nobody knows whether the batch was taken.
// It is sent once more, as a message of its own, and costs nothing.
func TestAnswerLost(t *testing.T) {
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		w := newWorld(t)
		p := w.befriend(them)
		w.add(1)
		n := 0
		p.send = func(_ context.Context, path string, body []byte) (any, bool, error) {
			_, _, err := w.peers.answer(p, path, body)
			if n++; n == 1 && err == nil {
				err = fmt.Errorf("call them: %w", broken)
			}
			return nil, false, err
		}
		w.mustFlush(them)
		if got := kinds(w.peers.took(p)); !slices.Equal(got, []string{"put " + name(1), "put " + name(1)}) {
			t.Errorf("%v: it got %q", broken, got)
		}
		if f := w.friend(them); f.Score != network.StartScore+network.ScoreStep || f.Attempts != 0 || !f.LastFailure.IsZero() {
			t.Errorf("%v: %+v", broken, f)
		}
	}
	w := newWorld(t)
	p := w.befriend(them)
	w.add(1)
	p.send = func(context.Context, string, []byte) (any, bool, error) { return nil, false, io.EOF }
	if wait := w.waits(them); wait != friends.RetryAfter(1) || w.friend(them).Attempts != 1 || p.asked[federation.PathEvents] != 2 {
		t.Errorf("always broken: a wait of %v, %+v, %d messages", wait, w.friend(them), p.asked[federation.PathEvents])
	}
}

// TestOrphans: a task of a process that was killed stands in nobody's way, where no
// other process is there that may be at it.
func TestOrphans(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them)
	w.add(1)
	// What asynq keeps of a task that began and did not end.
	w.enqueue(t.Context(), taskFlush, them)
	w.begun(task{taskFlush, them})
	w.dropOrphans(t.Context())
	w.dropOrphans(t.Context())
	if got := w.task(taskFlush, them); got != "active" {
		t.Errorf("where others may be at it: %q", got)
	}
	w.parts.Alone = w.db
	w.dropOrphans(t.Context())
	if got := w.task(taskFlush, them); got != "active" {
		t.Errorf("it may have begun just now, and is %q", got)
	}
	at, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.work(context.Background(), task{taskFlush, them}, func(context.Context, network.Host) error { close(at); <-release; return nil })
	}()
	<-at
	for range 3 {
		w.dropOrphans(t.Context())
	}
	if got := w.task(taskFlush, them); got != "active" {
		t.Errorf("this process is at it, and it is %q", got)
	}
	close(release)
	<-ended
	w.mu.Lock()
	clear(w.at)
	w.mu.Unlock()
	w.runTasks()
	w.enqueue(t.Context(), taskFlush, them)
	eventually(t, "it is told", func() bool { return w.peers.heard(p, "put "+name(1)) })
}
