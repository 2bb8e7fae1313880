package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/build/samples"
	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/redisproc"
	"kinopod/pod/redisstore"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// indexing is what the benchmark of the catalogue is told.
type indexing struct {
	n, each, rate int
	random        bool
	parts, dir    string
	profile       string
	kinds         string
}

func (o *indexing) does(part string) bool { return slices.Contains(strings.Split(o.parts, ","), part) }

// index measures a catalogue of many videos: what it weighs, how fast it fills and
// empties, how long a pod needs after a start, and how long it takes to list and to search
// at the API. Beside it stands what somebody would write in an afternoon: a hash a video,
// and a zset by date.
func index(ctx context.Context, args []string) error {
	o := &indexing{n: 200_000, each: 200, rate: 200, parts: "load,plain,restart,ask,remove"}
	if err := flags("index", args, func(f *flag.FlagSet) {
		f.IntVar(&o.n, "n", o.n, "videos")
		f.IntVar(&o.each, "each", o.each, "requests of each kind")
		f.IntVar(&o.rate, "rate", o.rate, "videos that arrive a second, in the second round")
		f.BoolVar(&o.random, "random", false, "videos of random letters")
		f.StringVar(&o.parts, "parts", o.parts, "what is measured")
		f.StringVar(&o.dir, "dir", "", "directory of the pod, kept: without load it has been loaded")
		f.StringVar(&o.kinds, "kinds", "", "of requests, those whose names begin so")
		f.StringVar(&o.profile, "profile", "", "file for a profile of the loading process")
	}); err != nil {
		return err
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "kinopod-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	kind := "of 1,000 pods, one of which has 13 %"
	if o.random {
		kind = "of random letters"
	}
	fmt.Printf("%d videos %s\n", o.n, kind)
	for _, part := range []struct {
		name string
		run  func(context.Context, *indexing) error
	}{{"load", loadAll}, {"plain", loadPlain}, {"restart", restart}, {"ask", askAPI}, {"remove", removeOrigin}} {
		if !o.does(part.name) {
			continue
		}
		if err := part.run(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func (o *indexing) maker() *samples.Maker {
	if o.random {
		return samples.Random(o.n)
	}
	return samples.Realistic(o.n)
}

// Videos of one origin come together, as many as a friend sends in one message.
const (
	inMessage = 250
	// atOnce is how many are made before they are loaded, so that making them does not
	// count.
	atOnce = 50_000
)

// message is what one friend sent.
type message struct {
	from   network.Host
	videos []federation.Video
}

// messages makes all videos, some at a time, as their origins send them.
func (o *indexing) messages(each func([]message) error) error {
	m := o.maker()
	waiting := map[network.Host][]federation.Video{}
	var ready []message
	count := 0
	for i := range o.n {
		v := m.Next()
		waiting[v.Origin] = append(waiting[v.Origin], federation.VideoOf(v))
		last := i == o.n-1
		if len(waiting[v.Origin]) == inMessage {
			ready, count = append(ready, message{v.Origin, waiting[v.Origin]}), count+inMessage
			delete(waiting, v.Origin)
		}
		if last {
			for host, videos := range waiting {
				ready = append(ready, message{host, videos})
			}
		}
		if count >= atOnce || last {
			if err := each(ready); err != nil {
				return err
			}
			ready, count = nil, 0
		}
	}
	return nil
}

// store is the private Redis of a pod that does not run.
type store struct {
	proc *redisproc.Process
	db   *redisstore.DB
	raw  *redis.Client
}

func openStore(ctx context.Context, dir string) (*store, error) {
	quiet := slog.New(slog.DiscardHandler)
	proc, err := redisproc.Start(ctx, dir, quiet)
	if err != nil {
		return nil, err
	}
	db, err := redisstore.Open(ctx, proc.Addr(), quiet)
	if err != nil {
		_ = proc.Close()
		return nil, err
	}
	return &store{proc, db, redis.NewClient(&redis.Options{Network: "unix", Addr: proc.Addr(), ReadTimeout: 5 * time.Minute})}, nil
}

func (s *store) close() {
	_ = s.raw.Close()
	_ = s.db.Close()
	_ = s.proc.Close()
}

// info is one value of INFO.
func (s *store) info(ctx context.Context, name string) string {
	text := s.raw.Info(ctx, "everything").Val()
	_, rest, _ := strings.Cut(text, "\r\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	return value
}

func (s *store) megabytes(ctx context.Context, name string) float64 {
	n, _ := strconv.ParseFloat(s.info(ctx, name), 64)
	return n / 1e6
}

// slowest is the longest command since the server started or forgot, in milliseconds.
func (s *store) slowest(ctx context.Context) (ms float64, name string) {
	for _, l := range s.raw.SlowLogGet(ctx, -1).Val() {
		if t := float64(l.Duration.Microseconds()) / 1000; t > ms {
			ms, name = t, l.Args[0]
		}
	}
	return ms, name
}

func (s *store) watchSlow(ctx context.Context) {
	_ = s.raw.ConfigSet(ctx, "slowlog-log-slower-than", "500").Err()
	_ = s.raw.ConfigSet(ctx, "slowlog-max-len", "100000").Err()
	_ = s.raw.Do(ctx, "SLOWLOG", "RESET").Err()
}

// weigh prints what Redis has in memory and on disk.
func (s *store) weigh(ctx context.Context, what, dir string) {
	grown := dirBytes(dir)
	_ = s.raw.Do(ctx, "BGREWRITEAOF").Err()
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		if s.info(ctx, "aof_rewrite_in_progress") == "0" && s.info(ctx, "aof_rewrite_scheduled") == "0" {
			break
		}
	}
	fmt.Printf("%-40s %6.0f MB used, %6.0f MB RSS; on disk %6.0f MB, rewritten %6.0f MB\n",
		what+": Redis", s.megabytes(ctx, "used_memory"), s.megabytes(ctx, "used_memory_rss"), float64(grown)/1e6, float64(dirBytes(dir))/1e6)
}

func dirBytes(dir string) (n int64) {
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// loaders is how many friends deliver at the same time.
const loaders = 4

// loadAll fills a catalogue as the inbox does with messages that it has opened.
func loadAll(ctx context.Context, o *indexing) error {
	dir := filepath.Join(o.dir, "data", "redis")
	s, err := openStore(ctx, dir)
	if err != nil {
		return err
	}
	defer s.close()
	s.watchSlow(ctx)
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// What waits to be delivered is no garbage, and none of the pod's.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	videos := catalog.New(s.db, here, 0)
	var took, cpu time.Duration
	redisBefore, _ := used(s.proc.PID())
	err = o.messages(func(all []message) error {
		t, c, err := timed(func() error { return deliverAll(ctx, videos, all) })
		took, cpu = took+t, cpu+c
		return err
	})
	if err != nil {
		return err
	}
	redisAfter, _ := used(s.proc.PID())
	slow, command := s.slowest(ctx)
	redisCPU := redisAfter.cpu - redisBefore.cpu
	fmt.Printf("%-40s %6.1f s, %.0f videos/s; CPU us a video: pod %.1f, Redis %.1f; longest command %.1f ms (%s)\n", "load",
		took.Seconds(), float64(o.n)/took.Seconds(), cpu.Seconds()*1e6/float64(o.n), redisCPU.Seconds()*1e6/float64(o.n), slow, command)
	s.weigh(ctx, "catalogue", dir)
	return nil
}

func deliverAll(ctx context.Context, videos *catalog.Catalog, all []message) error {
	var wg sync.WaitGroup
	errs := make([]error, loaders)
	next := make(chan message)
	for w := range loaders {
		wg.Go(func() {
			for m := range next {
				if errs[w] == nil {
					errs[w] = deliver(ctx, videos, m)
				}
			}
		})
	}
	for _, m := range all {
		next <- m
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// deliver does with a message what outbox.Take does, without the pictures.
func deliver(ctx context.Context, videos *catalog.Catalog, m message) error {
	some := make([]video.Video, len(m.videos))
	for i, wire := range m.videos {
		var err error
		if some[i], err = wire.From(m.from); err != nil {
			return err
		}
	}
	outcomes, err := videos.Take(ctx, m.from, some)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		if o != catalog.Taken {
			return fmt.Errorf("video %s was not taken: %d", some[i].ID, o)
		}
	}
	return nil
}
