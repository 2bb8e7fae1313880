package page

import (
	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/webapp/player"
)

// mini is the small player at the edge of the screen: a film that plays while its page
// is left plays on, and is seeded on.
type mini struct {
	video *api.Video // nil if there is none
	back  bool       // the player is on its way to the page of a video
}

// miniPlace is the id of the element that the player's one <video> is put into.
const miniPlace = "mini-place"

// leave is called before a screen gives way to the next.
func (m *mini) leave(from, to screen) {
	m.back = false
	if _, ok := to.(*watch); ok {
		m.video, m.back = nil, m.video != nil // the page of a video takes the player
		return
	}
	if w, ok := from.(*watch); ok && w.video.Done && isPlaying() {
		v := w.video.Value
		m.video, w.keep = &v, true
	}
}

// isPlaying says whether the film goes on by itself.
func isPlaying() bool {
	v := element(player.ElementID)
	return v.Truthy() && !v.Get("paused").Bool() && !v.Get("ended").Bool()
}

// place puts the player into the tree that was just mounted. It is called in the same
// task that took it out of the one before, so that it plays on.
func (m *mini) place() {
	switch {
	case m.video != nil:
		player.Place(miniPlace)
	case m.back:
		player.Place(playerPlace)
	}
}

// render gives the small player; update is called when it was closed. The element stays
// in the tree when there is nothing in it: what comes behind keeps its place.
func (m *mini) render(update func()) app.UI {
	if m.video == nil {
		return elem("aside").Class("mini").Attr("hidden", true)
	}
	v := *m.video
	return elem("aside").Class("mini").Attr("hidden", false).Aria("label", "Playing").Body(
		elem("div").ID(miniPlace).Class("mini-video"),
		elem("a").Class("mini-name").Dir("auto").Attr("href", api.WatchPath(v.ID)).Text(v.Name),
		elem("button").Attr("type", "button").Class("quiet icon-only").Aria("label", "Stop playing").Title("Stop").Body(icon(iconClose)).
			OnClick(func(app.Context, app.Event) {
				m.video = nil
				player.Leave()
				update()
			}),
	)
}
