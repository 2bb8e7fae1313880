package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
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
      v.requestVideoFrameCallback(() => { window.firstFrame ??= performance.now(); });
    }
    if (window.firstFrame === undefined) setTimeout(look, 4);
  };
  look();
})()`

// firstFrame measures from navigation to the first frame: the page of a video, cold
// and warm, beside a page that is nothing but a <video> of the same file.
func firstFrame(ctx context.Context, args []string) error {
	rounds := 7
	if err := flags("firstframe", args, func(f *flag.FlagSet) { f.IntVar(&rounds, "rounds", rounds, "visits of each page") }); err != nil {
		return err
	}
	p, err := startPod(ctx, 0)
	if err != nil {
		return err
	}
	defer p.stop()
	file, err := film(ctx, p.dir, 60, 4)
	if err != nil {
		return err
	}
	v, err := p.upload(ctx, file)
	if err != nil {
		return err
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>plain</title><video src="%s" controls autoplay muted playsinline></video>`, v.StreamURL)
	}))
	defer plain.Close()
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	watch := p.base + api.WatchPath(v.ID)
	for _, net := range []struct {
		name    string
		bytes   float64
		latency time.Duration
	}{{"loopback, unshaped", 0, 0}, {"10 Mbit/s, 40 ms (DevTools emulation)", 10e6 / 8, 40 * time.Millisecond}} {
		times := map[string][]float64{}
		for range rounds {
			for _, visit := range []struct {
				name, url string
				warm      bool
			}{{"plain <video>", plain.URL, false}, {"watch page, first visit", watch, false}, {"watch page, installed", watch, true}} {
				ms, err := visitOnce(b, visit.url, p.base, visit.warm, net.bytes, net.latency)
				if err != nil {
					return fmt.Errorf("%s: %w", visit.name, err)
				}
				times[visit.name] = append(times[visit.name], ms)
			}
		}
		fmt.Println(net.name)
		base := median(times["plain <video>"])
		for _, name := range []string{"plain <video>", "watch page, first visit", "watch page, installed"} {
			t := times[name]
			fmt.Printf("  %-26s first frame after %5.0f ms (median of %d, %0.f..%0.f), %.2f times plain\n", name, median(t), len(t), slices.Min(t), slices.Max(t), median(t)/base)
		}
	}
	return nil
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}

// visitOnce opens a page in a browser context of its own; warm visits the start page
// first and waits until the service worker is there.
func visitOnce(b *browser.Browser, url, home string, warm bool, bytesPerSecond float64, latency time.Duration) (float64, error) {
	p, done, err := b.Page()
	if err != nil {
		return 0, err
	}
	defer done()
	if warm {
		if err := p.Open(home + "/"); err != nil {
			return 0, err
		}
		if err := p.Until(20*time.Second, "navigator.serviceWorker.controller"); err != nil {
			return 0, err
		}
	}
	if err := p.OnNewDocument(noteFirstFrame); err != nil {
		return 0, err
	}
	if bytesPerSecond > 0 {
		if err := p.Throttle(bytesPerSecond, latency); err != nil {
			return 0, err
		}
	}
	if err := p.Front(); err != nil {
		return 0, err
	}
	if err := p.Open(url); err != nil {
		return 0, err
	}
	if err := p.Until(30*time.Second, "window.firstFrame !== undefined"); err != nil {
		return 0, err
	}
	return browser.Eval[float64](p, "window.firstFrame")
}
