package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kinopod/build/pods"
	"kinopod/shared/api"
)

// publish measures how long it takes from a video's publication at one pod until a
// friend lists it.
func publish(ctx context.Context, args []string) error {
	videos := 50
	if err := flags("publish", args, func(f *flag.FlagSet) {
		f.IntVar(&videos, "videos", videos, "how many are published, one after the other")
	}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var two [2]*pods.Pod
	for i := range two {
		var args []string
		if i == 1 {
			args = []string{"--friends", string(two[0].Host)}
		}
		if two[i], err = startOne(ctx, filepath.Join(dir, fmt.Sprint(i)), args...); err != nil {
			return err
		}
		defer two[i].Stop()
	}
	file, err := film(ctx, dir, 1, 0.2)
	if err != nil {
		return err
	}
	var took []time.Duration
	for i := range videos + 1 {
		v, err := two[0].Upload(ctx, file, fmt.Sprintf("Film %d", i))
		if err != nil {
			return err
		}
		published := time.Now()
		for {
			_, err := two[1].API.Video(ctx, v.ID)
			if err == nil {
				break
			}
			if !api.Is(err, api.CodeNotFound) || time.Since(published) > 30*time.Second {
				return errors.Join(errors.New("the friend does not list it"), err)
			}
			time.Sleep(time.Millisecond)
		}
		if i > 0 { // the first one waits for the friendship
			took = append(took, time.Since(published))
		}
	}
	slices.Sort(took)
	at := func(p float64) time.Duration { return took[int(p*float64(len(took)-1))].Round(100 * time.Microsecond) }
	fmt.Printf("%d videos: from the answer to the uploader until the friend lists it p50 %s, p95 %s, longest %s\n", videos, at(0.5), at(0.95), at(1))
	return nil
}
