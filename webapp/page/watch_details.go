package page

import (
	"context"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// said is what lists have no room for of the video that is watched: the whole
// description, and what its uploader says of themself. It has a place of its own from the
// beginning, and where it comes late nothing above it moves.
type said struct {
	details content[api.Details]
	whole   bool // the whole description is shown, or is to be
}

func (w *watch) getDetails(ctx context.Context) (api.Details, error) {
	return w.env.API.Details(ctx, w.id)
}

// loadDetails asks for what is not known yet.
func (w *watch) loadDetails() {
	if w.video.Done && !w.said.details.Done {
		load(w.ctx, &w.said.details, w.getDetails, nil)
	}
}

// forgetDetails has them asked for again.
func (w *watch) forgetDetails() {
	w.said = said{details: content[api.Details]{serial: w.said.details.serial + 1}}
}

// text is the description as it is shown now.
func (w *watch) text(v api.Video) string {
	if w.said.whole && w.said.details.Done {
		return w.said.details.Value.Description
	}
	return v.Description
}

// more shows the rest of a description that is cut.
func (w *watch) more(v api.Video) app.UI {
	if !video.IsCut(v.Description) {
		return nil
	}
	d := &w.said.details
	text, busy, act := "Show more", false, func() { w.said.whole = true }
	switch {
	case w.said.whole && d.Done:
		text, act = "Show less", func() { w.said.whole = false }
	case w.said.whole && d.Err != nil:
		text, act = "Try again", w.loadDetails
	case w.said.whole:
		text, busy = "Loading…", true
	}
	return elem("div").Class("more").Body(
		elem("button").Attr("type", "button").Class("button quiet small").Attr("disabled", busy).Aria("busy", busy).Aria("expanded", w.said.whole && d.Done).Text(text).
			OnClick(func(app.Context, app.Event) { act() }, text, v.ID),
		app.If(w.said.whole && d.Err != nil && !d.Done, elem("p").Class("hint bad").Role("alert").Text(messageOf(d.Err))),
	)
}

func messageOf(err *api.Error) string {
	if err == nil {
		return ""
	}
	return err.Message
}

// uploader is who brought the video.
func (w *watch) uploader(v api.Video) app.UI {
	d := &w.said.details
	name, account := v.Uploader, string(v.Origin)
	if p := d.Value.Uploader; p.Name != "" {
		name, account = p.Name, v.Uploader+" @ "+account
	}
	return elem("section").Class("panel uploader").Aria("label", "Uploader").Body(
		avatar(v.Uploader),
		elem("div").Class("uploader-text").Body(
			elem("p").Class("uploader-name").Dir("auto").Text(name),
			elem("p").Class("dim uploader-account").Dir("auto").Text(account),
			w.uploaderAbout(),
		),
	)
}

func (w *watch) uploaderAbout() app.UI {
	d := &w.said.details
	if d.Done && d.Value.Uploader.About == "" && !d.Value.Stale {
		return nil // nothing is said
	}
	about := elem("div").Class("uploader-about").Dir("auto")
	switch {
	case d.Done:
		about = about.Body(elem("p").Class("description").Dir("auto").Body(linked(d.Value.Uploader.About)...))
	case d.Err != nil:
		about = about.Body(
			elem("p").Class("dim").Role("status").Text("What the uploader says could not be loaded. "+d.Err.Message),
			elem("button").Attr("type", "button").Class("button quiet small").Text("Try again").OnClick(func(app.Context, app.Event) { w.loadDetails() }),
		)
	default:
		about = about.Class("skeleton").Aria("busy", true).Body(elem("span").Class("line"), elem("span").Class("line short"))
	}
	return elem("div").Body(about, app.If(d.Done && d.Value.Stale,
		elem("p").Class("dim stale").Text("As of "+formatDate(d.Value.AsOf)+": the pod that this comes from cannot be reached now."),
	))
}
