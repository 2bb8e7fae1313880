package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"kinopod/build/samples"
	"kinopod/pod/search"
	"kinopod/shared/video"
)

// searching measures the full-text index with many videos, and beside it the plain one
// that somebody would write: a map from word to the numbers of videos.
func searching(ctx context.Context, args []string) error {
	o := struct {
		n, each, rate int
		random        bool
		profile       string
	}{n: 200_000, each: 300, rate: 200}
	if err := flags("search", args, func(f *flag.FlagSet) {
		f.IntVar(&o.n, "n", o.n, "videos")
		f.IntVar(&o.each, "each", o.each, "searches of each kind")
		f.IntVar(&o.rate, "rate", o.rate, "videos that arrive a second, in the second round")
		f.StringVar(&o.profile, "profile", "", "file for a profile of the searches")
		f.BoolVar(&o.random, "random", false, "videos of random letters")
	}); err != nil {
		return err
	}
	maker := samples.Realistic
	if o.random {
		maker = samples.Random
	}
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	before := residentBytes()
	x := search.New()
	running, stop := context.WithCancel(ctx)
	var tidying sync.WaitGroup
	tidying.Go(func() { _ = x.Run(running) })
	defer tidying.Wait()
	defer stop()

	m := maker(o.n)
	start, making := time.Now(), time.Duration(0)
	var asked []video.Video
	peak := int64(0)
	for id := range uint32(o.n) {
		t := time.Now()
		v := m.Next()
		making += time.Since(t)
		if id%uint32(max(o.n/4000, 1)) == 0 {
			asked = append(asked, v)
			peak = max(peak, residentBytes())
		}
		x.Put(document(id+1, v))
	}
	built := time.Since(start) - making
	fmt.Printf("%d videos added in %.1f s: %.0f a second; RSS at most %d MB more than before\n", o.n, built.Seconds(), float64(o.n)/built.Seconds(), (peak-before)>>20)
	for last := -1; ; { // until nothing is merged any more
		time.Sleep(300 * time.Millisecond)
		if n := x.Stats().Segments; n == last {
			break
		} else {
			last = n
		}
	}
	memory("index", before)
	s := x.Stats()
	fmt.Printf("%d segments, %d words, %d MB\n", s.Segments, s.Words, s.Bytes>>20)

	path := filepath.Join(dir, "search.snapshot")
	start = time.Now()
	if err := x.Save(path, "0-0"); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Printf("snapshot: %d MB, written in %.2f s", info.Size()>>20, time.Since(start).Seconds())
	stop()
	tidying.Wait()
	x.Close()
	start = time.Now()
	if x, _, err = search.Load(path); err != nil {
		return err
	}
	fmt.Printf(", read in %.2f s\n", time.Since(start).Seconds())
	defer x.Close()
	running, stop = context.WithCancel(ctx)
	tidying.Go(func() { _ = x.Run(running) })
	defer stop()
	memory("after a restart", before)

	kinds := questions(asked, o.each)
	fmt.Println("\nsearches, without anything arriving: milliseconds")
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	ask(ctx, x, kinds)
	pprof.StopCPUProfile()
	fmt.Printf("\nsearches, while %d videos a second arrive: milliseconds\n", o.rate)
	tidying.Go(func() {
		every := time.NewTicker(time.Second / time.Duration(o.rate))
		defer every.Stop()
		for id := uint32(o.n) + 1; ; id++ {
			select {
			case <-running.Done():
				return
			case <-every.C:
				x.Put(document(id, m.Next()))
			}
		}
	})
	ask(ctx, x, kinds)
	memory("while they arrive", before)
	stop()
	tidying.Wait()
	x.Close()
	return plain(maker(o.n), o.n, kinds)
}

func document(id uint32, v video.Video) search.Document {
	return search.Document{
		ID: id, Name: v.Name, Description: v.Description, Uploader: v.Uploader, Tags: v.Tags,
		Origin: v.Origin, Created: v.Created, Duration: v.Duration,
	}
}

// memory prints what the process has more than before.
func memory(what string, before int64) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("%s: RSS %d MB more than before, of them heap %d MB\n", what, (residentBytes()-before)>>20, m.HeapAlloc>>20)
}

// residentBytes is the memory of this process, 0 where the system does not tell.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

type kind struct {
	name    string
	queries []string
}

