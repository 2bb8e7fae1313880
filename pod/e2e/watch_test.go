package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinopod/build/browser"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/wire"
)

// chromium and firefox are one process each for all tests of this package.
var (
	chromium = sync.OnceValues(func() (*browser.Browser, error) { return browser.Start(context.Background()) })
	firefox  = sync.OnceValues(func() (*browser.Firefox, error) { return browser.StartFirefox(context.Background()) })
)

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := chromium(); err == nil { // not started for nothing: Start is quick
		b.Close()
	}
	if b, err := firefox(); err == nil {
		b.Close()
	}
	os.Exit(code)
}

// patience is how long a test waits for what must come, on a machine that has much else
// to do.
const patience = 3 * time.Minute

// viewer opens a tab of a viewer of its own, who was told of other viewers before.
func viewer(t testing.TB) *browser.Page {
	t.Helper()
	p := newcomer(t)
	must(t, p.Told(""))
	return p
}

// newcomer opens a tab of a viewer who was here never before.
func newcomer(t testing.TB) *browser.Page {
	t.Helper()
	b, err := chromium()
	must(t, err)
	p, done, err := b.Page()
	must(t, err)
	t.Cleanup(done)
	begin(t, p)
	return p
}

// oneTab keeps tests that run at the same time from each other's Firefox: a tab that is not
// in front is slow there.
var oneTab sync.Mutex

// inFirefox opens a tab of a viewer of its own, who was told of other viewers before,
// and leaves with the test or before it ends. There is one at a time.
func inFirefox(t testing.TB) (p *browser.FirefoxPage, leave func()) {
	t.Helper()
	b, err := firefox()
	must(t, err)
	oneTab.Lock()
	p, done, err := b.Page()
	if err != nil {
		oneTab.Unlock()
		t.Fatal(err)
	}
	leave = sync.OnceFunc(func() {
		done()
		oneTab.Unlock()
	})
	t.Cleanup(leave)
	begin(t, p)
	must(t, p.Told(""))
	return p, leave
}

// begin notes what happens in a tab, and tells it of a test that failed.
func begin(t testing.TB, p browser.Tab) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			state, _ := browser.Eval[string](p, videoState)
			t.Logf("video: %s\nconsole:\n%s", state, strings.Join(p.Console(), "\n"))
			if dir := os.Getenv("KINOPOD_SCREENSHOTS"); dir != "" {
				_ = p.Screenshot(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+".png"))
			}
		}
	})
	must(t, p.OnNewDocument(noteVideo))
	must(t, p.Front())
}

// noteVideo keeps what happens to the page's <video>.
const noteVideo = `
window.seen = {errors: 0, why: "", ended: false, elements: 0, loads: 0};
(() => {
  const known = new WeakSet();
  // Not of the element, which is looked for now and then: a busy machine finds it late.
  document.addEventListener("loadstart", (e) => { if (e.target.tagName === "VIDEO") seen.loads++; }, true);
  const look = () => {
    for (const v of document.querySelectorAll("video")) {
      v.muted = true;
      if (known.has(v)) continue;
      known.add(v);
      seen.elements++;
      v.addEventListener("error", () => { seen.errors++; seen.why = v.error?.message; });
      v.addEventListener("ended", () => { seen.ended = true; });
    }
    setTimeout(look, 20);
  };
  look();
})()`

// videoState tells how the player is, for a test that failed.
const videoState = `(() => {
  const v = document.querySelector("video");
  if (!v) return "none";
  const ranges = (r) => Array.from({length: r.length}, (_, i) => r.start(i).toFixed(1) + "-" + r.end(i).toFixed(1)).join(" ");
  return JSON.stringify({at: v.currentTime, of: v.duration, ready: v.readyState, network: v.networkState, seeking: v.seeking, paused: v.paused,
    buffered: ranges(v.buffered), error: v.error?.message, worker: !!navigator.serviceWorker.controller, seen: window.seen,
    panel: document.querySelector("#swarm-panel")?.innerText});
})()`

