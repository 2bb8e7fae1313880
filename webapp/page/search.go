package page

import (
	"context"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
)

// search is what a question finds; the question stands in the address.
type search struct {
	component

	env  *Env
	text string
	list list
}

// searchPath is the page of what a text finds.
func searchPath(text string) string { return "/search?q=" + url.QueryEscape(text) }

func (s *search) open(u *url.URL) {
	if s.list.env == nil {
		s.list.env, s.list.get = s.env, s.page
	} else {
		s.list.leave()
	}
	s.text = strings.TrimSpace(u.Query().Get("q"))
	s.list.open(u)
	if s.ctx != nil {
		s.list.start()
	}
}

func (s *search) page(ctx context.Context, cursor string) (feed, error) {
	if s.text == "" {
		return feed{}, nil
	}
	p, err := s.env.API.Search(ctx, api.SearchQuery{Text: s.text, Cursor: cursor, Limit: listed})
	return feed{Videos: p.Videos, Cursor: p.Cursor, Cut: p.Cut, Building: p.Building, Built: p.Built}, err
}

func (s *search) preload(ctx context.Context) { s.list.preload(ctx) }
func (s *search) content() any                { return &s.list.feed }

func (s *search) head() Head {
	h := Head{Title: "Search", Description: "Search all videos of the network.", Kind: "website", Status: s.list.feed.status()}
	if s.text != "" {
		h.Title, h.Feed = cut(s.text, 60)+" · Search", "?q="+url.QueryEscape(s.text)
	}
	return h
}

// OnMount implements app.Mounter.
func (s *search) OnMount(ctx app.Context) {
	s.ctx, s.list.ctx = ctx, ctx
	s.list.start()
}

func (s *search) again() { s.list.again() }

// OnDismount implements app.Dismounter.
func (s *search) OnDismount() { s.list.leave() }

// Render implements app.Composer.
func (s *search) Render() app.UI {
	return elem("div").Class("page home").Body(
		elem("h1").Class("page-title").Dir("auto").Text(pick(s.text == "", "Search", "“"+cut(s.text, 100)+"”")),
		s.state(),
		app.If(s.text != "", s.list.render(s.none)),
		s.list.end(func(cursor string) string { return searchPath(s.text) + "&cursor=" + url.QueryEscape(cursor) }),
		s.help(),
	)
}

// state says where a result is not the whole.
func (s *search) state() app.UI {
	f := s.list.feed.Value
	switch {
	case s.text == "" || !s.list.feed.Done:
		return nil
	case f.Building:
		return elem("p").Class("search-state").Role("status").Body(icon(iconSearch), elem("span").
			Text("The search is being built: "+strconv.Itoa(int(math.Floor(100*f.Built)))+" % of the videos are in it. More will be found in a moment."),
			elem("button").Attr("type", "button").Class("button quiet small").Text("Search again").OnClick(func(app.Context, app.Event) { s.list.load() }))
	case f.Cut:
		return elem("p").Class("search-state").Role("status").Body(icon(iconSearch), elem("span").Text("So much was found that the oldest is left away. More words find less."))
	}
	return nil
}

func (s *search) none() app.UI {
	return nothing(iconSearch, "Nothing found", "No video has all of these words. Fewer words, or other ones, find more.", nil)
}

// help says what may stand in a question.
func (s *search) help() app.UI {
	tips := [...]struct{ text, means string }{
		{`"night train"`, "these words side by side"},
		{"train -bus", "without a word"},
		{"tag:music", "with a tag"},
		{"by:anna", "of an uploader"},
		{"origin:pod.example", "of a pod"},
		{"duration:<10m", "shorter than ten minutes; >1h is longer than an hour"},
		{"age:<7d", "of the last seven days"},
	}
	d := elem("details").Class("search-help").Body(
		elem("summary").Text("How to search"),
		elem("p").Class("dim").Text("Words in any order, with or without accents; small mistakes are forgiven."),
		elem("dl").Body(app.Range(tips[:]).Slice(func(i int) app.UI {
			return elem("div").Body(
				elem("dt").Body(elem("a").Attr("href", searchPath(tips[i].text)).Body(elem("code").Text(tips[i].text))),
				elem("dd").Text(tips[i].means),
			)
		})),
	)
	return d.Attr("open", s.text == "" || s.list.empty())
}
