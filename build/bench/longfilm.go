package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinopod/build/browser"
	"kinopod/shared/api"
)

// noteLongFilm keeps the memory of WebAssembly, and how long the main thread was blocked
// for more than 50 ms since the app took over ("longtask").
const noteLongFilm = `
(() => {
  window.blocked = [];
  new PerformanceObserver((list) => {
    for (const e of list.getEntries()) window.blocked.push([e.startTime, e.duration]);
  }).observe({type: "longtask", buffered: true});
  const was = WebAssembly.instantiateStreaming;
  WebAssembly.instantiateStreaming = async (...args) => {
    const made = await was(...args);
    window.wasmMemory = Object.values(made.instance.exports).find((e) => e instanceof WebAssembly.Memory);
    return made;
  };
  const mute = () => { const v = document.querySelector("video"); if (v) v.muted = true; else setTimeout(mute, 4); };
  mute();
})()`

// longFilmState is one look at the page.
type longFilmState struct {
	At, Ahead, Wasm, Heap, Disk float64 // seconds, seconds, MB
	Ended, Stalled              bool
	Error                       string
}

const longFilmLook = `(async () => {
  const v = document.querySelector("video"), root = await navigator.storage.getDirectory();
  let disk = 0;
  for await (const d of (await root.getDirectoryHandle("kinopod-videos", {create: true})).values()) {
    disk += await d.getFileHandle("pieces").then((f) => f.getFile()).then((f) => f.size, () => 0);
  }
  const last = v.buffered.length ? v.buffered.end(v.buffered.length - 1) : 0;
  return {At: v.currentTime, Ahead: last - v.currentTime, Wasm: (window.wasmMemory?.buffer.byteLength ?? 0) / 1e6, Heap: performance.memory.usedJSHeapSize / 1e6,
    Disk: disk / 1e6, Ended: v.ended, Stalled: v.readyState < 3, Error: v.error?.message ?? ""};
})()`

// blocked is how long a task has to take to be felt.
const blocked = 50 * time.Millisecond

// longTasks are the tasks over 50 ms of the page since its n-th ms, as "n, longest ms".
const longTasks = `(() => { const of = window.blocked.filter(([at]) => at >= %f).map(([, d]) => d); return of.length + ", the longest " + Math.round(Math.max(0, ...of)) + " ms"; })()`

