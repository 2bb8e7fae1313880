package page

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
)

// feed is how far a list has been read.
type feed struct {
	Videos []api.Video `json:"videos"`
	Cursor string      `json:"cursor"` // of what comes next, "" at the end

	// Of a search: see api.SearchPage.
	Cut      bool    `json:"cut,omitempty"`
	Building bool    `json:"building,omitempty"`
	Built    float64 `json:"built,omitempty"`
}

// feeds are those of lists that were left, the last one last.
type feeds []leftFeed

type leftFeed struct {
	key  string // the address
	feed feed
}

// maxFeeds bounds what keep keeps.
const maxFeeds = 20

func (f feeds) of(key string) (feed, bool) {
	for _, l := range f {
		if l.key == key {
			return l.feed, true
		}
	}
	return feed{}, false
}

func (f *feeds) keep(key string, last feed) {
	*f = slices.DeleteFunc(*f, func(l leftFeed) bool { return l.key == key })
	if *f = append(*f, leftFeed{key, last}); len(*f) > maxFeeds {
		*f = slices.Delete(*f, 0, 1)
	}
}

// listed is how many videos of a list are loaded at once: it fills whole rows of 2, 3, 4 and 6.
const listed = api.DefaultPage

// list is videos without an end. The screen that has one says where they come from.
type list struct {
	env    *Env
	ctx    app.Context                                                // of the screen; nil until it is mounted
	get    func(ctx context.Context, cursor string) (f feed, e error) // a page
	come   func()                                                     // is called when the first page is there; may be nil
	key    string                                                     // the address
	cursor string                                                     // of the page that the address names; "" is the first
	now    time.Time
	feed   content[feed]
	more   content[feed] // the next page
	busy   bool          // more is on its way
	stop   func()        // of the observer of the end of the list
}

// open shows the list of another address.
func (l *list) open(u *url.URL) {
	l.key, l.cursor, l.now = u.RequestURI(), u.Query().Get("cursor"), time.Now()
	l.feed, l.more, l.busy = content[feed]{serial: l.feed.serial + 1}, content[feed]{serial: l.more.serial + 1}, false
	if kept, ok := l.env.feeds.of(l.key); ok && l.env.back {
		l.feed.set(kept, nil)
	}
}

// leave keeps what was read, so that "back" finds it.
func (l *list) leave() {
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
	if l.feed.Done {
		l.env.feeds.keep(l.key, l.feed.Value)
	}
}

func (l *list) preload(ctx context.Context) {
	f, err := l.get(ctx, l.cursor)
	// The cards show neither; a page of them is a third of the size without.
	for i := range f.Videos {
		f.Videos[i].Description, f.Videos[i].Magnet = "", ""
	}
	l.feed.set(f, err)
}

func (l *list) start() {
	l.env.see(l.feed.Value.Videos)
	if !l.feed.Done {
		l.load()
		return
	}
	l.shown()
}

func (l *list) shown() {
	l.ctx.Defer(func(app.Context) { l.watchEnd() })
	if l.come != nil {
		l.come()
	}
}

// again is called when the pod is back.
func (l *list) again() {
	if !l.feed.Done && l.feed.Err != nil {
		l.load()
	}
}

func (l *list) load() {
	cursor := l.cursor
	load(l.ctx, &l.feed, func(c context.Context) (feed, error) { return l.get(c, cursor) }, func() {
		l.env.see(l.feed.Value.Videos)
		l.shown()
	})
}

// watchEnd loads more whenever the end of the list comes near.
func (l *list) watchEnd() {
	if l.stop != nil {
		l.stop()
	}
	l.stop = onVisible(l.ctx, "feed-end", "1200px", func(app.Context) { l.loadMore() })
}

func (l *list) loadMore() {
	cursor := l.feed.Value.Cursor
	if l.busy || cursor == "" {
		return
	}
	l.busy = true
	load(l.ctx, &l.more, func(c context.Context) (feed, error) { return l.get(c, cursor) }, func() {
		l.busy = false
		if l.more.Err != nil {
			return
		}
		next := l.more.Value
		l.env.see(next.Videos)
		next.Videos = append(slices.Clip(l.feed.Value.Videos), fresh(l.feed.Value.Videos, next.Videos)...)
		l.feed.Value = next
		l.ctx.Defer(func(app.Context) { l.watchEnd() })
	})
}

// fresh is what of next is not in have: a video that came while the viewer read moves
// the pages.
func fresh(have, next []api.Video) []api.Video {
	return slices.DeleteFunc(slices.Clone(next), func(v api.Video) bool {
		return slices.ContainsFunc(have, func(o api.Video) bool { return o.ID == v.ID })
	})
}

// empty says that there is nothing, and nothing follows.
func (l *list) empty() bool {
	return l.feed.Done && len(l.feed.Value.Videos) == 0 && l.feed.Value.Cursor == ""
}

// render shows the list; none is what stands there where there is nothing.
func (l *list) render(none func() app.UI) app.UI {
	switch {
	case !l.feed.Done && l.feed.Err != nil:
		return failure(l.feed.Err, l.load)
	case !l.feed.Done:
		return elem("div").Body(elem("p").Class("off-screen").Role("status").Text("Loading videos"), skeletons(12))
	case l.empty():
		return none()
	}
	videos := l.feed.Value.Videos
	return elem("ul").Class("cards").Body(
		app.Range(videos).Slice(func(i int) app.UI { return card(videos[i], l.env.Pod.Host, l.now, i < 8) }),
	)
}

// end is what stands below the list. In a document it is a link, which works without
// the app; next makes its address.
func (l *list) end(next func(cursor string) string) app.UI {
	return elem("div").ID("feed-end").Class("feed-end").Body(l.continued(next))
}

func (l *list) continued(next func(cursor string) string) app.UI {
	cursor := l.feed.Value.Cursor
	switch {
	case l.more.Err != nil:
		return failure(l.more.Err, l.loadMore)
	case !l.feed.Done || cursor == "":
		return nil
	case app.IsServer:
		return elem("a").Class("button quiet").Attr("href", next(cursor)).Attr("rel", "next").Text("More videos")
	}
	return elem("button").Attr("type", "button").Class("button quiet").Attr("disabled", l.busy).Text(pick(l.busy, "Loading…", "More videos")).
		OnClick(func(app.Context, app.Event) { l.loadMore() })
}

// pick chooses between two values.
func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
