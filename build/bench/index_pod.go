package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/build/pods"
	"kinopod/build/samples"
	"kinopod/pod/catalog"
	"kinopod/pod/redisstore"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// quickPod is a pod whose start is measured.
type quickPod struct {
	dir, base string
	cmd       *exec.Cmd
	began     time.Time
	client    http.Client
}

func (o *indexing) startQuick(args ...string) (*quickPod, error) {
	listen, err := pods.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(listen)
	p := &quickPod{dir: filepath.Join(o.dir, "data"), base: "http://" + listen}
	log, err := os.OpenFile(filepath.Join(o.dir, "pod.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(pods.Binary, append([]string{
		"serve", "--listen", listen, "--host", "localhost:" + port, "--data", p.dir, "--rtc-listen", "127.0.0.1:0", "--bt-listen", "127.0.0.1:0",
		"--allow-http", "--limits-requests-per-second", "0", "--limits-friend-videos", "0",
	}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.began = time.Now()
	return p, p.cmd.Start()
}

// startSearchable is startQuick, and waits until the pod searches.
func (o *indexing) startSearchable(ctx context.Context) (*quickPod, error) {
	p, err := o.startQuick()
	if err != nil {
		return nil, err
	}
	if _, err := p.searches(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *quickPod) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
	p.client.CloseIdleConnections()
}

// get asks the API. out takes the answer.
func (p *quickPod) get(ctx context.Context, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %.200s %w", path, res.Status, body, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

// until asks until the answer is ok, and says how long after the start of the pod.
func (p *quickPod) until(ctx context.Context, ok func() bool) (time.Duration, error) {
	for time.Since(p.began) < 10*time.Minute && ctx.Err() == nil {
		if ok() {
			return time.Since(p.began), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, fmt.Errorf("the pod at %s is not ready", p.base)
}

func (p *quickPod) lists(ctx context.Context) (time.Duration, error) {
	return p.until(ctx, func() bool { return p.get(ctx, api.PathVideos, nil) == nil })
}

func (p *quickPod) searches(ctx context.Context) (time.Duration, error) {
	return p.until(ctx, func() bool {
		var page api.SearchPage
		return p.get(ctx, api.PathSearch+"?q=origin:"+string(samples.Host(0)), &page) == nil && !page.Building && len(page.Videos) > 0
	})
}

// resident waits until the pod's memory does not shrink any more.
func (p *quickPod) resident() int {
	least, same := 1<<30, 0
	for range 60 {
		u, err := used(p.cmd.Process.Pid)
		if err != nil {
			return 0
		}
		if u.rss < least-512 {
			least, same = u.rss, 0
		} else if same++; same == 6 {
			break
		}
		time.Sleep(time.Second)
	}
	return least >> 10
}

// restart starts the pod without a snapshot of the search index, and with one.
func restart(ctx context.Context, o *indexing) error {
	snapshot := filepath.Join(o.dir, "data", "search.snapshot")
	_ = os.Remove(snapshot)
	for _, what := range []string{"restart, no snapshot", "restart, with snapshot"} {
		p, err := o.startQuick()
		if err != nil {
			return err
		}
		lists, err := p.lists(ctx)
		if err != nil {
			return err
		}
		searches, err := p.searches(ctx)
		if err != nil {
			return err
		}
		peak, _ := used(p.cmd.Process.Pid)
		fmt.Printf("%-40s lists after %.2f s, searches %.2f s after that; pod RSS %d MB then, %d MB after a while\n", what, lists.Seconds(), (searches - lists).Seconds(), peak.rss>>10, p.resident())
		p.stop()
		if info, err := os.Stat(snapshot); err == nil {
			fmt.Printf("%-40s %d MB\n", "  snapshot", info.Size()/1e6)
		}
	}
	return nil
}

// askMemory is where the collector runs while requests are measured, in bytes.
const askMemory = 2 << 30

// kindOf are requests of one kind.
type kindOf struct {
	name  string
	paths []string
}

// requests are made of what is in the catalogue.
func (o *indexing) requests(ctx context.Context, p *quickPod) ([]kindOf, error) {
	r := rand.New(rand.NewPCG(3, 3))
	var deep []string
	cursor := ""
	for range 50 {
		var page api.VideoPage
		if err := p.get(ctx, api.PathVideos+"?limit=100&cursor="+cursor, &page); err != nil {
			return nil, err
		}
		cursor = page.Cursor
		deep = append(deep, api.PathVideos+"?cursor="+cursor)
	}
	for range 200 { // any place in time
		at := samples.End.Add(-time.Duration(r.Int64N(int64(4 * 365 * 24 * time.Hour))))
		deep = append(deep, api.PathVideos+"?cursor="+catalog.Position{Created: at, Seq: 1}.String())
	}
	m := o.maker()
	var asked []video.Video
	for i := range o.n {
		if v := m.Next(); i%max(o.n/4000, 1) == 0 {
			asked = append(asked, v)
		}
	}
	some := func() video.Video { return asked[r.IntN(len(asked))] }
	each := func(path func() string) (paths []string) {
		for range o.each {
			paths = append(paths, path())
		}
		return paths
	}
	out := []kindOf{
		{"list: newest", each(func() string { return api.PathVideos })},
		{"list: some place", each(func() string { return deep[r.IntN(len(deep))] })},
		{"list: origin", each(func() string { return api.PathVideos + "?origin=" + url.QueryEscape(string(some().Origin)) })},
		{"list: uploader", each(func() string {
			v := some()
			return api.PathVideos + "?origin=" + url.QueryEscape(string(v.Origin)) + "&uploader=" + url.QueryEscape(v.Uploader)
		})},
	}
	if o.random {
		out = append(out, kindOf{"search: 1 word", each(func() string { return api.PathSearch + "?q=" + url.QueryEscape(some().Name) })})
		return out, nil
	}
	for _, k := range questions(asked, o.each) {
		var paths []string
		for _, text := range k.queries {
			paths = append(paths, api.PathSearch+"?q="+url.QueryEscape(text))
		}
		out = append(out, kindOf{"search: " + k.name, paths})
	}
	out = append(out, kindOf{"suggest", each(func() string { return api.PathSuggest + "?q=" + url.QueryEscape(string([]rune(some().Name)[:3])) })})
	return out, nil
}

// askAll asks one after the other. This process' own collector would run in every
// twentieth request, and be measured.
func askAll(ctx context.Context, p *quickPod, kinds []kindOf) error {
	runtime.GC()
	debug.SetMemoryLimit(askMemory)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	fmt.Printf("  %-34s %8s %8s %8s %8s ms\n", "", "p50", "p95", "p99", "longest")
	var all []time.Duration
	for _, k := range kinds {
		var took []time.Duration
		for _, path := range k.paths {
			began := time.Now()
			if err := p.get(ctx, path, nil); err != nil {
				return err
			}
			took = append(took, time.Since(began))
		}
		if len(k.name) > 7 && k.name[:7] == "search:" {
			all = append(all, took...)
		}
		fmt.Printf("  %-34s %s\n", k.name, quantiles(took))
	}
	if len(all) > 0 {
		fmt.Printf("  %-34s %s\n", "all searches", quantiles(all))
	}
	return nil
}

// askAPI measures lists and searches at the API: nothing else going on, and while videos
// arrive.
func askAPI(ctx context.Context, o *indexing) error {
	p, err := o.startSearchable(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	kinds, err := o.requests(ctx, p)
	if err != nil {
		return err
	}
	kinds = slices.DeleteFunc(kinds, func(k kindOf) bool { return !strings.HasPrefix(k.name, o.kinds) })
	fmt.Println("at the API, nothing else going on")
	if err := askAll(ctx, p, kinds); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var arriving sync.WaitGroup
	var failed error
	arriving.Go(func() { failed = o.arrive(running, p) })
	defer arriving.Wait()
	defer stop()
	fmt.Printf("at the API, while %d videos a second arrive\n", o.rate)
	if err := askAll(ctx, p, kinds); err != nil {
		return err
	}
	stop()
	arriving.Wait()
	fmt.Printf("%-40s %d MB\n", "pod RSS", p.resident())
	if err := p.logIn(ctx); err != nil {
		return err
	}
	fmt.Printf("%-40s %d MB\n", "pod RSS after four log-ins", p.resident())
	return failed
}

// logIn makes an account and has it log in twice: a password costs memory for a moment.
func (p *quickPod) logIn(ctx context.Context) error {
	for range 4 {
		_, err := api.NewClient(p.base, "").Login(ctx, api.Credentials{Username: "nobody", Password: "a long password"})
		if err != nil && !api.Is(err, api.CodeUnauthorized) {
			return err
		}
	}
	return nil
}

// store opens the Redis of the pod.
func (p *quickPod) store(ctx context.Context) (*redisstore.DB, error) {
	return redisstore.Open(ctx, filepath.Join(p.dir, "redis", "redis.sock"), slog.New(slog.DiscardHandler))
}

// arrive has friends send videos until ctx ends, four at a time.
func (o *indexing) arrive(ctx context.Context, p *quickPod) error {
	db, err := p.store(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	m := samples.Realistic(o.n + 1) // others than those that are there
	const together = 4
	every := time.NewTicker(time.Second * together / time.Duration(max(o.rate, 1)))
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		for range together {
			if _, err := db.Take(ctx, m.Next()); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// removeOrigin takes all videos of the largest pod out, while others list.
func removeOrigin(ctx context.Context, o *indexing) error {
	p, err := o.startSearchable(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	db, err := p.store(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	s := &store{db: db, raw: redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(p.dir, "redis", "redis.sock")})}
	defer s.raw.Close()
	s.watchSlow(ctx)
	origin := samples.Host(0)
	n, err := db.Count(ctx, origin)
	if err != nil {
		return err
	}
	var listed []time.Duration
	removing, removed := context.WithCancel(ctx)
	var listing sync.WaitGroup
	listing.Go(func() {
		for removing.Err() == nil {
			began := time.Now()
			_ = p.get(ctx, api.PathVideos, nil)
			listed = append(listed, time.Since(began))
			time.Sleep(5 * time.Millisecond)
		}
	})
	began := time.Now()
	err = catalog.New(db, network.Host("here.example"), 0).ForgetAll(ctx, origin)
	took := time.Since(began)
	removed()
	listing.Wait()
	if err != nil {
		return err
	}
	gone, err := p.until(ctx, func() bool {
		var page api.SearchPage
		return p.get(ctx, api.PathSearch+"?q=origin:"+string(origin), &page) == nil && len(page.Videos) == 0 && page.Cursor == ""
	})
	if err != nil {
		return err
	}
	slow, command := s.slowest(ctx)
	fmt.Printf("%-40s %d videos in %.1f s, %.0f videos/s; longest command %.1f ms (%s); search forgot them %.1f s later\n", "remove an origin",
		n, took.Seconds(), float64(n)/took.Seconds(), slow, command, (gone - began.Add(took).Sub(p.began)).Seconds())
	fmt.Printf("  %-34s %s\n", "list: newest, meanwhile", quantiles(listed))
	return nil
}

// loadPlain is what somebody would write in an afternoon.
func loadPlain(ctx context.Context, o *indexing) error {
	dir := filepath.Join(o.dir, "plain")
	s, err := openStore(ctx, dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer s.close()
	_ = s.raw.ConfigSet(ctx, "hash-max-listpack-value", "64").Err() // as Redis comes
	var took time.Duration
	flush := func(some []video.Video) error {
		began := time.Now()
		_, err := s.raw.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, v := range some {
				f := v.Renditions[0]
				tags, _ := json.Marshal(v.Tags)
				pipe.HSet(ctx, "video:"+v.ID.String(), "origin", string(v.Origin), "revision", v.Revision, "name", v.Name, "description", v.Description, "uploader", v.Uploader,
					"tags", tags, "created", v.Created.UnixMilli(), "duration", v.Duration.Milliseconds(), "thumbnail", v.Thumbnail,
					"infoHash", f.InfoHash.String(), "size", f.Size, "width", f.Width, "height", f.Height, "mime", f.MIME, "fileName", f.FileName)
				pipe.ZAdd(ctx, "videos", redis.Z{Score: float64(v.Created.UnixMilli()), Member: v.ID.String()})
			}
			return nil
		})
		took += time.Since(began)
		return err
	}
	m := o.maker()
	var some []video.Video
	for i := range o.n {
		if some = append(some, m.Next()); len(some) == 500 || i == o.n-1 {
			if err := flush(some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	fmt.Printf("%-40s %6.1f s, %.0f videos/s\n", "plain: load", took.Seconds(), float64(o.n)/took.Seconds())
	s.weigh(ctx, "plain", dir)
	var listed []time.Duration
	for range o.each {
		began := time.Now()
		ids, err := s.raw.ZRangeArgs(ctx, redis.ZRangeArgs{Key: "videos", Start: 0, Stop: 23, Rev: true}).Result()
		if err != nil {
			return err
		}
		if _, err := s.raw.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, id := range ids {
				pipe.HGetAll(ctx, "video:"+id)
			}
			return nil
		}); err != nil {
			return err
		}
		listed = append(listed, time.Since(began))
	}
	fmt.Printf("  %-34s %s  (no HTTP, no filters, no cursor that stays right)\n", "plain: newest", quantiles(listed))
	return nil
}
