package webapp

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"kinopod/shared/api"
)

// The search box is a combobox: the keyboard stays in the field while arrow keys choose.
func TestSearchBox(t *testing.T) {
	s := newSite(t, 30)
	p := s.visit(t, "/", false)
	if eval[bool](t, p, "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true, cancelable: true}))") {
		t.Error("the key is the browser's too")
	}
	until(t, p, "document.activeElement.id === 'search-field'")
	field := "document.getElementById('search-field')"
	if got := eval[string](t, p, field+".getAttribute('role') + ' ' + "+field+".getAttribute('aria-expanded') + ' ' + "+field+".value"); got != "combobox false " {
		t.Errorf("before typing: %q", got)
	}
	write(t, p, "#search-field", "night") // at once: what is asked for meanwhile would come between
	options := "document.querySelectorAll('#search-list > [role=option]')"
	until(t, p, field+".getAttribute('aria-expanded') === 'true' && "+options+".length === 5") // two words, three videos
	s.fakePod.mu.Lock()
	asked := strings.Join(s.suggested, " ")
	s.fakePod.mu.Unlock()
	if !strings.HasSuffix(asked, "night") {
		t.Errorf("asked for %q", asked)
	}
	chosen := field + ".getAttribute('aria-activedescendant')"
	if got := eval[string](t, p, chosen+" || ''"); got != "" {
		t.Errorf("%s is chosen before any arrow", got)
	}
	press(t, p, kb.ArrowDown)
	until(t, p, chosen+" === 'search-option-0' && "+options+"[0].getAttribute('aria-selected') === 'true'")
	press(t, p, kb.ArrowUp)
	until(t, p, "!"+field+".hasAttribute('aria-activedescendant')")
	press(t, p, kb.ArrowUp)
	until(t, p, chosen+" === 'search-option-4'")
	press(t, p, kb.Escape)
	until(t, p, field+".getAttribute('aria-expanded') === 'false' && document.getElementById('search-list').hidden")
	if got := eval[string](t, p, field+".value"); got != "night" {
		t.Errorf("Escape left %q", got)
	}
	press(t, p, kb.ArrowDown)
	press(t, p, kb.ArrowDown)
	until(t, p, chosen+" === 'search-option-1'")
	press(t, p, kb.Enter)
	until(t, p, "location.pathname + location.search === '/search?q=night+story'")
	if got := eval[string](t, p, field+".value"); got != "night story" {
		t.Errorf("the field has %q", got)
	}
	eval[any](t, p, "history.back()")
	until(t, p, "location.pathname === '/' && "+field+".value === ''")

	// What is typed alone is searched by Enter, and a video is gone to.
	write(t, p, "#search-field", "bees")
	press(t, p, kb.Enter)
	until(t, p, "location.search === '?q=bees' && document.querySelector('.card-name')?.textContent.startsWith('Bees')")
	write(t, p, "#search-field", "fog")
	until(t, p, options+".length === 4")
	eval[any](t, p, options+"[2].click()")
	until(t, p, "location.pathname.startsWith('/watch/') && document.querySelector('.video-name')?.textContent === 'Fog'")
	if said := complaints(p); len(said) > 0 {
		t.Errorf("the console: %s", strings.Join(said, "\n"))
	}
}

func TestSearchPage(t *testing.T) {
	s := newSite(t, 150)
	for i := range s.videos {
		if i%2 == 0 {
			s.videos[i].Name = fmt.Sprintf("Needle %d", i)
		}
	}
	p := s.visit(t, "/search?q=needle", false)
	for range 5 {
		n := eval[int](t, p, "document.querySelectorAll('.card').length")
		if n == 75 {
			break
		}
		eval[any](t, p, "scrollTo(0, document.documentElement.scrollHeight)")
		until(t, p, fmt.Sprintf("document.querySelectorAll('.card').length > %d", n))
	}
	until(t, p, "document.querySelectorAll('.card').length === 75")
	s.open(t, p, "/search?q=nothing+of+this")
	until(t, p, "document.querySelector('.state h2')?.textContent === 'Nothing found' && document.querySelector('.search-help').open")
	s.open(t, p, "/search")
	until(t, p, "document.querySelector('.search-help').open && !document.querySelector('.state')")
	s.fakePod.mu.Lock()
	s.building = true
	s.fakePod.mu.Unlock()
	s.open(t, p, "/search?q=needle+148") // one: no next page says something else
	until(t, p, "document.querySelector('.search-state')?.textContent.includes('42 %')")
	s.fakePod.mu.Lock()
	s.building = false
	s.fakePod.mu.Unlock()
	click(t, p, ".search-state button")
	until(t, p, "!document.querySelector('.search-state')")
	s.fakePod.mu.Lock()
	s.fail = &api.Error{Code: api.CodeUnavailable, Message: "This pod cannot search now."}
	s.fakePod.mu.Unlock()
	s.open(t, p, "/search?q=other")
	until(t, p, "document.querySelector('.state[role=alert] p')?.textContent === 'This pod cannot search now.'")
	s.fakePod.mu.Lock()
	s.fail = nil
	s.fakePod.mu.Unlock()
	click(t, p, ".state .button")
	until(t, p, "document.querySelector('.state h2')?.textContent === 'Nothing found'")
}

