package upload

import (
	"context"
	"slices"
	"sync"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Seeder gives a file on to viewers as long as the page stays open.
type Seeder interface {
	// SeedFile gives on file, which is the first rendition of v, until stop.
	SeedFile(v api.Video, file *File) (stop func(), err error)
}

// Config is what a Queue works with.
type Config struct {
	API    api.Methods
	Base   string // of the pod's address; "" in a page of the pod itself
	Token  string // "" where the browser has the cookie
	Memory *Memory
	// Preview looks at a file; nil leaves the thumbnail to the pod.
	Preview func(ctx context.Context, f *File) (Preview, error)
	// Seeder gives on what went up; nil is nobody.
	Seeder Seeder
	// Idle is how long nothing may go through before a request counts as lost; 0 is
	// DefaultIdle.
	Idle time.Duration
}

// DefaultIdle fits a slow line behind a large buffer.
const DefaultIdle = 60 * time.Second

// atOnce is how many files go up at the same time.
const atOnce = 2

// Queue sends files. Its methods do not block, but for those that take a context,
// and may be called from any goroutine.
type Queue struct {
	cfg    Config
	client client
	due    chan struct{} // Run looks for work

	mu         sync.Mutex
	items      []*item
	lastKey    int
	jobs       []func(ctx context.Context)
	pod        api.Pod
	me         api.User
	known      bool // pod and me are there
	unfinished []api.Upload
	watchers   map[int]func()
	lastWatch  int
}

// New makes an empty queue. Nothing moves until Run.
func New(cfg Config) *Queue {
	if cfg.Idle == 0 {
		cfg.Idle = DefaultIdle
	}
	return &Queue{
		cfg:      cfg,
		client:   client{base: cfg.Base, token: cfg.Token, idle: cfg.Idle},
		due:      make(chan struct{}, 1),
		watchers: map[int]func(){},
	}
}

// Watch calls f after each change, on any goroutine; f must not block.
func (q *Queue) Watch(f func()) (stop func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastWatch++
	key := q.lastWatch
	q.watchers[key] = f
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.watchers, key)
	}
}

// change runs f with the queue locked, then tells the watchers and Run.
func (q *Queue) change(f func()) {
	q.mu.Lock()
	f()
	watchers := make([]func(), 0, len(q.watchers))
	for _, w := range q.watchers {
		watchers = append(watchers, w)
	}
	q.mu.Unlock()
	poke(q.due)
	for _, w := range watchers {
		w()
	}
}

// changeItem is change of the item with that key, if it is there.
func (q *Queue) changeItem(key int, f func(it *item)) {
	q.change(func() {
		if it := q.find(key); it != nil {
			f(it)
		}
	})
}

func (q *Queue) find(key int) *item {
	for _, it := range q.items {
		if it.Key == key {
			return it
		}
	}
	return nil
}

// Items is the queue at this moment, in the order in which files were added.
func (q *Queue) Items() []Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]Item, len(q.items))
	for i, it := range q.items {
		out[i] = it.Item
	}
	return out
}

// Add puts files at the queue's end. A file that an unfinished upload began with
// goes on where that was.
func (q *Queue) Add(files ...*File) { q.add(video.ID{}, files...) }

// Continue goes on with one of Unfinished, for which a person chose the file
// again. Another file than that is refused with a sentence for the person.
func (q *Queue) Continue(id video.ID, f *File) error {
	q.mu.Lock()
	i := slices.IndexFunc(q.unfinished, func(u api.Upload) bool { return u.ID == id })
	var u api.Upload
	if i >= 0 {
		u = q.unfinished[i]
	}
	q.mu.Unlock()
	if i < 0 {
		return invalid("This upload is no longer there.")
	}
	if f.Size() != u.Size || !sameName(f.Name(), u.FileName) {
		return invalid("That is another file. Choose %s (%s).", u.FileName, formatBytes(u.Size))
	}
	if changedSince(f, u) {
		return invalid("%s was changed after this upload began. Discard the upload and begin again.", u.FileName)
	}
	q.add(id, f)
	return nil
}

func (q *Queue) add(id video.ID, files ...*File) {
	q.change(func() {
		for _, f := range files {
			q.lastKey++
			q.items = append(q.items, &item{
				file: f, wake: make(chan struct{}, 1), edited: make(chan struct{}, 1),
				ledger: ledger{size: f.Size()}, shown: -1,
				Item: Item{
					Key: q.lastKey, ID: id, FileName: f.Name(), Size: f.Size(), State: Checking,
					Details: detailsOf(f.Name()), Looking: q.cfg.Preview != nil, Chosen: -1,
				},
			})
		}
	})
}

