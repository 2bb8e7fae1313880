package page

import (
	"slices"
	"strconv"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/webapp/sharing"
)

// tell is the notice that tells of other viewers before one is with them. It is seen at a
// first visit only, stands over the page, and answers by itself (static/boot.js): it is
// there before the app.
func tell() app.UI {
	return elem("aside").ID(sharing.TellID).Class("tell").Aria("label", "Other viewers").Body(
		elem("p").Role("status").Text("Viewers of a film help each other: your browser gets parts of it from others, and gives parts to them. For that they see your internet address."),
		elem("div").Class("tell-answers").Body(
			elem("button").Attr("type", "button").Class("button quiet small").Attr("data-told", "alone").Text("Without others"),
			elem("button").Attr("type", "button").Class("button small").Attr("data-told", "yes").Text("Got it"),
		),
	)
}

// company is what the viewer can choose of other viewers, and why nothing is given to
// them.
type company struct {
	app.Compo

	state sharing.State
	stop  func()
}

// OnMount implements app.Mounter.
func (c *company) OnMount(ctx app.Context) {
	c.state = sharing.Now()
	c.stop = sharing.OnChange(func() {
		ctx.Dispatch(func(app.Context) { c.state = sharing.Now() })
	})
	c.Update()
}

// OnDismount implements app.Dismounter.
func (c *company) OnDismount() {
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
}

// Render implements app.Composer.
func (c *company) Render() app.UI {
	with := !c.state.Alone
	return elem("div").Class("company").Body(
		c.toggle("company-on", "Watch with others", "company-about", with, false, func(s *sharing.Choice) { s.Told, s.Alone = true, with }),
		elem("p").ID("company-about").Class("hint").Text(pick(with,
			"You get films from other viewers too, and give them on. They see your internet address.",
			"Films come from the pod alone, and nobody else sees your address.")),
		c.toggle("company-metered", "Give on mobile data too", "company-why", c.state.Metered, !with, func(s *sharing.Choice) { s.Metered = !s.Metered }),
		c.cap(!with),
		elem("p").ID("company-why").Class("hint").Role("status").Text(why(c.state)),
	)
}

// toggle is a switch with its name; flip is what it does.
func (c *company) toggle(id, name, about string, on, off bool, flip func(*sharing.Choice)) app.UI {
	return elem("div").Class("row").Body(
		elem("label").Attr("for", id).Text(name),
		elem("button").ID(id).Attr("type", "button").Class("switch").Role("switch").Aria("checked", on).Aria("describedby", about).
			Attr("disabled", off || app.IsServer).OnClick(func(app.Context, app.Event) { sharing.Choose(flip) }, id, on),
	)
}

func (c *company) cap(off bool) app.UI {
	choices := make([]app.UI, 0, len(sharing.Caps)+1)
	caps := slices.Clone(sharing.Caps)
	if !slices.Contains(caps, c.state.Megabits) {
		caps = append(caps, c.state.Megabits) // of another version
	}
	for _, n := range caps {
		text := "No limit"
		if n > 0 {
			text = strconv.Itoa(n) + " Mbit/s"
		}
		choices = append(choices, elem("option").Attr("value", strconv.Itoa(n)).Attr("selected", n == c.state.Megabits).Text(text))
	}
	return elem("div").Class("row").Body(
		elem("label").Attr("for", "company-cap").Text("Give at most"),
		elem("select").ID("company-cap").Class("input").Attr("disabled", off || app.IsServer).On("change", func(ctx app.Context, _ app.Event) {
			if n, err := strconv.Atoi(ctx.JSSrc().Get("value").String()); err == nil {
				sharing.Choose(func(s *sharing.Choice) { s.Megabits = n })
			}
		}).Body(choices...),
	)
}

// why says in words whether something is given, or why not.
func why(s sharing.State) string {
	switch s.Why() {
	case sharing.NotTold:
		return "Others join in a moment."
	case sharing.Alone:
		return "You give nothing."
	case sharing.SaveData:
		return "You give nothing now: your browser is set to save data."
	case sharing.Cellular:
		return "You give nothing now: this is mobile data."
	case sharing.Slow:
		return "You give nothing now: your connection is slow."
	}
	if s.Megabits > 0 {
		return "You give at most " + strconv.Itoa(s.Megabits) + " Mbit/s."
	}
	return "You give what others ask for."
}