// engineAnswers holds when the player has its film from the engine, and the web seed
// brings some of it.
const engineAnswers = `navigator.serviceWorker.controller && /Web seed\s+[1-9]/.test(document.body.innerText)`

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func value[T any](t testing.TB, p browser.Tab, expression string) T {
	t.Helper()
	v, err := browser.Eval[T](p, expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// long is a film that is still playing when the app is there, on a slow machine too.
var long = podtest.Sample{MIME: podtest.MP4.MIME, Length: 40 * time.Second, Width: 320, Height: 180, Bitrate: 1_000_000}

// longer is a film that nobody has whole while a test of its beginning runs.
var longer = podtest.Sample{MIME: long.MIME, Length: 2 * time.Minute, Width: long.Width, Height: long.Height, Bitrate: long.Bitrate}

// skipTo is the expression that has the player go on from a second.
func skipTo(second int) string {
	return fmt.Sprintf(`(() => { const v = document.querySelector("video"); v.currentTime = %d; return true })()`, second)
}

// whole waits until the viewer's engine has every piece, as the swarm panel says.
func whole(t testing.TB, p browser.Tab) {
	t.Helper()
	must(t, p.Until(patience, `(() => { const m = document.body.innerText.match(/(\d[\d,.\u202f\u00a0 ]*) of (\d[\d,.\u202f\u00a0 ]*) ·/); return m && m[1].trim() === m[2].trim(); })()`))
}

// A browser that measured a slow line first does not begin the film by itself, however
// much is there.
func TestAFilmThatTheBrowserDoesNotBegin(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, long)
	page := viewer(t)
	must(t, page.OnNewDocument(`document.addEventListener("loadstart", (e) => e.target.pause(), true)`))
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
}

func TestAVideoPlaysWithoutAVisibleSwitch(t *testing.T) {
	t.Parallel()
	longWebM := long
	longWebM.MIME = podtest.WebM.MIME
	for name, sample := range map[string]podtest.Sample{"MP4": long, "WebM": longWebM} {
		t.Run("Chromium "+name, func(t *testing.T) { playsWithoutAVisibleSwitch(t, viewer(t), sample) })
		t.Run("Firefox "+name, func(t *testing.T) {
			page, _ := inFirefox(t)
			playsWithoutAVisibleSwitch(t, page, sample)
		})
	}
}

func playsWithoutAVisibleSwitch(t *testing.T, page browser.Tab, sample podtest.Sample) {
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, sample)
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
	must(t, page.Until(patience, engineAnswers))
	// Seek to a place that nobody has yet, and back.
	must(t, page.Until(patience, skipTo(30)))
	must(t, page.Until(patience, `(() => { const v = document.querySelector("video"); return v.currentTime > 30.3 && !v.seeking && v.readyState >= 3 })()`))
	must(t, page.Until(patience, skipTo(38)))
	must(t, page.Until(patience, `window.seen.ended`))
	whole(t, page)
	if rows := value[[]int](t, page, `[...document.querySelectorAll(".peer")].map(r => r.offsetHeight)`); slices.Max(append(rows, 0)) > 40 {
		t.Errorf("rows of peers are %v pixels high: they should be a line each", rows)
	}
	type seen struct{ Errors, Elements, Loads int }
	if s := value[seen](t, page, `window.seen`); s.Errors != 0 || s.Elements != 1 || s.Loads != 1 {
		t.Errorf("%d errors, %d elements, %d loads; want 0, 1, 1", s.Errors, s.Elements, s.Loads)
	}
	for _, r := range page.Requests() {
		if !strings.HasPrefix(r, p.URL) && !strings.HasPrefix(r, "data:") && !strings.HasPrefix(r, "blob:") {
			t.Errorf("a request to somebody else: %s", r)
		}
	}
	for _, line := range page.Console() {
		// Firefox says so of nothing ('') when its own player leaves an answer for a seek.
		left := strings.Contains(line, "Failed to load ‘’. A ServiceWorker intercepted the request")
		if (strings.HasPrefix(line, "error") || strings.HasPrefix(line, "exception")) && !left {
			t.Errorf("console: %s", line)
		}
	}
}

func TestTheSecondViewerPlaysFromTheFirst(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	first := viewer(t)
	must(t, first.Open(p.URL+api.WatchPath(v.ID)))
	whole(t, first)

	p.Server().SetStreamOff(true)
	p.Seeder().SetOff(true)
	second := viewer(t)
	must(t, second.Open(p.URL+api.WatchPath(v.ID)))
	must(t, second.Until(patience, `window.seen.ended`))
	whole(t, second)
	// The panel: everything came from viewers.
	must(t, second.Until(patience, `/Viewers\s+[\d.]+ Mi?B\s+100 %/.test(document.body.innerText)`))
	must(t, first.Until(patience, `/Given to others\s+[\d.]+ Mi?B/.test(document.body.innerText)`))
}

