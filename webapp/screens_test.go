package webapp

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kinopod/build/browser"
	"kinopod/shared/api"
)

// Every page mounts without a complaint, in both themes, fits into 360 pixels and asks
// nobody but its pod.
func TestPages(t *testing.T) {
	s := newSite(t, 30)
	s.uploads = []api.Upload{{ID: fakeVideo(999).ID, FileName: strings.Repeat("long", 40) + ".mp4", Size: 1e9, Offset: 3e8, Created: time.Now(), Expires: time.Now()}}
	s.friends = fakeFriends(9)
	s.videos[1].Name, s.videos[1].Description = strings.Repeat("W", 120), strings.Repeat("m", 1000)
	watch := api.WatchPath(s.videos[1].ID)
	for _, path := range []string{"/", watch, "/login?setup=first", "/account", "/upload", "/network", "/nowhere", "/offline", "/?sort=trending&tag=night", "/u/ada@pod.example", "/search?q=the", "/search?q=zzzz"} {
		for _, theme := range []string{"dark", "light"} {
			t.Run(path+" "+theme, func(t *testing.T) {
				p := s.tab(t, path == "/account" || path == "/upload" || path == "/network")
				set := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
				if _, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, set); err != nil {
					t.Fatal(err)
				}
				if err := p.Size(360, 740); err != nil {
					t.Fatal(err)
				}
				s.open(t, p, path)
				if path == "/account" || path == "/upload" {
					until(t, p, "document.querySelector('.row-upload')")
				}
				for _, width := range []int64{360, 768, 1440} {
					if err := p.Size(width, 800); err != nil {
						t.Fatal(err)
					}
					if over := eval[int](t, p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
						t.Errorf("%d pixels wide: %d pixels too many", width, over)
					}
				}
				want := map[string]string{"dark": "rgb(12, 13, 16)", "light": "rgb(247, 245, 241)"}[theme]
				if got := eval[string](t, p, "getComputedStyle(document.documentElement).backgroundColor"); got != want {
					t.Errorf("the ground is %s, want %s", got, want)
				}
				if n := eval[int](t, p, "document.querySelectorAll('h1').length"); n != 1 {
					t.Errorf("%d headings of the first level", n)
				}
				if unnamed := eval[string](t, p, unnamedControls); unnamed != "" {
					t.Errorf("without a name for screen readers: %s", unnamed)
				}
				checkHosts(t, s, p)
				if said := complaints(p); len(said) > 0 {
					t.Errorf("the console: %s", strings.Join(said, "\n"))
				}
			})
		}
	}
}

// unnamedControls gives the controls that have no name for screen readers.
const unnamedControls = `[...document.querySelectorAll('a, button, input, textarea, canvas, progress, meter, video')].filter(e => {
	const label = e.getAttribute('aria-label') || (e.labels && e.labels.length && e.labels[0].textContent) || e.textContent || e.closest('[aria-hidden=true]');
	return !label && e.checkVisibility();
}).map(e => e.outerHTML.slice(0, 120)).join('\n')`

func checkHosts(t *testing.T, s *site, p *browser.Page) {
	t.Helper()
	own, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range p.Requests() {
		u, err := url.Parse(request)
		if err != nil || u.Host != own.Host && u.Scheme != "blob" && u.Scheme != "data" {
			t.Errorf("asked elsewhere: %s", request)
		}
	}
}

// The list has no end, and "back" leads to where one was in it.
func TestListGoesOn(t *testing.T) {
	s := newSite(t, 100)
	p := s.visit(t, "/", false)
	for range 4 {
		n := eval[int](t, p, "document.querySelectorAll('.card').length")
		if n == 100 {
			break
		}
		eval[any](t, p, "scrollTo(0, document.documentElement.scrollHeight)")
		until(t, p, fmt.Sprintf("document.querySelectorAll('.card').length > %d", n))
	}
	until(t, p, "document.querySelectorAll('.card').length === 100")
	if n := eval[int](t, p, "new Set([...document.querySelectorAll('.card-link')].map(a => a.href)).size"); n != 100 {
		t.Errorf("%d different videos, want 100", n)
	}
	eval[any](t, p, "document.querySelectorAll('.card')[60].scrollIntoView()")
	was := eval[float64](t, p, "scrollY")
	eval[any](t, p, "document.querySelectorAll('.card-link')[60].click()")
	until(t, p, "document.querySelector('.video-name')")
	until(t, p, "scrollY === 0")
	until(t, p, fmt.Sprintf("document.title === %q", s.videos[60].Name+" · Lumen"))
	eval[any](t, p, "history.back()")
	until(t, p, "document.querySelectorAll('.card').length === 100")
	until(t, p, fmt.Sprintf("Math.abs(scrollY - %v) < 2", was))

	// Any other way to it asks what there is now.
	eval[any](t, p, "document.querySelectorAll('.card-link')[60].click()")
	until(t, p, "document.querySelector('.video-name')")
	eval[any](t, p, "document.querySelector('header a[href=\"/\"]').click()")
	until(t, p, "document.querySelector('.card')")
	if n := eval[int](t, p, "document.querySelectorAll('.card').length"); n == 100 {
		t.Error("a link leads to the list as it was")
	}
}

