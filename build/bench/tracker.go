package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kinopod/build/pods"
)

// aTracker is a tracker that was started to be measured.
type aTracker struct {
	url  string
	pid  int
	stop func()
}

// loaded is what build/tracker-load prints.
type loaded struct {
	Announces    float64 `json:"announces_per_s"`
	Offers       float64 `json:"offers_relayed_per_s"`
	RelayP50     float64 `json:"offer_relay_p50_ms"`
	RelayP99     float64 `json:"offer_relay_p99_ms"`
	Failures     int     `json:"failures"`
	Errors       int     `json:"errors"`
	PerCPUSecond float64 `json:"announces_per_cpu_s"`
	PerConn      float64 `json:"kib_per_connection"`
	RSS          float64 `json:"tracker_rss_mib"`
	CPU          float64 `json:"tracker_cpu_s"`
	Others       float64 `json:"other_cores"`
}

// trackers measures our tracker, in the pod that has it, beside the npm package
// bittorrent-tracker, in turns, each time with a process of its own.
func trackers(ctx context.Context, args []string) error {
	rounds, seconds, many, only := 3, 10, 19_900, ""
	if err := flags("tracker", args, func(f *flag.FlagSet) {
		f.IntVar(&rounds, "rounds", rounds, "turns of each tracker")
		f.IntVar(&seconds, "seconds", seconds, "that each measurement takes")
		f.StringVar(&only, "only", only, "one of cpu, memory, relay")
		f.IntVar(&many, "idle", many, "idle connections; both sides need as many file descriptors and 50 more")
	}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	generator := filepath.Join(dir, "tracker-load")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", generator, "./build/tracker-load").CombinedOutput(); err != nil {
		return fmt.Errorf("build the load generator: %w: %s", err, out)
	}
	contestants := []struct {
		name  string
		start func(context.Context) (*aTracker, error)
	}{{"Kinopod", ourTracker}, {"bittorrent-tracker", nodeTracker}}
	duration := fmt.Sprintf("%ds", seconds)
	for _, m := range []struct {
		short, name, unit string
		pinned            bool // the tracker to one processor, the generator to another
		args              []string
		figures           func(loaded) []float64
	}{
		{
			"cpu", "announces a CPU second (1,000 connections, 5 offers of 1.1 KB each, all answered)", "announces", true,
			[]string{"-conns", "1000", "-duration", duration},
			func(r loaded) []float64 { return []float64{r.PerCPUSecond} },
		},
		{
			"memory", fmt.Sprintf("memory of %d idle connections, each announced once", many), "(KiB RSS more a connection; MiB RSS of the process, a whole pod in ours)", false,
			[]string{"-conns", strconv.Itoa(many), "-sources", "20", "-idle", "-duration", "3s"},
			func(r loaded) []float64 { return []float64{r.PerConn, r.RSS} },
		},
		{
			"relay", "an offer's way at 1,000 announces a second (5,000 connections)", "ms (p50, p99)", false,
			[]string{"-conns", "5000", "-rate", "1000", "-sources", "5", "-duration", duration},
			func(r loaded) []float64 { return []float64{r.RelayP50, r.RelayP99} },
		},
	} {
		if only != "" && only != m.short {
			continue
		}
		fmt.Println(m.name)
		seen := make([][][]float64, len(contestants)) // of each contestant, of each figure
		for range rounds {
			for i, c := range contestants {
				r, err := loadTracker(ctx, c.start, generator, m.pinned, m.args)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				for j, x := range m.figures(r) {
					if len(seen[i]) == j {
						seen[i] = append(seen[i], nil)
					}
					seen[i][j] = append(seen[i][j], x)
				}
				if r.Others > 0.15 {
					fmt.Printf("  (noise: others used %.2f cores while %s was measured)\n", r.Others, c.name)
				}
			}
		}
		for i, c := range contestants {
			fmt.Printf("  %-20s", c.name)
			for j, x := range seen[i] {
				ratio := median(x) / median(seen[len(seen)-1][j])
				fmt.Printf(" %9.2f (%s), %.2f times", median(x), list(x, 2), ratio)
			}
			fmt.Println(" ", m.unit)
		}
	}
	return nil
}

// loadTracker starts a tracker, loads it and stops it.
func loadTracker(ctx context.Context, start func(context.Context) (*aTracker, error), generator string, pinned bool, args []string) (r loaded, err error) {
	t, err := start(ctx)
	if err != nil {
		return r, err
	}
	defer t.stop()
	if err := settle(ctx, generator, t); err != nil {
		return r, err
	}
	program, args := generator, append([]string{"-json", "-url", t.url, "-pid", strconv.Itoa(t.pid)}, args...)
	if pinned {
		if out, err := exec.CommandContext(ctx, "taskset", "-a", "-p", "-c", "0", strconv.Itoa(t.pid)).CombinedOutput(); err != nil {
			return r, fmt.Errorf("pin the tracker: %w: %s", err, out)
		}
		program, args = "taskset", append([]string{"-c", "1", generator}, args...)
	}
	c := exec.CommandContext(ctx, program, args...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return r, fmt.Errorf("tracker-load: %w: %s", err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("tracker-load said %q: %w", out, err)
	}
	if r.Failures > 0 || r.Errors > 0 {
		return r, fmt.Errorf("the tracker failed: %s", out)
	}
	return r, nil
}

// settle gives a tracker a little to do, so that what its start left behind is not
// counted, or room that later counts as saved.
func settle(ctx context.Context, generator string, t *aTracker) error {
	out, err := exec.CommandContext(ctx, generator, "-url", t.url, "-conns", "1000", "-sources", "5", "-warmup", "4s", "-duration", "1ms").CombinedOutput()
	if err != nil {
		return fmt.Errorf("tracker-load: %w: %s", err, out)
	}
	time.Sleep(2 * time.Second)
	return nil
}

// ourTracker is a pod whose tracker takes every torrent.
func ourTracker(ctx context.Context) (*aTracker, error) {
	p, err := startPodWith(ctx, shape{}, pods.Options{Bare: true, Args: []string{"--tracker-open"}})
	if err != nil {
		return nil, err
	}
	return &aTracker{url: strings.Replace(p.base, "http://localhost", "ws://127.0.0.1", 1) + "/tracker/socket", pid: p.PID(), stop: p.stop}, nil
}

// nodeTracker is the server of the npm package bittorrent-tracker.
func nodeTracker(ctx context.Context) (*aTracker, error) {
	address, err := pods.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	var log bytes.Buffer
	c := exec.Command("node", "reference.js", port)
	c.Dir = filepath.Join("build", "tracker-conformance")
	c.Stdout, c.Stderr = io.Discard, &log
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start bittorrent-tracker: %w", err)
	}
	stop := func() { _ = c.Process.Kill(); _ = c.Wait() }
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		nc, err := net.Dial("tcp", address)
		if err == nil {
			_ = nc.Close()
			return &aTracker{url: "ws://" + address + "/", pid: c.Process.Pid, stop: stop}, nil
		}
		if ctx.Err() != nil || time.Now().After(end) {
			stop()
			return nil, errors.Join(fmt.Errorf("bittorrent-tracker did not come up (go run ./build/setup test): %s", log.String()), err)
		}
	}
}
