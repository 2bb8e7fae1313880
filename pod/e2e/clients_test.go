package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kinopod/build/browser"
	"kinopod/pod/config"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
)

// run starts a program of the machine that lives until the test ends, and gives what it
// wrote when the test failed. One that ended is started again: transmission-cli ends where it
// looks at itself in the moment between a magnet link's info and its film.
func run(t *testing.T, debian, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, debian)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, name, args...)
			cmd.Stdout, cmd.Stderr = log, log
			_ = cmd.Run()
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s wrote:\n%s", name, text)
		}
	})
}

// arrived waits until the file in dir has the bytes of the film.
func arrived(t *testing.T, dir, name string, film []byte) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && bytes.Equal(got, film) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d of %d bytes, or others (%v)", name, len(got), len(film), err)
		}
	}
}

// fileOf is the name of a video's file: the last part of the address of its stream.
func fileOf(v api.Video) string { return v.StreamURL[strings.LastIndexByte(v.StreamURL, '/')+1:] }

func TestCurl(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, film := p.User(t, "ada", api.RoleUser).Film(t, podtest.WebM)
	for _, part := range []struct {
		ask        string
		from, size int
	}{{"0-", 0, len(film)}, {"1000-1999", 1000, 1000}, {"-777", len(film) - 777, 777}, {"500000-", 500000, len(film) - 500000}} {
		out, err := exec.CommandContext(t.Context(), "curl", "--silent", "--show-error", "--fail", "--range", part.ask, v.StreamURL).Output()
		if err != nil || !bytes.Equal(out, film[part.from:part.from+part.size]) {
			t.Errorf("curl --range %s: %d bytes, %v", part.ask, len(out), err)
		}
	}
}

// aria2c gets the .torrent from the pod. Its web seed is off: all bytes come over TCP.
func TestAria2(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, film := p.User(t, "ada", api.RoleUser).Film(t, podtest.MP4)
	p.Server().SetStreamOff(true)
	dir := t.TempDir()
	run(t, "aria2", "aria2c", "--no-conf", "--dir="+dir, "--seed-time=0", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
		"--enable-peer-exchange=false", "--file-allocation=none", "--summary-interval=0", "--follow-torrent=mem", v.TorrentURL)
	arrived(t, dir, fileOf(v), film)
	if sent := p.Seeder().Stats().NativeBytes; sent < int64(len(film)) {
		t.Errorf("%d bytes by BitTorrent", sent)
	}
}

// transmission gets nothing but the magnet: the info dictionary comes from the pod's
// seeder, too. It takes no peer on loopback.
func TestTransmission(t *testing.T) {
	t.Parallel()
	ip := outside(t)
	p := podtest.Start(t, func(c *config.Config) { c.Listen, c.BTListen = ip.String()+":0", ip.String()+":0" })
	v, film := p.User(t, "ada", api.RoleUser).Film(t, podtest.MP4)
	p.Server().SetStreamOff(true)
	dir, home := t.TempDir(), t.TempDir()
	settings := `{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "port-forwarding-enabled": false, "incomplete-dir-enabled": false,
		"rename-partial-files": false, "peer-port-random-on-start": true}`
	must(t, os.WriteFile(filepath.Join(home, "settings.json"), []byte(settings), 0o600))
	run(t, "transmission-cli", "transmission-cli", "--no-portmap", "--config-dir", home, "--download-dir", dir, v.Magnet)
	arrived(t, dir, fileOf(v), film)
	if sent := p.Seeder().Stats().NativeBytes; sent < int64(len(film)) {
		t.Errorf("%d bytes by BitTorrent", sent)
	}
}

// outside is an IPv4 address of this machine other than loopback. What is sent to it
// stays on the machine all the same.
func outside(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Fatal("this machine has no IPv4 address but loopback; add one: ip address add 192.0.2.1/32 dev lo")
	return netip.Addr{}
}

// webtorrent.js, in a page of another site, gets the film over WebRTC alone by the pod's
// tracker and seeder, from a magnet that names neither web seed nor .torrent; and from
// the magnet as it is, by the web seed alone.
func TestWebTorrent(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, film := p.User(t, "ada", api.RoleUser).Film(t, podtest.MP4)
	m, err := magnet.Parse(v.Magnet)
	must(t, err)
	m.WebSeeds, m.Sources = nil, nil
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/webtorrent.min.js":
			http.ServeFile(w, r, "../../build/node/node_modules/webtorrent/dist/webtorrent.min.js")
		case "/film":
			_, _ = w.Write(film)
		default:
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<!doctype html><title>another site</title>"))
		}
	}))
	t.Cleanup(site.Close)
	page := viewer(t)
	must(t, page.Open(site.URL))
	if got := webtorrent(t, page, m.String()); got != "webrtc" {
		t.Errorf("webtorrent.js got it by %s", got)
	}
	if sent := p.Seeder().Stats().WebRTCBytes; sent < int64(len(film)) {
		t.Errorf("%d bytes by WebRTC", sent)
	}
	p.Seeder().SetOff(true)
	if got := webtorrent(t, page, v.Magnet); got != "webSeed" {
		t.Errorf("with the seeder off webtorrent.js got it by %s", got)
	}
}

// webtorrent downloads a magnet in a page that has the film at /film, and tells what
// connections it had at the end.
func webtorrent(t *testing.T, page *browser.Page, magnet string) string {
	t.Helper()
	return value[string](t, page, fmt.Sprintf(`(async () => {
		const { default: WebTorrent } = await import("/webtorrent.min.js");
		const client = new WebTorrent({ dht: false, lsd: false, utPex: false, tracker: { rtcConfig: { iceServers: [] } } });
		const torrent = client.add(%q);
		await new Promise((resolve, reject) => { torrent.on("done", resolve); torrent.on("error", reject); client.on("error", reject); setTimeout(reject, %d, new Error("too slow")); });
		const bytes = new Uint8Array(await (await torrent.files[0].blob()).arrayBuffer());
		const film = new Uint8Array(await (await fetch("/film")).arrayBuffer());
		const wires = torrent.wires.map((w) => w.type);
		await new Promise((resolve) => client.destroy(resolve));
		if (bytes.length !== film.length || bytes.some((b, i) => b !== film[i])) return "other bytes";
		return wires.join();
	})()`, magnet, (browser.EvalTime-10*time.Second).Milliseconds()))
}
