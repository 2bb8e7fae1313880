// Command bench prints the figures that Kinopod answers for. Each benchmark compares
// in one run with what somebody would use instead: machines are noisy, ratios are
// not.
//
//	go run ./build/bench start        from navigation to the first frame, and seeks, beside a plain <video src>
//	go run ./build/bench swarm        viewers side by side: copies that the pod sends, and who stalls, beside p2p-media-loader
//	go run ./build/bench longfilm     a long film to its end: memory, disk, and how often the page is blocked (-megabytes 2000)
//	go run ./build/bench publish      from a publication until a friend lists it
//	go run ./build/bench deliveries   what one core of a pod receives of a friend, beside the same without sealing
//	go run ./build/bench newfriend    100,000 videos of a new friend: time, and memory of the pod
//	go run ./build/bench fanout       one event to 1,000 friends, beside plain posts of the same
//	go run ./build/bench bundle       what the web app weighs
//	go run ./build/bench search       the full-text index: memory, snapshot, how long searches take (-n 1000000)
//	go run ./build/bench tracker      announces a CPU second, memory, an offer's way, beside bittorrent-tracker
//	go run ./build/bench seeder       bytes to browsers beside webtorrent on node, to aria2c beside nginx; idle peers; budgets
//	go run ./build/bench counters     what the swarm panel tells beside the counters of network interfaces (root: network namespaces)
//	go run ./build/bench index        the catalogue: memory, load, restart, lists and searches at the API, removal, beside a plain one (-n 1000000)
//	go run ./build/bench thumbnails   pictures of friends' videos on the disk (-n 1000000)
//
// It needs build/out/kinopod (make build) and what tests need (make test-tools).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var benchmarks = []struct {
	name string
	run  func(ctx context.Context, args []string) error
}{
	{"start", startBench},
	{"swarm", swarmBench},
	{"longfilm", longFilm},
	{"publish", publish},
	{"deliveries", deliveries},
	{"newfriend", newFriend},
	{"fanout", fanOut},
	{"bundle", bundle},
	{"search", searching},
	{"tracker", trackers},
	{"seeder", seeding},
	{"counters", counters},
	{"index", index},
	{"thumbnails", thumbnails},
}

// run runs the benchmark that args name, or all of them.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == countedViewer {
		return watchCounted(ctx, args[1:])
	}
	found := false
	for _, b := range benchmarks {
		if len(args) > 0 && args[0] != b.name {
			continue
		}
		found = true
		var rest []string
		if len(args) > 0 {
			rest = args[1:]
		}
		fmt.Println("==", b.name)
		if err := b.run(ctx, rest); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	if !found {
		return fmt.Errorf("no benchmark is called %q", args[0])
	}
	return nil
}

// flags reads the options of one benchmark.
func flags(name string, args []string, define func(*flag.FlagSet)) error {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	define(f)
	return f.Parse(args)
}