func TestAFilmIsRemovedWhileItIsWatched(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	anna := p.User(t, "anna", api.RoleUser)
	v, _ := anna.Film(t, podtest.MP4)
	page := viewer(t)
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	whole(t, page)
	must(t, anna.RemoveVideo(t.Context(), v.ID))
	must(t, page.Until(patience, `document.querySelector(".removed")?.innerText.includes("removed while you watched")`))
	must(t, page.Until(patience, `window.seen.ended`)) // to its end, from what is here
	if n := value[int](t, page, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, `document.body.innerText.includes("There is no such video")`))
}

func TestALiarDoesNotHarmPlayback(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, film := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	liar := newNetwork(t)
	liar.tamper = func(b []byte) []byte {
		if len(b) > wire.PieceHeader && wire.Kind(b[4]) == wire.Piece {
			b[len(b)-1] ^= 1
		}
		return b
	}
	readWhole(t, engine(t, p, v, liar), film)
	page := viewer(t)
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, `window.seen.ended`))
	whole(t, page)
	if n := value[int](t, page, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
	must(t, page.Until(patience, `/Viewers\s+0 B/.test(document.body.innerText)`))
}

// Where a browser lacks something the film comes by other ways, and the app goes on.
func TestABrowserThatGivesLess(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	for name, script := range map[string]string{
		"switched off": `delete window.RTCPeerConnection`,
		"too many":     `window.RTCPeerConnection = function() { throw new DOMException("too many", "UnknownError") }`,
		"slow": `(() => {
			const was = RTCPeerConnection.prototype.setLocalDescription;
			RTCPeerConnection.prototype.setLocalDescription = async function(d) { await new Promise(r => setTimeout(r, 1500)); return was.call(this, d) };
		})()`,
		// What there is not by plain HTTP from another machine.
		"not secure": `for (const [of, name] of [[Crypto, "subtle"], [Navigator, "serviceWorker"], [Navigator, "locks"], [Navigator, "storage"]]) delete of.prototype[name];
			delete window.caches`,
	} {
		t.Run(name, func(t *testing.T) {
			page := viewer(t)
			must(t, page.OnNewDocument(script))
			must(t, page.Open(p.URL+api.WatchPath(v.ID)))
			whole(t, page)
			must(t, page.Until(patience, `window.seen.ended`))
			if app := value[string](t, page, `document.documentElement.dataset.app`); app != "ready" {
				t.Errorf("the app is %s", app)
			}
		})
	}
}

// stopApp makes the program in the page end: what its engine's port, which keepPort
// keeps, gets is what no worker sends.
const (
	keepPort = `window.MessageChannel = class extends MessageChannel { constructor() { super(); window.enginePort = this.port1; } }`
	stopApp  = `(window.enginePort.onmessage({data: {from: 0, to: 1}, ports: []}), true)`
)

func TestAFilmOutlivesTheApp(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	// On this line it takes three minutes to come.
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.Sample{MIME: podtest.MP4.MIME, Length: 60 * time.Second, Width: 640, Height: 360, Bitrate: 8_000_000})
	page := viewer(t)
	must(t, page.Throttle(350_000, 20*time.Millisecond))
	must(t, page.OnNewDocument(keepPort))
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, `navigator.serviceWorker.controller && document.body.innerText.includes("Web seed") && document.querySelector("video")?.currentTime > 3`))
	must(t, page.Until(patience, stopApp))
	must(t, page.Until(patience, `document.documentElement.dataset.app === "failed" && !document.getElementById("app-failed").hidden`))
	if end := value[float64](t, page, `document.querySelector("video").buffered.end(0)`); end > 50 {
		t.Fatalf("the player had %.1f s already", end)
	}
	must(t, page.Throttle(-1, 0))
	must(t, page.Until(patience, skipTo(55)))
	must(t, page.Until(patience, `window.seen.ended`))
	if n := value[int](t, page, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
}
