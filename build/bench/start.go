package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinopod/build/browser"
	"kinopod/shared/api"
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
// <video> of the same file and a page of webtorrent.js with a web seed; then a seek to
// where nothing is yet.
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
	p, err := startPod(ctx, road)
	if err != nil {
		return err
	}
	defer p.stop()
	first, err := bigFilm(ctx, p.dir, seconds, megabits)
	if err != nil {
		return err
	}
	last := filepath.Join(p.dir, "index-at-the-end.mp4")
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
		if err := p.startOf(ctx, b, kind.name, kind.file, road, rounds, trace); err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return nil
}

// startOf measures the pages of one film.
func (p *running) startOf(ctx context.Context, b *browser.Browser, name, file string, road shape, rounds int, trace bool) error {
	v, err := p.Upload(ctx, file, name)
	if err != nil {
		return err
	}
	others, err := webtorrentSide(ctx, file, road)
	if err != nil {
		return err
	}
	defer others.stop()
	watch := p.base + api.WatchPath(v.ID)
	pages := []struct {
		name, url string
		line      *line
		warm      bool
	}{{"plain <video>", others.url + "plain", others.line, false}, {"first visit", watch, p.line, false}, {"return visit", watch, p.line, true}, {"webtorrent.js", others.url, others.line, false}}
	seen := map[string][3][]float64{}
	for range rounds {
		for _, w := range pages {
			home := ""
			if w.warm {
				home = p.base
			}
			x, err := visitOnce(b, w.url, home, w.line, trace)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			of := seen[w.name]
			for i, f := range []float64{x.first, x.seek, x.bytes} {
				of[i] = append(of[i], f)
			}
			seen[w.name] = of
		}
	}
	fmt.Println(name)
	plain := seen[pages[0].name]
	for _, w := range pages {
		x := seen[w.name]
		fmt.Printf("  %-14s first frame %5.0f ms, %.2f times plain; %.2f MB of film before it; seek %5.0f ms, %.2f times plain (medians of %d: %s; %s)\n", w.name,
			median(x[0]), median(x[0])/median(plain[0]), median(x[2])/1e6, median(x[1]), median(x[1])/median(plain[1]), rounds, whole(x[0]), whole(x[1]))
	}
	return nil
}

// whole is figures one after the other, without fractions.
func whole(x []float64) string {
	var s []string
	for _, v := range x {
		s = append(s, strconv.Itoa(int(v)))
	}
	return strings.Join(s, " ")
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
	return s[len(s)/2]
}

// visit is what one look at a page came to.
type visit struct {
	first, seek float64 // ms
	bytes       float64 // of the film before the first frame
}

// seekFar has the film go on at four fifths of it, and gives the ms until a frame of
// there is shown.
const seekFar = `new Promise((done) => {
  const v = document.querySelector("video"), to = v.duration * 0.8, from = performance.now();
  const look = (_, frame) => (frame.mediaTime >= to - 3 ? done(performance.now() - from) : v.requestVideoFrameCallback(look));
  v.requestVideoFrameCallback(look);
  v.currentTime = to;
})`

// visitOnce opens a page in a browser context of its own, behind a line. Where home is
// set that page is visited first, until the app is kept.
func visitOnce(b *browser.Browser, url, home string, l *line, trace bool) (v visit, err error) {
	page, done, err := b.QuietPage()
	if err != nil {
		return v, err
	}
	defer done()
	if home != "" {
		if err := page.Open(home + "/"); err != nil {
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
	for _, a := range l.since(began) {
		if a.media {
			v.bytes += float64(a.by(epoch.Add(time.Duration(v.first * float64(time.Millisecond)))))
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
	if trace {
		fmt.Printf("  %s: first frame at %.0f ms, seek from %.0f to %.0f ms; asked, first byte, last byte:\n", url, v.first, from, from+v.seek)
		for _, a := range l.since(began) {
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
