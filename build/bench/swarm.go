package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kinopod/build/browser"
)

// noteStalls keeps the first frame, how long the picture stood still after it, and how
// many bytes the page gave to others.
const noteStalls = noteFirstFrame + `;
(() => {
  window.stalled = 0; window.stalls = 0; window.stalledAt = []; window.ended = false; window.gave = 0;
  let since = 0;
  window.stillSince = () => since && performance.now() - since; // a stall that has not ended
  const on = (event, f) => document.addEventListener(event, f, true);
  on("waiting", (e) => { if (window.firstFrame !== undefined && !e.target.seeking) { since ||= performance.now(); window.stalledAt.push(e.target.currentTime.toFixed(1)); } });
  on("playing", () => { if (since) { window.stalled += performance.now() - since; window.stalls++; since = 0; } });
  on("ended", (e) => { window.ended = true; window.played = 0; const p = e.target.played; for (let i = 0; i < p.length; i++) window.played += p.end(i) - p.start(i); });
  const send = RTCDataChannel.prototype.send;
  RTCDataChannel.prototype.send = function (data) { window.gave += data.byteLength ?? data.size ?? data.length; return send.call(this, data); };
})()`

// side is one way to show a film to viewers who help each other.
type side struct {
	url     string // of the film's page
	home    string // of a page without the film, where the app is kept for later visits
	kept    string // an expression of home: it is
	card    string // what is clicked at home to come to the film; "" where the app has but one page
	line    *line
	webrtc  func() (int64, error) // bytes that the server gave by WebRTC
	detail  string                // an expression of the page: what it says of itself
	servers []int                 // process ids; that of the film's web server first
	stop    func()
}

// contestant is a side by its name.
type contestant struct {
	name  string
	start func(ctx context.Context, film string, road shape) (*side, error)
}

// strongest is the contestant with whom the others are compared, if it takes part.
const strongest = "p2p-media-loader"

var sides = []contestant{
	{"kinopod", kinopodSide},
	{strongest, mediaLoaderSide},
	{"webtorrent", webtorrentSide},
}

// Visits are ways to come to the film.
const (
	visitFirst  = "first"  // by its address; nothing of the app is there
	visitReturn = "return" // by its address; the app was used before
	visitInside = "inside" // from the app's first page, which is open
)

// swarmBench lets viewers watch one film side by side, each some seconds after the one
// before, with ours and with what others would take, in turns. It prints how many
// copies the server sent, and who stalled; at the end medians, and ratios to the strongest.
func swarmBench(ctx context.Context, args []string) error {
	viewers, apart, seconds, megabits, link, rounds, names, visit, profile := 8, 5*time.Second, 60, 4.0, 20.0, 1, "kinopod,p2p-media-loader", visitFirst, ""
	if err := flags("swarm", args, func(f *flag.FlagSet) {
		f.IntVar(&viewers, "viewers", viewers, "how many watch")
		f.DurationVar(&apart, "apart", apart, "time between two of them")
		f.IntVar(&seconds, "seconds", seconds, "length of the film")
		f.Float64Var(&megabits, "megabits", megabits, "bit rate of the film, Mbit/s")
		f.Float64Var(&link, "link", link, "what the server gives one HTTP connection, Mbit/s (a TCP relay)")
		f.IntVar(&rounds, "rounds", rounds, "turns of each")
		f.StringVar(&names, "sides", names, "of kinopod, p2p-media-loader, webtorrent")
		f.StringVar(&visit, "visit", visit, "how viewers come to the film: first, return (the app was used before), inside (it is open; of ours only)")
		f.StringVar(&profile, "profile", profile, "folder for what DevTools say of the third viewer's main thread (.cpuprofile)")
	}); err != nil {
		return err
	}
	if !slices.Contains([]string{visitFirst, visitReturn, visitInside}, visit) {
		return fmt.Errorf("-visit %s: it is first, return or inside", visit)
	}
	file, size, remove, err := tempFilm(ctx, seconds, megabits)
	if err != nil {
		return err
	}
	defer remove()
	fmt.Printf("%d viewers %s apart, %d s of %.1f Mbit/s, HTTP %.0f Mbit/s a connection (TCP relay), WebRTC on loopback; visit: %s\n",
		viewers, apart, seconds, float64(size)*8/1e6/float64(seconds), link, visit)
	var chosen []contestant
	var called []string
	for _, s := range sides {
		if slices.Contains(strings.Split(names, ","), s.name) {
			chosen, called = append(chosen, s), append(called, s.name)
		}
	}
	all := newComparison(called, slices.Index(called, strongest), swarmFigures...)
	for range rounds {
		for i, s := range chosen {
			to := ""
			if profile != "" {
				to = filepath.Join(profile, s.name+".cpuprofile")
			}
			r, err := swarmTurn(ctx, func() (*side, error) { return s.start(ctx, file, shape{each: int(link * 1e6 / 8)}) }, float64(size), viewers, apart, time.Duration(seconds)*time.Second, visit, to)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			r.print(s.name)
			all.add(i, r.figures()...)
		}
	}
	all.print()
	return nil
}