// A page that the pod rendered stays what it is while the app takes over: the film plays
// on in the same element, and what was typed is still there.
func TestTakingOver(t *testing.T) {
	s := newSite(t, 3)
	release := s.hold(t)
	p := s.tab(t, false)
	again(t, p)
	if err := p.Open(s.url + api.WatchPath(s.videos[0].ID)); err != nil {
		t.Fatal(err)
	}
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	before := eval[string](t, p, `(() => {
		const v = document.getElementById('kinopod-video');
		v.mark = true; v.muted = true;
		window.said = [];
		for (const e of ['pause', 'emptied', 'abort', 'error', 'stalled']) v.addEventListener(e, () => said.push(e));
		return document.documentElement.dataset.app || 'rendered by the pod: ' + document.querySelector('.video-name').textContent;
	})()`)
	if before != "rendered by the pod: "+s.videos[0].Name {
		t.Fatalf("before the app: %q", before)
	}
	release()
	until(t, p, "document.documentElement.dataset.app === 'ready'")
	until(t, p, "document.querySelector('#player-place > video')")
	if !eval[bool](t, p, "document.querySelector('#player-place > video').mark === true") {
		t.Error("the element is another one")
	}
	until(t, p, "document.getElementById('kinopod-video').currentTime > 0.5")
	if said := eval[string](t, p, "said.filter(e => e !== 'stalled').join(' ')"); said != "" {
		t.Errorf("the film was disturbed: %s", said)
	}

	release = s.hold(t)
	p = s.tab(t, false)
	if err := p.Open(s.url + "/login"); err != nil {
		t.Fatal(err)
	}
	write(t, p, "#username", "ada")
	if eval[string](t, p, "document.documentElement.dataset.app || ''") != "" {
		t.Fatal("the app was there before the typing: the test shows nothing")
	}
	release()
	until(t, p, "document.documentElement.dataset.app === 'ready'")
	if got := eval[string](t, p, "document.getElementById('username').value + '|' + document.activeElement.id"); got != "ada|username" {
		t.Errorf("typed and focused: %s", got)
	}
}

func TestLogin(t *testing.T) {
	s := newSite(t, 2)
	p := s.visit(t, "/login?next=/account", false)
	write(t, p, "#username", "ada")
	write(t, p, "#password", "wrong")
	press(t, p, kb.Enter)
	until(t, p, "document.querySelector('.problem[role=alert]')?.textContent === 'The name or the password is wrong.'")
	write(t, p, "#password", "a long password")
	press(t, p, kb.Enter)
	until(t, p, "location.pathname === '/account' && document.querySelector('.profile h1')?.textContent === 'ada'")
	if strings.Contains(eval[string](t, p, "location.href"), "password") {
		t.Error("the password is in the address")
	}
	until(t, p, "document.querySelectorAll('.row-session').length === 2")
	click(t, p, ".profile .button")
	until(t, p, "location.pathname === '/' && document.querySelector('.top a[href^=\"/login\"]')")
	s.open(t, p, "/account")
	until(t, p, "location.pathname === '/login'")
}

func TestFirstAccount(t *testing.T) {
	s := newSite(t, 0)
	p := s.visit(t, "/login?setup=first", false)
	write(t, p, "#username", "root")
	write(t, p, "#password", "short")
	press(t, p, kb.Enter)
	until(t, p, "document.querySelector('.problem')?.textContent.includes('8 characters')")
	write(t, p, "#password", "long enough now")
	click(t, p, "main form button[type=submit]")
	until(t, p, "location.pathname === '/' && document.querySelector('.me')?.title === 'root'")
	until(t, p, "document.querySelector('main').textContent.includes('Nothing here yet')")
}

