package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"kinopod/build/browser"
)

// noteFirstFrame keeps when the first frame of the page's <video> was shown, in ms
// since the navigation began.
const noteFirstFrame = `
(() => {
  const seen = new WeakSet();
  const look = () => {
    for (const v of document.querySelectorAll("video")) {
      if (seen.has(v)) continue;
      seen.add(v);
      v.muted = true;
      v.requestVideoFrameCallback(() => (window.firstFrame ??= performance.now()));
    }
    if (window.firstFrame === undefined) setTimeout(look, 4);
  };
  look();
})()`

// startBench measures from navigation to the first frame of a film of ten minutes: the
// page of a video on a first and on a return visit, beside a page that is nothing but a
// <video> of the same file behind nginx and a page of webtorrent.js with a web seed; then a
// seek to where nothing is yet. It prints what that took of browser and server, and where
// the bytes came from.
func startBench(ctx context.Context, args []string) error {
	rounds, seconds, megabits, link, trip, trace := 5, 600, 4.0, 20.0, 40*time.Millisecond, false
	if err := flags("start", args, func(f *flag.FlagSet) {
		f.IntVar(&rounds, "rounds", rounds, "visits of each page")
		f.IntVar(&seconds, "seconds", seconds, "length of the film")
		f.Float64Var(&megabits, "megabits", megabits, "bit rate of the film, Mbit/s")
		f.Float64Var(&link, "link", link, "Mbit/s towards the viewer (a TCP relay)")
		f.DurationVar(&trip, "trip", trip, "round trip (the relay)")
		f.BoolVar(&trace, "trace", trace, "print what each visit fetched, and when")
	}); err != nil {
		return err
	}
	road := shape{all: int(link * 1e6 / 8), trip: trip}
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	first, err := bigFilm(ctx, dir, seconds, megabits)
	if err != nil {
		return err
	}
	last := filepath.Join(dir, "index-at-the-end.mp4")
	if err := ffmpeg(ctx, "-i", first, "-c", "copy", last); err != nil {
		return err
	}
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Printf("1920x1080, %d s of %.1f Mbit/s; %.0f Mbit/s and %s round trip (a TCP relay; WebRTC on loopback)\n", seconds, megabits, link, trip)
	for _, kind := range []struct{ name, file string }{{"index first", first}, {"index at the end", last}} {
		fmt.Println(kind.name)
		if err := startOf(ctx, b, kind.file, road, rounds, trace); err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return nil
}

// startOf measures the pages of one film, in turns.
func startOf(ctx context.Context, b *browser.Browser, file string, road shape, rounds int, trace bool) error {
	ours, err := kinopodSide(ctx, file, road)
	if err != nil {
		return err
	}
	defer ours.stop()
	others, err := webtorrentSide(ctx, file, road)
	if err != nil {
		return err
	}
	defer others.stop()
	pages := []struct {
		name, url string
		side      *side
		again     bool // the app was used before
		servers   []int
	}{
		{"plain <video>", others.url + "plain", others, false, others.servers[:1]}, // it needs no tracker
		{"first visit", ours.url, ours, false, ours.servers},
		{"return visit", ours.url, ours, true, ours.servers},
		{"webtorrent.js", others.url, others, false, others.servers},
	}
	var names []string
	for _, w := range pages {
		names = append(names, w.name)
	}
	all := newComparison(names, 0, visitFigures...)
	browsers := func() []int { return descendants(os.Getpid(), slices.Concat(ours.servers, others.servers)...) }
	// What a browser that has just started pays for its first film is nobody's.
	if _, err := visitOnce(b, others, pages[0].url, false, browsers, others.servers, false); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	for range rounds {
		for i, w := range pages {
			v, err := visitOnce(b, w.side, w.url, w.again, browsers, w.servers, trace)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			all.add(i, v.figures()...)
		}
	}
	all.print()
	return nil
}

// bigFilm makes an MP4 of 1080p, its index first, without encoding all of it: some
// seconds again and again.
func bigFilm(ctx context.Context, dir string, seconds int, megabits float64) (string, error) {
	const loop = 10 // s
	short, long := filepath.Join(dir, "short.mp4"), filepath.Join(dir, "film.mp4")
	rate := fmt.Sprintf("%dk", int(megabits*1000))
	if err := ffmpeg(ctx, "-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25,noise=alls=12:allf=t", "-f", "lavfi", "-i", "sine=440", "-t", strconv.Itoa(loop),
		"-c:v", "libx264", "-preset", "veryfast", "-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac", short); err != nil {
		return "", err
	}
	return long, ffmpeg(ctx, "-stream_loop", strconv.Itoa(seconds/loop-1), "-i", short, "-c", "copy", "-movflags", "+faststart", long)
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// visit is what one look at a page came to.
type visit struct {
	first, seek           float64 // ms
	early                 float64 // bytes of the film before the first frame
	http, webrtc, app     float64 // bytes from the server: of the film by HTTP and by WebRTC, and of all else
	browserCPU, serverCPU time.Duration
	browserKiB, serverKiB int
}

// visitFigures are what figures gives.
var visitFigures = []figure{
	{name: "ms from navigation to the first frame", digits: 0},
	{name: "MB of film before it", digits: 2},
	{name: "ms of a seek to 80 %", digits: 0},
	{name: "MB of film by HTTP", digits: 2},
	{name: "MB of film by WebRTC", digits: 2, alone: true},
	{name: "MB of all else by HTTP", digits: 2, alone: true},
	{name: "CPU s of the browser", digits: 2},
	{name: "CPU s of the server", digits: 2},
	{name: "MiB of the browser", digits: 0},
	{name: "MiB of the server, its tracker and store with it", digits: 0},
}

func (v visit) figures() []float64 {
	return []float64{
		v.first, v.early / 1e6, v.seek, v.http / 1e6, v.webrtc / 1e6, v.app / 1e6,
		v.browserCPU.Seconds(), v.serverCPU.Seconds(), float64(v.browserKiB >> 10), float64(v.serverKiB >> 10),
	}
}

// seekFar has the film go on at four fifths of it, and gives the ms until a frame of
// there is shown.
const seekFar = `new Promise((done) => {
  const v = document.querySelector("video"), to = v.duration * 0.8, from = performance.now();
  const look = (_, frame) => (frame.mediaTime >= to - 3 ? done(performance.now() - from) : v.requestVideoFrameCallback(look));
  v.requestVideoFrameCallback(look);
  v.currentTime = to;
})`

// visitOnce opens a page of a side in a browser context of its own. Where it is visited
// again the side's home comes first, until the app is kept. browsers lists the browser's
// processes; servers are those that serve the page, with what is below them.
func visitOnce(b *browser.Browser, s *side, url string, again bool, browsers func() []int, servers []int, trace bool) (v visit, err error) {
	page, done, err := b.QuietPage()
	if err != nil {
		return v, err
	}
	defer done()
	if again {
		if err := page.Open(s.home); err != nil {
			return v, err
		}
		if err := page.Until(30*time.Second, "navigator.serviceWorker.controller && document.documentElement.dataset.app === 'ready'"); err != nil {
			return v, err
		}
	}
	if err := page.OnNewDocument(noteFirstFrame); err != nil {
		return v, err
	}
	if err := page.Front(); err != nil {
		return v, err
	}
	given, err := s.webrtc()
	if err != nil {
		return v, err
	}
	media, sent := s.line.media.Load(), s.line.sent.Load()
	browserUsed, serverUsed := newFamily(browsers), newFamily(func() []int { return families(servers) })
	began := time.Now()
	if err := page.Open(url); err != nil {
		return v, err
	}
	if err := page.Until(30*time.Second, "window.firstFrame !== undefined"); err != nil {
		return v, err
	}
	if v.first, err = browser.Eval[float64](page, "window.firstFrame"); err != nil {
		return v, err
	}
	origin, err := browser.Eval[float64](page, "performance.timeOrigin")
	if err != nil {
		return v, err
	}
	epoch := time.UnixMicro(int64(origin * 1000))
	for _, a := range s.line.since(began) {
		if a.media {
			v.early += float64(a.by(epoch.Add(time.Duration(v.first * float64(time.Millisecond)))))
		}
	}
	time.Sleep(3 * time.Second) // the app and its engine are here, and the player has its fill
	from, err := browser.Eval[float64](page, "performance.now()")
	if err != nil {
		return v, err
	}
	if v.seek, err = browser.Eval[float64](page, seekFar); err != nil {
		return v, err
	}
	browserUsed.look(true)
	serverUsed.look(true)
	v.browserCPU, v.browserKiB, v.serverCPU, v.serverKiB = browserUsed.cpu(), browserUsed.most, serverUsed.cpu(), serverUsed.most
	givenNow, err := s.webrtc()
	if err != nil {
		return v, err
	}
	v.webrtc, v.http = float64(givenNow-given), float64(s.line.media.Load()-media)
	v.app = float64(s.line.sent.Load()-sent) - v.http
	if trace {
		fmt.Printf("  %s: first frame at %.0f ms, seek from %.0f to %.0f ms; asked, first byte, last byte:\n", url, v.first, from, from+v.seek)
		for _, a := range s.line.since(began) {
			fmt.Printf("    %6d %6d %6d  %8d B  %s\n", a.at.Sub(epoch).Milliseconds(), a.first.Sub(epoch).Milliseconds(), a.last.Sub(epoch).Milliseconds(), a.bytes, a.what)
		}
	}
	return v, nil
}

// by is how much of the answer the viewer had by a time.
func (a asked) by(t time.Time) (n int64) {
	for _, p := range a.parts {
		if !p.at.After(t) {
			n = p.bytes
		}
	}
	return n
}
