package page

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/webapp/player"
	"kinopod/webapp/swarm"
)

// watch is the page of one video: the player, the swarm strip below it, what is said
// of the video, and the swarm beside it.
type watch struct {
	component

	env    *Env
	id     video.ID
	now    time.Time
	video  content[api.Video]
	asking bool // the video is on its way once more
	said   said
	edit   *edit // nil unless it is being edited
	strip  *strip
	panel  *panel
	remove question
	stop   func() // of the swarm's statistics
	keep   bool   // the film plays on when the page is left (mini)

	refused bool // the trackers refuse the torrent, and the pod was asked why
	removed bool // the video was removed while it was watched
	keys    keys
}

// playerPlace is the id of the element that the player's one <video> is put into.
const playerPlace = "player-place"

func (w *watch) open(u *url.URL) {
	id, err := video.ParseID(strings.TrimPrefix(u.Path, "/watch/"))
	if err == nil && id == w.id {
		return
	}
	w.id, w.now, w.edit = id, time.Now(), nil
	w.refused, w.removed = false, false
	w.video = content[api.Video]{serial: w.video.serial + 1}
	w.remove.id = "remove-video"
	w.forgetDetails()
	if w.strip == nil {
		w.strip, w.panel = &strip{}, &panel{}
	}
	w.strip.reset()
	w.panel.reset()
	if v, ok := w.env.known[id]; ok {
		w.video.set(v, nil)
	}
	if w.ctx != nil {
		w.leave()
		w.start()
	}
}

func (w *watch) get(ctx context.Context) (api.Video, error) { return w.env.API.Video(ctx, w.id) }

func (w *watch) preload(ctx context.Context) {
	w.video.set(w.get(ctx))
	// Another pod is not waited for: the film is.
	if w.video.Done && w.video.Value.Origin == w.env.Pod.Host {
		w.said.details.set(w.getDetails(ctx))
		w.said.details.Err = nil // the browser asks again
	}
}

func (w *watch) content() any {
	return &struct {
		Video   *content[api.Video]   `json:"video"`
		Details *content[api.Details] `json:"details"`
	}{&w.video, &w.said.details}
}

func (w *watch) head() Head {
	if !w.video.Done {
		h := Head{Title: "Video", Kind: "website", Status: w.video.status()}
		if h.Status == 404 {
			h.Title = "No such video"
		}
		return h
	}
	v := w.video.Value
	about := strings.Join(strings.Fields(v.Description), " ")
	if about == "" {
		about = "A video by " + v.Uploader + "."
	}
	return Head{
		Title: v.Name, Description: cut(about, 200), Image: ownPath(v.ThumbnailURL), Kind: "video.other",
		Canonical: api.WatchPath(v.ID), Video: &v,
	}
}

// cut shortens a text to n runes at most.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return strings.TrimSpace(string(r[:n-1])) + "…"
}

// OnMount implements app.Mounter.
func (w *watch) OnMount(ctx app.Context) {
	w.ctx = ctx
	w.keys.open()
	w.start()
}

// start plays, and asks again for what is only known from a list.
func (w *watch) start() {
	if w.video.Done {
		w.play()
	}
	known := w.video.Done && !w.partial() && !(w.env.Me != nil && locked(w.video.Value))
	gone := w.video.Err != nil && w.video.Err.Code == api.CodeNotFound
	if !known && !gone {
		w.load()
	}
	w.loadDetails()
}

// partial says whether the video is only known from a list, which leaves parts away.
func (w *watch) partial() bool { return w.video.Value.Magnet == "" }

// again is called when the pod is back.
func (w *watch) again() {
	if !w.video.Done && w.video.Err != nil && w.video.Err.Code != api.CodeNotFound {
		w.load()
	}
}

func (w *watch) load() {
	w.asking = true
	load(w.ctx, &w.video, w.get, func() {
		w.asking = false
		w.loadDetails()
		if w.video.Done {
			w.play()
		}
		w.env.frame.setHead()
	})
}

func (w *watch) play() {
	if locked(w.video.Value) {
		return
	}
	id := w.id
	w.ctx.Defer(func(ctx app.Context) {
		if w.id != id || w.stop != nil {
			return
		}
		player.Place(playerPlace)
		player.Show(w.video.Value)
		w.stop = player.Watch(func(s swarm.Stats) {
			// Not Dispatch: that would render the whole page.
			ctx.Dispatcher().Dispatch(app.Dispatch{Mode: app.Next, Source: ctx.Src(), Function: func(app.Context) { w.tell(s) }})
		})
	})
}

