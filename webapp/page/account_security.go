package page

import (
	"context"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
)

// passwordForm changes the password.
type passwordForm struct {
	component

	env      *Env
	old, new text
	shown    struct{ old, new bool }
	busy     bool
	err      *api.Error
}

// Render implements app.Composer.
func (p *passwordForm) Render() app.UI {
	return section("my-password", "Password",
		form("Change your password", p.send,
			// Password managers need to know whose password it is.
			void("input").Attr("type", "text").Class("off-screen").Attr("autocomplete", "username").Attr("value", p.env.username()).Attr("readonly", true).TabIndex(-1).Aria("hidden", true),
			field{id: "password-old", label: "Current password", kind: "password", autocomplete: "current-password", value: &p.old, required: true}.secret(&p.shown.old),
			field{id: "password-new", label: "New password", kind: "password", autocomplete: "new-password", value: &p.new, required: true, hint: passwordHint + " Your other sessions will end."}.secret(&p.shown.new),
			problem(p.err),
			submit(p.busy, "Change password", "Changing…"),
		),
	)
}

func (p *passwordForm) send() {
	if p.busy {
		return
	}
	p.busy, p.err = true, nil
	in := api.PasswordChange{Old: p.old.now, New: p.new.now}
	do(p.ctx, func(c context.Context) error { return p.env.API.ChangePassword(c, in) }, func(err error) {
		p.busy = false
		if err != nil {
			p.err = api.AsError(err)
			return
		}
		p.old.clear("password-old")
		p.new.clear("password-new")
		p.env.say("The password is changed.")
	})
}

// mySessions lists where the viewer is logged in.
type mySessions struct {
	component

	env  *Env
	list content[[]api.SessionInfo]
}

func (m *mySessions) get(ctx context.Context) ([]api.SessionInfo, error) {
	return m.env.API.Sessions(ctx)
}

// OnMount implements app.Mounter.
func (m *mySessions) OnMount(ctx app.Context) {
	m.ctx = ctx
	if !m.list.Done {
		m.load()
	}
}

func (m *mySessions) load() {
	load(m.ctx, &m.list, m.get, func() { m.env.check(m.list.Err) })
}

// Render implements app.Composer.
func (m *mySessions) Render() app.UI {
	sessions := m.list.Value
	var body app.UI
	switch {
	case m.list.Err != nil && !m.list.Done:
		body = failure(m.list.Err, m.load)
	case !m.list.Done:
		body = busyText("Loading…")
	default:
		body = elem("ul").Class("rows").Body(app.Range(sessions).Slice(func(i int) app.UI { return m.row(sessions[i]) }))
	}
	return section("my-sessions", "Where you are logged in", body)
}

func (m *mySessions) row(s api.SessionInfo) app.UI {
	seen := "Active " + formatAgo(s.LastSeen, time.Now())
	if s.Current {
		seen = "This device"
	}
	client := s.Client
	if client == "" {
		client = "Unknown program"
	}
	return elem("li").Class("row-session").Body(
		elem("div").Class("row-text").Body(
			elem("p").Class("row-name").Text(client),
			elem("p").Class("dim").Text(seen+" · since "+formatDate(s.Created)),
		),
		app.If(!s.Current, elem("button").Attr("type", "button").Class("button quiet small").Text("End").Aria("label", "End the session of "+client).
			OnClick(func(app.Context, app.Event) { m.end(s.ID) }, s.ID)),
	)
}

func (m *mySessions) end(id string) {
	do(m.ctx, func(c context.Context) error { return m.env.API.EndSession(c, id) }, func(err error) {
		if err != nil && !api.Is(err, api.CodeNotFound) {
			m.env.say(api.AsError(err).Message)
			return
		}
		m.list.Value = without(m.list.Value, func(s api.SessionInfo) string { return s.ID }, id)
		m.env.say("The session has ended.")
	})
}

// invites makes links with which one person each may register.
type invites struct {
	component

	env  *Env
	made []api.Invite // in this visit: the pod does not show a token again
	busy bool
	err  *api.Error
}

// Render implements app.Composer.
func (i *invites) Render() app.UI {
	return section("invites", "Invitations",
		elem("p").Class("dim").Text("A link with which one person may create an account here."),
		elem("ul").Class("rows").Body(app.Range(i.made).Slice(func(n int) app.UI { return i.row(i.made[n]) })),
		problem(i.err),
		elem("button").Attr("type", "button").Class("button quiet").Attr("disabled", i.busy).Text(pick(i.busy, "One moment…", "New invitation")).
			OnClick(func(app.Context, app.Event) { i.create() }),
	)
}

func (i *invites) row(in api.Invite) app.UI {
	return elem("li").Class("row-invite").Body(
		void("input").Attr("type", "text").Class("input").Attr("readonly", true).Attr("value", in.URL).Aria("label", "Invitation, valid until "+formatDate(in.Expires)),
		elem("button").Attr("type", "button").Class("button quiet small").Text("Copy").
			OnClick(func(app.Context, app.Event) {
				copyText(i.ctx, in.URL, func(ok bool) {
					i.env.say(pick(ok, "Invitation copied.", "Could not copy: select the text instead."))
				})
			}, in.Token),
	)
}

func (i *invites) create() {
	if i.busy {
		return
	}
	i.busy, i.err = true, nil
	send(i.ctx, i.env.API.CreateInvite, func(in api.Invite, err error) {
		i.busy = false
		if err != nil {
			i.err = api.AsError(err)
			return
		}
		i.made = append([]api.Invite{in}, i.made...)
	})
}
