package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kinopod/build/browser"
	"kinopod/build/pods"
	"kinopod/shared/torrent"
)

// connect measures how long a page needs to find the seeder and to be connected, until its
// handshake is there: our engine, which sends the pod an offer, and webtorrent.js by way of
// the tracker. Each connection is the first of its page, as a viewer's is.
func (b *seederBench) connect(ctx context.Context, connections int) error {
	site, err := b.pages(ctx)
	if err != nil {
		return err
	}
	defer site.Close()
	file, _, err := b.noise("small.bin", 1<<20)
	if err != nil {
		return err
	}
	s, err := b.ours(file)
	if err != nil {
		return err
	}
	defer s.stop()
	b.shown.Store(s)
	chromium, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer chromium.Close()
	fmt.Printf("connections to our seeder from pages in Chromium, each the first of its page; loopback\n")
	all := newComparison([]string{"our engine", "webtorrent.min.js"}, 1, figure{name: "ms from the beginning until the seeder's handshake", digits: 1})
	steps := newComparison([]string{"our engine"}, -1,
		figure{name: "ms from asking the pod until the seeder's handshake", digits: 1}, figure{name: "until the offer is made: before it asks", digits: 1}, figure{name: "until the pod has answered", digits: 1},
		figure{name: "until the channel is open", digits: 1}, figure{name: "until the handshake", digits: 1})
	for range connections {
		for i, path := range []string{"/engine", "/"} {
			x, err := b.connectOnce(chromium, s, site.URL+path)
			if err != nil {
				return fmt.Errorf("%s: %w", all.names[i], err)
			}
			all.add(i, x.Connected)
			if i == 0 {
				steps.add(i, x.Connected-x.Asked, x.Asked, x.Answered-x.Asked, x.Opened-x.Answered, x.Connected-x.Opened)
			}
		}
	}
	all.print()
	steps.print()
	return nil
}

// connectOnce is one download in a page of its own.
func (b *seederBench) connectOnce(chromium *browser.Browser, s *aSeeder, address string) (got download, err error) {
	page, done, err := chromium.QuietPage()
	if err != nil {
		return got, err
	}
	defer done()
	if err := page.Open(address); err != nil {
		return got, err
	}
	return b.downloadIn(page, s, address)
}

// idle measures what peers cost that are connected, said the handshake and want nothing.
func (b *seederBench) idle(ctx context.Context, many int) error {
	s, err := b.ours(b.film)
	if err != nil {
		return err
	}
	defer s.stop()
	meta, err := metainfoOf(s)
	if err != nil {
		return err
	}
	first, err := newViewer(ctx, s.base, meta) // what the first one costs all pay for
	if err != nil {
		return err
	}
	defer first.close()
	time.Sleep(time.Second)
	before, err := used(s.pid)
	if err != nil {
		return err
	}
	viewers := make([]*viewer, many)
	defer func() {
		for _, v := range viewers {
			if v != nil {
				v.close()
			}
		}
	}()
	began := time.Now()
	for i := range viewers {
		if viewers[i], err = newViewer(ctx, s.base, meta); err != nil {
			return fmt.Errorf("peer %d: %w", i, err)
		}
	}
	took := time.Since(began)
	time.Sleep(20 * time.Second) // ICE has settled
	after, err := used(s.pid)
	if err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	later, err := used(s.pid)
	if err != nil {
		return err
	}
	fmt.Printf("%d idle peers, connected one after the other in %v: the seeder has %d MiB RSS, %d before: %.0f KiB each; %.1f %% of a core\n",
		many, took.Round(time.Millisecond), after.rss>>10, before.rss>>10, float64(after.rss-before.rss)/float64(many), 10*(later.cpu-after.cpu).Seconds())
	return nil
}

// budgets measures what peers get where bytes a second are limited, and how many are let
// in.
func (b *seederBench) budgets(ctx context.Context) error {
	const seconds, megabyte = 8, 1_000_000
	fmt.Printf("budgets, over %d s\n", seconds)
	for _, c := range []struct {
		name    string
		args    []string
		viewers int
		budget  float64 // bytes/s of all viewers together
	}{
		{"4 MB/s in all, 3 browsers", []string{"-bytes", strconv.Itoa(4 * megabyte)}, 3, 4 * megabyte},
		{"1 MB/s a peer, 3 browsers", []string{"-peer-bytes", strconv.Itoa(megabyte)}, 3, 3 * megabyte},
		{"0.1 MB/s a peer, 1 browser", []string{"-peer-bytes", strconv.Itoa(megabyte / 10)}, 1, megabyte / 10},
	} {
		s, err := b.ours(b.film, c.args...)
		if err != nil {
			return err
		}
		got, err := b.takeFrom(ctx, s, c.viewers, seconds*time.Second)
		s.stop()
		if err != nil {
			return err
		}
		rate := got / seconds
		fmt.Printf("  %-28s %7.3f MB/s: %+.1f %% of the budget\n", c.name, rate/1e6, 100*(rate/c.budget-1))
	}
	for _, c := range []struct{ name, flag string }{{"4 MB/s in all, aria2c", "-bytes"}, {"4 MB/s a peer, aria2c", "-peer-bytes"}} {
		s, err := b.ours(b.film, c.flag, strconv.Itoa(4*megabyte))
		if err != nil {
			return err
		}
		rate, err := b.aria2Rate(ctx, s, seconds*time.Second)
		s.stop()
		if err != nil {
			return err
		}
		fmt.Printf("  %-28s %7.3f MB/s: %+.1f %% of the budget\n", c.name, rate/1e6, 100*(rate/(4*megabyte)-1))
	}
	s, err := b.ours(b.film, "-peers", "5")
	if err != nil {
		return err
	}
	defer s.stop()
	meta, err := metainfoOf(s)
	if err != nil {
		return err
	}
	in := 0
	for range 8 {
		v, err := newViewer(ctx, s.base, meta)
		if err == nil {
			in++
			defer v.close()
		} else if !errors.Is(err, errRefused) {
			return err
		}
	}
	fmt.Printf("  5 peers, 8 came: %d were let in\n", in)
	return nil
}

