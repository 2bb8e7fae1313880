package webapp

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/andybalholm/brotli"

	"kinopod/shared/api"
	"kinopod/webapp/bundle"
)

// testBundle is a bundle of nothing: these tests run no WebAssembly.
func testBundle() fstest.MapFS {
	wasm := []byte("\x00asm not really")
	return fstest.MapFS{
		bundle.Brotli: {Data: compressBrotli(wasm)}, bundle.Gzip: {Data: compressGzip(wasm)}, bundle.Support: {Data: []byte("// support")},
		bundle.Manifest: {Data: []byte(`{"version":"0123456789abcdef0123456789abcdef"}`)},
	}
}

func newHandler(t *testing.T, p *fakePod) http.Handler {
	t.Helper()
	h, err := Handler(Options{Name: "Lumen", Base: "https://" + fakeHost, Methods: p.methods, Bundle: testBundle(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks h, as ada if she is named.
func get(h http.Handler, path, session string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if session != "" {
		r.AddCookie(&http.Cookie{Name: "session", Value: session})
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func contains(t *testing.T, body string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(body, want) {
			t.Errorf("not in the page: %s", want)
		}
	}
}

func TestHomeHasContent(t *testing.T) {
	p := newFakePod(30)
	h := newHandler(t, p)
	w := get(h, "/", "")
	if w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	contains(
		t, w.Body.String(), "<title>Lumen</title>", `<a class="card-link" href="`+api.WatchPath(p.videos[0].ID)+`">`, html.EscapeString(p.videos[9].Name),
		`<img`, `src="/thumbnails/`, `href="/?cursor=24"`, `<link rel="canonical" href="https://pod.example/">`, `content="width=device-width, initial-scale=1, viewport-fit=cover"`,
		`<script type="application/json" id="kinopod-data">{"path":"/"`,
	)
	if n := strings.Count(w.Body.String(), `<li class="card">`); n != 24 {
		t.Errorf("%d cards, want 24", n)
	}
	if next := get(h, "/?cursor=24", ""); strings.Count(next.Body.String(), `<li class="card">`) != 6 {
		t.Error("the next page does not have the other 6")
	}
	if by := get(h, "/?uploader=grace", ""); strings.Contains(by.Body.String(), html.EscapeString(p.videos[0].Name)) || !strings.Contains(by.Body.String(), "<h1 class=\"page-title\" dir=\"auto\">grace</h1>") {
		t.Error("the page of an uploader shows others, or not her name")
	}
}

func TestWatchHasContent(t *testing.T) {
	p := newFakePod(3)
	v := p.videos[0]
	w := get(newHandler(t, p), api.WatchPath(v.ID), "")
	if w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	body := w.Body.String()
	contains(
		t, body, "<title>Night train to the coast · Lumen</title>", `<meta property="og:title" content="Night train to the coast">`, `<meta property="og:type" content="video.other">`,
		`<meta property="og:image" content="https://pod.example/thumbnails/`, `<meta name="twitter:card" content="summary_large_image">`,
		`<meta name="description" content="Shot on two evenings in November. No script, no score: only what was there. Thanks to everybody who held a lamp.">`,
		`<link rel="canonical" href="https://pod.example`+api.WatchPath(v.ID)+`">`, "Shot on two evenings in November.\n\nNo script", `id="player-place"`, "short film",
		`href="magnet:?xt=urn:btih:`, `href="`+api.TorrentPath(v.ID)+`"`, `href="/u/ada@pod.example"`, `href="/?tag=short+film"`,
	)
	video := regexp.MustCompile(`<video[^>]*>`).FindString(body)
	contains(t, video, `id="kinopod-video"`, ` src="`+strings.TrimPrefix(v.StreamURL, "http://"+fakeHost)+`"`, ` poster="/thumbnails/`, " autoplay", " playsinline", `preload="auto"`)
	// What every page begins with is named before the document, at the same address.
	for _, named := range regexp.MustCompile(`<([^>]+)>; rel=preload; as=(style|script)`).FindAllStringSubmatch(w.Header().Get("Link"), -1) {
		contains(t, body, map[string]string{"style": `<link rel="stylesheet" href="`, "script": `<script defer src="`}[named[2]]+html.EscapeString(named[1])+`"`)
	}
	contains(t, w.Header().Get("Link"), "as=style", "as=script")
	if strings.Contains(body, ">Remove<") {
		t.Error("a stranger is offered to remove the video")
	}
	p.sessions["s"] = "ada"
	contains(t, get(newHandler(t, p), api.WatchPath(v.ID), "s").Body.String(), ">Remove<", ">Edit<")
}

// A page asks nobody else and carries no script or style of its own, so that the
// content security policy can forbid both.
func TestPagesKeepThePolicy(t *testing.T) {
	p := newFakePod(3)
	p.sessions["s"], p.friends = "ada", fakeFriends(9)
	h := newHandler(t, p)
	for _, path := range []string{"/", api.WatchPath(p.videos[0].ID), "/login?setup=x", "/account", "/upload", "/network", "/offline", "/nowhere", "/?tag=night&sort=trending", "/u/ada@pod.example", "/search?q=fog"} {
		session := ""
		if path == "/account" || path == "/upload" || path == "/network" {
			session = "s"
		}
		w := get(h, path, session)
		body := w.Body.String()
		if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "img-src 'self' blob: data:;") || !strings.Contains(got, "script-src 'self' 'wasm-unsafe-eval';") || strings.Contains(got, "unsafe-inline") {
			t.Errorf("%s: policy %q", path, got)
		}
		for _, no := range []string{" style=", "<style", " onclick=", "maximum-scale", "user-scalable"} {
			if strings.Contains(body, no) {
				t.Errorf("%s contains %s", path, no)
			}
		}
		for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(body, -1) {
			if !strings.Contains(tag, ` src="/web/`) && !strings.Contains(tag, `type="application/json"`) {
				t.Errorf("%s: %s", path, tag)
			}
		}
		for _, m := range regexp.MustCompile(` (?:src|poster)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(m[1], "/") {
				t.Errorf("%s asks %s", path, m[1])
			}
		}
		if w.Header().Get("ETag") != "" || !strings.Contains(w.Header().Get("Cache-Control"), "no-cache") {
			t.Errorf("%s may be kept: %v", path, w.Header())
		}
	}
}

func TestStatus(t *testing.T) {
	p := newFakePod(1)
	h := newHandler(t, p)
	known := p.videos[0]
	for path, want := range map[string]int{
		"/": 200, "/login": 200, "/network": 200, "/network/x": 404, "/offline": 200, api.WatchPath(known.ID): 200, "/watch/" + strings.Repeat("1", 22): 404, "/watch/x": 404, "/watch/": 404,
		"/nowhere": 404, "/login/x": 404, "/web/nothing.js": 404, "/account": 303, "/upload": 303,
	} {
		if w := get(h, path, ""); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader("password=x"))
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	p.fail = &api.Error{Code: api.CodeUnavailable, Message: "The pod is starting."}
	for _, path := range []string{"/", api.WatchPath(known.ID)} {
		if w := get(h, path, ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "The pod is starting.") {
			t.Errorf("%s while the pod cannot answer: %d", path, w.Code)
		}
	}
}

func TestLoginLeadsOnlyIntoTheApp(t *testing.T) {
	p := newFakePod(0)
	p.sessions["s"] = "ada"
	h := newHandler(t, p)
	for next, want := range map[string]string{
		"/account": "/account", "/?uploader=x": "/?uploader=x", "": "/", "//evil.example/": "/", "https://evil.example/": "/", `/\evil.example`: "/",
		"javascript:alert(1)": "/", "evil": "/", "/%5cevil.example": "/",
	} {
		w := get(h, "/login?next="+strings.ReplaceAll(next, "?", "%3F"), "s")
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != want {
			t.Errorf("next=%s leads to %q (%d), want %q", next, got, w.Code, want)
		}
	}
	if got := get(h, "/account", "").Header().Get("Location"); got != "/login?next=%2Faccount" {
		t.Errorf("without a session /account leads to %q", got)
	}
}

// Whatever somebody calls a video, it is text.
func TestMarkupInNames(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)> \" onfocus="alert(3)`
	p := newFakePod(1)
	p.videos[0].Name, p.videos[0].Description, p.videos[0].Uploader, p.videos[0].Tags = evil, evil+"</script>", evil, []string{evil}
	h := newHandler(t, p)
	for _, path := range []string{"/", api.WatchPath(p.videos[0].ID), "/?uploader=" + strings.NewReplacer("\"", "%22", " ", "%20", "<", "%3C", ">", "%3E").Replace(evil)} {
		body := get(h, path, "").Body.String()
		for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(body, -1) {
			if tag == "<script>" {
				t.Errorf("%s: the name became a script", path)
			}
		}
		if strings.Contains(body, "<img src=x") || strings.Contains(body, ` onfocus="alert`) {
			t.Errorf("%s: the name became markup", path)
		}
		if !strings.Contains(body, "&lt;script&gt;alert(1)") {
			t.Errorf("%s: the name is not on the page", path)
		}
	}
}

func TestHandoverIsJSON(t *testing.T) {
	p := newFakePod(2)
	p.videos[0].Name = `</script><!--`
	body := get(newHandler(t, p), "/", "").Body.String()
	_, rest, _ := strings.Cut(body, `id="kinopod-data">`)
	data, _, _ := strings.Cut(rest, "</script>")
	var h struct {
		Path    string
		Pod     api.Pod
		Content struct {
			Feed struct{ Value struct{ Videos []api.Video } }
		}
	}
	if err := json.Unmarshal([]byte(data), &h); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	if h.Path != "/" || h.Pod.Name != "Lumen" || len(h.Content.Feed.Value.Videos) != 2 || h.Content.Feed.Value.Videos[0].Name != p.videos[0].Name {
		t.Errorf("handed over: %+v", h)
	}
}

func TestTheme(t *testing.T) {
	h := newHandler(t, newFakePod(0))
	for cookie, want := range map[string]string{"dark": ` data-theme="dark"`, "light": ` data-theme="light"`, "": `<html lang="en" dir="ltr">`, `"><script>`: `<html lang="en" dir="ltr">`} {
		w := get(h, "/", "", "Cookie", themeCookie+"="+cookie)
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("cookie %q: no %s", cookie, want)
		}
	}
}

func TestFiles(t *testing.T) {
	h := newHandler(t, newFakePod(0))
	page := get(h, "/", "").Body.String()
	addresses := regexp.MustCompile(`"(/web/[^"]*|/manifest.webmanifest|/app-worker.js)"`).FindAllStringSubmatch(page, -1)
	if len(addresses) < 7 {
		t.Fatalf("the page names %d files: %v", len(addresses), addresses)
	}
	for _, m := range addresses {
		path := html.UnescapeString(m[1])
		w := get(h, path, "")
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s: %d", path, w.Code)
			continue
		}
		if immutable := strings.Contains(w.Header().Get("Cache-Control"), "immutable"); immutable != strings.Contains(path, "?v=") {
			t.Errorf("%s: %s", path, w.Header().Get("Cache-Control"))
		}
		if again := get(h, path, "", "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s asked again: %d", path, again.Code)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "image/png") {
			continue
		}
		br, err := io.ReadAll(brotli.NewReader(get(h, path, "", "Accept-Encoding", "gzip, br").Body))
		if err != nil || !bytes.Equal(br, w.Body.Bytes()) {
			t.Errorf("%s in brotli differs: %v", path, err)
		}
		z, err := gzip.NewReader(get(h, path, "", "Accept-Encoding", "br;q=0, gzip").Body)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if gz, err := io.ReadAll(z); err != nil || !bytes.Equal(gz, w.Body.Bytes()) {
			t.Errorf("%s in gzip differs: %v", path, err)
		}
	}
	if w := get(h, "/web/app.wasm?v=old", ""); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-cache" || w.Header().Get("Content-Type") != "application/wasm" {
		t.Errorf("another version: %d %v", w.Code, w.Header())
	}
}

// What browsers ask of an app that can be installed; a real one says so in
// TestInstallable.
func TestManifest(t *testing.T) {
	h, err := Handler(Options{Name: `Quote " & <Co>`, Methods: newFakePod(0).methods, Bundle: testBundle(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Name, ID, Display, Scope string
		StartURL                 string `json:"start_url"`
		ThemeColor               string `json:"theme_color"`
		Icons                    []struct{ Src, Sizes, Type, Purpose string }
	}
	if err := json.Unmarshal(get(h, "/manifest.webmanifest", "").Body.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	if m.Name != `Quote " & <Co>` || m.Display != "standalone" || m.StartURL != "/" || m.Scope != "/" || m.ThemeColor != colorDark {
		t.Errorf("%+v", m)
	}
	seen := map[string]bool{}
	for _, icon := range m.Icons {
		w := get(h, icon.Src, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != icon.Type {
			t.Errorf("%s: %d, %s", icon.Src, w.Code, w.Header().Get("Content-Type"))
		}
		if icon.Type == "image/png" {
			c, err := png.DecodeConfig(w.Body)
			if want := icon.Sizes; err != nil || want != fmt.Sprintf("%dx%d", c.Width, c.Height) {
				t.Errorf("%s is %dx%d, not %s (%v)", icon.Src, c.Width, c.Height, want, err)
			}
		}
		seen[icon.Sizes+icon.Purpose] = true
	}
	for _, want := range []string{"192x192", "512x512", "192x192maskable", "512x512maskable", "any"} {
		if !seen[want] {
			t.Errorf("no icon %s", want)
		}
	}
}

// Installing a service worker fails as a whole if one file of its list is not there.
func TestServiceWorkerKeepsWhatIsThere(t *testing.T) {
	h := newHandler(t, newFakePod(3))
	worker := get(h, "/app-worker.js", "").Body.String()
	if i, j := strings.Index(worker, "!== 'stream'"), strings.Index(worker, "shellCache"); i < 0 || j < 0 || i > j {
		t.Error("what answers /stream/ does not stand first")
	}
	if strings.Contains(worker, "KINOPOD_") {
		t.Error("a placeholder is left")
	}
	m := regexp.MustCompile(`const shellFiles = (\[.*\]);`).FindStringSubmatch(worker)
	if m == nil {
		t.Fatal("no list of files")
	}
	var files []string
	if err := json.Unmarshal([]byte(m[1]), &files); err != nil || len(files) < 8 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, f := range files {
		if w := get(h, f, ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d", f, w.Code)
		}
	}
}

func TestNotBuilt(t *testing.T) {
	_, err := Handler(Options{Methods: newFakePod(0).methods, Bundle: fstest.MapFS{}})
	if !errors.Is(err, bundle.ErrNotBuilt) {
		t.Error(err)
	}
}