// questions are made of words of names: common ones come often, as people ask, but for
// those that every twentieth video has, which say nothing ("the").
func questions(videos []video.Video, each int) []kind {
	r := rand.New(rand.NewPCG(2, 2))
	counts := map[string]int{}
	for _, v := range videos {
		all := plainWords(v.Name + " " + v.Description)
		slices.Sort(all)
		for _, w := range slices.Compact(all) {
			counts[w]++
		}
	}
	run := func(want int, common bool) []string {
		for {
			words := plainWords(videos[r.IntN(len(videos))].Name)
			if len(words) < want {
				continue
			}
			at := r.IntN(len(words) - want + 1)
			words = words[at : at+want]
			if !slices.ContainsFunc(words, func(w string) bool { return (counts[w]*20 > len(videos)) != common }) {
				return words
			}
		}
	}
	some := func(want int) []string { return run(want, false) }
	long := func() []rune {
		for {
			if w := []rune(some(1)[0]); len(w) >= 5 && len(w) < 20 {
				return w
			}
		}
	}
	count := func(n int) func() string { return func() string { return strings.Join(some(n), " ") + " " } }
	var kinds []kind
	for _, k := range []struct {
		name string
		next func() string
	}{
		{"1 word", count(1)},
		{"2 words", count(2)},
		{"3 words", count(3)},
		{"2 words of two videos", func() string { return some(1)[0] + " " + some(1)[0] + " " }},
		{"prefix of 3 letters", func() string { return string(long()[:3]) }},
		{"word and prefix", func() string { w := long(); return some(1)[0] + " " + string(w[:4]) }},
		{"wrong letter", func() string { w := long(); w[r.IntN(len(w))] = 'x'; return string(w) + " " }},
		{"2 words, one wrong letter", func() string { w := long(); w[r.IntN(len(w))] = 'x'; return some(1)[0] + " " + string(w) + " " }},
		{"phrase of 2", func() string { return `"` + strings.Join(some(2), " ") + `"` }},
		{"word, origin and duration", func() string { return "origin:" + string(samples.Host(0)) + " duration:1m..10m " + some(1)[0] + " " }},
		{"word without another", func() string { return some(1)[0] + " -" + some(1)[0] + " " }},
		{"3 of the commonest words", func() string { return run(1, true)[0] + " " + run(1, true)[0] + " " + run(1, true)[0] + " " }},
		{"phrase of 2 of them", func() string { return `"` + strings.Join(run(2, true), " ") + `"` }},
		{"only an origin", func() string { return "origin:" + string(samples.Host(r.IntN(20))) }},
	} {
		list := make([]string, each)
		for i := range list {
			list[i] = k.next()
		}
		kinds = append(kinds, kind{k.name, list})
	}
	return kinds
}

// ask prints how long searches of each kind take.
func ask(ctx context.Context, x *search.Index, kinds []kind) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const columns = "  %-28s %-36s   %-36s %8s\n"
	heads := fmt.Sprintf("%8s %8s %8s %8s", "p50", "p95", "p99", "longest")
	fmt.Printf(columns, "", "by the clock", "of a processor", "")
	fmt.Printf(columns, "", heads, heads, "answers")
	var all, allWork []time.Duration
	for _, k := range kinds {
		var took, work []time.Duration
		answers, cut := 0, 0
		for _, text := range k.queries {
			start, used := time.Now(), threadTime()
			r, err := x.Search(ctx, search.Parse(text), "", 24)
			took, work = append(took, time.Since(start)), append(work, threadTime()-used)
			if err != nil {
				panic(err)
			}
			answers += len(r.IDs)
			if r.Cut {
				cut++
			}
		}
		all, allWork = append(all, took...), append(allWork, work...)
		fmt.Printf("  %-28s %s   %s %8.1f", k.name, quantiles(took), quantiles(work), float64(answers)/float64(len(took)))
		if cut > 0 {
			fmt.Printf("  %d cut", cut)
		}
		fmt.Println()
	}
	fmt.Printf("  %-28s %s   %s\n", "all", quantiles(all), quantiles(allWork))
	var took, work []time.Duration
	for _, text := range kinds[4].queries {
		start, used := time.Now(), threadTime()
		_ = x.Suggest(ctx, text, 8)
		took, work = append(took, time.Since(start)), append(work, threadTime()-used)
	}
	fmt.Printf("  %-28s %s   %s\n", "suggestions", quantiles(took), quantiles(work))
}

func quantiles(took []time.Duration) string {
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(int(q*float64(len(took))), len(took)-1)].Microseconds()) / 1000
	}
	return fmt.Sprintf("%8.2f %8.2f %8.2f %8.2f", at(0.5), at(0.95), at(0.99), at(1))
}

func plainWords(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// plain is what somebody would write in an afternoon: words in a map, all of them in
// each video, the newest first. No rank, no wrong letters, no phrases, no prefixes.
func plain(m *samples.Maker, n int, kinds []kind) error {
	runtime.GC()
	before := residentBytes()
	index := map[string][]uint32{}
	start, making := time.Now(), time.Duration(0)
	for id := range uint32(n) {
		t := time.Now()
		v := m.Next()
		making += time.Since(t)
		all := append(plainWords(v.Name+" "+v.Description+" "+v.Uploader+" "+strings.Join(v.Tags, " ")), "origin:"+string(v.Origin))
		slices.Sort(all)
		for _, w := range slices.Compact(all) {
			index[strings.Clone(w)] = append(index[w], id)
		}
	}
	fmt.Printf("\nplain map of words: built in %.1f s\n", (time.Since(start) - making).Seconds())
	memory("plain map", before)
	for _, k := range kinds[:4] {
		var took []time.Duration
		for _, text := range k.queries {
			start := time.Now()
			var lists [][]uint32
			for _, w := range plainWords(text) {
				lists = append(lists, index[w])
			}
			slices.SortFunc(lists, func(a, b []uint32) int { return cmp.Compare(len(a), len(b)) })
			for i := len(lists[0]) - 1; i >= 0; i-- { // all are counted, as a rank would have to
				for _, l := range lists[1:] {
					if _, ok := slices.BinarySearch(l, lists[0][i]); !ok {
						break
					}
				}
			}
			took = append(took, time.Since(start))
		}
		fmt.Printf("  %-28s %s\n", k.name, quantiles(took))
	}
	runtime.KeepAlive(index)
	return nil
}
