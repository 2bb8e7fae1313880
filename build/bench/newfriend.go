package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"kinopod/build/pods"
	"kinopod/pod/redisstore"
	"kinopod/shared/network"
)

// newFriend measures how long a pod needs for all videos of a new friend, and whether
// its memory depends on how many there are.
func newFriend(ctx context.Context, args []string) error {
	counts := "10000,100000"
	if err := flags("newfriend", args, func(f *flag.FlagSet) {
		f.StringVar(&counts, "videos", counts, "how many the friend has, one after the other")
	}); err != nil {
		return err
	}
	for text := range strings.SplitSeq(counts, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if err := newFriendOf(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// startOne starts a pod in dir.
func startOne(ctx context.Context, dir string, args ...string) (*pods.Pod, error) {
	listen, err := pods.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(listen)
	return pods.Start(ctx, pods.Options{Dir: dir, Listen: listen, Host: "localhost:" + port, Args: append([]string{"--limits-requests-per-second", "0"}, args...)})
}

// storeOf opens the Redis of a pod that runs.
func storeOf(ctx context.Context, p *pods.Pod) (*redisstore.DB, error) {
	return redisstore.Open(ctx, filepath.Join(p.Dir, "redis", "redis.sock"), slog.New(slog.DiscardHandler))
}

func newFriendOf(ctx context.Context, n int) error {
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	a, err := startOne(ctx, filepath.Join(dir, "a"))
	if err != nil {
		return err
	}
	defer a.Stop()
	if err := fill(ctx, a, n); err != nil {
		return err
	}
	b, err := startOne(ctx, filepath.Join(dir, "b"))
	if err != nil {
		return err
	}
	defer b.Stop()
	db, err := storeOf(ctx, b)
	if err != nil {
		return err
	}
	defer db.Close()
	redis, err := childOf(b.PID(), "redis-server")
	if err != nil {
		return err
	}
	before, err := used(b.PID())
	if err != nil {
		return err
	}
	redisBefore, err := used(redis)
	if err != nil {
		return err
	}
	most := watchPeak(b.PID(), redis)
	began := time.Now()
	if err := b.Join(ctx, a.Host); err != nil {
		return err
	}
	for have := 0; have < n; time.Sleep(20 * time.Millisecond) {
		if have, err = db.Count(ctx, a.Host); err != nil {
			return err
		}
		if time.Since(began) > 30*time.Minute {
			return fmt.Errorf("after 30 minutes there are %d videos", have)
		}
	}
	took := time.Since(began)
	pod, redisPeak := most.end()
	after, _ := used(b.PID())
	redisAfter, _ := used(redis)
	fmt.Printf("%7d videos of a new friend: %6.1f s, %5.0f videos/s; CPU s of the pod %.1f, of its Redis %.1f; memory of the pod %d MiB before, %d at most; of its Redis %d, %d\n",
		n, took.Seconds(), float64(n)/took.Seconds(), (after.cpu - before.cpu).Seconds(), (redisAfter.cpu - redisBefore.cpu).Seconds(), before.rss>>10, pod>>10, redisBefore.rss>>10, redisPeak>>10)
	return nil
}

// fill lists n videos of a pod.
func fill(ctx context.Context, p *pods.Pod, n int) error {
	db, err := storeOf(ctx, p)
	if err != nil {
		return err
	}
	defer db.Close()
	const workers = 8
	var all sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		all.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				_, errs[w] = db.Add(ctx, someVideo(network.Host(p.Host), i))
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
