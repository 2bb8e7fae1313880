package page

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
)

// searchBox is the form in the header, with suggestions as one types: a combobox with a
// list, of which arrow keys choose one while the keyboard stays in the field. In a
// document it is a form that works without the app.
type searchBox struct {
	component

	env    *Env
	text   string // as typed; the suggestions are for it
	open   bool   // the suggestions are shown
	at     int    // the chosen one, -1 for none
	found  api.Suggestions
	serial int // of the last text that was typed
	keys   app.Func
}

const (
	searchField = "search-field"
	searchList  = "search-list"
	// typingPause is how long somebody has stopped typing until suggestions are asked for.
	typingPause = 150 * time.Millisecond
	// leastTyped is from how many letters on: fewer say nothing.
	leastTyped = 2
)

// OnMount implements app.Mounter. Keys are heard of by a listener of its own, as in keys.
func (b *searchBox) OnMount(ctx app.Context) {
	b.ctx = ctx
	b.keys = app.FuncOf(func(_ app.Value, args []app.Value) any {
		b.onKey(args[0])
		return nil
	})
	document().Call("addEventListener", "keydown", b.keys)
}

// OnDismount implements app.Dismounter.
func (b *searchBox) OnDismount() {
	document().Call("removeEventListener", "keydown", b.keys)
	b.keys.Release()
}

// show puts the text of the address into the field.
func (b *searchBox) show(text string) {
	b.text, b.open, b.at, b.found = text, false, -1, api.Suggestions{}
	b.serial++
	if f := element(searchField); f.Truthy() {
		f.Set("value", text)
	}
	if b.ctx != nil {
		b.Update()
	}
}

// onKey is called with each key that goes down in the page.
func (b *searchBox) onKey(e app.Value) {
	for _, other := range []string{"defaultPrevented", "ctrlKey", "altKey", "metaKey", "isComposing"} {
		if e.Get(other).Truthy() {
			return
		}
	}
	field, key, target := element(searchField), e.Get("key").String(), e.Get("target")
	if !field.Truthy() {
		return
	}
	if key == "/" && !target.Equal(field) {
		if target.Get("closest").Truthy() && !target.Call("closest", `input, textarea, select, [contenteditable]:not([contenteditable="false"])`).Truthy() &&
			!document().Call("querySelector", "dialog[open]").Truthy() {
			e.Call("preventDefault")
			if field.Get("offsetParent").Truthy() {
				field.Call("focus")
				field.Call("select")
			} else {
				navigate("/search")
			}
		}
		return
	}
	if !target.Equal(field) {
		return
	}
	n := len(b.found.Suggestions) + len(b.found.Videos)
	switch key {
	case "ArrowDown", "ArrowUp":
		if n == 0 {
			return
		}
		e.Call("preventDefault")
		step := pick(key == "ArrowDown", 1, -1)
		b.then(func() {
			if !b.open {
				b.open, b.at = true, -1
			}
			b.at = (b.at+1+step+n+1)%(n+1) - 1 // -1 is the field itself
		})
	case "Escape":
		if b.open {
			e.Call("preventDefault") // else the browser empties the field
			b.then(func() { b.open, b.at = false, -1 })
		}
	case "Enter":
		if at := b.at; b.open && at >= 0 {
			e.Call("preventDefault")
			b.then(func() { b.choose(at) })
		}
	}
}

// then changes the state on the UI goroutine.
func (b *searchBox) then(f func()) {
	b.ctx.Dispatch(func(app.Context) { f() })
}

