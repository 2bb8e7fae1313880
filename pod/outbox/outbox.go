// Package outbox is what this pod says to other pods by itself: it makes friends, tells
// them of its videos, and asks them for theirs.
//
// # Telling
//
// What changes stands in a log (Log); each friend has a position in it. One asynq task
// a friend, "flush:HOST", sends what is past the position in batches and moves it on
// success: the order is kept, there is one delivery at a time for a friend, and one
// pending task however long it is down. An event is made of what the catalogue says when
// it is sent, so that many changes of one video are one event.
//
// A batch that fails is tried again as friends.RetryAfter says; friends.List counts the
// attempts and keeps the score. Where a friend is heard of, its task runs at once.
//
// # Asking
//
// "repair:HOST" compares the digest of a friend's own videos with what the catalogue
// has, and fetches the parts that differ. So a new friend's videos come, and whatever
// went wrong before is mended.
package outbox

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Caller calls other pods.
type Caller interface {
	// Card says who h is, and whether it was reached by https.
	Card(ctx context.Context, h network.Host, secure bool) (card federation.Card, by bool, err error)
	// Friends are whom h calls its friends.
	Friends(ctx context.Context, h network.Host, secure bool) ([]network.Host, error)
	// Hello asks for friendship; refused says that it is no use to try again.
	Hello(ctx context.Context, h network.Host, secure bool, us network.Host) (refused bool, err error)
	// Send posts a message; unknown says that h did not take it, and does not say why.
	Send(ctx context.Context, h network.Host, secure bool, path string, message []byte) (answer []byte, unknown bool, err error)
	Thumbnail(ctx context.Context, h network.Host, secure bool, hash string) ([]byte, error)
	Torrent(ctx context.Context, h network.Host, secure bool, id video.ID) ([]byte, error)
}

// Log is what changed of this pod's videos.
type Log interface {
	LastChange(ctx context.Context) (string, error)
	Changes(ctx context.Context, after string, most int) (changes []catalog.Change, lost bool, err error)
	AwaitChange(ctx context.Context, after string) error
	// Versions are the videos of some IDs as they are now, without those that are gone.
	Versions(ctx context.Context, ids []video.ID) ([]video.Video, error)
}

// Catalog is the index of videos; *catalog.Catalog.
type Catalog interface {
	Take(ctx context.Context, v video.Video) (changed bool, err error)
	Forget(ctx context.Context, origin network.Host, id video.ID) error
	ForgetAll(ctx context.Context, origin network.Host) error
	Marks(ctx context.Context, origin network.Host, each func([]catalog.Mark) error) error
	Count(ctx context.Context, origin network.Host) (int, error)
}

// Pictures are thumbnails on disk.
type Pictures interface {
	ThumbnailPath(hash string) string // "" for none
	KeepThumbnail(webp []byte, hash string) error
}

// Config is an outbox's own.
type Config struct {
	Host   network.Host
	Key    *rsa.PrivateKey
	Join   []network.Host // to make friends with at the start
	Repair time.Duration  // between two comparisons with a friend
	Log    *slog.Logger
	Now    func() time.Time // time.Now
}

// Parts are what an outbox works with.
type Parts struct {
	Caller   Caller
	Friends  *friends.List
	Log      Log
	Catalog  Catalog
	Pictures Pictures
	Redis    asynq.RedisConnOpt
}

// Outbox is one pod's.
type Outbox struct {
	cfg    Config
	parts  Parts
	opener federation.Opener
	tasks  *asynq.Client
	jobs   *asynq.Inspector

	pictures chan picture

	mu   sync.Mutex
	wake map[network.Host]bool // guarded by mu: is to be told that we are here
}

// DefaultRepair is the time between two comparisons with a friend.
const DefaultRepair = 10 * time.Minute

