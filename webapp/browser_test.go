package webapp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kinopod/build/browser"
	"kinopod/shared/api"
)

// patience is for machines that have much else to do.
const patience = 90 * time.Second

// made is what the tests of this package share: the app is built once, and one
// Chromium runs, with a fresh profile for each page.
var made struct {
	sync.Mutex
	dir     string // temporary
	browser *browser.Browser
	film    []byte
}

func TestMain(m *testing.M) {
	code := m.Run()
	if made.browser != nil {
		made.browser.Close()
	}
	if made.dir != "" {
		_ = os.RemoveAll(made.dir)
	}
	os.Exit(code)
}

// prepare builds the app as it is given to people, but for the slow compression, and a
// film of 12 s.
func prepare(t *testing.T) {
	t.Helper()
	made.Lock()
	defer made.Unlock()
	if made.browser != nil {
		return
	}
	dir, err := os.MkdirTemp("", "kinopod-webapp-")
	if err != nil {
		t.Fatal(err)
	}
	made.dir = dir
	for _, c := range []*exec.Cmd{
		exec.Command("go", "run", "../build/bundle", "-quality", "1", "-out", dir),
		exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=330", "-t", "12",
			"-c:v", "libx264", "-preset", "veryfast", "-b:v", "600k", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", filepath.Join(dir, "film.mp4")),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c, err, out)
		}
	}
	if made.film, err = os.ReadFile(filepath.Join(dir, "film.mp4")); err != nil {
		t.Fatal(err)
	}
	if made.browser, err = browser.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// site is a fake pod with the real web app, on a port of its own.
type site struct {
	*fakePod
	url    string
	server *http.Server
	pages  http.Handler

	mu   sync.Mutex
	slow time.Duration // guarded by mu: how long the WebAssembly takes to come
}

