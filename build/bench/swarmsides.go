package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kinopod/build/pods"
	"kinopod/shared/api"
	"kinopod/shared/torrent"
)

// nodeModules are other people's clients and servers.
const nodeModules = "build/node/node_modules"

// kinopodSide is a pod with the film.
func kinopodSide(ctx context.Context, film string, road shape) (*side, error) {
	admin, err := pods.FreeAddress()
	if err != nil {
		return nil, err
	}
	p, err := startPod(ctx, road, "--admin-listen", admin)
	if err != nil {
		return nil, err
	}
	v, err := p.upload(ctx, film)
	if err != nil {
		p.stop()
		return nil, err
	}
	return &side{
		url: p.base + api.WatchPath(v.ID), home: p.base + "/", card: ".card-link", line: p.line, servers: []int{p.PID()}, stop: p.stop,
		// Who was here before was told of other viewers then.
		kept:   `navigator.serviceWorker.controller && document.documentElement.dataset.app === "ready" && (kinopod.share('{"told":true}'), true)`,
		webrtc: func() (int64, error) { return metric(ctx, admin, `kinopod_sent_bytes_total{source="webrtc"}`) },
		detail: `[...document.querySelectorAll(".legend-row")].map(r => r.textContent).join(", ")`,
	}, nil
}

// metric reads one number of a pod.
func metric(ctx context.Context, admin, name string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(rest, 64)
			return int64(n), err
		}
	}
	return 0, fmt.Errorf("the pod has no metric %s", name)
}

// site is a web site of files and folders behind nginx, with a tracker of its own; the film
// is under /film. Its page /home has scripts fetched that the film's page needs.
func site(ctx context.Context, road shape, files map[string]string, page func(tracker string) string) (_ *side, err error) {
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return nil, err
	}
	ends := []func(){func() { _ = os.RemoveAll(dir) }}
	stop := func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	address, err := pods.FreeAddress()
	if err != nil {
		return nil, err
	}
	port := address[strings.LastIndexByte(address, ':')+1:]
	scripts := ""
	for path, file := range files {
		if file, err = filepath.Abs(file); err != nil {
			return nil, err
		}
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("%w (make test-tools installs other people's clients)", err)
		}
		to := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return nil, err
		}
		if err := os.Symlink(file, to); err != nil {
			return nil, err
		}
		if strings.HasSuffix(path, ".js") {
			scripts += fmt.Sprintf("<link rel=\"preload\" as=\"script\" href=\"%s\">\n", path)
		}
	}
	for name, text := range map[string]string{"index.html": page("ws://localhost:" + port), "home": scripts} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	tracker := exec.CommandContext(ctx, "node", filepath.Join(nodeModules, "bittorrent-tracker/bin/cmd.js"), "--ws", "--port", port, "--interval", "30000")
	if err := tracker.Start(); err != nil {
		return nil, fmt.Errorf("start bittorrent-tracker: %w", err)
	}
	ends = append(ends, func() { _ = tracker.Process.Kill(); _ = tracker.Wait() })
	server, pid, end, err := startNginx(dir)
	if err != nil {
		return nil, err
	}
	ends = append(ends, end)
	l, err := newLine(server, road)
	if err != nil {
		return nil, err
	}
	ends = append(ends, l.close)
	base := "http://localhost" + l.addr()[strings.LastIndexByte(l.addr(), ':'):]
	return &side{
		url: base + "/", home: base + "/home", kept: `document.readyState === "complete"`, line: l, webrtc: func() (int64, error) { return 0, nil }, detail: `""`,
		servers: []int{pid, tracker.Process.Pid}, stop: stop,
	}, nil
}