// New joins an outbox; Run runs it, Close frees what New took.
func New(cfg Config, parts Parts) *Outbox {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Repair == 0 {
		cfg.Repair = DefaultRepair
	}
	return &Outbox{
		cfg: cfg, parts: parts,
		opener:   federation.Opener{Host: cfg.Host, Key: cfg.Key, Versions: federation.Speaks, Now: time.Now},
		tasks:    asynq.NewClient(parts.Redis),
		jobs:     asynq.NewInspector(parts.Redis),
		pictures: make(chan picture, picturesWaiting),
		wake:     map[network.Host]bool{},
	}
}

// Close frees what New took.
func (o *Outbox) Close() error { return errors.Join(o.tasks.Close(), o.jobs.Close()) }

// Tasks are named by what they do and for whom: one of a kind for a friend at a time.
const (
	queue      = "federation"
	taskFlush  = "flush"
	taskRepair = "repair"
	taskJoin   = "join"
)

// Times of the tasks.
const (
	taskTime    = 10 * time.Minute
	sweepEvery  = 5 * time.Second
	concurrency = 16
	forEver     = 1 << 30 // retries: friends.List says when it is enough
)

// again is an attempt that failed and is to be repeated after a while.
type again struct {
	after time.Duration
	cause error
}

func (a *again) Error() string { return a.cause.Error() }
func (a *again) Unwrap() error { return a.cause }

// Run makes friends, and works until ctx ends.
func (o *Outbox) Run(ctx context.Context) error {
	server := asynq.NewServer(o.parts.Redis, asynq.Config{
		Concurrency: concurrency, Queues: map[string]int{queue: 1},
		TaskCheckInterval: 200 * time.Millisecond, DelayedTaskCheckInterval: time.Second, ShutdownTimeout: 5 * time.Second,
		BaseContext: func() context.Context { return ctx },
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
			var a *again
			if errors.As(err, &a) {
				return a.after
			}
			return 5 * time.Second
		},
		IsFailure: func(error) bool { return false }, // asynq would count it against the task
		Logger:    taskLog{o.cfg.Log}, LogLevel: asynq.ErrorLevel,
	})
	mux := asynq.NewServeMux()
	for name, do := range map[string]func(context.Context, network.Host) error{taskFlush: o.flush, taskRepair: o.repair, taskJoin: o.join} {
		mux.HandleFunc(name, func(ctx context.Context, t *asynq.Task) error {
			return o.answered(do(ctx, network.Host(t.Payload())))
		})
	}
	if err := server.Start(mux); err != nil {
		return fmt.Errorf("start tasks: %w", err)
	}
	defer server.Shutdown()
	var all sync.WaitGroup
	defer all.Wait()
	for range pictureWorkers {
		all.Go(func() { o.fetchPictures(ctx) })
	}
	all.Go(func() { o.begin(ctx) })
	all.Go(func() { o.follow(ctx) })
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			o.sweep(ctx)
		}
	}
}

// answered makes of what is to be repeated what asynq repeats.
func (o *Outbox) answered(err error) error {
	var a *again
	if err == nil || errors.As(err, &a) {
		return err
	}
	o.cfg.Log.Warn("a task for a friend failed; it is tried again", "err", err)
	return err
}