func TestEditAndRemove(t *testing.T) {
	s := newSite(t, 8)
	p := s.visit(t, "/account", true)
	until(t, p, "document.querySelectorAll('.row-video').length === 2") // of ada
	click(t, p, ".row-video button[aria-label^=Edit]")
	until(t, p, "document.activeElement.id.endsWith('-name')")
	field := "#edit-" + s.videos[0].ID.String()
	write(t, p, field+"-name", "Morning train")
	write(t, p, field+"-tags", "Rail, dawn")
	click(t, p, ".row-edit button[type=submit]")
	until(t, p, "document.querySelector('.row-name').textContent === 'Morning train'")
	if got := strings.Join(s.videos[0].Tags, "|"); got != "rail|dawn" {
		t.Errorf("tags: %s", got)
	}
	click(t, p, ".row-video button[aria-label='Remove Morning train']")
	until(t, p, "document.querySelector('dialog[open]')")
	until(t, p, "document.activeElement.textContent === 'Cancel'")
	press(t, p, kb.Escape)
	until(t, p, "!document.querySelector('dialog[open]')")
	if len(s.videos) != 8 {
		t.Fatal("removed without a yes")
	}
	click(t, p, ".row-video button[aria-label='Remove Morning train']")
	click(t, p, "dialog[open] .danger")
	until(t, p, "document.querySelectorAll('.row-video').length === 1 && !document.querySelector('dialog[open]')")
	if len(s.videos) != 7 {
		t.Error("still there")
	}
}

// The keyboard comes everywhere, in order, and one sees where it is.
func TestKeyboard(t *testing.T) {
	s := newSite(t, 8)
	p := s.visit(t, "/", false)
	const at = `(e => (e.getAttribute('aria-label') || e.textContent).trim())(document.activeElement)`
	press(t, p, kb.Tab)
	if got := eval[string](t, p, at); got != "Skip to content" {
		t.Errorf("first comes %q", got)
	}
	until(t, p, "document.activeElement.getBoundingClientRect().top >= 0")
	for _, want := range []string{"Lumen", "Search videos", "Search", "Network", "Change between dark and light", "Upload", "Log in"} {
		press(t, p, kb.Tab)
		if got := eval[string](t, p, at); got != want {
			t.Errorf("then comes %q, want %q", got, want)
		}
		if eval[string](t, p, "getComputedStyle(document.activeElement).outlineStyle") == "none" {
			t.Errorf("%q is not seen to be focused", want)
		}
	}
	eval[any](t, p, "document.querySelector('.skip').focus()")
	press(t, p, kb.Enter)
	until(t, p, "document.activeElement.id === 'main'")
	for _, want := range []string{"tab", "tab", "tab", "tab", "button quiet icon-only feed-link", "card-link"} {
		press(t, p, kb.Tab)
		if got := eval[string](t, p, "document.activeElement.className"); got != want {
			t.Errorf("after the skip comes %q, want %q", got, want)
		}
	}
	press(t, p, kb.Enter)
	until(t, p, "location.pathname.startsWith('/watch/') && document.activeElement.id === 'main'")
}

// The strip shows pieces, says what they are, and seeks.
func TestSwarmStrip(t *testing.T) {
	s := newSite(t, 2)
	p := s.visit(t, api.WatchPath(s.videos[0].ID), false)
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	until(t, p, "/^[1-9][0-9]* of [0-9]+ pieces are here/.test(document.getElementById('swarm-strip-text').textContent)")
	until(t, p, `(() => { // something of the web seed's colour is drawn
		const c = document.getElementById('swarm-strip'), d = c.getContext('2d').getImageData(0, Math.floor(c.height / 2), c.width, 1).data;
		const want = parseInt(getComputedStyle(c).getPropertyValue('--src-web').trim().slice(1), 16);
		for (let i = 0; i < d.length; i += 4) if ((d[i] << 16 | d[i + 1] << 8 | d[i + 2]) === want) return true;
	})()`)
	until(t, p, "document.querySelector('.legend dd').textContent !== '0 B0 %'")
	box := eval[struct{ X, Y, Width float64 }](t, p, `(({x, y, width, height}) => ({X: x, Y: y + height / 2, Width: width}))(document.getElementById('swarm-strip').getBoundingClientRect())`)
	eval[any](t, p, "document.getElementById('kinopod-video').pause()")
	if err := p.Do(patience, chromedp.MouseEvent("mouseMoved", box.X+box.Width/2, box.Y)); err != nil {
		t.Fatal(err)
	}
	until(t, p, "/^0:06 · Pieces? /.test(document.querySelector('.strip-tip.shown')?.textContent)")
	if err := p.Do(patience, chromedp.MouseClickXY(box.X+box.Width/2, box.Y)); err != nil {
		t.Fatal(err)
	}
	until(t, p, "Math.abs(document.getElementById('kinopod-video').currentTime - 6) < 1")
	eval[any](t, p, "document.getElementById('swarm-strip').focus()")
	press(t, p, kb.Home)
	until(t, p, "document.getElementById('kinopod-video').currentTime < 1")
	press(t, p, kb.ArrowRight)
	until(t, p, "Math.abs(document.getElementById('kinopod-video').currentTime - 5) < 1")
	if got := eval[string](t, p, "document.getElementById('swarm-strip').getAttribute('role')"); got != "slider" {
		t.Errorf("for screen readers it is a %q", got)
	}
	until(t, p, "/^0:05 of 0:1[0-9]$/.test(document.getElementById('swarm-strip').getAttribute('aria-valuetext'))")
}

