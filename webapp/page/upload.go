package page

import (
	"context"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/webapp/upload"
)

// uploads is the page on which videos are published: a place to drop files on, a card
// for each file that goes up, and what was begun earlier and not finished. The files
// themselves are in the queue of Env, which goes on while other screens are shown.
type uploads struct {
	component

	env    *Env
	queue  *upload.Queue // nil at the pod, where nothing goes up
	dirty  atomic.Bool   // the queue changed since it was last shown
	stop   []func()
	shown  map[int]upload.Details  // by key: what the fields of a card began with
	states map[int]upload.State    // by key: what was last read to screen readers
	news   string                  // to be read to screen readers
	over   bool                    // files are being dragged over the page
	err    *api.Error              // of the list of unfinished uploads
	wrong  map[video.ID]*api.Error // why a file chosen again was not taken
	ask    question
}

func newUpload(e *Env) screen {
	if e.queue == nil {
		e.queue = startQueue(e.API)
		e.frame.sending.follow()
	}
	return &uploads{
		env: e, queue: e.queue, ask: question{id: "discard-upload"},
		shown: map[int]upload.Details{}, states: map[int]upload.State{}, wrong: map[video.ID]*api.Error{},
	}
}

func (*uploads) open(*url.URL)           {}
func (*uploads) preload(context.Context) {}
func (*uploads) content() any            { return nil }

func (u *uploads) head() Head {
	h := Head{Title: "Upload", Kind: "website", Description: "Publish videos."}
	if u.env.Me == nil && u.env.frame.known {
		h.Redirect = loginPath("/upload")
	}
	if done, size := u.progress(); size > 0 {
		h.Title = formatShare(done, size) + " · " + h.Title
	}
	return h
}

// progress is how many bytes of what is going up went up.
func (u *uploads) progress() (done, size int64) {
	return progressOf(u.items())
}

func (u *uploads) items() []upload.Item {
	if u.queue == nil {
		return nil
	}
	return u.queue.Items()
}

// OnMount implements app.Mounter.
func (u *uploads) OnMount(ctx app.Context) {
	u.component.OnMount(ctx)
	if u.queue == nil {
		return
	}
	if _, owner, ok := u.queue.Account(); ok && owner.Username != u.env.username() {
		u.queue.Clear()
	}
	for _, it := range u.items() {
		u.states[it.Key] = it.State
		if it.State == upload.Failed && it.Err.Code == api.CodeUnauthorized && u.env.Me != nil {
			u.queue.Resume(it.Key) // came back from the log-in page
		}
	}
	u.stop = append(u.stop,
		u.queue.Watch(u.refreshSoon),
		u.countDown(),
		watchDrops(func(over bool) {
			ctx.Dispatch(func(app.Context) { u.over = over })
		}, func(files []*upload.File) {
			ctx.Dispatch(func(app.Context) {
				u.queue.Add(files...)
			})
		}))
	u.load()
}

// OnDismount implements app.Dismounter.
func (u *uploads) OnDismount() {
	for _, stop := range u.stop {
		stop()
	}
	u.stop = nil
	if u.queue != nil && u.queue.Busy() {
		u.env.say("Uploads go on while you look around. Keep this page open.")
	}
}

// refreshSoon shows the queue as it is then; it is called after each change, some
// hundred times a second.
func (u *uploads) refreshSoon() {
	if u.dirty.Swap(true) {
		return
	}
	time.AfterFunc(refreshTime, func() {
		u.dirty.Store(false)
		u.ctx.Dispatch(func(app.Context) {
			u.tell()
			u.env.frame.setHead()
		})
	})
}

// countDown shows each second how long a file still waits for its next attempt.
func (u *uploads) countDown() (stop func()) {
	ticker, done := time.NewTicker(time.Second), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				if slices.ContainsFunc(u.items(), func(it upload.Item) bool { return it.State == upload.Retrying }) {
					u.refreshSoon()
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
	}
}

const refreshTime = 150 * time.Millisecond

// tell says to screen readers which files came into another state.
func (u *uploads) tell() {
	for _, it := range u.items() {
		if was, ok := u.states[it.Key]; ok && was == it.State {
			continue
		}
		u.states[it.Key] = it.State
		if text := spokenState(it); text != "" {
			u.news = it.FileName + ": " + text
		}
	}
}

// spokenState is what to say of a file that came into a state; "" is nothing.
func spokenState(it upload.Item) string {
	switch it.State {
	case upload.Sending:
		return "uploading"
	case upload.Retrying:
		return "the connection is lost, it will be tried again"
	case upload.Paused:
		return "paused"
	case upload.Failed:
		return it.Err.Message
	case upload.Done:
		return "published"
	}
	return ""
}

// load asks for limits and for unfinished uploads.
func (u *uploads) load() {
	u.err = nil
	do(u.ctx, u.queue.Refresh, func(err error) {
		if api.Is(err, api.CodeUnauthorized) {
			u.logIn()
			return
		}
		if err != nil {
			u.err = api.AsError(err)
		}
	})
}

