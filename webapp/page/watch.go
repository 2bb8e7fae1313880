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
	app.Compo

	env    *Env
	ctx    app.Context // nil until mounted
	id     video.ID
	now    time.Time
	video  content[api.Video]
	edit   *edit // nil unless it is being edited
	strip  *strip
	panel  *panel
	remove question
	stop   func() // of the swarm's statistics
}

// playerPlace is the id of the element that the player's one <video> is put into.
const playerPlace = "player-place"

func (w *watch) open(u *url.URL) {
	id, err := video.ParseID(strings.TrimPrefix(u.Path, "/watch/"))
	if err == nil && id == w.id {
		return
	}
	w.id, w.now, w.edit = id, time.Now(), nil
	w.video = content[api.Video]{serial: w.video.serial + 1}
	w.remove.id = "remove-video"
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

func (w *watch) preload(ctx context.Context) { w.video.set(w.get(ctx)) }

func (w *watch) content() any { return &w.video }

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
		Canonical: api.WatchPath(v.ID),
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
	w.start()
}

// start plays, and asks again for what is only known from a list.
func (w *watch) start() {
	if w.video.Done {
		w.play()
	}
	if w.video.Done && w.video.Value.Magnet != "" {
		return
	}
	w.load(w.ctx)
}

func (w *watch) load(ctx app.Context) {
	w.video.Err = nil
	load(ctx, &w.video, w.get, func(ctx app.Context) {
		if w.video.Done {
			w.play()
		}
		w.env.frame.setHead(ctx)
	})
}

func (w *watch) play() {
	id := w.id
	w.ctx.Defer(func(ctx app.Context) {
		if w.id != id || w.stop != nil {
			return
		}
		player.Place(playerPlace)
		player.Show(w.video.Value)
		w.stop = player.Watch(func(s swarm.Stats) {
			// Not Dispatch: that would render the whole page four times a second.
			ctx.Dispatcher().Dispatch(app.Dispatch{Mode: app.Next, Source: ctx.Src(), Function: func(app.Context) { w.tell(s) }})
		})
	})
}

// tell shows the swarm as it is now.
func (w *watch) tell(s swarm.Stats) {
	if w.stop == nil {
		return
	}
	w.strip.show(s, w.video.Value.Duration)
	w.panel.show(s)
}

// leave ends what play began.
func (w *watch) leave() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	player.Leave()
}

// OnDismount implements app.Dismounter.
func (w *watch) OnDismount() { w.leave() }