// asQuery is as much of a text as the pod takes, which counts bytes where the browser
// counts units of UTF-16.
func asQuery(text string) string {
	n := min(len(text), api.MaxQuery)
	for n < len(text) && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func (b *searchBox) onInput(ctx app.Context, e app.Event) {
	b.text, b.at = ctx.JSSrc().Get("value").String(), -1
	if cut := asQuery(b.text); cut != b.text && !e.Get("isComposing").Truthy() {
		b.text = cut
		ctx.JSSrc().Set("value", cut)
	}
	b.serial++
	serial, text := b.serial, strings.TrimLeft(b.text, " ")
	if len([]rune(strings.TrimSpace(text))) < leastTyped || len(text) > api.MaxQuery {
		b.open, b.found = false, api.Suggestions{}
		return
	}
	b.ctx.After(typingPause, func(app.Context) {
		if b.serial == serial {
			b.ask(serial, text)
		}
	})
}

func (b *searchBox) ask(serial int, text string) {
	send(b.ctx, func(c context.Context) (api.Suggestions, error) { return b.env.API.Suggest(c, text) }, func(s api.Suggestions, err error) {
		if b.serial != serial {
			return // something else was typed
		}
		if err != nil {
			s = api.Suggestions{} // a search works without, and says what is wrong
		}
		b.found, b.at = s, -1
		field := element(searchField)
		b.open = len(s.Suggestions)+len(s.Videos) > 0 && field.Truthy() && field.Equal(document().Get("activeElement"))
	})
}

// choose goes to a suggestion.
func (b *searchBox) choose(i int) {
	words := b.found.Suggestions
	if i < len(words) {
		b.search(words[i])
		return
	}
	if i -= len(words); i < len(b.found.Videos) {
		id := b.found.Videos[i].ID
		b.show("")
		b.leaveField()
		navigate(api.WatchPath(id))
	}
}

func (b *searchBox) search(text string) {
	b.show(text)
	b.leaveField()
	navigate(searchPath(text))
}

// leaveField takes a phone's keyboard away.
func (b *searchBox) leaveField() {
	if f := element(searchField); f.Truthy() {
		f.Call("blur")
	}
}

func (b *searchBox) onSubmit(_ app.Context, e app.Event) {
	e.PreventDefault()
	text := b.text
	if f := element(searchField); f.Truthy() {
		text = f.Get("value").String()
	}
	if text = strings.TrimSpace(asQuery(text)); text != "" {
		b.search(text)
	}
}

// onBlur closes the list; a click on it comes after.
func (b *searchBox) onBlur(app.Context, app.Event) {
	b.ctx.After(200*time.Millisecond, func(app.Context) {
		if f := element(searchField); f.Truthy() && !f.Equal(document().Get("activeElement")) {
			b.open, b.at = false, -1
		}
	})
}

// Render implements app.Composer.
func (b *searchBox) Render() app.UI {
	field := void("input").ID(searchField).Class("search-field").Attr("type", "search").Attr("name", "q").Attr("placeholder", "Search").
		Attr("autocomplete", "off").Attr("autocapitalize", "none").Attr("spellcheck", "false").Attr("enterkeyhint", "search").Attr("maxlength", api.MaxQuery).
		Attr("value", b.text).Dir("auto").Role("combobox").Aria("label", "Search videos").Aria("autocomplete", "list").
		Aria("expanded", b.open).Aria("controls", searchList).Aria("keyshortcuts", "/").
		OnInput(b.onInput).OnBlur(b.onBlur)
	if b.open && b.at >= 0 {
		field = field.Aria("activedescendant", optionID(b.at))
	}
	return elem("form").Class("search").Attr("action", "/search").Attr("method", "get").Role("search").OnSubmit(b.onSubmit).Body(
		elem("span").Class("search-box").Body(
			field,
			elem("kbd").Class("search-key").Aria("hidden", true).Text("/"),
			elem("button").Attr("type", "submit").Class("search-go").Aria("label", "Search").Body(icon(iconSearch)),
		),
		elem("ul").ID(searchList).Class("search-list").Role("listbox").Aria("label", "Suggestions").Attr("hidden", !b.open).
			On("mousedown", func(_ app.Context, e app.Event) { e.PreventDefault() }). // the field keeps the focus, however long the button is down
			Body(
				app.Range(b.found.Suggestions).Slice(func(i int) app.UI { return b.option(i, iconSearch, b.found.Suggestions[i]) }),
				app.Range(b.found.Videos).Slice(func(i int) app.UI {
					return b.option(len(b.found.Suggestions)+i, iconFilm, b.found.Videos[i].Name)
				}),
			),
		elem("span").Class("off-screen").Role("status").Text(b.said()),
	)
}

// said tells screen readers that there is something to choose from.
func (b *searchBox) said() string {
	if n := len(b.found.Suggestions) + len(b.found.Videos); b.open && n > 0 {
		return plural(n, "suggestion")
	}
	return ""
}

func optionID(i int) string { return "search-option-" + strconv.Itoa(i) }

func (b *searchBox) option(i int, picture, text string) app.UI {
	return elem("li").ID(optionID(i)).Class("search-option").Role("option").Aria("selected", b.open && i == b.at).
		OnClick(func(app.Context, app.Event) { b.choose(i) }, i, text).
		Body(icon(picture), elem("span").Dir("auto").Text(text))
}