// longFilm watches a long film to its end, faster than life: what the page takes of
// memory and disk, and how often its main thread is blocked.
func longFilm(ctx context.Context, args []string) error {
	megabytes, megabits, rate, calm, every := 600, 8.0, 16.0, 40*time.Second, 10*time.Second
	if err := flags("longfilm", args, func(f *flag.FlagSet) {
		f.IntVar(&megabytes, "megabytes", megabytes, "size of the film (2000: a long film whole)")
		f.Float64Var(&megabits, "megabits", megabits, "bit rate of the film, Mbit/s")
		f.Float64Var(&rate, "rate", rate, "speed at which it is played after the beginning, 16 at most")
		f.DurationVar(&calm, "calm", calm, "how long it is played as it is first: long tasks are counted then")
		f.DurationVar(&every, "every", every, "between lines")
	}); err != nil {
		return err
	}
	p, err := startPod(ctx, shape{}, "--limits-upload-bytes", "0", "--limits-quota-bytes", "0")
	if err != nil {
		return err
	}
	defer p.stop()
	file, err := paddedFilm(ctx, p.dir, int(float64(megabytes)*8/megabits), megabits)
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
	page, done, err := b.QuietPage()
	if err != nil {
		return err
	}
	defer done()
	if err := page.OnNewDocument(noteLongFilm); err != nil {
		return err
	}
	if err := page.Front(); err != nil {
		return err
	}
	if err := page.Open(p.base + api.WatchPath(v.ID)); err != nil {
		return err
	}
	if err := page.Until(time.Minute, `document.documentElement.dataset.app === "ready" && document.querySelector("video").currentTime > 1`); err != nil {
		return err
	}
	fmt.Printf("%.0f MB, %.0f s of %.1f Mbit/s; %s at its own speed, then at %.0f times that; from a pod on this machine\n", float64(v.Renditions[0].Size)/1e6, v.Duration, megabits, calm, rate)
	since, err := browser.Eval[float64](page, "performance.now()")
	if err != nil {
		return err
	}
	var tasks string
	busy, err := page.Tasks(time.Millisecond, func() (err error) {
		time.Sleep(calm)
		tasks, err = browser.Eval[string](page, fmt.Sprintf(longTasks, since))
		return err
	})
	if err != nil {
		return err
	}
	if len(busy) == 0 {
		return errors.New("the trace has no tasks of the page")
	}
	long := slices.DeleteFunc(slices.Clone(busy), func(d time.Duration) bool { return d < blocked })
	fmt.Printf("tasks over 50 ms while it played at its own speed: %d by the processor's time (the longest of %d over 1 ms took %s); by the clock, which counts what else the machine does, %s\n",
		len(long), len(busy), slices.Max(busy).Round(time.Millisecond/10), tasks)
	if since, err = browser.Eval[float64](page, fmt.Sprintf(`(() => { document.querySelector("video").playbackRate = %f; return performance.now(); })()`, rate)); err != nil {
		return err
	}
	most, began, stalls := longFilmState{}, time.Now(), 0
	var rss []int
	for {
		s, err := browser.Eval[longFilmState](page, longFilmLook)
		if err != nil {
			return err
		}
		if s.Error != "" {
			return errors.New(s.Error)
		}
		rss = append(rss, rendererRSS())
		fmt.Printf("  %4.0f s: at %4.0f s of the film, %3.0f s ahead; WebAssembly %5.1f MB, JavaScript %5.1f MB, process %4d MB, disk %6.1f MB\n",
			time.Since(began).Seconds(), s.At, s.Ahead, s.Wasm, s.Heap, rss[len(rss)-1], s.Disk)
		most.Wasm, most.Heap, most.Disk = max(most.Wasm, s.Wasm), max(most.Heap, s.Heap), max(most.Disk, s.Disk)
		if s.Stalled {
			stalls++
		}
		if s.Ended {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
	if tasks, err = browser.Eval[string](page, fmt.Sprintf(longTasks, since)); err != nil {
		return err
	}
	fmt.Printf("to the end in %.0f s; at most WebAssembly %.1f MB, JavaScript %.1f MB, process %d MB (%d at a third, %d at the end), disk %.1f MB; tasks over 50 ms meanwhile: %s; stood still in %d of %d looks\n",
		time.Since(began).Seconds(), most.Wasm, most.Heap, slices.Max(rss), rss[len(rss)/3], rss[len(rss)-1], most.Disk, tasks, stalls, len(rss))
	return nil
}

// rendererRSS is the memory of the largest page of a Chromium that this process started,
// in MB: Linux.
func rendererRSS() (most int) {
	for _, pid := range descendants(os.Getpid()) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.Contains(string(line), "--type=renderer") {
			continue
		}
		if u, err := used(pid); err == nil {
			most = max(most, u.rss*1024/1e6)
		}
	}
	return most
}

// paddedFilm makes an MP4 whose bytes are mostly padding: as much to fetch as a large
// picture, and as little to decode as a small one.
func paddedFilm(ctx context.Context, dir string, seconds int, megabits float64) (string, error) {
	const loop = 10 // s
	short, long := filepath.Join(dir, "short.mp4"), filepath.Join(dir, "film.mp4")
	rate := fmt.Sprintf("%dk", int(megabits*1000))
	if err := ffmpeg(ctx, "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=440", "-t", strconv.Itoa(loop),
		"-c:v", "libx264", "-preset", "veryfast", "-x264-params", "nal-hrd=cbr", "-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac", short); err != nil {
		return "", err
	}
	return long, ffmpeg(ctx, "-stream_loop", strconv.Itoa(max(1, seconds/loop)-1), "-i", short, "-c", "copy", "-movflags", "+faststart", long)
}
