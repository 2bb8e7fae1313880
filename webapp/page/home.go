package page

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// home is the newest videos, of everybody, of one uploader or of one pod, without an end.
type home struct {
	component

	env      *Env
	key      string // the address
	uploader string
	origin   network.Host // "" is any; an uploader without one is of this pod
	cursor   string       // of the page that the address names; "" is the first
	now      time.Time
	feed     content[feed]
	more     content[api.VideoPage] // the next page
	busy     bool                   // more is on its way
	stop     func()                 // of the observer of the end of the list
}

// feed is how far a list has been read.
type feed struct {
	Videos []api.Video `json:"videos"`
	Cursor string      `json:"cursor"` // of what comes next, "" at the end
}

// listed is how many videos of a list are loaded at once: it fills whole rows of 2, 3, 4 and 6.
const listed = api.DefaultPage

func (h *home) open(u *url.URL) {
	h.key, h.uploader, h.cursor, h.now = u.RequestURI(), u.Query().Get("uploader"), u.Query().Get("cursor"), time.Now()
	h.origin, _ = network.ParseHost(u.Query().Get("origin")) // what is none is left away
	h.feed, h.more, h.busy = content[feed]{serial: h.feed.serial + 1}, content[api.VideoPage]{serial: h.more.serial + 1}, false
	if kept, ok := h.env.feeds[h.key]; ok {
		h.feed.set(kept, nil)
	}
	if h.ctx != nil {
		h.start()
	}
}

func (h *home) query(cursor string) api.VideosQuery {
	q := api.VideosQuery{Origin: h.origin, Uploader: h.uploader, Cursor: cursor, Limit: listed}
	if h.uploader != "" && h.origin == "" {
		q.Origin = h.env.Pod.Host
	}
	return q
}

func (h *home) first(ctx context.Context) (feed, error) {
	p, err := h.env.API.Videos(ctx, h.query(h.cursor))
	return feed(p), err
}

func (h *home) preload(ctx context.Context) {
	f, err := h.first(ctx)
	// The cards show neither; a page of them is a third of the size without.
	for i := range f.Videos {
		f.Videos[i].Description, f.Videos[i].Magnet = "", ""
	}
	h.feed.set(f, err)
}

func (h *home) content() any { return &h.feed }

func (h *home) head() Head {
	d := Head{Description: "The newest videos of " + h.env.Pod.Name + ". Every viewer is a source.", Kind: "website", Status: h.feed.status(), Canonical: "/"}
	switch {
	case h.uploader != "":
		d.Title, d.Description = h.uploader, "Videos by "+h.uploader+"."
	case h.origin != "":
		d.Title = "Videos of " + string(h.origin)
		d.Description = d.Title + "."
	default:
		return d
	}
	d.Canonical = "/?" + h.filter().Encode()
	return d
}

// filter is the part of the address that says whose videos are shown.
func (h *home) filter() url.Values {
	u := url.Values{}
	if h.uploader != "" {
		u.Set("uploader", h.uploader)
	}
	if h.origin != "" {
		u.Set("origin", string(h.origin))
	}
	return u
}

// OnMount implements app.Mounter.
func (h *home) OnMount(ctx app.Context) {
	h.ctx = ctx
	h.start()
}

func (h *home) start() {
	h.env.see(h.feed.Value.Videos)
	if h.feed.Done {
		h.ctx.Defer(func(app.Context) { h.watchEnd() })
		return
	}
	h.load()
}

// again is called when the pod is back.
func (h *home) again() {
	if !h.feed.Done && h.feed.Err != nil {
		h.load()
	}
}

func (h *home) load() {
	load(h.ctx, &h.feed, h.first, func() {
		h.env.see(h.feed.Value.Videos)
		h.ctx.Defer(func(app.Context) { h.watchEnd() })
	})
}

// watchEnd loads more whenever the end of the list comes near.
func (h *home) watchEnd() {
	if h.stop != nil {
		h.stop()
	}
	h.stop = onVisible(h.ctx, "feed-end", "1200px", func(app.Context) { h.loadMore() })
}