// begin says to everybody that we are here, and makes the friends of the configuration.
func (o *Outbox) begin(ctx context.Context) {
	var known []friends.Friend
	for {
		var err error
		if known, err = o.parts.Friends.All(ctx); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
	for _, f := range known {
		switch f.State {
		case network.Friend:
			o.Greet(ctx, f.Host)
			o.enqueue(ctx, taskRepair, f.Host)
		case network.Asked:
			o.enqueue(ctx, taskJoin, f.Host)
		}
	}
	o.joinNetwork(ctx)
}

// follow has each friend told when something changes.
func (o *Outbox) follow(ctx context.Context) {
	last := ""
	for ctx.Err() == nil {
		now, err := o.parts.Log.LastChange(ctx)
		if err == nil && now != last {
			o.flushAll(ctx)
			last = now
		}
		if err == nil {
			err = o.parts.Log.AwaitChange(ctx, last)
		}
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (o *Outbox) flushAll(ctx context.Context) {
	known, err := o.parts.Friends.All(ctx)
	if err != nil {
		return // the sweep comes
	}
	for _, f := range known {
		if f.State == network.Friend {
			o.enqueue(ctx, taskFlush, f.Host)
		}
	}
}

// sweep looks for what nobody is at: a task may have been at its end when there was
// something new for it.
func (o *Outbox) sweep(ctx context.Context) {
	last, err := o.parts.Log.LastChange(ctx)
	if err != nil {
		return
	}
	known, err := o.parts.Friends.All(ctx)
	if err != nil {
		return
	}
	for _, f := range known {
		switch {
		case f.State == network.Friend && f.Cursor != last:
			o.enqueue(ctx, taskFlush, f.Host)
		case f.State == network.Asked:
			o.enqueue(ctx, taskJoin, f.Host)
		}
		if f.State == network.Friend {
			if o.cfg.Now().Sub(f.Repaired) > o.cfg.Repair {
				o.enqueue(ctx, taskRepair, f.Host)
			}
		} else if n, err := o.parts.Catalog.Count(ctx, f.Host); err == nil && n > 0 {
			o.enqueue(ctx, taskFlush, f.Host) // forgets them
		}
	}
}

func taskID(kind string, h network.Host) string { return kind + ":" + string(h) }

// enqueue adds a task unless it is there already.
func (o *Outbox) enqueue(ctx context.Context, kind string, h network.Host) {
	_, err := o.tasks.EnqueueContext(ctx, asynq.NewTask(kind, []byte(h)), asynq.TaskID(taskID(kind, h)), asynq.Queue(queue), asynq.MaxRetry(forEver), asynq.Timeout(taskTime))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) && ctx.Err() == nil {
		o.cfg.Log.Warn("a task for a friend could not be noted; it will be", "task", kind, "friend", h, "err", err)
	}
}

// atOnce has a task run now, also where it waits for another attempt.
func (o *Outbox) atOnce(ctx context.Context, kind string, h network.Host) {
	if err := o.jobs.RunTask(queue, taskID(kind, h)); err != nil {
		o.enqueue(ctx, kind, h)
	}
}

// Heard is called where a friend was heard of: what waits for it is sent now.
func (o *Outbox) Heard(ctx context.Context, h network.Host) {
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil || !ok || f.Reachable() {
		return
	}
	if err := o.parts.Friends.Heard(ctx, h); err == nil {
		o.atOnce(ctx, taskFlush, h)
		o.atOnce(ctx, taskRepair, h)
	}
}

// Compare has a friend's videos compared with what we have of them.
func (o *Outbox) Compare(ctx context.Context, h network.Host) { o.atOnce(ctx, taskRepair, h) }

// Greet tells a friend that we are here.
func (o *Outbox) Greet(ctx context.Context, h network.Host) {
	o.mu.Lock()
	o.wake[h] = true
	o.mu.Unlock()
	o.atOnce(ctx, taskFlush, h)
}

func (o *Outbox) takeWake(h network.Host) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	woken := o.wake[h]
	delete(o.wake, h)
	return woken
}

// taskLog is asynq's.
type taskLog struct{ log *slog.Logger }

func (l taskLog) Debug(...any)      {}
func (l taskLog) Info(...any)       {}
func (l taskLog) Warn(args ...any)  { l.log.Warn("tasks of federation", "what", words(args)) }
func (l taskLog) Error(args ...any) { l.log.Warn("tasks of federation", "what", words(args)) }
func (l taskLog) Fatal(args ...any) { l.log.Error("tasks of federation", "what", words(args)) }
func words(args []any) string       { return strings.TrimSpace(fmt.Sprintln(args...)) }
