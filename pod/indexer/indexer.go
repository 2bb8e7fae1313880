// Package indexer keeps the search index of this process in step with the catalogue, and
// answers from it.
//
// Each process that shares a Redis has an index of its own, and follows the catalogue's
// events by itself. A snapshot on disk makes a start quick; one that is broken, of another
// catalogue, or too old for the events that are still known, is built anew, the newest
// videos first, and searches answer from what there is meanwhile.
package indexer

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/search"
	"kinopod/shared/api"
)

// Index is safe for use by several goroutines. Run keeps it.
type Index struct {
	path   string
	events catalog.Events
	log    *slog.Logger
	slots  chan struct{} // a search holds one
	hurry  chan struct{} // ends the pause between two looks at events

	mu       sync.Mutex
	words    *search.Index
	position string  // up to where words has followed the catalogue, "" while it is built
	share    float64 // of the catalogue that words has, while it is built
	saved    string  // the position of the snapshot on disk
	unusable error   // why the snapshot that was there could not be used

	applying sync.Mutex // whoever puts videos into words as they are now
}

var _ catalog.Finder = (*Index)(nil)

const (
	// coalesce is how long events wait for others, so that a stream of them costs little.
	coalesce = 25 * time.Millisecond
	// retry is how long an outage of Redis is waited for.
	retry = time.Second
	// saveEvery bounds what a process that is killed has to follow again.
	saveEvery = 10 * time.Minute
	// eventsAtOnce is how many events are read together, and videosAtOnce how many videos.
	eventsAtOnce = 256
	videosAtOnce = 512
	// catchUpTime is how long a list waits at most for what happened before it was asked for: that
	// is in the index within milliseconds, but for a busy machine and while many videos come.
	catchUpTime = 500 * time.Millisecond
	// searchTime bounds one search: then what was found is answered. waitTime is how long
	// one waits for others.
	searchTime = 500 * time.Millisecond
	waitTime   = time.Second
)

// New is an empty index; Run fills it. path is where its snapshot is.
func New(path string, events catalog.Events, log *slog.Logger) *Index {
	return &Index{
		path: path, events: events, log: log, words: search.New(), hurry: make(chan struct{}, 1),
		slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
	}
}

var (
	errCursor = &api.Error{Code: api.CodeInvalid, Message: "The cursor is not one of this search. Start over without it."}
	errBusy   = &api.Error{Code: api.CodeUnavailable, Message: "Many search at this moment. Try again in a moment."}
)

// Find implements catalog.Finder.
func (x *Index) Find(ctx context.Context, text, cursor string, limit int) (catalog.Hits, error) {
	return x.search(ctx, search.Parse(text), cursor, limit)
}

// FindOnly implements catalog.Finder. It is a list, and a list has what was put on it a
// moment before.
func (x *Index) FindOnly(ctx context.Context, only catalog.Only, cursor string, limit int) (catalog.Hits, error) {
	if cursor == "" {
		x.catchUp(ctx)
	}
	return x.search(ctx, search.Only(only.Tag, only.Origin, only.Uploader), cursor, limit)
}

func (x *Index) search(ctx context.Context, q search.Query, cursor string, limit int) (catalog.Hits, error) {
	done, err := x.begin(ctx)
	if err != nil {
		return catalog.Hits{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	r, err := x.now().Search(ctx, q, cursor, limit)
	if errors.Is(err, search.ErrCursor) {
		return catalog.Hits{}, errCursor
	}
	return catalog.Hits{Seqs: r.IDs, Cursor: r.Next, Cut: r.Cut}, err
}

// Suggest implements catalog.Finder.
func (x *Index) Suggest(ctx context.Context, text string, most int) (words []string, seqs []uint32) {
	done, err := x.begin(ctx)
	if err != nil {
		return nil, nil
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	s := x.now().Suggest(ctx, text, most)
	return s.Queries, s.IDs
}

// begin waits for a turn: many searches at once would make all of them slow.
func (x *Index) begin(ctx context.Context) (done func(), err error) {
	select {
	case x.slots <- struct{}{}:
		return func() { <-x.slots }, nil
	default:
	}
	wait := time.NewTimer(waitTime)
	defer wait.Stop()
	select {
	case x.slots <- struct{}{}:
		return func() { <-x.slots }, nil
	case <-wait.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// catchUp waits until what has happened is in the index, but not for long.
func (x *Index) catchUp(ctx context.Context) {
	last, err := x.events.LastEvent(ctx)
	if err != nil {
		return
	}
	for end := time.Now().Add(catchUpTime); ; wait(ctx, time.Millisecond) {
		x.mu.Lock()
		position := x.position
		x.mu.Unlock()
		if position == "" || position >= last || ctx.Err() != nil || time.Now().After(end) {
			return
		}
		select {
		case x.hurry <- struct{}{}:
		default:
		}
	}
}

func (x *Index) now() *search.Index {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.words
}

// Built implements catalog.Finder.
func (x *Index) Built() (share float64, whole bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.share, x.position != ""
}

// Stats says how large the index is.
func (x *Index) Stats() search.Stats { return x.now().Stats() }

// replace puts another index in the place of what there is, which is closed.
func (x *Index) replace(words *search.Index, position string, share float64) {
	x.mu.Lock()
	old := x.words
	x.words, x.position, x.share = words, position, share
	x.mu.Unlock()
	if old != words {
		old.Close()
	}
}

// Save writes a snapshot, if there is something new in it.
func (x *Index) Save() error {
	x.mu.Lock()
	words, position, saved := x.words, x.position, x.saved
	x.mu.Unlock()
	if position == "" || position == saved {
		return nil
	}
	if err := words.Save(x.path, position); err != nil {
		return err
	}
	x.mu.Lock()
	x.saved = position
	x.mu.Unlock()
	return nil
}

func (x *Index) unusedFor(why error) {
	x.log.Warn("the snapshot of the search index cannot be used: the index is built anew", "err", why)
	x.mu.Lock()
	x.unusable = why
	x.mu.Unlock()
}

// load reads the snapshot, if there is one that can be read.
func (x *Index) load() (words *search.Index, position string) {
	words, position, err := search.Load(x.path)
	switch {
	case err == nil:
		return words, position
	case !errors.Is(err, fs.ErrNotExist):
		x.unusedFor(err)
	}
	return nil, ""
}
