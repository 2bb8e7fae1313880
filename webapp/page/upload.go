package page

import (
	"context"
	"net/url"

	"github.com/maxence-charriere/go-app/v9/pkg/app"
)

// upload is the page on which videos are published.
type upload struct {
	app.Compo

	env *Env
}

func newUpload(e *Env) screen { return &upload{env: e} }

func (*upload) open(*url.URL)           {}
func (*upload) preload(context.Context) {}
func (*upload) content() any            { return nil }

func (u *upload) head() Head {
	h := Head{Title: "Upload", Kind: "website"}
	if u.env.Me == nil && u.env.frame.known {
		h.Redirect = loginPath("/upload")
	}
	return h
}

// Render implements app.Composer.
func (u *upload) Render() app.UI {
	return app.Div().Class("page").Body(app.H1().Class("page-title").Text("Upload"))
}
