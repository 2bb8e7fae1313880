package page

import (
	"context"
	"net/url"
	"strings"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// login is where a session begins: with an account, with a new account as the pod's
// policy allows, or with the pod's first account.
type login struct {
	component

	env      *Env
	next     string
	setup    string // token of the first-run link
	invite   string // token of an invitation
	register bool   // make an account
	name     text
	password text
	shown    bool // the password is
	busy     bool
	err      *api.Error
}

func (l *login) open(u *url.URL) {
	q := u.Query()
	l.next, l.setup, l.invite = nextOf(u), q.Get("setup"), q.Get("invite")
	l.register = l.setup != "" || l.invite != "" || q.Has("register")
	l.err, l.busy = nil, false
}

func (l *login) preload(context.Context) {}

func (l *login) content() any { return nil }

func (l *login) head() Head {
	h := Head{Title: l.title(), Kind: "website"}
	if l.env.Me != nil {
		h.Redirect = l.next
	}
	return h
}

func (l *login) title() string {
	switch {
	case l.setup != "":
		return "Create the first account"
	case l.register:
		return "Create an account"
	}
	return "Log in"
}

// Render implements app.Composer.
func (l *login) Render() app.UI {
	return elem("div").Class("page narrow").Body(
		elem("div").Class("panel login").Body(
			elem("h1").Text(l.title()),
			elem("p").Class("lead").Text(l.lead()),
			l.form(),
			l.other(),
		),
	)
}

func (l *login) lead() string {
	switch {
	case l.setup != "":
		return "It is the administrator's: it may do everything on this pod. The link works once."
	case l.invite != "":
		return "You are invited to " + l.env.Pod.Name + "."
	case l.register:
		return "Publish videos on " + l.env.Pod.Name + "."
	}
	return "Watching needs no account. Publishing does."
}

func (l *login) form() app.UI {
	if l.register && l.setup == "" && l.invite == "" && l.env.Pod.Registration != "open" {
		return nil
	}
	name := field{id: "username", label: "Name", kind: "text", autocomplete: "username", value: &l.name, most: video.MaxUploader, required: true}
	password := field{id: "password", label: "Password", kind: "password", autocomplete: "current-password", value: &l.password, required: true}
	if l.register {
		name.hint = "Others see it beside your videos."
		password.autocomplete, password.hint = "new-password", passwordHint
	}
	return form(l.title(), l.send,
		name.render(),
		password.secret(&l.shown),
		problem(l.err),
		submit(l.busy, pick(l.register, "Create account", "Log in"), "One moment…"),
	)
}

// other leads to the other ways in.
func (l *login) other() app.UI {
	switch registration := l.env.Pod.Registration; {
	case l.setup != "":
		return nil
	case l.register && l.invite == "" && registration != "open":
		return elem("div").Body(
			elem("p").Text(pick(registration == "invite", "You need an invitation to register on this pod. It is a link from a moderator.", "This pod takes no new accounts.")),
			elem("a").Class("button quiet").Attr("href", "/login").Text("Log in"),
		)
	case l.register:
		return l.aside("You have an account?", "/login", "Log in")
	case registration == "open":
		return l.aside("New here?", "/login?register", "Create an account")
	}
	return nil
}

func (l *login) aside(text, path, link string) app.UI {
	if l.next != "/" {
		path += pick(strings.Contains(path, "?"), "&", "?") + "next=" + url.QueryEscape(l.next)
	}
	return elem("p").Class("login-other").Body(elem("span").Text(text), elem("a").Attr("href", path).Text(link))
}

func (l *login) send() {
	if l.busy {
		return
	}
	l.busy, l.err = true, nil
	name, password := strings.TrimSpace(l.name.now), l.password.now
	ask := func(c context.Context) (api.Session, error) {
		return l.env.API.Login(c, api.Credentials{Username: name, Password: password})
	}
	if l.register {
		ask = func(c context.Context) (api.Session, error) {
			return l.env.API.Register(c, api.Registration{Username: name, Password: password, Invite: l.invite, Setup: l.setup})
		}
	}
	send(l.ctx, ask, func(s api.Session, err error) {
		l.busy = false
		if err != nil {
			l.err = api.AsError(err)
			return
		}
		l.password.clear("password")
		l.env.setMe(&s.User)
		l.env.say("Welcome, " + s.User.Username + ".")
		navigate(l.next)
	})
}
