// Command tracker-load puts a bounded load on a WebTorrent tracker and says what the
// tracker answered, how long it took and what it used.
//
//	go build -o tracker-load ./build/tracker-load
//	tracker-load -url ws://127.0.0.1:8000/ -pid N                            closed loop: announces a CPU second
//	tracker-load -url ws://127.0.0.1:8000/ -pid N -conns 5000 -rate 1000     open loop: latency at that load
//	tracker-load -url ws://127.0.0.1:8000/ -pid N -conns 19900 -idle         memory of an idle connection
//
// Every connection is one peer of one torrent (the torrents' sizes follow Zipf's law).
// Without -rate a connection announces again as soon as the response is there. Every
// offer that arrives is answered: an announce with 5 offers costs the tracker 6
// messages in and 11 out. An offer's id carries when it was sent, so its time is from
// the sender's write until the receiver has read it, the generator's own queues
// included. C connections need C+50 file descriptors on each side.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

type options struct {
	url      string
	conns    int
	torrents int
	offers   int
	sdp      int
	rate     float64
	duration time.Duration
	warmup   time.Duration
	idle     bool
	pid      int
	sources  int
}

// result is what is printed, as one line of JSON with -json.
type result struct {
	Connections  int     `json:"connections"`
	Seconds      float64 `json:"seconds"`
	Announces    float64 `json:"announces_per_s"` // responses to them
	Offers       float64 `json:"offers_relayed_per_s"`
	Answers      float64 `json:"answers_relayed_per_s"`
	RelayP50     float64 `json:"offer_relay_p50_ms"`
	RelayP99     float64 `json:"offer_relay_p99_ms"`
	ResponseP50  float64 `json:"response_p50_ms"`
	ResponseP99  float64 `json:"response_p99_ms"`
	Failures     int64   `json:"failures"` // "failure reason" messages
	Errors       int64   `json:"errors"`   // connections that failed or ended
	CPU          float64 `json:"tracker_cpu_s"`
	PerCPUSecond float64 `json:"announces_per_cpu_s"`
	RSS          float64 `json:"tracker_rss_mib"`
	PerConn      float64 `json:"kib_per_connection"`
	OwnCPU       float64 `json:"generator_cpu_s"`
	Others       float64 `json:"other_cores"` // used by neither tracker nor generator, steal included: noise
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "ws://127.0.0.1:8000/", "of the tracker, ws://")
	flag.IntVar(&o.conns, "conns", 1000, "connections")
	flag.IntVar(&o.torrents, "torrents", 100, "torrents")
	flag.IntVar(&o.offers, "offers", 5, "offers of an announce")
	flag.IntVar(&o.sdp, "sdp", 1100, "bytes of a session description, at least 600")
	flag.Float64Var(&o.rate, "rate", 0, "announces a second in all; 0: as fast as it goes")
	flag.DurationVar(&o.duration, "duration", 15*time.Second, "how long is measured, at most 100s")
	flag.DurationVar(&o.warmup, "warmup", 3*time.Second, "of load before")
	flag.BoolVar(&o.idle, "idle", false, "announce once, then hold the connections")
	flag.IntVar(&o.pid, "pid", 0, "process of the tracker")
	flag.IntVar(&o.sources, "sources", 0, "dial from that many addresses, 127.0.1.1 and so on")
	asJSON := flag.Bool("json", false, "print one line of JSON")
	flag.Parse()
	o.duration = min(o.duration, 100*time.Second)

	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		files.Cur = files.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	}
	r, err := newLoad(o).run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tracker-load:", err)
		os.Exit(1)
	}
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(r)
	} else {
		r.print(o)
	}
	if r.Errors > 0 {
		os.Exit(3)
	}
}

func (r result) print(o options) {
	fmt.Printf("%d connections, measured %.1f s; %d failures, %d connection errors\n", r.Connections, r.Seconds, r.Failures, r.Errors)
	if !o.idle {
		fmt.Printf("%.0f announces/s (%d offers of %d bytes each); relayed %.0f offers/s, %.0f answers/s\n", r.Announces, o.offers, o.sdp, r.Offers, r.Answers)
		fmt.Printf("an offer's way p50 %.2f ms, p99 %.2f ms; a response p50 %.2f ms, p99 %.2f ms\n", r.RelayP50, r.RelayP99, r.ResponseP50, r.ResponseP99)
	}
	if o.pid != 0 {
		fmt.Printf("tracker: %.2f CPU s, %.0f announces a CPU s; %.1f MiB RSS, %.2f KiB more a connection\n", r.CPU, r.PerCPUSecond, r.RSS, r.PerConn)
	}
	fmt.Printf("generator: %.2f CPU s; others %.2f cores\n", r.OwnCPU, r.Others)
}

// counters are of what came while it was measured, those of failures and connections of
// all time.
type counters struct {
	measuring, stopping                            atomic.Bool
	answered, relayed, replies, failures, badConns atomic.Int64
	way, response                                  histogram
}

// fail notes a connection that ended though it should not have.
func (c *counters) fail(what string, err error) {
	if c.stopping.Load() {
		return
	}
	if c.badConns.Add(1) <= 3 {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	}
}