// swarmResult is what one turn of one side came to.
type swarmResult struct {
	http, webrtc  float64 // copies that the server sent
	viewers, lost float64 // copies that viewers gave, and what nobody needed of all
	app           float64 // MB that were not the film
	stalls        int     // viewers
	stalled       float64 // seconds of all
	firsts        []float64
	cpu           time.Duration
	memory        int // KiB, of all processes at most
}

func (r swarmResult) copies() float64 { return r.http + r.webrtc }

// swarmFigures are what figures gives.
var swarmFigures = []figure{
	{name: "copies that the server sent", digits: 2},
	{name: "by HTTP", digits: 2},
	{name: "by WebRTC", digits: 2},
	{name: "copies that viewers gave", digits: 2},
	{name: "viewers who stalled", digits: 0},
	{name: "s of all their stalls", digits: 1},
	{name: "ms until the first frame, median of the viewers", digits: 0},
	{name: "CPU s of browsers and servers", digits: 0},
	{name: "MiB of browsers and servers, most", digits: 0},
}

func (r swarmResult) figures() []float64 {
	return []float64{r.copies(), r.http, r.webrtc, r.viewers, float64(r.stalls), r.stalled, median(r.firsts), r.cpu.Seconds(), float64(r.memory >> 10)}
}

func (r swarmResult) print(name string) {
	fmt.Printf("%-18s %.2f copies (HTTP %.2f, WebRTC %.2f) and %.1f MB of app; viewers gave %.2f; for nothing %.1f %%; %d stalled for %.1f s; first frames %.0f..%.0f ms, median %.0f; %.0f CPU s, %d MiB\n",
		name, r.copies(), r.http, r.webrtc, r.app, r.viewers, 100*r.lost, r.stalls, r.stalled, slices.Min(r.firsts), slices.Max(r.firsts), median(r.firsts), r.cpu.Seconds(), r.memory>>10)
}

func swarmTurn(ctx context.Context, start func() (*side, error), size float64, viewers int, apart, length time.Duration, visit, profile string) (r swarmResult, err error) {
	s, err := start()
	if err != nil {
		return r, err
	}
	defer s.stop()
	b, err := browser.Start(ctx)
	if err != nil {
		return r, err
	}
	defer b.Close()
	guests := make([]*guest, viewers)
	for i := range guests {
		if guests[i], err = newGuest(b, s, visit); err != nil {
			return r, err
		}
		defer guests[i].leave()
	}
	family := newFamily(func() []int { return descendants(os.Getpid()) })
	endWatch := family.watch()
	media := s.line.media.Load()
	sent := s.line.sent.Load()
	results := make([]watched, viewers)
	var all sync.WaitGroup
	for i, g := range guests {
		to := ""
		if i == 2 {
			to = profile
		}
		all.Go(func() { results[i] = g.watch(length, to) })
		time.Sleep(apart)
	}
	all.Wait()
	endWatch()
	r.cpu, r.memory = family.cpu(), family.most
	media = s.line.media.Load() - media
	given, err := s.webrtc()
	if err != nil {
		return r, err
	}
	r.http, r.webrtc = float64(media)/size, float64(given)/size
	r.app = float64(s.line.sent.Load()-sent-media) / 1e6
	for i, w := range results {
		if w.err != nil || w.Played < length.Seconds()-1 {
			fmt.Printf("  viewer %d saw %.1f s of the film: %v; the app: %s\n", i+1, w.Played, w.err, w.App)
		}
		fmt.Printf("  viewer %d: first frame %.0f ms, %d stalls of %.1f s (at %s); %s\n", i+1, w.First, w.Stalls, w.Stalled/1000, w.At, w.Detail)
		if w.Stalls > 0 {
			r.stalls++
		}
		r.stalled += w.Stalled / 1000
		r.viewers += w.Gave / size
		r.firsts = append(r.firsts, w.First)
	}
	r.lost = (r.http+r.webrtc+r.viewers)/float64(viewers) - 1
	return r, nil
}