func (h *home) loadMore() {
	cursor := h.feed.Value.Cursor
	if h.busy || cursor == "" {
		return
	}
	h.busy = true
	load(h.ctx, &h.more, func(c context.Context) (api.VideoPage, error) { return h.env.API.Videos(c, h.query(cursor)) }, func() {
		h.busy = false
		if h.more.Err != nil {
			return
		}
		h.env.see(h.more.Value.Videos)
		h.feed.Value.Videos = append(slices.Clip(h.feed.Value.Videos), fresh(h.feed.Value.Videos, h.more.Value.Videos)...)
		h.feed.Value.Cursor = h.more.Value.Cursor
		h.ctx.Defer(func(app.Context) { h.watchEnd() })
	})
}

// fresh is what of next is not in have: a video that came while the viewer read moves
// the pages.
func fresh(have, next []api.Video) []api.Video {
	return slices.DeleteFunc(slices.Clone(next), func(v api.Video) bool {
		return slices.ContainsFunc(have, func(o api.Video) bool { return o.ID == v.ID })
	})
}

// OnDismount implements app.Dismounter.
func (h *home) OnDismount() {
	if h.stop != nil {
		h.stop()
	}
	if h.feed.Done {
		if h.env.feeds == nil {
			h.env.feeds = map[string]feed{}
		}
		h.env.feeds[h.key] = h.feed.Value
	}
}

// Render implements app.Composer.
func (h *home) Render() app.UI {
	return elem("div").Class("page home").Body(
		h.heading(),
		h.list(),
		elem("div").ID("feed-end").Class("feed-end").Body(h.end()),
	)
}

func (h *home) heading() app.UI {
	name, of := h.uploader, string(h.origin)
	switch {
	case name == "" && of == "":
		return elem("h1").Class("page-title").Text("Newest")
	case name == "":
		name, of = "Videos of "+of, ""
	}
	return elem("div").Class("uploader-head").Body(
		avatar(pick(h.uploader != "", h.uploader, string(h.origin))),
		elem("h1").Class("page-title").Dir("auto").Text(name),
		app.If(of != "", elem("span").Class("dim").Text("@ "+of)),
		app.If(h.origin != "", elem("a").Class("button quiet small").Attr("href", "/").Text("Show all")),
	)
}

func (h *home) list() app.UI {
	switch {
	case !h.feed.Done && h.feed.Err != nil:
		return failure(h.feed.Err, h.load)
	case !h.feed.Done:
		return elem("div").Body(elem("p").Class("off-screen").Role("status").Text("Loading videos"), skeletons(12))
	case len(h.feed.Value.Videos) == 0 && h.uploader != "":
		return nothing(iconFilm, "No videos", "Nobody of this name has published a video here.", elem("a").Class("button quiet").Attr("href", "/").Text("All videos"))
	case len(h.feed.Value.Videos) == 0 && h.origin != "":
		return nothing(iconFilm, "No videos", "Nothing of "+string(h.origin)+" is listed here.", elem("a").Class("button quiet").Attr("href", "/network").Text("The network"))
	case len(h.feed.Value.Videos) == 0 && h.env.Me == nil && h.env.Pod.Registration != "open":
		return nothing(iconFilm, "Nothing here yet", "No video has been published on this pod.", nil)
	case len(h.feed.Value.Videos) == 0:
		return nothing(iconFilm, "Nothing here yet", "The first video of this pod could be yours.", elem("a").Class("button").Attr("href", "/upload").Text("Upload a video"))
	}
	videos := h.feed.Value.Videos
	return elem("ul").Class("cards").Body(
		app.Range(videos).Slice(func(i int) app.UI { return card(videos[i], h.env.Pod.Host, h.now, i < 8) }),
	)
}

// end is what stands below the list. In a document it is a link, which works without
// the app.
func (h *home) end() app.UI {
	cursor := h.feed.Value.Cursor
	switch {
	case h.more.Err != nil:
		return failure(h.more.Err, h.loadMore)
	case !h.feed.Done || cursor == "":
		return nil
	case app.IsServer:
		u := h.filter()
		u.Set("cursor", cursor)
		return elem("a").Class("button quiet").Attr("href", "/?"+u.Encode()).Attr("rel", "next").Text("More videos")
	}
	return elem("button").Attr("type", "button").Class("button quiet").Attr("disabled", h.busy).Text(pick(h.busy, "Loading…", "More videos")).
		OnClick(func(app.Context, app.Event) { h.loadMore() })
}

// pick chooses between two values.
func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
