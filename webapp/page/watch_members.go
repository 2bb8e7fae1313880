package page

import (
	"strings"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
)

// locked says whether the viewer has nothing with which the video can be watched.
func locked(v api.Video) bool {
	_, query, _ := strings.Cut(v.StreamURL, "?")
	return v.Members && api.PassOf(query).Signature == ""
}

// lock stands in the place of the player and says what to do.
func (w *watch) lock(v api.Video) app.UI {
	if w.env.Me == nil {
		return elem("div").Class("player locked").Body(elem("div").Class("state").Body(
			icon(iconLock),
			elem("h2").Text("For members"),
			elem("p").Text("Who has an account at this pod, or at a friend of the pod that this video comes from, may watch it."),
			elem("a").Class("button").Attr("href", loginPath(api.WatchPath(v.ID))).Text("Log in"),
		))
	}
	if w.video.Err == nil && w.asking {
		return elem("div").Class("player locked").Body(elem("div").Class("state").Body(elem("p").Role("status").Text("Asking for the film…")))
	}
	return elem("div").Class("player locked").Body(elem("div").Class("state").Role("alert").Body(
		icon(iconLock),
		elem("h2").Text("Not to be had now"),
		elem("p").Text("This video is for members, and its pod could not be asked whether you may watch it."),
		elem("button").Attr("type", "button").Class("button").Text("Try again").OnClick(func(app.Context, app.Event) { w.load() }),
	))
}
