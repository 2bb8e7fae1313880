package page

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// text is what stands in an input. What it began with is what is rendered: the program
// hears of keys later than they are typed, and would put what it knows over them.
type text struct{ begun, now string }

func newText(s string) text { return text{s, s} }

// clear empties the input with this id.
func (t *text) clear(id string) {
	t.now = ""
	if in := element(id); in.Truthy() {
		in.Set("value", "")
	}
}

// typed takes over what stands in the input.
func (t *text) typed(ctx app.Context, _ app.Event) { t.now = ctx.JSSrc().Get("value").String() }

// field is a labelled input of one line.
type field struct {
	id, label, kind string // kind: the type of the input
	hint            string
	autocomplete    string
	placeholder     string
	value           *text
	most            int // of characters, 0 is any
	required        bool
	autofocus       bool
}

func (f field) render() app.UI {
	in := void("input").ID(f.id).Attr("name", f.id).Attr("type", f.kind).Class("input").Attr("value", f.value.begun).
		OnInput(f.value.typed, f.id).
		Attr("required", f.required).Attr("autofocus", f.autofocus)
	if f.kind == "text" {
		in = in.Dir("auto")
	}
	if f.autocomplete != "" {
		in = in.Attr("autocomplete", f.autocomplete)
	}
	if f.autocomplete == "username" || f.autocomplete == "off" {
		in = in.Attr("autocapitalize", "none").Spellcheck(false)
	}
	if f.placeholder != "" {
		in = in.Attr("placeholder", f.placeholder)
	}
	if f.most > 0 {
		in = in.Attr("maxlength", f.most)
	}
	if f.hint != "" {
		in = in.Aria("describedby", f.id+"-hint")
	}
	return elem("div").Class("field").Body(
		elem("label").Attr("for", f.id).Text(f.label),
		in,
		app.If(f.hint != "", elem("p").ID(f.id+"-hint").Class("hint").Text(f.hint)),
	)
}

// minPassword is what the pod takes at least (pod/accounts.MinPassword, which package
// webapp may not import).
const minPassword = 8

var passwordHint = strconv.Itoa(minPassword) + " characters or more. A sentence is good."

// secret is render for a password, with a button that shows it.
func (f field) secret(shown *bool) app.UI {
	f.kind = pick(*shown, "text", "password")
	return elem("div").Class("with-toggle").Body(
		f.render(),
		elem("button").Attr("type", "button").Class("quiet icon-only").Aria("label", "Show the "+strings.ToLower(f.label)).Aria("pressed", *shown).
			OnClick(func(app.Context, app.Event) { *shown = !*shown }, f.id).Body(icon(iconEye)),
	)
}

// charactersLeft counts what is typed into the field with this id.
func charactersLeft(id, now string, most int) app.UI {
	left := most - utf8.RuneCountInString(now)
	return elem("p").ID(id + "-hint").Class(pick(left < 0, "hint bad", "hint")).Text(strconv.Itoa(max(left, -left)) + pick(left < 0, " characters too many", " characters left"))
}

var tagsHint = "Separated by commas, " + strconv.Itoa(video.MaxTags) + " at most."

// area is a labelled input of several lines that counts its characters.
func area(id, label string, value *text, most int) app.UI {
	return elem("div").Class("field").Body(
		elem("label").Attr("for", id).Text(label),
		elem("textarea").ID(id).Attr("name", id).Class("input").Attr("rows", 4).Dir("auto").Text(value.begun).Aria("describedby", id+"-hint").
			OnInput(value.typed, id),
		charactersLeft(id, value.now, most),
	)
}

// submit is the button that sends a form.
func submit(busy bool, text, busyText string) app.UI {
	return elem("button").Attr("type", "submit").Class("button").Attr("disabled", busy || app.IsServer).Aria("busy", busy).Text(pick(busy, busyText, text))
}

// problem says why a form was not taken.
func problem(err *api.Error) app.UI {
	if err == nil {
		return elem("div").Role("alert").Class("problem-none")
	}
	return elem("div").Role("alert").Class("problem").Text(err.Message)
}

// form is a <form> that sends by calling send. It posts to nowhere by itself: what is
// typed into it must never come into an address.
func form(label string, send func(), body ...app.UI) app.UI {
	return elem("form").Class("form").Attr("method", "post").Aria("label", label).
		OnSubmit(func(_ app.Context, e app.Event) {
			e.PreventDefault()
			send()
		}).Body(body...)
}

// edit is the form that changes what is said of a video.
type edit struct {
	component

	env    *Env
	video  api.Video
	done   func(*api.Video) // with nil when it was given up
	name   text
	about  text
	whole  content[api.Details] // while the video has the beginning of its description only
	tags   text
	err    *api.Error
	busy   bool
	prefix string // of the ids of its fields
}

func newEdit(e *Env, v api.Video, done func(*api.Video)) *edit {
	return &edit{
		env: e, video: v, done: done, prefix: "edit-" + v.ID.String(),
		name: newText(v.Name), about: newText(v.Description), tags: newText(strings.Join(v.Tags, ", ")),
	}
}

// OnMount implements app.Mounter.
func (f *edit) OnMount(ctx app.Context) {
	f.ctx = ctx
	ctx.Defer(func(app.Context) { focus(f.prefix + "-name") })
	if f.cut() {
		f.loadWhole()
	}
}