func newSite(t *testing.T, videos int) *site {
	t.Helper()
	prepare(t)
	p := newFakePod(videos)
	p.sessions["ada-session"] = "ada"
	p.film = made.film
	tor, err := p.torrent()
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.videos {
		v := &p.videos[i]
		v.Renditions[0].InfoHash, v.Renditions[0].Size, v.Duration = tor.InfoHash, tor.Length, 12
		v.StreamURL = "http://" + fakeHost + api.StreamPath(tor.InfoHash, "film.mp4")
	}
	s := &site{fakePod: p}
	if s.pages, err = Handler(Options{Name: "Lumen", Methods: p.methods, Bundle: os.DirFS(made.dir), Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	s.start(t, "127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *site) start(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	s.server = &http.Server{Handler: s}
	go s.server.Serve(l) //nolint:errcheck // ends with stop
}

func (s *site) stop() { _ = s.server.Close() }

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, ours := range []string{"/api/", "/thumbnails/", "/stream/", "/videos/", "/tracker/"} {
		if strings.HasPrefix(r.URL.Path, ours) {
			s.fakePod.ServeHTTP(w, r)
			return
		}
	}
	if r.URL.Path == pathWasm {
		s.mu.Lock()
		slow := s.slow
		s.mu.Unlock()
		time.Sleep(slow)
	}
	s.pages.ServeHTTP(w, r)
}

// visit opens a page in a browser of its own, as ada where session says so, and waits
// until the app has taken over.
func (s *site) visit(t *testing.T, path string, session bool) *browser.Page {
	t.Helper()
	p := s.tab(t, session)
	s.open(t, p, path)
	return p
}

func (s *site) tab(t *testing.T, session bool) *browser.Page {
	t.Helper()
	p, done, err := made.browser.Page()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	if session {
		if _, err := chromedp.Call(p.Ctx, network.SetCookie, network.SetCookieParams{Name: "session", Value: "ada-session", URL: s.url}); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (s *site) open(t *testing.T, p *browser.Page, path string) {
	t.Helper()
	if err := p.Open(s.url + path); err != nil {
		t.Fatal(err)
	}
	until(t, p, "document.documentElement.dataset.app === 'ready'")
}

func until(t *testing.T, p *browser.Page, expression string) {
	t.Helper()
	if err := p.Until(patience, expression); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(p.Console(), "\n"))
	}
}

func eval[T any](t *testing.T, p *browser.Page, expression string) T {
	t.Helper()
	v, err := browser.Eval[T](p, expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// click clicks as a person would: there has to be something to see.
func click(t *testing.T, p *browser.Page, selector string) {
	t.Helper()
	if err := p.Do(patience, chromedp.Click(selector, chromedp.NodeVisible)); err != nil {
		t.Fatalf("click %s: %v", selector, err)
	}
}

func write(t *testing.T, p *browser.Page, selector, text string) {
	t.Helper()
	until(t, p, "document.querySelector('"+selector+"')")
	eval[any](t, p, "{ const e = document.querySelector('"+selector+"'); e.focus(); e.select() }")
	if _, err := chromedp.Call(p.Ctx, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		t.Fatal(err)
	}
}

func press(t *testing.T, p *browser.Page, keys string) {
	t.Helper()
	if err := p.Do(patience, chromedp.KeyEvent(keys)); err != nil {
		t.Fatal(err)
	}
}

// complaints are what the page's console holds against it. There is no tracker here, so
// what failed to load from one is none; nor is the status of a page that is not there.
func complaints(p *browser.Page) (out []string) {
	for _, line := range p.Console() {
		if strings.Contains(line, "/tracker/") || strings.Contains(line, "/nowhere") || strings.HasPrefix(line, "log:") || strings.HasPrefix(line, "info:") {
			continue
		}
		out = append(out, line)
	}
	return out
}

// Every page mounts without a complaint, in both themes, fits into 360 pixels and asks
// nobody but its pod.
func TestPages(t *testing.T) {
	s := newSite(t, 30)
	s.uploads = []api.Upload{{ID: fakeVideo(999).ID, FileName: strings.Repeat("long", 40) + ".mp4", Size: 1e9, Offset: 3e8, Created: time.Now(), Expires: time.Now()}}
	s.videos[1].Name, s.videos[1].Description = strings.Repeat("W", 120), strings.Repeat("m", 1000)
	watch := api.WatchPath(s.videos[1].ID)
	for _, path := range []string{"/", watch, "/login?setup=first", "/account", "/upload", "/nowhere", "/offline"} {
		for _, theme := range []string{"dark", "light"} {
			t.Run(path+" "+theme, func(t *testing.T) {
				p := s.tab(t, path == "/account" || path == "/upload")
				set := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
				if _, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, set); err != nil {
					t.Fatal(err)
				}
				if err := p.Size(360, 740); err != nil {
					t.Fatal(err)
				}
				s.open(t, p, path)
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
	if top := eval[float64](t, p, "scrollY"); top != 0 {
		t.Errorf("a new page begins at %v", top)
	}
	if title := eval[string](t, p, "document.title"); title != s.videos[60].Name+" · Lumen" {
		t.Errorf("the title is %q", title)
	}
	eval[any](t, p, "history.back()")
	until(t, p, "document.querySelectorAll('.card').length === 100")
	until(t, p, fmt.Sprintf("Math.abs(scrollY - %v) < 2", was))
}

// A page that the pod rendered stays what it is while the app takes over: the film plays
// on in the same element, and what was typed is still there.
func TestTakingOver(t *testing.T) {
	s := newSite(t, 3)
	s.slow = 1500 * time.Millisecond
	p := s.tab(t, false)
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
	until(t, p, "document.documentElement.dataset.app === 'ready'")
	until(t, p, "document.querySelector('#player-place > video')")
	if !eval[bool](t, p, "document.querySelector('#player-place > video').mark === true") {
		t.Error("the element is another one")
	}
	until(t, p, "document.getElementById('kinopod-video').currentTime > 0.5")
	if said := eval[string](t, p, "said.filter(e => e !== 'stalled').join(' ')"); said != "" {
		t.Errorf("the film was disturbed: %s", said)
	}

	p = s.tab(t, false)
	if err := p.Open(s.url + "/login"); err != nil {
		t.Fatal(err)
	}
	write(t, p, "#username", "ada")
	if eval[string](t, p, "document.documentElement.dataset.app || ''") != "" {
		t.Fatal("the app was there before the typing: the test shows nothing")
	}
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
	until(t, p, "document.querySelector('.problem')?.textContent.includes('10 characters')")
	write(t, p, "#password", "long enough now")
	click(t, p, "form button[type=submit]")
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
	if got := eval[string](t, p, "document.activeElement.textContent"); got != "Cancel" {
		t.Errorf("the keyboard is on %q", got)
	}
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
	for _, want := range []string{"Lumen", "Change between dark and light", "Upload", "Log in"} {
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
	press(t, p, kb.Tab)
	if got := eval[string](t, p, "document.activeElement.className"); got != "card-link" {
		t.Errorf("after the skip comes %q", got)
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
	if err := p.Do(patience, chromedp.MouseEvent("mouseMoved", box.X+box.Width/2, box.Y)); err != nil {
		t.Fatal(err)
	}
	until(t, p, "/^0:06 · Pieces? /.test(document.querySelector('.strip-tip.shown')?.textContent)")
	if err := p.Do(patience, chromedp.MouseClickXY(box.X+box.Width/2, box.Y)); err != nil {
		t.Fatal(err)
	}
	until(t, p, "Math.abs(document.getElementById('kinopod-video').currentTime - 6) < 2.5")
	eval[any](t, p, "document.getElementById('kinopod-video').pause(); document.getElementById('swarm-strip').focus()")
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
	for path, want := range map[string]string{"/": "No connection", api.WatchPath(s.videos[0].ID): "No connection", "/nowhere-near": "There is no page here"} {
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