func TestThemeButton(t *testing.T) {
	s := newSite(t, 2)
	p := s.visit(t, "/", false)
	const ground = "getComputedStyle(document.documentElement).backgroundColor"
	first := eval[string](t, p, ground)
	click(t, p, ".top .theme")
	until(t, p, ground+" !== '"+first+"'")
	second := eval[string](t, p, ground)
	s.open(t, p, "/login")
	if got := eval[string](t, p, ground); got != second {
		t.Errorf("on the next page the ground is %s again, not %s", got, second)
	}
	if got := eval[string](t, p, "document.querySelector('meta[name=theme-color]').content"); got != colorLight && got != colorDark {
		t.Errorf("theme colour %q", got)
	}
}

// The browser itself says what keeps the app from being installed: nothing.
func TestInstallable(t *testing.T) {
	s := newSite(t, 2)
	p := s.visit(t, "/", false)
	until(t, p, "navigator.serviceWorker.controller")
	m, err := chromedp.Call(p.Ctx, page.GetAppManifest, page.GetAppManifestParams{})
	if err != nil || len(m.Errors) > 0 || m.URL != s.url+"/manifest.webmanifest" {
		t.Errorf("manifest %s: %v, %v", m.URL, m.Errors, err)
	}
	until(t, p, "navigator.serviceWorker.ready.then(() => true)")
	r, err := chromedp.Call(p.Ctx, page.GetInstallabilityErrors, cdp.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.InstallabilityErrors {
		if e.ErrorID != "in-incognito" { // pages of tests share nothing with each other
			t.Errorf("not installable: %s %v", e.ErrorID, e.ErrorArguments)
		}
	}
}

// Without the pod the app still opens, at any of its addresses, says what is wrong, and
// goes on when the pod is back.
func TestOffline(t *testing.T) {
	s := newSite(t, 2)
	p := s.visit(t, "/", false)
	until(t, p, "navigator.serviceWorker.controller")
	until(t, p, "caches.match('"+eval[string](t, p, "document.querySelector('script[data-wasm]').dataset.wasm")+"').then(r => r !== undefined)")
	address := strings.TrimPrefix(s.url, "http://")
	s.stop()
	for path, want := range map[string]string{"/": "No connection", api.WatchPath(s.videos[0].ID): "No connection", "/network": "No connection", "/nowhere-near": "There is no page here"} {
		s.open(t, p, path)
		until(t, p, "document.querySelector('main').textContent.includes('"+want+"')")
		if got := eval[string](t, p, "location.pathname"); got != path {
			t.Errorf("opened %s, want %s", got, path)
		}
	}
	s.open(t, p, api.WatchPath(s.videos[0].ID))
	until(t, p, "document.querySelector('.state .button')")
	s.start(t, address)
	click(t, p, ".state .button")
	until(t, p, "document.querySelector('.video-name')?.textContent === '"+s.videos[0].Name+"'")
	until(t, p, "document.querySelector('.brand-name').textContent === 'Lumen'")
}

// A film that plays goes on while its page is left, at the edge of the screen, and back.
func TestMiniPlayer(t *testing.T) {
	s := newSite(t, 3)
	p := s.tab(t, false)
	again(t, p)
	s.open(t, p, api.WatchPath(s.videos[0].ID))
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	until(t, p, "document.getElementById('kinopod-video').currentTime > 0.3")
	eval[any](t, p, "window.pauses = 0; document.getElementById('kinopod-video').addEventListener('pause', () => pauses++)")
	click(t, p, ".brand")
	until(t, p, "document.querySelector('.mini:not([hidden]) video') && document.querySelector('.card')")
	if got := eval[string](t, p, "document.querySelector('.mini-name').textContent"); got != s.videos[0].Name {
		t.Errorf("the small player names %q", got)
	}
	click(t, p, ".mini-name")
	until(t, p, "document.querySelector('#player-place > video') && !document.querySelector('.mini:not([hidden])')")
	if n := eval[int](t, p, "pauses"); n != 0 {
		t.Errorf("the film paused %d times", n)
	}
	click(t, p, ".brand")
	until(t, p, "document.querySelector('.mini:not([hidden]) video')")
	click(t, p, ".mini button")
	until(t, p, "!document.querySelector('.mini:not([hidden])')")
	until(t, p, "document.getElementById('kinopod-video').paused")
}
