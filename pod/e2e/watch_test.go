package e2e

import (
	"context"
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

// chromium is one process for all tests of this package.
var chromium = sync.OnceValues(func() (*browser.Browser, error) { return browser.Start(context.Background()) })

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := chromium(); err == nil { // not started for nothing: Start is quick
		b.Close()
	}
	os.Exit(code)
}

// viewer opens a tab of a viewer of its own.
func viewer(t testing.TB) *browser.Page {
	t.Helper()
	b, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	p, done, err := b.Page()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			state, _ := browser.Eval[string](p, videoState)
			t.Logf("video: %s\nconsole:\n%s", state, strings.Join(p.Console(), "\n"))
			if dir := os.Getenv("KINOPOD_SCREENSHOTS"); dir != "" {
				_ = p.Screenshot(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+".png"))
			}
		}
		done()
	})
	must(t, p.OnNewDocument(noteVideo))
	must(t, p.Front())
	return p
}

// noteVideo keeps what happens to the page's <video>.
const noteVideo = `
window.seen = {errors: 0, why: "", ended: false, elements: 0, loads: 0};
(() => {
  const known = new WeakSet();
  const look = () => {
    for (const v of document.querySelectorAll("video")) {
      v.muted = true;
      if (known.has(v)) continue;
      known.add(v);
      seen.elements++;
      v.addEventListener("error", () => { seen.errors++; seen.why = v.error?.message; });
      v.addEventListener("loadstart", () => seen.loads++);
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
    buffered: ranges(v.buffered), error: v.error?.message, worker: !!navigator.serviceWorker.controller, seen: window.seen});
})()`

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func value[T any](t testing.TB, p *browser.Page, expression string) T {
	t.Helper()
	v, err := browser.Eval[T](p, expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// long is a film that is still playing when the app is there, on a slow machine too.
var long = podtest.Sample{MIME: podtest.MP4.MIME, Length: 40 * time.Second, Width: 320, Height: 180, Bitrate: 1_000_000}

// whole waits until the viewer's engine has every piece, as the swarm panel says.
func whole(t testing.TB, p *browser.Page, d time.Duration) {
	t.Helper()
	must(t, p.Until(d, `(() => { const m = document.body.innerText.match(/(\d[\d,.\u202f\u00a0 ]*) of (\d[\d,.\u202f\u00a0 ]*) ·/); return m && m[1].trim() === m[2].trim(); })()`))
}

func TestAVideoPlaysWithoutAVisibleSwitch(t *testing.T) {
	for name, sample := range map[string]podtest.Sample{"MP4": long, "WebM": {MIME: podtest.WebM.MIME, Length: 40 * time.Second, Width: 320, Height: 180, Bitrate: 1_000_000}} {
		t.Run(name, func(t *testing.T) {
			p := podtest.Start(t)
			v, _ := p.User(t, "anna", api.RoleUser).Film(t, sample)
			page := viewer(t)
			must(t, page.Open(p.URL+api.WatchPath(v.ID)))
			must(t, page.Until(30*time.Second, `document.querySelector("video")?.currentTime > 0.5`))
			must(t, page.Until(60*time.Second, `navigator.serviceWorker.controller && document.body.innerText.includes("Web seed")`))
			// Seek to a place that nobody has yet, and back.
			must(t, page.Until(60*time.Second, `(() => { const v = document.querySelector("video"); v.currentTime = 30; return true })()`))
			must(t, page.Until(30*time.Second, `(() => { const v = document.querySelector("video"); return v.currentTime > 30.3 && !v.seeking && v.readyState >= 3 })()`))
			must(t, page.Until(30*time.Second, `(() => { const v = document.querySelector("video"); v.currentTime = 38; return true })()`))
			must(t, page.Until(30*time.Second, `window.seen.ended`))
			whole(t, page, 60*time.Second)
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
				if strings.HasPrefix(line, "error") || strings.HasPrefix(line, "exception") {
					t.Errorf("console: %s", line)
				}
			}
		})
	}
}

func TestTheSecondViewerPlaysFromTheFirst(t *testing.T) {
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	first := viewer(t)
	must(t, first.Open(p.URL+api.WatchPath(v.ID)))
	whole(t, first, 90*time.Second)

	p.Server().SetStreamOff(true)
	p.Seeder().SetOff(true)
	second := viewer(t)
	must(t, second.Open(p.URL+api.WatchPath(v.ID)))
	must(t, second.Until(120*time.Second, `window.seen.ended`))
	whole(t, second, 30*time.Second)
	// The panel: everything came from viewers.
	must(t, second.Until(10*time.Second, `/Viewers\s+[\d.]+ Mi?B\s+100 %/.test(document.body.innerText)`))
	must(t, first.Until(10*time.Second, `/Given to others\s+[\d.]+ Mi?B/.test(document.body.innerText)`))
}

func TestALiarDoesNotHarmPlayback(t *testing.T) {
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
	must(t, page.Until(120*time.Second, `window.seen.ended`))
	whole(t, page, 60*time.Second)
	if n := value[int](t, page, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
	must(t, page.Until(10*time.Second, `/Viewers\s+0 B/.test(document.body.innerText)`))
}

func TestABrowserThatGivesNoWebRTC(t *testing.T) {
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	for name, script := range map[string]string{
		"switched off": `delete window.RTCPeerConnection`,
		"too many":     `window.RTCPeerConnection = function() { throw new DOMException("too many", "UnknownError") }`,
		"slow": `(() => {
			const was = RTCPeerConnection.prototype.setLocalDescription;
			RTCPeerConnection.prototype.setLocalDescription = async function(d) { await new Promise(r => setTimeout(r, 1500)); return was.call(this, d) };
		})()`,
	} {
		t.Run(name, func(t *testing.T) {
			page := viewer(t)
			must(t, page.OnNewDocument(script))
			must(t, page.Open(p.URL+api.WatchPath(v.ID)))
			whole(t, page, 90*time.Second)
			must(t, page.Until(60*time.Second, `window.seen.ended`))
			if app := value[string](t, page, `document.documentElement.dataset.app`); app != "ready" {
				t.Errorf("the app is %s", app)
			}
		})
	}
}

// stopApp makes the program in the page end: what its handler of messages gets is what
// no worker sends.
const stopApp = `(() => {
	const infoHash = document.querySelector("video").src.split("/")[4];
	navigator.serviceWorker.dispatchEvent(new MessageEvent("message", {data: {kinopod: "stream", infoHash, from: 0, to: 1}}));
	return true;
})()`

func TestAFilmOutlivesTheApp(t *testing.T) {
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, long)
	page := viewer(t)
	must(t, page.Throttle(350_000, 20*time.Millisecond))
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(60*time.Second, `navigator.serviceWorker.controller && document.body.innerText.includes("Web seed") && document.querySelector("video")?.currentTime > 3`))
	must(t, page.Until(10*time.Second, stopApp))
	must(t, page.Until(30*time.Second, `document.documentElement.dataset.app === "failed" && !document.getElementById("app-failed").hidden`))
	if end := value[float64](t, page, `document.querySelector("video").buffered.end(0)`); end > 35 {
		t.Fatalf("the player had %.1f s already", end)
	}
	must(t, page.Until(120*time.Second, `window.seen.ended`))
	if n := value[int](t, page, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
}
