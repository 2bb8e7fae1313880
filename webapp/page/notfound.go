package page

import (
	"context"
	"net/http"
	"net/url"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
)

// notFound stands at addresses that lead nowhere.
type notFound struct {
	app.Compo

	env *Env
}

func (*notFound) open(*url.URL)           {}
func (*notFound) preload(context.Context) {}
func (*notFound) content() any            { return nil }
func (*notFound) head() Head {
	return Head{Title: "Not found", Kind: "website", Status: http.StatusNotFound}
}

// Render implements app.Composer.
func (*notFound) Render() app.UI {
	return elem("div").Class("page").Body(gone("There is no page here", "The address may be mistyped, or what was here has been removed."))
}

// gone says that an address leads nowhere.
func gone(title, text string) app.UI {
	return elem("div").Class("state").Body(
		elem("p").Class("state-code").Aria("hidden", true).Text("404"),
		elem("h1").Text(title),
		elem("p").Text(text),
		elem("a").Class("button").Attr("href", "/").Text("See what is new"),
	)
}

// offline is the page that the service worker keeps and opens at any address when the
// pod cannot be reached. The app then shows what belongs to that address; this screen
// is for before it has started, and for the address itself.
type offline struct {
	app.Compo

	env *Env
}

func (*offline) open(*url.URL)           {}
func (*offline) preload(context.Context) {}
func (*offline) content() any            { return nil }
func (*offline) head() Head              { return Head{Title: "Offline", Kind: "website"} }

// Render implements app.Composer.
func (*offline) Render() app.UI {
	return elem("div").Class("page").Body(elem("div").Class("state").Body(
		icon(iconOffline),
		elem("h1").Text("No connection"),
		elem("p").Text("The pod cannot be reached. What is open goes on as far as it has come."),
		elem("a").Class("button").Attr("href", "/").Text("Try again"),
	))
}

// broken stands where the pod could not even say who it is.
type broken struct {
	app.Compo

	err *api.Error
}

func (*broken) open(*url.URL)           {}
func (*broken) preload(context.Context) {}
func (*broken) content() any            { return nil }
func (b *broken) head() Head {
	return Head{Title: "Out of order", Kind: "website", Status: b.err.Status()}
}

// Render implements app.Composer.
func (b *broken) Render() app.UI { return elem("div").Class("page").Body(failure(b.err, nil)) }