// mediaLoaderSide is hls.js with p2p-media-loader as it comes, over fMP4 HLS in
// segments of 4 s.
func mediaLoaderSide(ctx context.Context, film string, road shape) (*side, error) {
	dir := filepath.Join(filepath.Dir(film), "hls")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := ffmpeg(ctx, "-i", film, "-c", "copy", "-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", "4", "-hls_playlist_type", "vod",
		"-hls_segment_filename", filepath.Join(dir, "film-%03d.m4s"), filepath.Join(dir, "film.m3u8")); err != nil {
		return nil, err
	}
	s, err := site(ctx, road, map[string]string{
		"/film": dir, "/hls.js": nodeModules + "/hls.js/dist/hls.min.js",
		"/core.js": nodeModules + "/p2p-media-loader-core/dist/p2p-media-loader-core.es.min.js", "/loader.js": nodeModules + "/p2p-media-loader-hlsjs/dist/p2p-media-loader-hlsjs.es.min.js",
	}, func(tracker string) string {
		return fmt.Sprintf(`<!doctype html><title>p2p-media-loader</title>
<script type="importmap">{"imports": {"p2p-media-loader-core": "/core.js", "p2p-media-loader-hlsjs": "/loader.js"}}</script>
<link rel="modulepreload" href="/core.js"><link rel="modulepreload" href="/loader.js">
<video id="v" controls autoplay muted playsinline></video>
<script src="/hls.js"></script>
<script type="module">
import { HlsJsP2PEngine } from "p2p-media-loader-hlsjs";
const got = (window.got = { http: 0, p2p: 0 });
const hls = new (HlsJsP2PEngine.injectMixin(window.Hls))({ enableWorker: false, p2p: {
  core: { announceTrackers: [%q], rtcConfig: { iceServers: [] } },
  onHlsJsCreated(hls) { hls.p2pEngine.addEventListener("onChunkDownloaded", (n, source) => (got[source] += n)); },
} });
hls.attachMedia(document.getElementById("v"));
hls.loadSource("/film/film.m3u8");
</script>`, tracker)
	})
	if err == nil {
		s.detail = "`HTTP ${Math.round(window.got.http / 1024)} KiB, viewers ${Math.round(window.got.p2p / 1024)} KiB`"
	}
	return s, err
}

// webtorrentSide is webtorrent.js with a web seed, and its own way to a <video>: a service
// worker. Beside it, at /plain, is a page that is nothing but a <video>.
func webtorrentSide(ctx context.Context, film string, road shape) (*side, error) {
	meta, err := torrentOf(film)
	if err != nil {
		return nil, err
	}
	plain := filepath.Join(filepath.Dir(film), "plain.html")
	if err := os.WriteFile(plain, []byte(`<!doctype html><title>plain</title><video src="/film/film.mp4" controls autoplay muted playsinline></video>`), 0o600); err != nil {
		return nil, err
	}
	dist := nodeModules + "/webtorrent/dist/"
	s, err := site(ctx, road, map[string]string{
		"/film.torrent": meta, "/film/film.mp4": film, "/plain": plain, "/webtorrent.js": dist + "webtorrent.min.js", "/sw.min.js": dist + "sw.min.js",
	}, func(tracker string) string {
		return fmt.Sprintf(`<!doctype html><title>webtorrent.js</title>
<video id="v" controls autoplay muted playsinline></video>
<script type="module">
import WebTorrent from "/webtorrent.js";
const client = (window.client = new WebTorrent({ tracker: { rtcConfig: { iceServers: [] } } }));
const registration = await navigator.serviceWorker.register("/sw.min.js", { scope: "/" });
const worker = registration.active ?? registration.waiting ?? registration.installing;
if (worker.state !== "activated")
  await new Promise((done) => worker.addEventListener("statechange", () => worker.state === "activated" && done()));
client.createServer({ controller: registration });
const meta = new Uint8Array(await (await fetch("/film.torrent")).arrayBuffer());
client.add(meta, { announce: [%q], urlList: [location.origin + "/film/film.mp4"] }, (t) => t.files[0].streamTo(document.getElementById("v")));
</script>`, tracker)
	})
	if err == nil {
		s.detail = "`${window.client.torrents[0]?.numPeers} peers, ${Math.round((window.client.torrents[0]?.received ?? 0) / 1024)} KiB taken`"
	}
	return s, err
}

// torrentOf writes the .torrent of a file beside it.
func torrentOf(film string) (path string, err error) {
	f, err := os.Open(film)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	var hashes []byte
	pieceLength := torrent.PieceLengthFor(info.Size())
	h := torrent.NewHasher(pieceLength, func(sum [sha1.Size]byte) { hashes = append(hashes, sum[:]...) })
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	h.Close()
	t, err := torrent.Build(filepath.Base(film), info.Size(), pieceLength, hashes, "")
	if err != nil {
		return "", err
	}
	b, err := t.Metainfo(nil, nil)
	if err != nil {
		return "", err
	}
	path = strings.TrimSuffix(film, filepath.Ext(film)) + ".torrent"
	return path, os.WriteFile(path, b, 0o600)
}

func ffmpeg(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ffmpeg", append([]string{"-v", "error", "-y"}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	return nil
}
