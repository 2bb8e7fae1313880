package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/shared/network"
)

// task is what is done for a friend; there is one of a kind for a friend at a time.
type task struct {
	kind string
	host network.Host
}

func (t task) id() string { return t.kind + ":" + string(t.host) }

// queue is asynq's, of all tasks.
const queue = "federation"

// The kinds of tasks.
const (
	taskFlush  = "flush"
	taskRepair = "repair"
	taskJoin   = "join"
	taskLook   = "look"
)

// Times of the tasks.
const (
	taskTime    = 10 * time.Minute
	sweepEvery  = 5 * time.Second
	concurrency = 16
	// settle is how long asynq may need, at most, to take away a task that has ended.
	settle = 2 * time.Second
	// lateEvery is how often is looked whether such a task is away.
	lateEvery = 50 * time.Millisecond
)

// again is an attempt that failed and is to be repeated after a while.
type again struct {
	after time.Duration
	cause error
}

func (a *again) Error() string { return a.cause.Error() }
func (a *again) Unwrap() error { return a.cause }

// startTasks has asynq run the tasks until it is shut down.
func (o *Outbox) startTasks(ctx context.Context) (*asynq.Server, error) {
	// What was worked at when this process was killed is asked for anew by begin.
	o.dropOrphans(ctx)
	o.dropOrphans(ctx)
	server := asynq.NewServer(o.parts.Redis, asynq.Config{
		Concurrency: concurrency, Queues: map[string]int{queue: 1},
		TaskCheckInterval: 200 * time.Millisecond, DelayedTaskCheckInterval: time.Second, ShutdownTimeout: 5 * time.Second,
		BaseContext: func() context.Context { return ctx },
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
			var a *again
			if errors.As(err, &a) {
				return a.after
			}
			return time.Second // our own Redis was away
		},
		// asynq counts nothing and gives nothing up: friends.List says when it is enough.
		IsFailure: func(error) bool { return false },
		Logger:    taskLog{o.cfg.Log}, LogLevel: asynq.ErrorLevel,
	})
	mux := asynq.NewServeMux()
	for kind, do := range map[string]func(context.Context, network.Host) error{taskFlush: o.flush, taskRepair: o.repair, taskJoin: o.join, taskLook: o.look} {
		mux.HandleFunc(kind, func(ctx context.Context, t *asynq.Task) error {
			return o.work(ctx, task{kind, network.Host(t.Payload())}, do)
		})
	}
	if err := server.Start(mux); err != nil {
		return nil, fmt.Errorf("start tasks: %w", err)
	}
	return server, nil
}

// work does a task, and makes of what is to be repeated what asynq repeats.
func (o *Outbox) work(ctx context.Context, t task, do func(context.Context, network.Host) error) error {
	o.mu.Lock()
	o.at[t] = time.Time{}
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.at[t] = time.Now()
	}()
	err := do(ctx, t.host)
	var a *again
	if err != nil && !errors.As(err, &a) {
		o.cfg.Log.Warn("a task for a friend failed; it is tried again", "err", err)
	}
	return err
}

// enqueue adds a task unless one waits already.
func (o *Outbox) enqueue(ctx context.Context, kind string, h network.Host) {
	o.add(ctx, task{kind, h}, false)
}

// atOnce has a task run now, also where it waits for another attempt.
func (o *Outbox) atOnce(ctx context.Context, kind string, h network.Host) {
	t := task{kind, h}
	if err := o.jobs.RunTask(queue, t.id()); err != nil {
		o.add(ctx, t, true)
	}
}

// add adds a task. One that is worked at may have seen already what the new one is for,
// or not: the new one comes when it is away.
func (o *Outbox) add(ctx context.Context, t task, hurry bool) {
	_, err := o.tasks.EnqueueContext(ctx, asynq.NewTask(t.kind, []byte(t.host)), asynq.TaskID(t.id()), asynq.Queue(queue), asynq.Timeout(taskTime))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if _, here := o.at[t]; here {
			o.late[t] = o.late[t] || hurry
		}
		return
	}
	if err != nil && ctx.Err() == nil {
		o.cfg.Log.Warn("a task for a friend could not be noted; it will be", "task", t.kind, "friend", t.host, "err", err)
	}
}

// catchUp adds tasks that came while the same was worked at.
func (o *Outbox) catchUp(ctx context.Context) {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for t, hurry := range o.takeLate() {
				if hurry {
					o.atOnce(ctx, t.kind, t.host)
				} else {
					o.enqueue(ctx, t.kind, t.host)
				}
			}
		}
	}
}

// takeLate gives what is late and is not worked at any more. What asynq has not taken
// away yet is late once more, until it has settled.
func (o *Outbox) takeLate() map[task]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[task]bool{}
	for t, hurry := range o.late {
		if ended, here := o.at[t]; !here || !ended.IsZero() {
			out[t] = hurry
			delete(o.late, t)
		}
	}
	for t, ended := range o.at {
		if !ended.IsZero() && time.Since(ended) > settle {
			delete(o.at, t)
		}
	}
	return out
}

// dropOrphans drops tasks that asynq takes for being worked at, and nobody works at: the
// process was killed, or Redis, in the moment when one began or ended. asynq would wait
// for two minutes. What is found for the first time may have begun just now.
func (o *Outbox) dropOrphans(ctx context.Context) {
	if o.parts.Alone == nil {
		return
	}
	active, err := o.jobs.ListActiveTasks(queue, asynq.PageSize(2*concurrency))
	if err != nil && !errors.Is(err, asynq.ErrQueueNotFound) {
		return // the sweep comes
	}
	for _, id := range o.orphaned(active) {
		if err := o.parts.Alone.DropTask(ctx, queue, id); err != nil {
			o.cfg.Log.Warn("a task that nobody works at cannot be dropped; it will be", "task", id, "err", err)
		}
	}
}

// orphaned gives the ids of what nobody works at, now and the last time.
func (o *Outbox) orphaned(active []*asynq.TaskInfo) (ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.orphans
	o.orphans = map[string]bool{}
	for _, info := range active {
		if _, here := o.at[task{info.Type, network.Host(info.Payload)}]; here {
			continue
		}
		o.orphans[info.ID] = true
		if before[info.ID] {
			ids = append(ids, info.ID)
		}
	}
	return ids
}

// taskLog is asynq's.
type taskLog struct{ log *slog.Logger }

func (l taskLog) Debug(...any)      {}
func (l taskLog) Info(...any)       {}
func (l taskLog) Warn(args ...any)  { l.log.Warn("tasks of federation", "what", words(args)) }
func (l taskLog) Error(args ...any) { l.log.Warn("tasks of federation", "what", words(args)) }
func (l taskLog) Fatal(args ...any) { l.log.Error("tasks of federation", "what", words(args)) }
func words(args []any) string       { return strings.TrimSpace(fmt.Sprintln(args...)) }
