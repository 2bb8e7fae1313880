package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chromedp/chromedp"

	"kinopod/build/browser"
	"kinopod/shared/api"
)

// seeding is the benchmark of the seeder: what it costs to give bytes to browsers and to
// BitTorrent clients, beside webtorrent on node and nginx; how soon a page is connected;
// what idle viewers cost; and whether budgets hold.
func seeding(ctx context.Context, args []string) error {
	rounds, megabytes, idle, connections, only, profile := 3, 200, 1000, 15, "", ""
	if err := flags("seeder", args, func(f *flag.FlagSet) {
		f.IntVar(&rounds, "rounds", rounds, "turns of each seeder")
		f.IntVar(&megabytes, "size", megabytes, "MiB that a browser downloads; a BitTorrent client gets five times that")
		f.IntVar(&idle, "idle", idle, "peers that want nothing")
		f.IntVar(&connections, "connections", connections, "that are made of each kind")
		f.StringVar(&only, "only", only, "one of connect, webrtc, idle, budgets, native")
		f.StringVar(&profile, "profile", profile, "address of net/http/pprof of our seeder")
	}); err != nil {
		return err
	}
	b, err := newSeederBench(ctx, megabytes<<20)
	if err != nil {
		return err
	}
	defer b.close()
	b.profile = profile
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"connect", func(ctx context.Context) error { return b.connect(ctx, connections) }},
		{"webrtc", func(ctx context.Context) error { return b.webrtc(ctx, rounds) }},
		{"idle", func(ctx context.Context) error { return b.idle(ctx, idle) }},
		{"budgets", b.budgets},
		{"native", func(ctx context.Context) error { return b.native(ctx, rounds) }},
	} {
		if only != "" && only != part.name {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// seederBench is what the parts share.
type seederBench struct {
	dir     string
	program string // build/seed
	film    string
	size    int
	sum     string // SHA-256 of the film
	profile string
	shown   atomic.Pointer[aSeeder] // whose torrent pages has, and to whom it passes offers on
}

func newSeederBench(ctx context.Context, size int) (_ *seederBench, err error) {
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return nil, err
	}
	b := &seederBench{dir: dir, program: filepath.Join(dir, "seed"), size: size}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.program, "./build/seed").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the seeder: %w: %s", err, out)
	}
	b.film, b.sum, err = b.noise("film.bin", size)
	return b, err
}

func (b *seederBench) close() { _ = os.RemoveAll(b.dir) }

// noise makes a file of random bytes.
func (b *seederBench) noise(name string, size int) (path, sum string, err error) {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	h := sha256.Sum256(data)
	path = filepath.Join(b.dir, name)
	return path, hex.EncodeToString(h[:]), os.WriteFile(path, data, 0o600)
}

// aSeeder is a seeder that runs.
type aSeeder struct {
	magnet, base string
	pid          int
	stop         func()
}

// run starts a program that says its magnet in its first line.
func (b *seederBench) run(c *exec.Cmd) (*aSeeder, error) {
	var log bytes.Buffer
	c.Stderr = &log
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	s := &aSeeder{pid: c.Process.Pid, stop: func() { _ = c.Process.Kill(); _ = c.Wait() }}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var said struct{ Magnet, Base string }
	if err := errors.Join(err, json.Unmarshal(line, &said)); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s did not begin to seed: %w: %s", filepath.Base(c.Path), err, log.String())
	}
	s.magnet, s.base = said.Magnet, said.Base
	return s, nil
}

// ours starts our seeder.
func (b *seederBench) ours(file string, args ...string) (*aSeeder, error) {
	return b.run(exec.Command(b.program, append([]string{"-file", file, "-profile", b.profile}, args...)...))
}

// node starts webtorrent on node with a tracker of the same authors.
func (b *seederBench) node(ctx context.Context) (*aSeeder, error) {
	t, err := nodeTracker(ctx)
	if err != nil {
		return nil, err
	}
	c := exec.Command("node", "seed.mjs", b.film, t.url)
	c.Dir = filepath.Join("build", "node")
	s, err := b.run(c)
	if err != nil {
		t.stop()
		return nil, err
	}
	stop := s.stop
	s.stop = func() { stop(); t.stop() }
	time.Sleep(2 * time.Second) // it has announced itself
	return s, nil
}

// download is what a page tells of one.
type download struct {
	SHA256  string  `json:"sha256"`
	First   float64 `json:"first"` // ms
	Done    float64 `json:"done"`  // ms
	Sources string  `json:"sources"`

	// ms until the seeder's handshake had come; and of our engine until it asked the pod, the
	// answer had come, and the channel was open.
	Connected float64 `json:"connected"`
	Asked     float64 `json:"asked"`
	Answered  float64 `json:"answered"`
	Opened    float64 `json:"opened"`
}

