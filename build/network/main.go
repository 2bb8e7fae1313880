// Command network runs a network to play with: pods on this machine that are friends of
// each other, with a few films, until Ctrl-C. What they keep is below ./data/network.
//
//	make network N=5
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"kinopod/build/pods"
	"kinopod/shared/api"
)

func main() {
	n := flag.Int("n", 5, "how many pods")
	port := flag.Int("port", 9101, "port of the first one")
	dir := flag.String("data", "data/network", "directory of what they keep")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *n, *port, *dir); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "network:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n, port int, dir string) error {
	if n < 1 || n > 50 {
		return errors.New("one to fifty pods")
	}
	started := time.Now()
	all := make([]*pods.Pod, n)
	defer func() {
		var ends sync.WaitGroup
		for _, p := range all {
			if p != nil {
				ends.Go(p.Stop)
			}
		}
		ends.Wait()
	}()
	first := "localhost:" + strconv.Itoa(port)
	for i := range all {
		o := pods.Options{
			Dir: filepath.Join(dir, strconv.Itoa(i+1)), Listen: fmt.Sprintf("127.0.0.1:%d", port+i), Host: fmt.Sprintf("localhost:%d", port+i),
			Args: []string{"--name", fmt.Sprintf("Pod %d", i+1)},
		}
		if i > 0 {
			o.Args = append(o.Args, "--friends", first)
		}
		var err error
		if all[i], err = pods.Start(ctx, o); err != nil {
			return err
		}
		if err := films(ctx, all[i], i); err != nil {
			return err
		}
	}
	if err := converged(ctx, all); err != nil {
		return err
	}
	fmt.Printf("%d pods are one network after %s:\n\n", n, time.Since(started).Round(time.Second))
	for _, p := range all {
		fmt.Printf("  %s   log in as %s, password %q   (log: %s)\n", p.Base, pods.Name, pods.Password, filepath.Join(p.Dir, "pod.log"))
	}
	fmt.Printf("\nThe network as a picture: %s/network\nEnd one of them with kill and see what happens. Ctrl-C ends all.\n", all[0].Base)
	<-ctx.Done()
	return nil
}

// sources are test pictures of ffmpeg.
var sources = []struct{ name, source string }{
	{"Colour bars", "smptehdbars"},
	{"Game of Life", "life=mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00"},
	{"Mandelbrot", "mandelbrot"},
	{"Sierpinski", "sierpinski=type=triangle"},
	{"Test card", "testsrc2"},
	{"Cellular automaton", "cellauto=rule=110"},
}

// films uploads a film to a pod that has none of its own.
func films(ctx context.Context, p *pods.Pod, i int) error {
	page, err := p.API.Videos(ctx, api.VideosQuery{Origin: p.Host, Limit: 1})
	if err != nil || len(page.Videos) > 0 {
		return err
	}
	s := sources[i%len(sources)]
	file := filepath.Join(p.Dir, "film.mp4")
	defer os.Remove(file)
	c := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", s.source, "-f", "lavfi", "-i", "sine="+strconv.Itoa(220+55*i), "-t", "30",
		"-vf", "scale=640:360:flags=neighbor", "-r", "25", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", file)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("make a film with ffmpeg: %w: %s", err, out)
	}
	_, err = p.Upload(ctx, file, s.name)
	return err
}

// converged waits until each pod has all others as friends and lists all their films.
func converged(ctx context.Context, all []*pods.Pod) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		done := 0
		for _, p := range all {
			page, err := p.API.Videos(ctx, api.VideosQuery{Limit: api.MaxPage})
			if err == nil && len(page.Videos) >= len(all) {
				done++
			}
		}
		switch {
		case done == len(all):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("%d of %d pods list all films after a minute", done, len(all))
		}
	}
}
