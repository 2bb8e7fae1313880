package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"time"

	"kinopod/build/browser"
	"kinopod/shared/api"
)

// noteStalls keeps the first frame and how long the picture stood still after it.
const noteStalls = noteFirstFrame + `;
(() => {
  window.stalled = 0; window.stalls = 0; window.ended = false;
  let since = 0;
  window.stillSince = () => since && performance.now() - since; // a stall that has not ended
  const on = (event, f) => document.addEventListener(event, f, true);
  on("waiting", (e) => { if (window.firstFrame !== undefined && !e.target.seeking) since ||= performance.now(); });
  on("playing", () => { if (since) { window.stalled += performance.now() - since; window.stalls++; since = 0; } });
  on("ended", () => { window.ended = true; });
})()`

// sources lets viewers watch one film side by side, each some seconds after the one
// before, and prints how many copies the pod sent by HTTP, and who stalled.
func sources(ctx context.Context, args []string) error {
	viewers, apart, seconds, megabits, link := 8, 5*time.Second, 60, 4.0, 20.0
	if err := flags("sources", args, func(f *flag.FlagSet) {
		f.IntVar(&viewers, "viewers", viewers, "how many watch")
		f.DurationVar(&apart, "apart", apart, "time between two of them")
		f.IntVar(&seconds, "seconds", seconds, "length of the film")
		f.Float64Var(&megabits, "megabits", megabits, "bit rate of the film, Mbit/s")
		f.Float64Var(&link, "link", link, "what the pod gives one HTTP connection, Mbit/s")
	}); err != nil {
		return err
	}
	p, err := startPod(ctx, int(link*1e6/8))
	if err != nil {
		return err
	}
	defer p.stop()
	file, err := film(ctx, p.dir, seconds, megabits)
	if err != nil {
		return err
	}
	v, err := p.upload(ctx, file)
	if err != nil {
		return err
	}
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	results := make([]watched, viewers)
	var all sync.WaitGroup
	for i := range viewers {
		all.Go(func() { results[i] = watchWhole(b, p.base+api.WatchPath(v.ID), time.Duration(seconds)*time.Second) })
		time.Sleep(apart)
	}
	all.Wait()
	return report(results, p, float64(v.Renditions[0].Size), seconds, apart)
}

// watched is what one viewer saw.
type watched struct {
	First   float64 `json:"first"`   // ms
	Stalled float64 `json:"stalled"` // ms
	Stalls  int     `json:"stalls"`
	Ended   bool    `json:"ended"`
	App     string  `json:"app"`     // "ready" unless it stopped
	Sources string  `json:"sources"` // the swarm panel's words
	err     error
}

func watchWhole(b *browser.Browser, url string, length time.Duration) (w watched) {
	p, done, err := b.QuietPage()
	if err != nil {
		return watched{err: err}
	}
	defer done()
	for _, step := range []func() error{
		func() error { return p.OnNewDocument(noteStalls) }, func() error { return p.Size(480, 800) }, p.Front, func() error { return p.Open(url) },
	} {
		if err := step(); err != nil {
			return watched{err: err}
		}
	}
	err = untilEnded(p, length+60*time.Second)
	_, _ = browser.Eval[bool](p, `document.getElementById("swarm-panel")?.scrollIntoView(), new Promise(r => setTimeout(r, 1000, true))`)
	w, _ = browser.Eval[watched](p, `({first: window.firstFrame ?? -1, stalled: window.stalled + window.stillSince(), stalls: window.stalls + (window.stillSince() ? 1 : 0), ended: window.ended, app: document.documentElement.dataset.app,
		sources: [...document.querySelectorAll(".legend-row")].map(r => r.textContent).join(", ")})`)
	w.err = err
	return w
}

// untilEnded waits for the end of the film, and asks seldom: asking takes time from the
// viewers.
func untilEnded(p *browser.Page, most time.Duration) error {
	for end := time.Now().Add(most); ; time.Sleep(2 * time.Second) {
		if ended, err := browser.Eval[bool](p, "window.ended"); err != nil || ended {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the film did not end within %s", most)
		}
	}
}

func report(results []watched, p *running, size float64, seconds int, apart time.Duration) error {
	var firsts []float64
	stalled := 0
	for i, r := range results {
		if r.err != nil {
			fmt.Printf("  viewer %d: %v; the app: %s\n", i+1, r.err, r.App)
		}
		if r.Stalls > 0 {
			stalled++
		}
		firsts = append(firsts, r.First)
		fmt.Printf("  viewer %d: first frame after %.0f ms, %d stalls of %.1f s in all, to the end: %v; %s\n", i+1, r.First, r.Stalls, r.Stalled/1000, r.Ended, r.Sources)
	}
	media := p.line.media.Load()
	fmt.Printf("%d viewers %s apart, %d s of %.1f Mbit/s: the pod sent %.2f copies by HTTP (plain HTTP: %d) and %.1f MB of web app; %d stalled; first frames %.0f..%.0f ms\n",
		len(results), apart, seconds, size*8/1e6/float64(seconds), float64(media)/size, len(results), float64(p.line.sent.Load()-media)/1e6, stalled, slices.Min(firsts), slices.Max(firsts))
	return nil
}
