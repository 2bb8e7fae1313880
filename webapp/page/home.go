package page

import (
	"context"
	"net/url"
	"strings"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// home is videos of everybody, of one pod, of one uploader or with one tag: the newest
// first, or the most watched. What is shown stands in the address.
type home struct {
	component

	env     *Env
	query   api.VideosQuery
	strange bool // the address names no uploader
	list    list
	profile content[api.Details] // of the newest video of the uploader
}

func (h *home) open(u *url.URL) {
	if h.list.env == nil {
		h.list.env, h.list.get, h.list.come = h.env, h.page, h.loadProfile
	} else {
		h.list.leave()
	}
	q := u.Query()
	h.query = api.VideosQuery{Uploader: q.Get("uploader"), Tag: strings.ToLower(strings.TrimPrefix(q.Get("tag"), "#")), Limit: listed}
	if q.Get("sort") == string(api.Trending) {
		h.query.Sort = api.Trending
	}
	h.query.Origin, _ = network.ParseHost(q.Get("origin")) // what is none is left away
	h.strange = false
	if name, ok := strings.CutPrefix(u.Path, "/u/"); ok {
		h.query.Uploader, h.query.Origin, h.strange = uploaderOf(name)
	}
	h.profile = content[api.Details]{serial: h.profile.serial + 1}
	h.list.open(u)
	if h.ctx != nil {
		h.list.start()
	}
}

// uploaderOf reads "name@host", or "name" of the pod that is asked.
func uploaderOf(s string) (name string, host network.Host, strange bool) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s, "", s == ""
	}
	host, err := network.ParseHost(s[at+1:])
	return s[:at], host, err != nil || at == 0
}

// page asks for a page of the list.
func (h *home) page(ctx context.Context, cursor string) (feed, error) {
	if h.strange {
		return feed{}, &api.Error{Code: api.CodeNotFound, Message: "The address of an uploader ends with name@pod."}
	}
	q := h.query
	q.Cursor = cursor
	p, err := h.env.API.Videos(ctx, q)
	return feed{Videos: p.Videos, Cursor: p.Cursor}, err
}

func (h *home) preload(ctx context.Context) {
	h.list.preload(ctx)
	// Another pod is not waited for.
	if v := h.list.feed.Value.Videos; h.isUploader() && len(v) > 0 && v[0].Origin == h.env.Pod.Host {
		h.profile.set(h.env.API.Details(ctx, v[0].ID))
		h.profile.Value.Description, h.profile.Err = "", nil
	}
}

// loadProfile asks what the uploader says of themself: it comes with each of their videos.
func (h *home) loadProfile() {
	v := h.list.feed.Value.Videos
	if !h.isUploader() || h.profile.Done || len(v) == 0 {
		return
	}
	id := v[0].ID
	load(h.ctx, &h.profile, func(c context.Context) (api.Details, error) { return h.env.API.Details(c, id) }, nil)
}

func (h *home) isUploader() bool { return h.query.Uploader != "" }

func (h *home) content() any {
	return &struct {
		Feed    *content[feed]        `json:"feed"`
		Profile *content[api.Details] `json:"profile"`
	}{&h.list.feed, &h.profile}
}

func (h *home) head() Head {
	pod := h.env.Pod.Name
	d := Head{Kind: "website", Status: h.list.feed.status(), Canonical: h.address(h.query), Feed: h.feedQuery()}
	switch q := h.query; {
	case h.strange:
		d.Title, d.Status = "No such uploader", 404
		d.Canonical, d.Feed = "", ""
	case q.Uploader != "":
		name := q.Uploader
		if p := h.profile.Value.Uploader; p.Name != "" {
			name = p.Name + " (" + name + ")"
		}
		d.Title, d.Description, d.Kind = name, "Videos by "+name+".", "profile"
		if about := strings.Join(strings.Fields(h.profile.Value.Uploader.About), " "); about != "" {
			d.Description = cut(about, 200)
		}
	case q.Tag != "":
		d.Title, d.Description = "#"+q.Tag, "Videos with the tag "+q.Tag+"."
	case q.Origin != "":
		d.Title = "Videos of " + string(q.Origin)
		d.Description = d.Title + "."
	case q.Sort == api.Trending:
		d.Title, d.Description = "Trending", "What is watched now on "+pod+" and in its network."
	default:
		d.Description = "The newest videos of " + pod + ". Every viewer is a source."
	}
	if len(h.list.feed.Value.Videos) > 0 && d.Title != "" && h.list.feed.Value.Videos[0].ThumbnailURL != "" {
		d.Image = ownPath(h.list.feed.Value.Videos[0].ThumbnailURL)
	}
	return d
}

// address is where a query is shown, without a cursor.
func (h *home) address(q api.VideosQuery) string {
	u := url.Values{}
	path := "/"
	if q.Sort != "" {
		u.Set("sort", string(q.Sort))
	}
	if q.Tag != "" {
		u.Set("tag", q.Tag)
	}
	switch {
	case q.Uploader != "":
		host := q.Origin
		if host == "" {
			host = h.env.Pod.Host
		}
		path = api.UploaderPath(host, q.Uploader)
	case q.Origin != "":
		u.Set("origin", string(q.Origin))
	}
	if len(u) > 0 {
		path += "?" + u.Encode()
	}
	return path
}

// feedQuery says which feed has what the page has.
func (h *home) feedQuery() string {
	q := h.query
	q.Sort = ""
	_, query, _ := strings.Cut(h.address(q), "?")
	if q.Uploader != "" {
		u := url.Values{"uploader": {q.Uploader}, "origin": {string(pick(q.Origin == "", h.env.Pod.Host, q.Origin))}}
		query = u.Encode()
	}
	return "?" + query // not "": that is no feed
}

