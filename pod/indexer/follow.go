package indexer

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kinopod/pod/catalog"
	"kinopod/pod/search"
)

// Run follows the catalogue until ctx ends. It writes a snapshot now and then and at the
// end, and closes the index: searches find nothing any more.
func (x *Index) Run(ctx context.Context) error {
	var saving sync.WaitGroup
	saving.Go(func() {
		every := time.NewTicker(saveEvery)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				x.save()
			}
		}
	})
	for ctx.Err() == nil {
		if err := x.follow(ctx); err != nil && ctx.Err() == nil {
			x.log.Warn("the search index does not follow the catalogue for now", "err", err)
			wait(ctx, retry)
		}
	}
	saving.Wait()
	x.save()
	x.now().Close()
	return ctx.Err()
}

func (x *Index) save() {
	if err := x.Save(); err != nil {
		x.log.Error("the snapshot of the search index could not be written", "err", err)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

var errForeign = errors.New("it is too old, or of another catalogue")

// follow has the index follow the catalogue until something fails, or the index cannot
// any more and is to be built anew.
func (x *Index) follow(ctx context.Context) error {
	x.mu.Lock()
	words, position := x.words, x.position
	x.mu.Unlock()
	if position == "" {
		var err error
		if words, position, err = x.restore(ctx); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	var tidying sync.WaitGroup
	tidying.Go(func() { _ = words.Run(ctx) })
	defer tidying.Wait()
	defer stop()
	if position == "" {
		if err := x.build(ctx, words); err != nil {
			return err
		}
	}
	return x.keepUp(ctx, words)
}

// restore takes the snapshot where the catalogue still knows its position; else it begins
// an empty index, without a position.
func (x *Index) restore(ctx context.Context) (words *search.Index, position string, err error) {
	if words, position = x.load(); words != nil {
		_, _, lost, err := x.events.Events(ctx, position, 1)
		if err != nil {
			words.Close()
			return nil, "", err
		}
		if !lost {
			x.replace(words, position, 1)
			x.mu.Lock()
			x.saved = position
			x.mu.Unlock()
			x.log.Info("search index loaded", "videos", words.Stats().Videos)
			return words, position, nil
		}
		words.Close()
		x.unusedFor(errForeign)
	}
	words = search.New()
	x.replace(words, "", 0)
	return words, "", nil
}

// build reads the whole catalogue, the newest videos first. What happens meanwhile is
// followed afterwards.
func (x *Index) build(ctx context.Context, words *search.Index) error {
	began := time.Now()
	position, err := x.events.LastEvent(ctx)
	if err != nil {
		return err
	}
	last, err := x.events.LastSeq(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan []catalog.Numbered, 2) // Redis reads while words are sorted
	g.Go(func() error {
		defer close(batches)
		for seq := last + 1; seq > 0; {
			videos, next, err := x.events.Below(ctx, seq)
			if err != nil {
				return err
			}
			seq = next
			select {
			case batches <- videos:
			case <-ctx.Done():
				return ctx.Err()
			}
			x.mu.Lock()
			x.share = 1 - float64(seq)/float64(last+1)
			x.mu.Unlock()
		}
		return nil
	})
	g.Go(func() error {
		for videos := range batches {
			for i := range videos {
				words.Put(document(&videos[i]))
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	x.replace(words, position, 1)
	if n := words.Stats().Videos; n > 0 {
		x.log.Info("search index built", "videos", n, "took", time.Since(began).Round(time.Millisecond))
	}
	x.save()
	// Nobody would look for the garbage of all that for two minutes.
	debug.FreeOSMemory()
	return nil
}

func document(v *catalog.Numbered) search.Document {
	return search.Document{
		ID: v.Seq, Name: v.Name, Description: v.Description, Uploader: v.Uploader, Tags: v.Tags,
		Origin: v.Origin, Created: v.Created, Duration: v.Duration,
	}
}

// keepUp applies events as they come. It returns without an error where some are lost:
// then the index has no position any more.
func (x *Index) keepUp(ctx context.Context, words *search.Index) error {
	for {
		x.mu.Lock()
		position := x.position
		x.mu.Unlock()
		seqs, last, lost, err := x.events.Events(ctx, position, eventsAtOnce)
		switch {
		case err != nil:
			return err
		case lost:
			x.log.Warn("the catalogue is another one, or changed too fast: the search index is built anew")
			x.replace(search.New(), "", 0)
			return nil
		case last == position:
			if err := x.events.AwaitEvent(ctx, position); err != nil {
				return err
			}
			continue
		}
		if err := x.apply(ctx, words, seqs); err != nil {
			return err
		}
		x.mu.Lock()
		x.position = last
		x.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(coalesce):
		case <-x.hurry:
		}
	}
}

// apply puts videos into the index as they are now.
func (x *Index) apply(ctx context.Context, words *search.Index, seqs []uint32) error {
	x.applying.Lock()
	defer x.applying.Unlock()
	slices.Sort(seqs)
	for some := range slices.Chunk(slices.Compact(seqs), videosAtOnce) {
		videos, err := x.events.BySeq(ctx, some)
		if err != nil {
			return err
		}
		there := 0
		for _, seq := range some {
			if there < len(videos) && videos[there].Seq == seq {
				words.Put(document(&videos[there]))
				there++
			} else {
				words.Remove(seq)
			}
		}
	}
	return nil
}