// tell shows the swarm as it is now. What is drawn comes right after what is written: each
// frame that the browser makes beside the film's own costs.
func (w *watch) tell(s swarm.Stats) {
	if w.stop == nil {
		return
	}
	if s.Refused != w.refused {
		if w.refused = s.Refused; w.refused {
			w.askWhy()
		}
	}
	w.strip.show(s, w.video.Value.Duration)
	w.panel.plain = w.strip.plainOnly()
	w.panel.show(s)
	w.ctx.Defer(func(app.Context) {
		for _, f := range []*surface{w.strip.surface, w.panel.surface} {
			if f != nil {
				f.refresh()
			}
		}
	})
}

// askWhy asks the pod whether the video is still there.
func (w *watch) askWhy() {
	id := w.id
	send(w.ctx, w.get, func(_ api.Video, err error) {
		if w.id == id && api.Is(err, api.CodeNotFound) {
			w.removed = true
			w.env.forget(id)
		}
	})
}

// leave ends what play began.
func (w *watch) leave() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	if !w.keep {
		player.Leave()
	}
}

// OnDismount implements app.Dismounter.
func (w *watch) OnDismount() {
	w.keys.close()
	w.leave()
}

// Render implements app.Composer.
func (w *watch) Render() app.UI {
	if !w.video.Done && w.video.Err != nil {
		return elem("div").Class("page").Body(w.failed())
	}
	var stage app.UI = elem("div").ID(playerPlace).Class("player").Body(w.plainPlayer())
	if w.video.Done && locked(w.video.Value) {
		stage = w.lock(w.video.Value)
	}
	return elem("div").Class("watch").Body(
		elem("div").Class("stage").Body(
			stage,
			w.strip,
		),
		tell(),
		elem("div").Class("watch-main").Body(
			elem("div").Role("status").Body(app.If(w.removed, elem("p").Class("removed").Body(
				icon(iconRemove), elem("span").Text("This video was removed while you watched. It plays on as far as it is here or at other viewers."),
			))),
			w.about(),
		),
		elem("aside").Class("watch-side").Aria("label", "Swarm").Body(w.panel, keysHelp()),
		&w.remove,
	)
}

func (w *watch) failed() app.UI {
	if w.video.Err.Code == api.CodeNotFound {
		return gone("There is no such video", "It may have been removed by its uploader, or the link is mistyped.")
	}
	return failure(w.video.Err, w.load)
}

// plainPlayer is the video of a document: it plays by plain HTTP before the app is
// there, which then takes this very element over (player.Adopt). Its controls come
// with the first frame (static/boot.js): to build them takes Chromium as long as to
// begin the film.
func (w *watch) plainPlayer() app.UI {
	if !app.IsServer || !w.video.Done {
		return nil
	}
	v := w.video.Value
	return elem("video").ID(player.ElementID).Attr("crossorigin", "anonymous").Attr("src", ownPath(v.StreamURL)).Attr("poster", ownPath(v.ThumbnailURL)).
		Attr("autoplay", true).Attr("preload", "auto").Attr("playsinline", true).Aria("label", v.Name)
}

// about is what is said of the video.
func (w *watch) about() app.UI {
	if !w.video.Done {
		return elem("div").Class("skeleton").Body(
			elem("p").Class("off-screen").Role("status").Text("Loading the video"),
			elem("span").Class("line tall"), elem("span").Class("line short"), elem("span").Class("line"), elem("span").Class("line"),
		)
	}
	if w.edit != nil {
		return elem("div").Class("panel").Body(w.edit)
	}
	v := w.video.Value
	return elem("article").Body(
		elem("h1").Class("video-name").Dir("auto").Text(v.Name),
		elem("div").Class("video-bar").Body(w.byline(v), w.actions(v)),
		w.description(v),
		w.uploader(v),
	)
}

func (w *watch) byline(v api.Video) app.UI {
	by, href := v.Uploader, api.UploaderPath(v.Origin, v.Uploader)
	if w.env.Pod.Host != "" && v.Origin != w.env.Pod.Host {
		by += " @ " + string(v.Origin)
	}
	return elem("div").Class("byline").Body(
		avatar(v.Uploader),
		elem("div").Body(
			elem("a").Class("byline-name").Dir("auto").Attr("href", href).Text(by),
			elem("p").Class("byline-date").Body(
				app.If(v.Views > 0, elem("span").Class("byline-views").Title(strconv.FormatInt(v.Views, 10)).Text(formatViews(v.Views))),
				elem("time").Attr("datetime", v.Created.UTC().Format(time.RFC3339)).Title(formatDate(v.Created)).
					Text(formatDate(v.Created)+" · "+formatAgo(v.Created, w.now)),
			),
		),
	)
}