func (h *home) next(cursor string) string {
	at := h.address(h.query)
	return at + pick(strings.Contains(at, "?"), "&", "?") + "cursor=" + url.QueryEscape(cursor)
}

// OnMount implements app.Mounter.
func (h *home) OnMount(ctx app.Context) {
	h.ctx, h.list.ctx = ctx, ctx
	h.list.start()
}

// again is called when the pod is back.
func (h *home) again() { h.list.again() }

// OnDismount implements app.Dismounter.
func (h *home) OnDismount() { h.list.leave() }

// Render implements app.Composer.
func (h *home) Render() app.UI {
	if h.strange {
		return elem("div").Class("page home").Body(gone("There is no such uploader", "The address of an uploader ends with name@pod."))
	}
	return elem("div").Class("page home").Body(
		h.heading(),
		h.tabs(),
		h.list.render(h.none),
		h.list.end(h.next),
	)
}

func (h *home) heading() app.UI {
	q := h.query
	switch {
	case q.Uploader != "":
		return h.uploader()
	case q.Tag != "":
		return elem("h1").Class("page-title").Dir("auto").Text("#" + q.Tag)
	case q.Origin != "" && q.Origin != h.env.Pod.Host:
		return elem("div").Class("uploader-head").Body(
			avatar(string(q.Origin)),
			elem("h1").Class("page-title").Dir("auto").Text("Videos of "+string(q.Origin)),
		)
	}
	return elem("h1").Class("off-screen").Text(pick(q.Sort == api.Trending, "Trending", "Newest"))
}

// uploader is who the videos are of, as far as their pod has said.
func (h *home) uploader() app.UI {
	q, p := h.query, h.profile.Value.Uploader
	name, account := q.Uploader, "@ "+string(pick(q.Origin == "", h.env.Pod.Host, q.Origin))
	if p.Name != "" {
		name, account = p.Name, q.Uploader+" "+account
	}
	return elem("header").Class("uploader-page").Body(
		avatar(q.Uploader),
		elem("div").Class("uploader-text").Body(
			elem("h1").Class("page-title").Dir("auto").Text(name),
			elem("p").Class("dim uploader-account").Dir("auto").Text(account),
			app.If(p.About != "", elem("p").Class("description").Dir("auto").Body(linked(p.About)...)),
			app.If(h.profile.Done && h.profile.Value.Stale, elem("p").Class("dim stale").
				Text("As of "+formatDate(h.profile.Value.AsOf)+": the pod that this comes from cannot be reached now.")),
		),
	)
}

// tabs are the sorts, and whose videos there are.
func (h *home) tabs() app.UI {
	q := h.query
	tab := func(text string, is bool, change func(*api.VideosQuery)) app.UI {
		to := q
		change(&to)
		a := elem("a").Class("tab").Attr("href", h.address(to)).Text(text)
		if is {
			a = a.Aria("current", "page")
		}
		return a
	}
	sorts := elem("nav").Class("tabs").Aria("label", "Order").Body(
		tab("Newest", q.Sort != api.Trending, func(q *api.VideosQuery) { q.Sort = "" }),
		tab("Trending", q.Sort == api.Trending, func(q *api.VideosQuery) { q.Sort = api.Trending }),
	)
	// target: it is no page of the app
	reader := elem("a").Class("button quiet icon-only feed-link").Attr("href", h.head().FeedPath("atom")).Attr("target", "_blank").Attr("type", "application/atom+xml").
		Title("Feed").Aria("label", "Feed of this list (Atom)").Body(icon(iconFeed))
	if q.Uploader != "" {
		return elem("div").Class("list-bar").Body(sorts, reader)
	}
	here := h.env.Pod.Host
	return elem("div").Class("list-bar").Body(
		sorts,
		elem("nav").Class("tabs").Aria("label", "Whose videos").Body(
			tab("Whole network", q.Origin == "", func(q *api.VideosQuery) { q.Origin = "" }),
			tab("This pod", q.Origin == here && here != "", func(q *api.VideosQuery) { q.Origin = here }),
			app.If(q.Origin != "" && q.Origin != here, tab(string(q.Origin), true, func(*api.VideosQuery) {})),
		),
		reader,
	)
}

// none says why there is nothing.
func (h *home) none() app.UI {
	q := h.query
	switch {
	case q.Sort == api.Trending:
		q.Sort = ""
		return nothing(iconFilm, "Nothing is trending", "What is watched rises here, and sinks when others are watched.",
			elem("a").Class("button quiet").Attr("href", h.address(q)).Text("The newest"))
	case q.Uploader != "":
		return nothing(iconFilm, "No videos", "Nobody of this name has published a video here.", elem("a").Class("button quiet").Attr("href", "/").Text("All videos"))
	case q.Tag != "":
		return nothing(iconFilm, "No videos", "Nothing has this tag.", elem("a").Class("button quiet").Attr("href", "/").Text("All videos"))
	case q.Origin != "" && q.Origin != h.env.Pod.Host:
		return nothing(iconFilm, "No videos", "Nothing of "+string(q.Origin)+" is listed here.", elem("a").Class("button quiet").Attr("href", "/network").Text("The network"))
	case h.env.Me == nil && h.env.Pod.Registration != "open":
		return nothing(iconFilm, "Nothing here yet", "No video has been published on this pod.", nil)
	}
	return nothing(iconFilm, "Nothing here yet", "The first video of this pod could be yours.", elem("a").Class("button").Attr("href", "/upload").Text("Upload a video"))
}