// The page of a search comes with what was found, and without the app a form leads to it.
func TestSearchHasContent(t *testing.T) {
	p := newFakePod(30)
	h := newHandler(t, p)
	body := get(h, "/search?q=fog", "").Body.String()
	contains(t, body, `<form action="/search" class="search" method="get" role="search">`, `name="q"`, `value="fog"`, ">Fog<", `<meta name="robots" content="noindex">`, "/feeds/atom?q=fog")
	p.building = true
	contains(t, get(h, "/search?q=fog", "").Body.String(), "The search is being built: 42 %")
	p.fail = &api.Error{Code: api.CodeUnavailable, Message: "This pod cannot search now."}
	w := get(h, "/search?q=fog", "")
	contains(t, w.Body.String(), "This pod cannot search now.")
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

// What a list shows stands in the address: links, keyboard and "back" work by themselves.
func TestTabs(t *testing.T) {
	s := newSite(t, 30)
	p := s.visit(t, "/", false)
	first := eval[string](t, p, "document.querySelector('.card-name').textContent")
	eval[any](t, p, "[...document.querySelectorAll('.tab')].find(a => a.textContent === 'Trending').click()")
	until(t, p, "location.search === '?sort=trending' && document.querySelector('.tab[aria-current]')?.textContent === 'Trending'")
	until(t, p, "document.querySelector('.card-views')")
	eval[any](t, p, "[...document.querySelectorAll('.tab')].find(a => a.textContent === 'This pod').click()")
	until(t, p, "location.search === '?origin=pod.example&sort=trending' || location.search === '?sort=trending&origin=pod.example'")
	eval[any](t, p, "history.back()")
	until(t, p, "location.search === '?sort=trending'")
	eval[any](t, p, "history.back()")
	until(t, p, "location.search === '' && document.querySelector('.card-name')?.textContent === "+fmt.Sprintf("%q", first))
	eval[any](t, p, "document.querySelector('.card-uploader').click()")
	until(t, p, "location.pathname === '/u/ada@pod.example' && document.querySelector('.card-link') && [...document.querySelectorAll('.card-uploader')].every(a => a.textContent === 'ada')")
	eval[any](t, p, "document.querySelector('.card-link').click()")
	until(t, p, "document.querySelector('.tags a')")
	eval[any](t, p, "document.querySelector('.tags a').click()")
	until(t, p, "location.search === '?tag=short+film' && document.querySelector('h1').textContent === '#short film'")
}

// A view counts once some of the film was played; to seek is not to watch.
func TestWatchedIsSaid(t *testing.T) {
	s := newSite(t, 2)
	p := s.tab(t, false)
	// Slowly at first: before the jump it plays less than a view takes.
	if err := p.OnNewDocument(`document.addEventListener("loadstart", (e) => { e.target.playbackRate = 0.1; }, true)`); err != nil {
		t.Fatal(err)
	}
	s.open(t, p, api.WatchPath(s.videos[0].ID))
	times := func() int {
		s.fakePod.mu.Lock()
		defer s.fakePod.mu.Unlock()
		return s.watched[s.videos[0].ID]
	}
	until(t, p, "document.getElementById('kinopod-video').currentTime > 0.2")
	// A jump near to the end and a pause: seconds were passed over, not played.
	eval[any](t, p, "(() => { const v = document.getElementById('kinopod-video'); v.muted = true; v.pause(); v.currentTime = 11; })()")
	until(t, p, "!document.getElementById('kinopod-video').seeking")
	if n := times(); n != 0 {
		t.Fatalf("%d views after a jump", n)
	}
	eval[any](t, p, "(() => { const v = document.getElementById('kinopod-video'); v.currentTime = 0; v.playbackRate = 4; v.play(); })()")
	for end := time.Now().Add(patience); times() == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no view was told of")
		}
	}
	played := eval[float64](t, p, "(() => { const r = document.getElementById('kinopod-video').played; let n = 0; for (let i = 0; i < r.length; i++) n += r.end(i) - r.start(i); return n; })()")
	if played < 5.9 {
		t.Errorf("a view after %.1f seconds", played)
	}
	until(t, p, "document.getElementById('kinopod-video').ended")
	if n := times(); n != 1 {
		t.Errorf("%d views of one film", n)
	}
}