// webrtc measures downloads by webtorrent.js, and by the engine of our web app.
func (b *seederBench) webrtc(ctx context.Context, rounds int) error {
	site, err := b.pages(ctx)
	if err != nil {
		return err
	}
	defer site.Close()
	ours := func(context.Context) (*aSeeder, error) { return b.ours(b.film) }
	by := []struct {
		name, page string
		start      func(context.Context) (*aSeeder, error)
	}{{"Kinopod", "/", ours}, {"webtorrent on node", "/", b.node}, {"Kinopod to our engine", "/engine", ours}}
	var names []string
	for _, w := range by {
		names = append(names, w.name)
	}
	seen := newComparison(names, 1, figure{name: "MB/s", digits: 1}, figure{name: "CPU s/GB of the seeder", digits: 1}, figure{name: "MiB RSS of the seeder, most", digits: 1},
		figure{name: "ms until the first piece", digits: 0}, figure{name: "CPU s/GB of the browser", digits: 1})
	fmt.Printf("%d MiB by WebRTC to webtorrent.min.js, or to our engine, in Chromium, pieces in memory; all on this machine, unshaped\n", b.size>>20)
	for range rounds {
		for i, w := range by {
			s, err := w.start(ctx)
			if err != nil {
				return err
			}
			x, err := b.fetch(ctx, s, site.URL+w.page)
			s.stop()
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			seen.add(i, x...)
			fmt.Printf("  turn of %s: %s\n", w.name, list(x, 2))
		}
	}
	seen.print()
	return nil
}

// pages serves a page with webtorrent.js and one with our engine.
func (b *seederBench) pages(ctx context.Context) (*httptest.Server, error) {
	engine := filepath.Join(b.dir, "engine.wasm")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", engine, "./build/bench/engine")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the engine: %w: %s", err, out)
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/dist/webtorrent.min.js":
			http.ServeFile(w, r, filepath.Join("build", "node", "node_modules", "webtorrent", "dist", "webtorrent.min.js"))
		case "/download.js":
			http.ServeFile(w, r, filepath.Join("build", "node", "download.js"))
		case "/engine.wasm":
			http.ServeFile(w, r, engine)
		case "/film.torrent", api.PathOffer: // of the page's own origin, as in the app
			(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
				p.Out.URL.Scheme, p.Out.URL.Host = "http", strings.TrimPrefix(b.shown.Load().base, "http://")
			}}).ServeHTTP(w, r)
		case "/support.js":
			http.ServeFile(w, r, filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
		case "/boot.js": // what the engine has in the app's pages
			http.ServeFile(w, r, filepath.Join("webapp", "static", "boot.js"))
		case "/engine":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<!doctype html><title>bench</title><p id=app-failed hidden><script src=support.js></script><script defer src=boot.js data-wasm=/engine.wasm data-worker=/none.js></script>`)
		case "/none.js":
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!doctype html><title>bench</title>")
		}
	})), nil
}

// byWebtorrent and byEngine have a page download, with webtorrent.js or with our engine.
const (
	byWebtorrent = `(async () => { const {download} = await import("/download.js"); return download(%q, true) })()`
	byEngine     = `(async () => {
	window.offerURL = %q;
	while (!window.got) await new Promise((next) => setTimeout(next, 20));
	return window.got;
})()`
)

// downloadIn has a page of pages download from s.
func (b *seederBench) downloadIn(page *browser.Page, s *aSeeder, address string) (got download, err error) {
	script := fmt.Sprintf(byWebtorrent, s.magnet)
	if strings.HasSuffix(address, "/engine") {
		script = fmt.Sprintf(byEngine, api.PathOffer)
	}
	slow, cancel := context.WithTimeout(page.Ctx, 3*time.Minute)
	defer cancel()
	got, err = chromedp.Run(slow, chromedp.Evaluate[download](script, chromedp.EvalAwaitPromise))
	if err == nil && got.Done == 0 {
		err = errors.New(got.Sources)
	}
	return got, err
}

// fetch downloads from s with a page in a browser of its own.
func (b *seederBench) fetch(ctx context.Context, s *aSeeder, address string) ([]float64, error) {
	b.shown.Store(s)
	chromium, err := browser.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer chromium.Close()
	page, done, err := chromium.QuietPage()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := page.Open(address); err != nil {
		return nil, err
	}
	before, err := used(s.pid)
	if err != nil {
		return nil, err
	}
	theirs := newFamily(func() []int { return descendants(os.Getpid(), s.pid) })
	most := watchPeak(s.pid, s.pid)
	got, err := b.downloadIn(page, s, address)
	rss, _ := most.end()
	if err != nil {
		return nil, err
	}
	if got.SHA256 != b.sum && got.SHA256 != "" { // our engine checked each piece
		return nil, errors.New("the page has other bytes than the seeder")
	}
	after, err := used(s.pid)
	if err != nil {
		return nil, err
	}
	theirs.look(false)
	gigabytes := float64(b.size) / 1e9
	return []float64{
		gigabytes * 1e6 / got.Done, (after.cpu - before.cpu).Seconds() / gigabytes, float64(rss) / 1024, got.First,
		theirs.cpu().Seconds() / gigabytes,
	}, nil
}
