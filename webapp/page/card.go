package page

import (
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// card is a video in a list: a link to it, and one to its uploader.
func card(v api.Video, here network.Host, now time.Time, eager bool) app.UI {
	by := v.Uploader
	if v.Origin != "" && here != "" && v.Origin != here {
		by += " @ " + string(v.Origin)
	}
	return elem("li").Class("card").Body(
		elem("a").Class("card-link").Attr("href", api.WatchPath(v.ID)).Body(
			thumbnail(v, eager),
			elem("span").Class("card-text").Body(
				elem("span").Class("card-name").Dir("auto").Text(v.Name),
			),
		),
		elem("p").Class("card-by").Body(
			elem("a").Class("card-uploader").Dir("auto").Attr("href", api.UploaderPath(pick(v.Origin == "", here, v.Origin), v.Uploader)).Text(by),
			app.If(v.Views > 0, elem("span").Class("card-views").Text(formatViews(v.Views))),
			elem("time").Class("card-time").Attr("datetime", v.Created.UTC().Format(time.RFC3339)).Text(formatAgo(v.Created, now)),
		),
	)
}

// thumbnail is the picture of a video with its duration. The picture says nothing that
// the name beside it does not.
func thumbnail(v api.Video, eager bool) app.UI {
	return elem("span").Class("thumb").Body(
		picture(v, eager),
		app.If(v.Duration > 0,
			elem("span").Class("duration").Aria("hidden", true).Text(formatDuration(v.Duration)),
			elem("span").Class("off-screen").Text(spokenDuration(v.Duration)),
		),
	)
}

func picture(v api.Video, eager bool) app.UI {
	src := ownPath(v.ThumbnailURL)
	if v.ThumbnailURL == "" || src == "" {
		return elem("span").Class("thumb-none").Body(icon(iconFilm))
	}
	img := void("img").Attr("src", src).Attr("alt", "").Attr("width", api.ThumbnailWidth).Attr("height", api.ThumbnailHeight).Attr("decoding", "async")
	if !eager {
		img = img.Attr("loading", "lazy")
	}
	return img
}

// skeletons stand where cards will be.
func skeletons(n int) app.UI {
	return elem("ul").Class("cards").Aria("hidden", true).Body(
		app.Range(make([]struct{}, n)).Slice(func(int) app.UI {
			return elem("li").Class("card skeleton").Body(
				elem("span").Class("thumb"), elem("span").Class("line"), elem("span").Class("line short"),
			)
		}),
	)
}

// failure says what went wrong and offers to try again; retry may be nil.
func failure(err *api.Error, retry func()) app.UI {
	picture, title := iconSad, "That did not work"
	switch err.Code {
	case api.CodeOffline:
		picture, title = iconOffline, "No connection"
	case api.CodeUnavailable:
		title = "The pod is busy"
	}
	return elem("div").Class("state").Role("alert").Body(
		icon(picture),
		elem("h2").Text(title),
		elem("p").Text(err.Message),
		app.If(retry != nil, elem("button").Attr("type", "button").Class("button").Text("Try again").
			OnClick(func(app.Context, app.Event) { retry() })),
	)
}

// nothing says that there is nothing to show, and what to do about it.
func nothing(picture, title, text string, action app.UI) app.UI {
	return elem("div").Class("state").Body(icon(picture), elem("h2").Text(title), elem("p").Text(text), action)
}
