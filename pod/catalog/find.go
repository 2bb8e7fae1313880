package catalog

import (
	"context"
	"slices"
	"strings"

	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Numbered is a video with the number that Position and the search index know it by. It
// grows with each video that is listed, and never comes again.
type Numbered struct {
	Seq uint32
	video.Video
}

// Events are how somebody keeps in step with a Store that others write to, too. A
// position is a string of the Store's; a later one is greater.
type Events interface {
	// LastEvent is the position after all that has happened.
	LastEvent(ctx context.Context) (position string, err error)
	// Events are the numbers of videos that were listed, changed or taken out after a
	// position, of up to most events, and the position after those. lost says that this
	// is not known any more, or that the position is of another catalogue.
	Events(ctx context.Context, position string, most int) (seqs []uint32, last string, lost bool, err error)
	// AwaitEvent returns when there are events after a position, or after a while.
	AwaitEvent(ctx context.Context, position string) error
	// BySeq gives videos by their numbers, in that order; those that are gone are left out.
	BySeq(ctx context.Context, seqs []uint32) ([]Numbered, error)
	// LastSeq is the highest number that a video has, or had.
	LastSeq(ctx context.Context) (uint32, error)
	// Below gives videos of numbers below seq, some at a time: next is what to go on
	// with, 0 at the end.
	Below(ctx context.Context, seq uint32) (videos []Numbered, next uint32, err error)
}

// Finder says which videos fit what somebody asks for: the search index.
type Finder interface {
	// Find searches for what somebody typed. A cursor that is none gives an error of
	// api.CodeInvalid.
	Find(ctx context.Context, text, cursor string, limit int) (Hits, error)
	// FindOnly gives the newest videos first of what is asked for. An uploader may be another
	// whose name has other accents.
	FindOnly(ctx context.Context, only Only, cursor string, limit int) (Hits, error)
	// Suggest completes what somebody types: with words, and with the videos that it finds.
	Suggest(ctx context.Context, text string, most int) (words []string, seqs []uint32)
	// Built says whether the whole catalogue is searched, and else what part of it.
	Built() (share float64, whole bool)
}

// Only says which videos a list has; "" is any.
type Only struct {
	Tag      string
	Origin   network.Host
	Uploader string // without regard to case
}

// Hits are a page of what a Finder finds.
type Hits struct {
	Seqs   []uint32
	Cursor string // of the next page, "" on the last
	Cut    bool   // what took too long to find is left out
}

// Found is a page of videos that fit a question.
type Found struct {
	Videos []video.Video
	Cursor string  // of the next page, "" on the last
	Cut    bool    // what took too long to find is left out
	Whole  bool    // the whole catalogue was searched
	Share  float64 // what part of it was, else
}

// SearchWith sets how videos are found, before the Catalog is used.
func (c *Catalog) SearchWith(f Finder) { c.finder = f }

// Search is a page of the videos that fit what somebody typed (package search,
// "Queries"), the best first.
func (c *Catalog) Search(ctx context.Context, q api.SearchQuery) (Found, error) {
	return c.found(ctx, q.Cursor, q.Limit, func(limit int) (Hits, error) {
		return c.finder.Find(ctx, q.Text, q.Cursor, limit)
	})
}

// ByTag is a page of the videos that have a tag, the newest first; case and accents do
// not matter. A page may be short although more follow.
func (c *Catalog) ByTag(ctx context.Context, tag, cursor string, limit int) (Found, error) {
	return c.found(ctx, cursor, limit, func(limit int) (Hits, error) {
		return c.finder.FindOnly(ctx, Only{Tag: tag}, cursor, limit)
	})
}

// ByOrigin is a page of the videos of one pod, or of one of its uploaders ("" is any), the
// newest first. A page may be short although more follow. While the search index is built
// the Store answers, which is slow where they are few among many: a cursor belongs to who
// gave it.
func (c *Catalog) ByOrigin(ctx context.Context, origin network.Host, uploader, cursor string, limit int) (Found, error) {
	ofStore := cursor != ""
	if ofStore {
		_, err := ParsePosition(cursor)
		ofStore = err == nil
	} else if c.finder != nil {
		_, whole := c.finder.Built()
		ofStore = !whole
	}
	if ofStore || c.finder == nil {
		videos, next, err := c.page(ctx, Listing{Origin: origin, Uploader: uploader}, cursor, limit)
		return Found{Videos: videos, Cursor: next, Whole: true}, err
	}
	f, err := c.found(ctx, cursor, limit, func(limit int) (Hits, error) {
		return c.finder.FindOnly(ctx, Only{Origin: origin, Uploader: uploader}, cursor, limit)
	})
	if uploader != "" {
		f.Videos = slices.DeleteFunc(f.Videos, func(v video.Video) bool { return !strings.EqualFold(v.Uploader, uploader) })
	}
	return f, err
}

// errNoSearch is what a pod without a search index answers.
var errNoSearch = &api.Error{Code: api.CodeUnavailable, Message: "This pod cannot search now. Try again in a moment."}

func (c *Catalog) found(ctx context.Context, cursor string, limit int, find func(limit int) (Hits, error)) (f Found, err error) {
	if c.finder == nil {
		return f, errNoSearch
	}
	f.Share, f.Whole = c.finder.Built()
	hits, err := find(api.PageLimit(limit))
	if err != nil {
		return f, err
	}
	f.Cursor, f.Cut = hits.Cursor, hits.Cut
	videos, err := c.store.BySeq(ctx, hits.Seqs)
	f.Videos = slices.Grow(f.Videos, len(videos))
	for i := range videos {
		f.Videos = append(f.Videos, videos[i].Video)
	}
	return f, err
}

// maxSuggestions is how many a search box shows.
const maxSuggestions = 8

// Suggest completes what somebody types: with words, and with videos that it finds.
func (c *Catalog) Suggest(ctx context.Context, text string) (words []string, videos []video.Video, err error) {
	if c.finder == nil || strings.TrimSpace(text) == "" {
		return nil, nil, nil
	}
	words, seqs := c.finder.Suggest(ctx, text, maxSuggestions)
	found, err := c.store.BySeq(ctx, seqs)
	for i := range found {
		videos = append(videos, found[i].Video)
	}
	return words, videos, err
}