// takeFrom gives what viewers got in a while, in bytes, once all take.
func (b *seederBench) takeFrom(ctx context.Context, s *aSeeder, many int, d time.Duration) (float64, error) {
	meta, err := metainfoOf(s)
	if err != nil {
		return 0, err
	}
	var got atomic.Int64
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for range many {
		v, err := newViewer(ctx, s.base, meta)
		if err != nil {
			return 0, err
		}
		defer v.close()
		all.Go(func() { v.take(ctx, &got) })
	}
	time.Sleep(2 * time.Second) // what was saved up is spent
	from, at := got.Load(), time.Now()
	time.Sleep(d)
	return float64(got.Load()-from) * float64(d) / float64(time.Since(at)), nil
}

// aria2Rate is what aria2c gets, in bytes/s.
func (b *seederBench) aria2Rate(ctx context.Context, s *aSeeder, d time.Duration) (float64, error) {
	dir, err := os.MkdirTemp(b.dir, "aria2-")
	if err != nil {
		return 0, err
	}
	c, log := aria2(ctx, dir, s.base+"/film.torrent")
	if err := c.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait(); _ = os.RemoveAll(dir) }()
	size := func() int64 { // aria2c writes what it has at once
		return blocksOf(filepath.Join(dir, filepath.Base(b.film)))
	}
	for end := time.Now().Add(20 * time.Second); size() == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return 0, fmt.Errorf("aria2c gets nothing: %s", log)
		}
	}
	time.Sleep(2 * time.Second)
	from, at := size(), time.Now()
	time.Sleep(d)
	return float64(size()-from) / time.Since(at).Seconds(), nil
}

func aria2(ctx context.Context, dir, url string) (*exec.Cmd, *bytes.Buffer) {
	c := exec.CommandContext(ctx, "aria2c", "--no-conf", "--dir="+dir, "--seed-time=0", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
		"--enable-peer-exchange=false", "--file-allocation=none", "--summary-interval=0", "--follow-torrent=mem", "--max-connection-per-server=1", "--disk-cache=0", url)
	log := &bytes.Buffer{}
	c.Stdout, c.Stderr = log, log
	return c, log
}

// native compares aria2c from our seeder over TCP with aria2c from nginx by HTTP, and with
// aria2c from aria2c over TCP, which is what BitTorrent itself costs it.
func (b *seederBench) native(ctx context.Context, rounds int) error {
	size := 5 * b.size
	file, _, err := b.noise("large.bin", size)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	s, err := b.ours(file)
	if err != nil {
		return err
	}
	defer s.stop()
	address, pid, stop, err := startNginx(b.dir)
	if err != nil {
		return err
	}
	defer stop()
	other, err := b.aria2Seeder(ctx, s, file)
	if err != nil {
		return err
	}
	defer other.stop()
	by := []struct {
		name, url string
		pid       int
	}{{"Kinopod, BitTorrent/TCP", s.base + "/film.torrent", s.pid}, {"nginx, HTTP", "http://" + address + "/large.bin", pid}, {"aria2c, BitTorrent/TCP", other.base + "/film.torrent", other.pid}}
	speed, moving, cpu, taker := make([][]float64, len(by)), make([][]float64, len(by)), make([][]float64, len(by)), make([][]float64, len(by))
	for range rounds {
		for i, from := range by {
			dir, err := os.MkdirTemp(b.dir, "aria2-")
			if err != nil {
				return err
			}
			c, log := aria2(ctx, dir, from.url)
			before, _ := used(from.pid)
			arrival := watchArrival(filepath.Join(dir, "large.bin"), int64(size))
			began := time.Now()
			err = c.Run()
			took := time.Since(began)
			arrived := arrival()
			if err != nil {
				return fmt.Errorf("aria2c from %s: %w: %s", from.name, err, log)
			}
			after, _ := used(from.pid)
			if info, err := os.Stat(filepath.Join(dir, "large.bin")); err != nil || info.Size() != int64(size) {
				return fmt.Errorf("aria2c has not got it from %s: %s", from.name, log)
			}
			_ = os.RemoveAll(dir)
			speed[i] = append(speed[i], float64(size)/1e6/took.Seconds())
			moving[i] = append(moving[i], float64(size)/1e6/arrived.Seconds())
			cpu[i] = append(cpu[i], (after.cpu-before.cpu).Seconds()/(float64(size)/1e9))
			taker[i] = append(taker[i], (c.ProcessState.UserTime()+c.ProcessState.SystemTime()).Seconds()/(float64(size)/1e9))
		}
	}
	fmt.Printf("%d MiB to aria2c on loopback\n  from its start to its end, in which it waits for its own clock too\n", size>>20)
	for i, w := range by {
		fmt.Printf("    %-24s %7.1f MB/s (%s), %.2f times; %.2f CPU s/GB, and %.2f of aria2c that takes it\n", w.name, median(speed[i]), list(speed[i], 2), median(speed[i])/median(speed[1]), median(cpu[i]), median(taker[i]))
	}
	fmt.Println("  from the first block to the last")
	for i, w := range by {
		fmt.Printf("    %-24s %7.1f MB/s (%s), %.2f times\n", w.name, median(moving[i]), list(moving[i], 2), median(moving[i])/median(moving[1]))
	}
	return nil
}