func (w *watch) actions(v api.Video) app.UI {
	return elem("div").Class("actions").Body(
		w.shareButton(v),
		link("Magnet", "Open the magnet link in a BitTorrent client", unless(locked(v), v.Magnet), iconMagnet, ""),
		link(".torrent", "Download the .torrent file", unless(locked(v), ownPath(v.TorrentURL)), iconTorrent, v.Name+".torrent"),
		app.If(v.Mine,
			elem("button").ID("edit-video").Attr("type", "button").Class("button quiet").Body(icon(iconEdit), elem("span").Text("Edit")).OnClick(w.onEdit),
			elem("button").Attr("type", "button").Class("button quiet danger").Body(icon(iconRemove), elem("span").Text("Remove")).OnClick(w.onRemove),
		),
	)
}

// link is an action that is the browser's: "download" keeps the app from taking it for
// an address of its own. Without an address it keeps its place.
func link(text, title, href, picture, file string) app.UI {
	if href == "" {
		return elem("button").Attr("type", "button").Class("button quiet").Attr("disabled", true).Body(icon(picture), elem("span").Text(text))
	}
	return elem("a").Class("button quiet").Attr("href", href).Title(title).Attr("download", file).Body(icon(picture), elem("span").Text(text))
}

func unless(not bool, s string) string { return pick(not, "", s) }

func (w *watch) shareButton(v api.Video) app.UI {
	return elem("button").Attr("type", "button").Class("button quiet").Body(
		icon(pick(app.IsClient && canShare(), iconShare, iconLink)),
		elem("span").Text(pick(app.IsClient && canShare(), "Share", "Copy link")),
	).OnClick(func(app.Context, app.Event) {
		address := Origin() + api.WatchPath(v.ID)
		if canShare() {
			share(v.Name, address)
			return
		}
		copyText(w.ctx, address, func(ok bool) {
			w.env.say(pick(ok, "Link copied.", "The link could not be copied: "+address))
		})
	}, v.ID)
}

func (w *watch) description(v api.Video) app.UI {
	if w.partial() && w.video.Err == nil {
		return elem("div").Class("panel about skeleton").Aria("hidden", true).Body(
			elem("span").Class("line"), elem("span").Class("line"), elem("span").Class("line short"),
		)
	}
	facts := make([]string, 0, 3)
	if len(v.Renditions) > 0 {
		r := v.Renditions[0]
		if r.Width > 0 && r.Height > 0 {
			facts = append(facts, strconv.Itoa(r.Width)+" × "+strconv.Itoa(r.Height))
		}
		facts = append(facts, strings.ToUpper(strings.TrimPrefix(r.MIME, "video/")), formatBytes(r.Size))
	}
	if v.Duration > 0 {
		facts = append(facts, formatDuration(v.Duration))
	}
	return elem("div").Class("panel about").Body(
		app.If(v.Description != "", elem("p").Class("description").Dir("auto").Body(linked(w.text(v))...)),
		w.more(v),
		app.If(len(v.Tags) > 0, elem("ul").Class("tags").Aria("label", "Tags").Body(
			app.Range(v.Tags).Slice(func(i int) app.UI {
				return elem("li").Body(elem("a").Dir("auto").Attr("href", api.TagPath(v.Tags[i])).Text(v.Tags[i]))
			}),
		)),
		elem("p").Class("facts").Text(strings.Join(facts, " · ")),
	)
}

func (w *watch) onEdit(app.Context, app.Event) {
	w.edit = newEdit(w.env, w.video.Value, func(changed *api.Video) {
		w.edit = nil
		if changed != nil {
			w.video.set(*changed, nil)
			w.forgetDetails()
			w.loadDetails()
			w.env.frame.setHead()
		}
		w.Update()
		w.ctx.Defer(func(app.Context) { focus("edit-video") })
	})
}

func (w *watch) onRemove(app.Context, app.Event) {
	v := w.video.Value
	w.remove.ask("Remove this video?", "“"+v.Name+"” leaves the list, the swarm and the disk. Nobody can bring it back.", "Remove", func() {
		do(w.ctx, func(c context.Context) error { return w.env.API.RemoveVideo(c, v.ID) }, func(err error) {
			if err != nil {
				w.remove.fail(err)
				return
			}
			w.remove.close()
			w.env.forget(v.ID)
			w.env.say("Removed.")
			navigate("/")
		})
	})
}