// Render implements app.Composer.
func (w *watch) Render() app.UI {
	if !w.video.Done && w.video.Err != nil {
		return app.Div().Class("page").Body(w.failed())
	}
	return app.Div().Class("watch").Body(
		app.Div().Class("stage").Body(
			app.Div().ID(playerPlace).Class("player").Body(w.plainPlayer()),
			w.strip,
		),
		app.Div().Class("watch-main").Body(w.about()),
		app.Aside().Class("watch-side").Aria("label", "Swarm").Body(w.panel),
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
// there, which then takes this very element over (player.Adopt).
func (w *watch) plainPlayer() app.UI {
	if !app.IsServer || !w.video.Done {
		return nil
	}
	v := w.video.Value
	return app.Video().ID("kinopod-video").Src(ownPath(v.StreamURL)).Poster(ownPath(v.ThumbnailURL)).
		Controls(true).AutoPlay(true).Preload("auto").Attr("playsinline", true).Aria("label", v.Name)
}

// about is what is said of the video.
func (w *watch) about() app.UI {
	if !w.video.Done {
		return app.Div().Class("skeleton").Body(
			app.P().Class("off-screen").Role("status").Text("Loading the video"),
			app.Span().Class("line tall"), app.Span().Class("line short"), app.Span().Class("line"), app.Span().Class("line"),
		)
	}
	if w.edit != nil {
		return app.Div().Class("panel").Body(w.edit)
	}
	v := w.video.Value
	return app.Article().Body(
		app.H1().Class("video-name").Dir("auto").Text(v.Name),
		app.Div().Class("video-bar").Body(w.byline(v), w.actions(v)),
		w.description(v),
	)
}

func (w *watch) byline(v api.Video) app.UI {
	by := v.Uploader
	if w.env.Pod.Host != "" && v.Origin != w.env.Pod.Host {
		by += " @ " + string(v.Origin)
	}
	return app.Div().Class("byline").Body(
		avatar(v.Uploader),
		app.Div().Body(
			app.A().Class("byline-name").Dir("auto").Href("/?uploader="+url.QueryEscape(v.Uploader)).Text(by),
			app.Time().Class("byline-date").DateTime(v.Created.UTC().Format(time.RFC3339)).Title(formatDate(v.Created)).
				Text(formatDate(v.Created)+" · "+formatAgo(v.Created, w.now)),
		),
	)
}

func (w *watch) actions(v api.Video) app.UI {
	return app.Div().Class("actions").Body(
		w.shareButton(v),
		link("Magnet", "Open the magnet link in a BitTorrent client", v.Magnet, iconMagnet, ""),
		link(".torrent", "Download the .torrent file", ownPath(v.TorrentURL), iconTorrent, v.Name+".torrent"),
		app.If(v.Mine,
			app.Button().Type("button").Class("button quiet").Body(icon(iconEdit), app.Span().Text("Edit")).OnClick(w.onEdit),
			app.Button().Type("button").Class("button quiet danger").Body(icon(iconRemove), app.Span().Text("Remove")).OnClick(w.onRemove),
		),
	)
}

// link is an action that is the browser's: "download" keeps the app from taking it for
// an address of its own.
func link(text, title, href, picture, file string) app.UI {
	if href == "" {
		return nil
	}
	return app.A().Class("button quiet").Href(href).Title(title).Attr("download", file).Body(icon(picture), app.Span().Text(text))
}

func (w *watch) shareButton(v api.Video) app.UI {
	return app.Button().Type("button").Class("button quiet").Body(
		icon(pick(app.IsClient && canShare(), iconShare, iconLink)),
		app.Span().Text(pick(app.IsClient && canShare(), "Share", "Copy link")),
	).OnClick(func(ctx app.Context, _ app.Event) {
		address := Origin() + api.WatchPath(v.ID)
		if canShare() {
			share(v.Name, address)
			return
		}
		copyText(ctx, address, func(_ app.Context, ok bool) {
			w.env.say(pick(ok, "Link copied.", "The link could not be copied: "+address))
		})
	}, v.ID)
}

func (w *watch) description(v api.Video) app.UI {
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
	return app.Div().Class("panel about").Body(
		app.If(v.Description != "", app.P().Class("description").Dir("auto").Text(v.Description)),
		app.If(len(v.Tags) > 0, app.Ul().Class("tags").Aria("label", "Tags").Body(
			app.Range(v.Tags).Slice(func(i int) app.UI { return app.Li().Dir("auto").Text(v.Tags[i]) }),
		)),
		app.P().Class("facts").Text(strings.Join(facts, " · ")),
	)
}

func (w *watch) onEdit(app.Context, app.Event) {
	w.edit = newEdit(w.env, w.video.Value, func(ctx app.Context, changed *api.Video) {
		w.edit = nil
		if changed != nil {
			w.video.set(*changed, nil)
			w.env.frame.setHead(ctx)
		}
		w.Update()
	})
}

func (w *watch) onRemove(ctx app.Context, _ app.Event) {
	v := w.video.Value
	w.remove.ask(ctx, "Remove this video?", "“"+v.Name+"” leaves the list, the swarm and the disk. Nobody can bring it back.", "Remove", func(ctx app.Context) {
		do(ctx, func(c context.Context) error { return w.env.API.RemoveVideo(c, v.ID) }, func(ctx app.Context, err error) {
			if err != nil {
				w.remove.fail(err)
				return
			}
			w.remove.close()
			w.env.forget(v.ID)
			w.env.say("Removed.")
			ctx.Navigate("/")
		})
	})
}