// watchArrival watches a file that is about to come, until the function it gives is
// called: that tells how long it took from the first block to the last.
func watchArrival(path string, size int64) func() time.Duration {
	stop, took := make(chan struct{}), make(chan time.Duration)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		var first, last time.Time
		for have := int64(0); have < size; {
			select {
			case <-stop:
				took <- time.Since(first) // it has all by now
				return
			case now := <-tick.C:
				if have = blocksOf(path); have > 0 && first.IsZero() {
					first = now
				}
				last = now
			}
		}
		<-stop
		took <- last.Sub(first)
	}()
	return func() time.Duration { close(stop); return <-took }
}

// aria2Seeder has aria2c seed the torrent of s, with a tracker that names it to all.
func (b *seederBench) aria2Seeder(ctx context.Context, s *aSeeder, file string) (*aSeeder, error) {
	meta, err := metainfoOf(s)
	if err != nil {
		return nil, err
	}
	address, err := pods.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	tracker := httptest.NewServer(mux)
	raw, err := meta.Metainfo([]string{tracker.URL + "/announce"}, nil)
	if err != nil {
		tracker.Close()
		return nil, err
	}
	mux.HandleFunc("GET /announce", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(append([]byte("d8:intervali1800e5:peers6:"), 127, 0, 0, 1, byte(n>>8), byte(n), 'e'))
	})
	mux.HandleFunc("GET /film.torrent", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(raw) })
	c := exec.CommandContext(ctx, "aria2c", "--no-conf", "--dir="+filepath.Dir(file), "--listen-port="+port, "--seed-ratio=0", "--bt-seed-unverified=true", "--enable-dht=false",
		"--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--follow-torrent=mem", "--summary-interval=0", "--allow-overwrite=true", tracker.URL+"/film.torrent")
	c.Stdout, c.Stderr = io.Discard, io.Discard
	if err := c.Start(); err != nil {
		tracker.Close()
		return nil, fmt.Errorf("start aria2c: %w", err)
	}
	stop := func() { _ = c.Process.Kill(); _ = c.Wait(); tracker.Close() }
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		nc, err := net.Dial("tcp", address)
		if err == nil {
			_ = nc.Close()
			return &aSeeder{base: tracker.URL, pid: c.Process.Pid, stop: stop}, nil
		}
		if time.Now().After(end) {
			stop()
			return nil, fmt.Errorf("aria2c does not seed: %w", err)
		}
	}
}

// startNginx serves a directory.
func startNginx(dir string) (address string, pid int, stop func(), err error) {
	if address, err = pods.FreeAddress(); err != nil {
		return "", 0, nil, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf("daemon off; master_process off; user root; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\nevents {}\n"+
		"http { access_log off; sendfile on; default_type text/html; types { text/javascript js; video/mp4 mp4 m4s; application/vnd.apple.mpegurl m3u8; } "+
		"client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s; server { listen %[2]s; root %[1]s; } }\n", dir, address)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return "", 0, nil, err
	}
	c := exec.Command("nginx", "-p", dir, "-c", conf)
	var log bytes.Buffer
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		return "", 0, nil, fmt.Errorf("start nginx (make test-tools installs it): %w", err)
	}
	stop = func() { _ = c.Process.Kill(); _ = c.Wait() }
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		nc, err := net.Dial("tcp", address)
		if err == nil {
			_ = nc.Close()
			return address, c.Process.Pid, stop, nil
		}
		if time.Now().After(end) {
			stop()
			return "", 0, nil, fmt.Errorf("nginx did not come up: %s", log.String())
		}
	}
}

// metainfoOf gets a seeder's torrent.
func metainfoOf(s *aSeeder) (*torrent.Torrent, error) {
	res, err := http.Get(s.base + "/film.torrent")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the torrent: %s: %s", res.Status, strings.TrimSpace(string(b)))
	}
	return torrent.Parse(b)
}
