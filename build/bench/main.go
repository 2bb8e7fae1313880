// Command bench prints the figures that Kinopod answers for. Each benchmark compares
// in one run with what somebody would use instead: machines are noisy, ratios are
// not.
//
//	go run ./build/bench firstframe   from navigation to the first frame, beside a plain <video src>
//	go run ./build/bench sources      who served the bytes to viewers side by side, and who stalled
//	go run ./build/bench publish      from a publication until a friend lists it
//	go run ./build/bench bundle       what the web app weighs
//
// It needs build/out/kinopod (make build), Chromium and ffmpeg.
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
	{"firstframe", firstFrame},
	{"sources", sources},
	{"publish", publish},
	{"bundle", bundle},
}

// run runs the benchmark that args name, or all of them.
func run(ctx context.Context, args []string) error {
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