// Pause stops sending a file. A part that is nearly through still finishes, so
// that none of it is sent twice.
func (q *Queue) Pause(key int) {
	q.changeItem(key, func(it *item) {
		switch it.State {
		case Waiting:
			it.State = Paused
		case Sending, Retrying, Finishing:
			grace := pauseGrace
			if it.State == Retrying {
				grace = 0
			}
			it.pausing, it.State = true, Paused
			it.Speed, it.Left, it.Err = 0, 0, nil
			halt := it.halt
			q.jobs = append(q.jobs, func(ctx context.Context) {
				if sleep(ctx, grace) && q.pausing(it) {
					halt(errEnough)
				}
			})
		}
	})
}

func (q *Queue) pausing(it *item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return it.pausing
}

// pauseGrace is how long a part may still take after Pause.
const pauseGrace = 1500 * time.Millisecond

// Resume goes on with a file that is paused or failed, and at once with one that
// waits for its next attempt.
func (q *Queue) Resume(key int) {
	q.changeItem(key, func(it *item) {
		switch it.State {
		case Paused:
			it.pausing = false
			it.State = Waiting
			if it.halt != nil {
				it.State = Sending // the part under way still goes on
			}
		case Failed:
			it.State, it.Err = Checking, nil
			if it.gone {
				q.cfg.Memory.forget(it.print)
				it.restart()
			}
		case Retrying:
			poke(it.wake)
		}
	})
}

// Wake tries again at once what waits for the network.
func (q *Queue) Wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items {
		poke(it.wake)
		poke(it.edited)
	}
}

// Cancel takes a file out of the queue, whatever its state. The pod forgets what
// it has of an upload; a video stays.
func (q *Queue) Cancel(key int) {
	q.change(func() {
		it := q.find(key)
		if it == nil {
			return
		}
		q.items = slices.DeleteFunc(q.items, func(other *item) bool { return other == it })
		q.discard(it)
	})
}

// Clear empties the queue and leaves everything as it is at the pod, for an account
// that is logged out: another one must not see its files.
func (q *Queue) Clear() {
	q.change(func() {
		for _, it := range q.items {
			q.remember(it)
			if it.stop != nil {
				it.stop()
			}
			it.letGo()
		}
		q.items, q.unfinished, q.known = nil, nil, false
		q.pod, q.me = api.Pod{}, api.User{}
	})
}

// Describe sets what is said of a video. It is saved by itself, soon after the
// last change.
func (q *Queue) Describe(key int, d Details) {
	q.changeItem(key, func(it *item) {
		it.Details, it.Typed = d, true
		it.SaveState, it.SaveErr = Unsaved, nil
		it.quietAt = time.Now().Add(quiet)
		poke(it.edited)
	})
}

// Save saves now what is not saved.
func (q *Queue) Save(key int) {
	q.changeItem(key, func(it *item) {
		it.quietAt, it.SaveErr = time.Time{}, nil
		poke(it.edited)
	})
}

// Choose takes one of the preview's pictures as thumbnail.
func (q *Queue) Choose(key, picture int) {
	q.changeItem(key, func(it *item) {
		if picture < 0 || picture >= len(it.Preview.Pictures) {
			return
		}
		it.Chosen, it.SaveErr = picture, nil
		poke(it.edited)
	})
}

// Busy says whether leaving the page would interrupt something.
func (q *Queue) Busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.items, func(it *item) bool {
		switch it.State {
		case Checking, Waiting, Sending, Retrying, Finishing:
			return true
		}
		return it.State != Failed && (it.SaveState == Unsaved || it.SaveState == Saving)
	})
}

// Remember notes for a later page what was sent so far; for the moment in which a
// page is left.
func (q *Queue) Remember() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items {
		if it.release != nil {
			q.remember(it)
		}
	}
}

// remember notes what is known of an unfinished upload; called with the queue
// locked.
func (q *Queue) remember(it *item) {
	if it.ID.IsZero() || it.print == "" || it.State == Done {
		return
	}
	chosen := it.Chosen + 1
	if chosen == 0 {
		chosen = it.wanted // the preview is not there yet
	}
	q.cfg.Memory.put(it.print, record{ID: it.ID, Sent: it.ledger.sent, Chosen: chosen, Shown: it.shown + 1, At: time.Now()})
}
