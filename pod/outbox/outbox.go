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
// A friend that does not take our key as it is told of it, or no version that we speak, is
// found out about: see know.go.
//
// # Asking
//
// "repair:HOST" compares the digest of a friend's own videos with what the catalogue
// has, and fetches the parts that differ. So a new friend's videos come, and whatever
// went wrong before is mended.
package outbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/api"
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
	Torrent(ctx context.Context, h network.Host, secure bool, id video.ID, pass api.Pass) ([]byte, error)
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
	Take(ctx context.Context, origin network.Host, videos []video.Video) ([]catalog.Outcome, error)
	Forget(ctx context.Context, origin network.Host, id video.ID) error
	ForgetAll(ctx context.Context, origin network.Host) error
	Marks(ctx context.Context, origin network.Host, each func([]catalog.Mark) error) error
	Count(ctx context.Context, origin network.Host) (int, error)
}

// Pictures are thumbnails of friends' videos on disk.
type Pictures interface {
	FriendThumbnailPath(h network.Host, hash string) string // "" for none
	KeepThumbnail(h network.Host, webp []byte, hash string) error
}

// Config is an outbox's own.
type Config struct {
	Host   network.Host
	Keys   func() federation.Ring
	Name   string           // of the pod
	Secure bool             // it is reached by https
	Speaks network.Versions // of the protocol; federation.Speaks
	Join   []network.Host   // to make friends with at the start
	Repair time.Duration    // between two comparisons with a friend
	Views  time.Duration    // between two exchanges of views with a friend
	Eager  bool             // thumbnails are fetched when videos come, not when somebody looks
	// MostViews is how many views a day of one friend's videos say where they stand in the
	// ranking; 0 is any.
	MostViews int
	Log       *slog.Logger
	Now       func() time.Time // time.Now
}

// Parts are what an outbox works with.
type Parts struct {
	Caller   Caller
	Friends  *friends.List
	Log      Log
	Catalog  Catalog
	Pictures Pictures
	Views    Views // nil for none
	Redis    asynq.RedisConnOpt
	// Alone drops tasks that nobody works at. It is nil where other processes have the
	// same Redis: what one of them was at, asynq finds after two minutes.
	Alone interface {
		DropTask(ctx context.Context, queue, id string) error
	}
}

// Outbox is one pod's.
type Outbox struct {
	cfg   Config
	parts Parts
	told  string // digest of our card
	tasks *asynq.Client
	jobs  *asynq.Inspector

	pictures chan picture
	repairs  chan struct{} // has a place for each friend that is compared

	mu      sync.Mutex
	wake    map[network.Host]bool // guarded by mu: is to be told that we are here
	at      map[task]time.Time    // guarded by mu: what this process works at, and when it ended what it worked at
	late    map[task]bool         // guarded by mu: came while its task was worked at; true is at once
	orphans map[string]bool       // guarded by mu: ids of tasks that nobody seemed to work at
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
	if cfg.Views == 0 {
		cfg.Views = DefaultViews
	}
	if cfg.Speaks == (network.Versions{}) {
		cfg.Speaks = federation.Speaks
	}
	return &Outbox{
		cfg: cfg, parts: parts,
		told:     digestOf(cfg),
		tasks:    asynq.NewClient(parts.Redis),
		jobs:     asynq.NewInspector(parts.Redis),
		pictures: make(chan picture, picturesWaiting),
		repairs:  make(chan struct{}, repairsAtOnce),
		wake:     map[network.Host]bool{},
		at:       map[task]time.Time{},
		late:     map[task]bool{},
		orphans:  map[string]bool{},
	}
}

// Close frees what New took.
func (o *Outbox) Close() error { return errors.Join(o.tasks.Close(), o.jobs.Close()) }

// Run makes friends, and works until ctx ends.
func (o *Outbox) Run(ctx context.Context) error {
	server, err := o.startTasks(ctx)
	if err != nil {
		return err
	}
	defer server.Shutdown()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { o.catchUp(ctx) })
	for range pictureWorkers {
		all.Go(func() { o.fetchPictures(ctx) })
	}
	all.Go(func() { o.begin(ctx) })
	all.Go(func() { o.follow(ctx) })
	if o.parts.Views != nil {
		all.Go(func() { o.exchangeViews(ctx) })
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			o.sweep(ctx)
			o.dropOrphans(ctx)
		}
	}
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
			if f.Told != o.told || o.dormant(f) {
				o.atOnce(ctx, taskLook, f.Host) // one of both may have upgraded
			}
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
		case f.State == network.Friend:
			o.sweepFriend(ctx, f, last)
		case f.State == network.Asked:
			o.enqueue(ctx, taskJoin, f.Host)
		case f.State == network.Revoked && f.Wanted && !o.cfg.Now().Before(f.Until):
			if _, err := o.parts.Friends.Ask(ctx, f.Host, false); err == nil {
				o.enqueue(ctx, taskJoin, f.Host)
			}
		}
		if f.State == network.Friend {
			continue
		}
		if n, err := o.parts.Catalog.Count(ctx, f.Host); err == nil && n > 0 {
			o.enqueue(ctx, taskFlush, f.Host) // forgets them
		}
	}
}

// sweepFriend looks for what is to be done for a friend; last is the end of the log.
func (o *Outbox) sweepFriend(ctx context.Context, f friends.Friend, last string) {
	if o.toKnow(f) {
		o.enqueue(ctx, taskLook, f.Host)
	}
	if o.dormant(f) {
		return
	}
	if f.Cursor != last || !o.knowsKey(f) {
		o.enqueue(ctx, taskFlush, f.Host)
	}
	if o.cfg.Now().Sub(f.Repaired) > o.cfg.Repair {
		o.enqueue(ctx, taskRepair, f.Host)
	}
}

// Heard is called where a friend was heard of: what waits for it is sent now. A new one
// that was called back may not have known us yet when we asked for its videos.
func (o *Outbox) Heard(ctx context.Context, h network.Host) {
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil || !ok || f.State != network.Friend {
		return
	}
	if o.dormant(f) || f.Told != o.told && !f.Reachable() {
		o.atOnce(ctx, taskLook, h) // what it said was understood: it has upgraded
	}
	if f.Reachable() {
		if f.Repaired.IsZero() {
			o.atOnce(ctx, taskRepair, h)
		}
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