// watched is what one viewer saw.
type watched struct {
	First   float64 `json:"first"`   // ms
	Stalled float64 `json:"stalled"` // ms
	Stalls  int     `json:"stalls"`
	At      string  `json:"at"` // seconds of the film where it stalled
	Ended   bool    `json:"ended"`
	Played  float64 `json:"played"` // s of the film
	Gave    float64 `json:"gave"`   // bytes
	App     string  `json:"app"`    // of ours: "ready" unless it stopped
	Detail  string  `json:"detail"` // what the page says
	err     error
}

// guest is one viewer, who has not begun.
type guest struct {
	side   *side
	page   *browser.Page
	inside bool
	leave  func()
}

// newGuest opens a tab in a profile of its own, which the visit makes ready.
func newGuest(b *browser.Browser, s *side, visit string) (g *guest, err error) {
	g = &guest{side: s, inside: visit == visitInside && s.card != ""}
	var leave func()
	if g.page, leave, err = b.QuietPage(); err != nil {
		return nil, err
	}
	g.leave = sync.OnceFunc(leave)
	defer func() {
		if err != nil {
			g.leave()
		}
	}()
	if err := g.page.Size(480, 800); err != nil || visit == visitFirst {
		return g, err
	}
	if err := g.page.Open(s.home); err != nil {
		return g, err
	}
	return g, g.page.Until(30*time.Second, s.kept)
}

// enter goes to the film.
func (g *guest) enter() error {
	if err := g.page.Front(); err != nil {
		return err
	}
	if g.inside {
		_, err := browser.Eval[bool](g.page, noteStalls+`, window.entered = performance.now(), document.querySelector("`+g.side.card+`").click(), true`)
		return err
	}
	if err := g.page.OnNewDocument(noteStalls); err != nil {
		return err
	}
	return g.page.Open(g.side.url)
}

// watch watches the whole film, and leaves.
func (g *guest) watch(length time.Duration, profile string) (w watched) {
	defer g.leave()
	p := g.page
	if err := g.enter(); err != nil {
		return watched{err: err}
	}
	if profile != "" {
		time.Sleep(15 * time.Second) // it has begun, and takes from others
		if err := p.Profile(20*time.Second, profile); err != nil {
			return watched{err: err}
		}
	}
	ended := untilEnded(p, length+60*time.Second)
	_, _ = browser.Eval[bool](p, `document.getElementById("swarm-panel")?.scrollIntoView(), new Promise(r => setTimeout(r, 1000, true))`)
	w, err := browser.Eval[watched](p, `({first: (window.firstFrame ?? -1) - (window.entered ?? 0), stalled: window.stalled + window.stillSince(), stalls: window.stalls + (window.stillSince() ? 1 : 0), ended: window.ended, at: window.stalledAt.join(" "), played: window.played ?? 0, gave: window.gave,
		app: document.documentElement.dataset.app ?? "", detail: `+g.side.detail+`})`)
	if w.err = ended; w.err == nil {
		w.err = err
	}
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
