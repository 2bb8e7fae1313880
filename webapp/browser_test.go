package webapp

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"kinopod/build/browser"
	"kinopod/shared/api"
)

// patience is for machines that have much else to do.
const patience = 3 * time.Minute

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
	gate chan struct{} // guarded by mu: the WebAssembly comes when it is closed; nil is open
}

// hold keeps the app from coming until release is called.
func (s *site) hold(t *testing.T) (release func()) {
	t.Helper()
	gate := make(chan struct{})
	s.mu.Lock()
	s.gate = gate
	s.mu.Unlock()
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return release
}

func newSite(t *testing.T, videos int) *site {
	t.Helper()
	prepare(t)
	p := newFakePod(videos)
	p.sessions["ada-session"] = "ada"
	s := &site{fakePod: p}
	s.screen(t, made.film)
	var err error
	if s.pages, err = Handler(Options{Name: "Lumen", Methods: p.methods, Bundle: os.DirFS(made.dir), Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	s.start(t, "127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

// screen makes film the file of all videos.
func (s *site) screen(t *testing.T, film []byte) {
	t.Helper()
	s.film = film
	tor, err := s.torrent()
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.videos {
		v := &s.videos[i]
		v.Renditions[0].InfoHash, v.Renditions[0].Size, v.Duration = tor.InfoHash, tor.Length, 12
		v.StreamURL = "http://" + fakeHost + api.StreamPath(tor.InfoHash, "film.mp4")
	}
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
		gate := s.gate
		s.mu.Unlock()
		if gate != nil {
			<-gate
		}
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
	p := s.newcomer(t, session)
	if err := p.Told(""); err != nil {
		t.Fatal(err)
	}
	return p
}

// newcomer is a tab of a viewer who was here never before.
func (s *site) newcomer(t *testing.T, session bool) *browser.Page {
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

// again has films begin again at their end: whatever a test does while one plays, it
// plays, on a slow machine too.
func again(t *testing.T, p *browser.Page) {
	t.Helper()
	if err := p.OnNewDocument(`document.addEventListener("loadstart", (e) => { e.target.loop = true; }, true)`); err != nil {
		t.Fatal(err)
	}
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
