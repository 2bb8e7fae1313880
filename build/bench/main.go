// Command bench prints the figures that Kinopod answers for. Each benchmark compares
// in one run with what somebody would use instead: machines are noisy, ratios are
// not.
//
//	go run ./build/bench start        from navigation to the first frame, and seeks, beside a plain <video src> behind nginx
//	go run ./build/bench swarm        viewers side by side: copies that the pod sends, and who stalls, beside p2p-media-loader
//	go run ./build/bench longfilm     a long film to its end: memory, disk, and how often the page is blocked (-megabytes 2000)
//	go run ./build/bench publish      from a publication until a friend lists it
//	go run ./build/bench deliveries   what one core of a pod receives of a friend, beside the same without sealing
//	go run ./build/bench newfriend    100,000 videos of a new friend: time, and memory of the pod
//	go run ./build/bench fanout       one event to 1,000 friends, beside plain posts of the same
//	go run ./build/bench bundle       what the web app weighs
//	go run ./build/bench search       the full-text index: memory, snapshot, how long searches take (-n 1000000)
//	go run ./build/bench tracker      announces a CPU second, memory, an offer's way, beside bittorrent-tracker
//	go run ./build/bench seeder       bytes to browsers beside webtorrent on node, to aria2c beside nginx; time to connect; idle peers; budgets
//	go run ./build/bench counters     what the swarm panel tells beside the counters of network interfaces (root: network namespaces)
//	go run ./build/bench index        the catalogue: memory, load, restart, lists and searches at the API, removal, beside a plain one (-n 1000000)
//	go run ./build/bench thumbnails   pictures of friends' videos on the disk (-n 1000000)
//
// It needs build/out/kinopod (make build) and what tests need (make test-tools).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	// timeout sends SIGTERM, and what was started has to end then, too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, benchmarks, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchmark is one part. It runs until ctx ends at most.
type benchmark struct {
	name string
	run  func(ctx context.Context, args []string) error
}

var benchmarks = []benchmark{
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

// run runs the benchmark that args name, or all of them: where one fails the others run
// all the same, and the error lists all that did.
func run(ctx context.Context, all []benchmark, args []string) error {
	var options []string
	if len(args) > 0 {
		if args[0] == countedViewer {
			return watchCounted(ctx, args[1:])
		}
		i := slices.IndexFunc(all, func(b benchmark) bool { return b.name == args[0] })
		if i < 0 {
			return fmt.Errorf("no benchmark is called %q", args[0])
		}
		all, options = all[i:i+1], args[1:]
	}
	var failed []error
	for _, b := range all {
		fmt.Println("==", b.name)
		if err := b.run(ctx, options); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", b.name, err))
			if len(all) > 1 {
				fmt.Println("failed:", err)
			}
		}
		if err := ctx.Err(); err != nil {
			failed = append(failed, err)
			break
		}
	}
	if len(failed) == 0 || len(all) == 1 {
		return errors.Join(failed...)
	}
	return fmt.Errorf("%d of %d failed:\n%w", len(failed), len(all), errors.Join(failed...))
}

// flags reads the options of one benchmark.
func flags(name string, args []string, define func(*flag.FlagSet)) error {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	define(f)
	return f.Parse(args)
}
