package page

import (
	"context"
	"net/url"
	"strconv"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
)

// account is the viewer's own page: videos, unfinished uploads, password, sessions, and
// for moderators invitations.
type account struct {
	component

	env      *Env
	videos   myVideos
	uploads  myUploads
	profiles profileForm
	sessions mySessions
	password passwordForm
	invites  invites
	company  company
}

func (a *account) open(*url.URL) {
	a.videos.env, a.uploads.env, a.profiles.env, a.sessions.env, a.password.env, a.invites.env = a.env, a.env, a.env, a.env, a.env, a.env
	a.videos.remove.id, a.uploads.remove.id = "remove-video", "remove-upload"
}

func (a *account) preload(ctx context.Context) {
	if a.env.Me == nil {
		return
	}
	a.videos.list.set(a.videos.get(ctx))
	a.uploads.list.set(a.uploads.get(ctx))
	a.sessions.list.set(a.sessions.get(ctx))
}

func (a *account) content() any {
	return &struct {
		Videos   *content[feed]              `json:"videos"`
		Uploads  *content[[]api.Upload]      `json:"uploads"`
		Sessions *content[[]api.SessionInfo] `json:"sessions"`
	}{&a.videos.list, &a.uploads.list, &a.sessions.list}
}

func (a *account) head() Head {
	h := Head{Title: "Your account", Kind: "website"}
	if a.env.Me == nil && a.env.frame.known {
		h.Redirect = loginPath("/account")
	}
	return h
}

// Render implements app.Composer.
func (a *account) Render() app.UI {
	if a.env.Me == nil {
		return a.env.frame.stranger("Loading your account", 4)
	}
	return elem("div").Class("page account").Body(
		a.profile(),
		elem("div").Class("account-grid").Body(
			elem("div").Class("account-main").Body(&a.uploads, &a.videos),
			elem("div").Class("account-side").Body(&a.profiles, section("company", "Other viewers", &a.company), &a.password, &a.sessions, a.moderation()),
		),
	)
}

func (a *account) moderation() app.UI {
	if a.env.Me.Role == api.RoleUser {
		return nil
	}
	return &a.invites
}

func (a *account) profile() app.UI {
	me := a.env.Me
	return elem("header").Class("profile").Body(
		avatar(me.Username),
		elem("div").Class("profile-text").Body(
			elem("h1").Class("page-title").Dir("auto").Text(me.Username),
			elem("p").Class("dim").Text(roleName(me.Role)+" since "+formatDate(me.Created)),
		),
		usage(me),
		elem("button").Attr("type", "button").Class("button quiet").Text("Log out").OnClick(a.onLogout),
	)
}

func roleName(r api.Role) string {
	switch r {
	case api.RoleAdmin:
		return "Administrator"
	case api.RoleModerator:
		return "Moderator"
	}
	return "Member"
}

// usage is how much of the quota is used.
func usage(me *api.User) app.UI {
	text := formatBytes(me.UsedBytes) + " used"
	if me.QuotaBytes <= 0 {
		return elem("p").Class("usage dim").Text(text)
	}
	text = formatBytes(me.UsedBytes) + " of " + formatBytes(me.QuotaBytes) + " used"
	return elem("div").Class("usage").Body(
		elem("label").Attr("for", "usage").Class("dim").Text(text),
		elem("meter").ID("usage").Attr("min", 0).Attr("max", float64(me.QuotaBytes)).Attr("high", float64(me.QuotaBytes)*0.9).Attr("value", strconv.FormatInt(me.UsedBytes, 10)),
	)
}

func (a *account) onLogout(app.Context, app.Event) {
	do(a.ctx, a.env.API.Logout, func(err error) {
		if err != nil && !api.Is(err, api.CodeUnauthorized) {
			a.env.say(api.AsError(err).Message)
			return
		}
		a.env.setMe(nil)
		a.env.say("Logged out.")
		navigate("/")
	})
}

// section is a titled part of a page.
func section(id, title string, body ...app.UI) app.UI {
	return elem("section").Class("panel").Aria("labelledby", id).Body(
		append([]app.UI{elem("h2").ID(id).Text(title)}, body...)...,
	)
}

// busyText stands while something is asked for.
func busyText(text string) app.UI { return elem("p").Class("dim").Role("status").Text(text) }
