package page

import (
	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/webapp/player"
)

// keys plays, seeks and more by the keyboard on the page of a video, wherever the
// keyboard is not somebody else's.
type keys struct{ listener app.Func }

// Steps of the keyboard, in seconds.
const (
	stepSmall = 5  // arrows
	stepSeek  = 10 // J and L
	stepLarge = 30 // page up and down on the strip
)

// open listens until close. It listens by itself: a handler of go-app hears of a key
// only later when there is much to do, and the page has scrolled by then.
func (k *keys) open() {
	k.listener = app.FuncOf(func(_ app.Value, args []app.Value) any {
		if video := document().Call("querySelector", "#"+playerPlace+" > #"+player.ElementID); video.Truthy() {
			onKey(video, args[0])
		}
		return nil
	})
	document().Call("addEventListener", "keydown", k.listener)
}

func (k *keys) close() {
	if k.listener == nil {
		return
	}
	document().Call("removeEventListener", "keydown", k.listener)
	k.listener.Release()
	k.listener = nil
}

// othersKeys is where keys have a meaning of their own.
const othersKeys = `input, textarea, select, button, a[href], summary, dialog, audio, [role="button"], [contenteditable]:not([contenteditable="false"])`

// onKey is called with each key that goes down on the page of a video.
func onKey(video, e app.Value) {
	for _, other := range []string{"defaultPrevented", "ctrlKey", "altKey", "metaKey", "shiftKey", "isComposing"} {
		if e.Get(other).Truthy() {
			return
		}
	}
	target := e.Get("target")
	if !target.Get("closest").Truthy() || target.Call("closest", othersKeys).Truthy() || document().Call("querySelector", "dialog[open]").Truthy() {
		return
	}
	key := e.Get("key").String()
	switch key {
	case " ":
		if target.Equal(video) { // its own controls know it
			return
		}
	case "ArrowLeft", "ArrowRight":
		if target.Equal(video) || target.Call("matches", `[role="slider"]`).Truthy() {
			return
		}
	}
	act := keyActions[key]
	if act == nil {
		return
	}
	e.Call("preventDefault")
	if key[0] == 'A' || key == "j" || key == "l" || !e.Get("repeat").Truthy() {
		act(video)
	}
}

// keyActions is what keys do. Capitals are of a keyboard whose Caps Lock is on.
var keyActions = map[string]func(video app.Value){
	" ": playOrPause, "k": playOrPause, "K": playOrPause,
	"ArrowLeft": skip(-stepSmall), "ArrowRight": skip(stepSmall),
	"j": skip(-stepSeek), "J": skip(-stepSeek), "l": skip(stepSeek), "L": skip(stepSeek),
	"m": mute, "M": mute, "f": fullScreen, "F": fullScreen,
}

func playOrPause(video app.Value) {
	if video.Get("paused").Bool() {
		video.Call("play").Call("catch", app.Window().Get("kinopod").Get("ignore"))
		return
	}
	video.Call("pause")
}

func skip(seconds float64) func(app.Value) {
	return func(video app.Value) {
		if end := video.Get("duration").Float(); end > 0 {
			video.Set("currentTime", min(max(video.Get("currentTime").Float()+seconds, 0), end))
		}
	}
}

func mute(video app.Value) { video.Set("muted", !video.Get("muted").Bool()) }

func fullScreen(video app.Value) {
	ignore := app.Window().Get("kinopod").Get("ignore")
	switch {
	case document().Get("fullscreenElement").Truthy():
		document().Call("exitFullscreen").Call("catch", ignore)
	case video.Get("requestFullscreen").Truthy():
		video.Call("requestFullscreen").Call("catch", ignore)
	}
}

// keysHelp says which keys there are. Where nothing hovers there is no keyboard.
func keysHelp() app.UI {
	help := [...]struct {
		keys [2]string
		text string
	}{
		{[2]string{"Space", "K"}, "play"},
		{[2]string{"J", "L"}, "10 s"},
		{[2]string{"←", "→"}, "5 s"},
		{[2]string{"M"}, "mute"},
		{[2]string{"F"}, "full screen"},
	}
	return elem("p").Class("keys").Body(app.Range(help[:]).Slice(func(i int) app.UI {
		h := help[i]
		return elem("span").Body(
			elem("kbd").Text(h.keys[0]),
			app.If(h.keys[1] != "", elem("kbd").Text(h.keys[1])),
			elem("span").Text(h.text),
		)
	}))
}