// cut says whether the whole description is not here yet: then it stays as it is.
func (f *edit) cut() bool { return video.IsCut(f.video.Description) && !f.whole.Done }

func (f *edit) loadWhole() {
	load(f.ctx, &f.whole, func(c context.Context) (api.Details, error) { return f.env.API.Details(c, f.video.ID) }, func() {
		if f.whole.Done {
			f.about = newText(f.whole.Value.Description)
		}
	})
}

// description is the field for it, or what stands there until all of it is known.
func (f *edit) description() app.UI {
	switch {
	case !f.cut():
		return area(f.prefix+"-about", "Description", &f.about, video.MaxText)
	case f.whole.Err != nil:
		return elem("div").Class("field").Body(
			problem(f.whole.Err),
			elem("button").Attr("type", "button").Class("button quiet small").Text("Load the description again").OnClick(func(app.Context, app.Event) { f.loadWhole() }),
		)
	}
	return elem("div").Class("field").Body(busyText("Loading the description…"))
}

// Render implements app.Composer.
func (f *edit) Render() app.UI {
	return elem("div").On("keydown", f.onKey).Body(form("Edit "+f.video.Name, f.save,
		field{id: f.prefix + "-name", label: "Name", kind: "text", value: &f.name, required: true}.render(),
		f.description(),
		field{id: f.prefix + "-tags", label: "Tags", kind: "text", value: &f.tags, hint: tagsHint}.render(),
		problem(f.err),
		elem("div").Class("actions").Body(
			submit(f.busy, "Save", "Saving…"),
			elem("button").Attr("type", "button").Class("button quiet").Text("Cancel").OnClick(func(app.Context, app.Event) { f.done(nil) }),
		),
	))
}

// onKey gives up with Escape, unless that ends the choice of a character.
func (f *edit) onKey(_ app.Context, e app.Event) {
	if e.Get("key").String() == "Escape" && !e.Get("isComposing").Truthy() && !f.busy {
		f.done(nil)
	}
}

func (f *edit) save() {
	if f.busy {
		return
	}
	change, err := f.change()
	if f.err = err; err != nil {
		return
	}
	f.busy = true
	send(f.ctx, func(c context.Context) (api.Video, error) { return f.env.API.EditVideo(c, f.video.ID, change) }, func(v api.Video, err error) {
		f.busy = false
		if err != nil {
			f.err = api.AsError(err)
			return
		}
		f.env.forget(v.ID)
		f.env.say("Saved.")
		f.done(&v)
	})
}

// change checks what was typed by the pod's own rules, so that the answer is at once.
func (f *edit) change() (api.VideoEdit, *api.Error) {
	name, err := video.CleanName(f.name.now)
	if err != nil {
		return api.VideoEdit{}, invalid("The name needs 1 to " + strconv.Itoa(video.MaxName) + " characters.")
	}
	var description *string
	if !f.cut() && f.about.now != f.about.begun {
		about, err := video.CleanText(f.about.now)
		if err != nil {
			return api.VideoEdit{}, invalid("The description may have " + strconv.Itoa(video.MaxText) + " characters.")
		}
		description = &about
	}
	tags, err := video.CleanTags(strings.Split(f.tags.now, ","))
	if err != nil {
		return api.VideoEdit{}, invalid("At most " + strconv.Itoa(video.MaxTags) + " tags, of " + strconv.Itoa(video.MaxTag) + " characters each.")
	}
	if tags == nil {
		tags = []string{}
	}
	return api.VideoEdit{Name: &name, Description: description, Tags: &tags}, nil
}

func invalid(text string) *api.Error { return &api.Error{Code: api.CodeInvalid, Message: text} }

// question is a dialog that asks before something that cannot be undone. Opened by ask.
type question struct {
	component

	id               string
	title, text, yes string
	busy             bool
	err              *api.Error
	act              func() // what "yes" does; it ends with close or with fail
}

// ask opens the dialog.
func (q *question) ask(title, text, yes string, act func()) {
	q.title, q.text, q.yes, q.act, q.busy, q.err = title, text, yes, act, false, nil
	q.Update()
	q.ctx.Defer(func(app.Context) { showModal(q.id) })
}

func (q *question) close() {
	q.busy = false
	closeModal(q.id)
	q.Update()
}

func (q *question) fail(err error) {
	q.busy, q.err = false, api.AsError(err)
	q.Update()
}

// Render implements app.Composer.
func (q *question) Render() app.UI {
	return elem("dialog").ID(q.id).Class("dialog").Aria("labelledby", q.id+"-title").Aria("describedby", q.id+"-text").Body(
		elem("h2").ID(q.id+"-title").Text(q.title),
		elem("p").ID(q.id+"-text").Text(q.text),
		problem(q.err),
		elem("div").Class("actions").Body(
			// The first button has the keyboard: the one that changes nothing.
			elem("button").Attr("type", "button").Class("button quiet").Text("Cancel").OnClick(func(app.Context, app.Event) { q.close() }),
			elem("button").Attr("type", "button").Class("button danger").Attr("disabled", q.busy).Text(pick(q.busy, "Working…", q.yes)).
				OnClick(func(app.Context, app.Event) {
					if !q.busy {
						q.busy = true
						q.act()
					}
				}),
		),
	)
}