// Render implements app.Composer.
func (u *uploads) Render() app.UI {
	if u.env.Me == nil {
		return u.env.frame.stranger("Loading", 2)
	}
	items, unfinished := u.items(), u.list()
	return elem("div").Class("page upload").DataSet("over", u.over).Body(
		elem("header").Class("upload-head").Body(
			elem("h1").Class("page-title").Text("Upload"),
			elem("p").Class("dim").Text(u.limits()),
		),
		elem("p").Class("off-screen").Role("status").Aria("live", "polite").Text(u.news),
		u.drop(len(items) > 0),
		slot(len(items) > 0, elem("ul").Class("uploads").Aria("label", "Files").Body(
			app.Range(items).Slice(func(i int) app.UI { return u.card(items[i]) }),
		)),
		slot(u.err != nil || len(unfinished) > 0, u.unfinished(unfinished)),
		elem("div").Class("drop-veil").Aria("hidden", true).Body(icon(iconUpload), elem("span").Text("Drop to upload")),
		&u.ask,
		tell(),
	)
}

// limits says what may be uploaded.
func (u *uploads) limits() string {
	text := "MP4 (H.264, AAC) or WebM"
	if most := u.env.Pod.Limits.UploadBytes; most > 0 {
		text += ", up to " + formatBytes(most) + " a file"
	}
	me := *u.env.Me
	if u.queue != nil {
		if _, now, ok := u.queue.Account(); ok {
			me = now
		}
	}
	if me.QuotaBytes > 0 {
		text += ". " + formatBytes(max(0, me.QuotaBytes-me.UsedBytes)) + " of your " + formatBytes(me.QuotaBytes) + " are free"
	}
	return text + "."
}

// drop is where files are chosen. All of the page takes files that are dropped.
func (u *uploads) drop(small bool) app.UI {
	return elem("div").Class("drop", pick(small, "small", "")).Body(
		icon(iconUpload),
		elem("p").Class("drop-lead").Text(pick(small, "Drop more videos anywhere on this page", "Drop videos anywhere on this page")),
		u.chooser("choose-files", pick(small, "Choose more", "Choose videos"), "button", true, u.onChoose, "new"),
		app.If(!small, elem("p").Class("dim").Text("Uploads survive a lost connection, a reload and a closed tab. They go on where they were.")),
	)
}

// chooser is a file input that looks like a button.
func (u *uploads) chooser(id, text, class string, several bool, onChange app.EventHandler, scope any) app.UI {
	return elem("label").Class(class, "chooser").Body(
		void("input").ID(id).Attr("type", "file").Class("off-screen").Attr("accept", "video/mp4,video/webm,.mp4,.m4v,.webm").
			Attr("multiple", several).Attr("disabled", u.queue == nil).OnChange(onChange, scope),
		elem("span").Text(text),
	)
}

func (u *uploads) onChoose(ctx app.Context, _ app.Event) {
	u.queue.Add(takeFiles(ctx.JSSrc())...)
}

// list is what was begun earlier and is not in the queue.
func (u *uploads) list() []api.Upload {
	if u.queue == nil {
		return nil
	}
	return u.queue.Unfinished()
}

func (u *uploads) unfinished(list []api.Upload) app.UI {
	if u.err != nil {
		return section("unfinished", "Unfinished uploads", failure(u.err, u.load))
	}
	return section("unfinished", "Unfinished uploads",
		elem("p").Class("dim").Text("Choose the same file again, and the upload goes on where it was."),
		elem("ul").Class("rows").Body(app.Range(list).Slice(func(i int) app.UI { return u.row(list[i]) })),
	)
}

func (u *uploads) row(up api.Upload) app.UI {
	name := pick(up.Name == "", up.FileName, up.Name)
	id := up.ID.String()
	return elem("li").Class("row-upload").Body(
		elem("div").Class("row-text").Body(
			elem("p").Class("row-name").Dir("auto").Text(name),
			elem("progress").Attr("max", float64(max(up.Size, 1))).Attr("value", up.Offset).Aria("label", "Received of "+name),
			elem("p").Class("dim").Dir("auto").Text(up.FileName+" · "+formatBytes(up.Offset)+" of "+formatBytes(up.Size)+" · kept until "+formatDate(up.Expires.In(time.Local))),
			problem(u.wrong[up.ID]),
		),
		elem("div").Class("actions").Body(
			u.chooser("again-"+id, "Choose the file again", "button quiet", false, func(ctx app.Context, _ app.Event) { u.onAgain(ctx, up.ID) }, id),
			elem("button").Attr("type", "button").Class("button quiet danger").Text("Discard").Aria("label", "Discard "+name).
				OnClick(func(app.Context, app.Event) { u.onDiscard(up, name) }, id, name),
		),
	)
}

func (u *uploads) onAgain(ctx app.Context, id video.ID) {
	delete(u.wrong, id)
	for _, f := range takeFiles(ctx.JSSrc()) {
		if err := u.queue.Continue(id, f); err != nil {
			u.wrong[id] = api.AsError(err)
		}
	}
}

func (u *uploads) onDiscard(up api.Upload, name string) {
	u.ask.ask("Discard this upload?", "What has arrived of “"+name+"” is deleted.", "Discard", func() {
		do(u.ctx, func(c context.Context) error { return u.queue.Discard(c, up.ID) }, func(err error) {
			if err != nil {
				u.ask.fail(err)
				return
			}
			u.env.say("Discarded.")
			u.ask.close()
		})
	})
}

// slot is a place that stays where it is while what is in it comes and goes. go-app
// compares elements by their order: without it the fields behind would be made anew
// under the hands of somebody who types, and a component behind would be mounted a
// second time.
func slot(shown bool, in app.UI) app.UI {
	return elem("div").Class("up-slot").Body(app.If(shown, in))
}
