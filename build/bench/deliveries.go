package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/hibiken/asynq"
	"github.com/valyala/fasthttp"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/filestore"
	"kinopod/pod/friends"
	"kinopod/pod/inbox"
	"kinopod/pod/outbox"
	"kinopod/pod/redisproc"
	"kinopod/pod/redisstore"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Two pods that need no address.
const here, there network.Host = "here.example", "there.example"

// door is one pod's inbox with all that is behind it, on a Redis of its own.
type door struct {
	handle  fasthttp.RequestHandler
	take    func(context.Context, network.Host, []federation.Video) (int, error)
	key     *rsa.PrivateKey // of both pods
	catalog *catalog.Catalog
	close   func()
}

func newDoor(ctx context.Context, dir string) (*door, error) {
	quiet := slog.New(slog.DiscardHandler)
	redis, err := redisproc.Start(ctx, filepath.Join(dir, "redis"), quiet)
	if err != nil {
		return nil, err
	}
	db, err := redisstore.Open(ctx, redis.Addr(), quiet)
	if err != nil {
		return nil, err
	}
	files, err := filestore.Open(dir, filestore.Limits{})
	if err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return nil, err
	}
	jwk, err := json.Marshal(federation.Key{PublicKey: &key.PublicKey})
	if err != nil {
		return nil, err
	}
	list, videos := friends.New(db, here, 0, time.Now), catalog.New(db, here, 500_000)
	if _, err := list.Meet(ctx, there, friends.Card{Key: string(jwk), Protocol: federation.Speaks}, "0-0"); err != nil {
		return nil, err
	}
	if err := list.Repaired(ctx, there); err != nil {
		return nil, err
	}
	ring := func() federation.Ring { return federation.Ring{key} }
	out := outbox.New(outbox.Config{Host: here, Keys: ring, Log: quiet}, outbox.Parts{
		Friends: list, Log: db, Catalog: videos, Pictures: files, Redis: asynq.RedisClientOpt{Network: "unix", Addr: redis.Addr()},
	})
	in, err := inbox.New(inbox.Config{Host: here, Keys: ring, Log: quiet}, list, out, videos, db)
	if err != nil {
		return nil, err
	}
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	in.Mount(app)
	return &door{app.Handler(), out.Take, key, videos, func() {
		_ = out.Close()
		_ = db.Close()
		_ = redis.Close()
	}}, nil
}

// deliveries measures what one core of a pod receives of a friend: messages that it
// verifies, decrypts and stores. Beside it stands the same without the sealing.
func deliveries(ctx context.Context, args []string) error {
	messages := 400
	if err := flags("deliveries", args, func(f *flag.FlagSet) {
		f.IntVar(&messages, "messages", messages, "how many are received of each kind")
	}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := newDoor(ctx, dir)
	if err != nil {
		return err
	}
	defer d.close()
	fmt.Println("one core (GOMAXPROCS=1), RSA-3072, a private redis-server beside it; no network between")
	for _, events := range []int{1, 10, 100, 250} {
		n := max(messages/events, 20)
		sealed, plain, err := d.batches(n, events)
		if err != nil {
			return err
		}
		before := runtime.GOMAXPROCS(1)
		took, cpu, err := timed(func() error { return d.post(sealed) })
		took2, cpu2, err2 := timed(func() error { return d.plain(ctx, plain) })
		runtime.GOMAXPROCS(before)
		if err != nil || err2 != nil {
			return fmt.Errorf("receive: %v, %v", err, err2)
		}
		per := func(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
		fmt.Printf("  %3d events of %5d bytes: %5.0f deliveries/s, %6.0f videos/s (%6.0f a CPU second of the pod); not sealed %5.0f deliveries/s, %6.0f videos/s: sealed takes %.2f times as long\n",
			events, len(sealed[0]), per(n, took), per(n*events, took), per(n*events, cpu), per(n, took2), per(n*events, took2), took.Seconds()/took2.Seconds())
		_ = cpu2
	}
	return nil
}

// batches are n messages of some events each, sealed, and their bodies for once more
// with other videos.
func (d *door) batches(n, events int) (sealed, plain [][]byte, err error) {
	for range n {
		for _, to := range []*[][]byte{&sealed, &plain} {
			b := federation.Batch{}
			for i := range events {
				v := federation.VideoOf(someVideo(there, i))
				b.Events = append(b.Events, federation.Event{Kind: federation.VideoPut, Video: &v})
			}
			body, err := json.Marshal(b)
			if err != nil {
				return nil, nil, err
			}
			if to == &sealed {
				h := federation.Header{From: there, To: here, Path: federation.PathEvents, Version: 1, Time: time.Now().UnixMilli(), ID: federation.NewMessageID()}
				if body, err = federation.Seal(h, d.key, &d.key.PublicKey, body); err != nil {
					return nil, nil, err
				}
			}
			*to = append(*to, body)
		}
	}
	return sealed, plain, nil
}

// post gives messages to the inbox as the server does.
func (d *door) post(messages [][]byte) error {
	for _, m := range messages {
		var c fasthttp.RequestCtx
		c.Request.Header.SetMethod(http.MethodPost)
		c.Request.SetRequestURI(federation.PathEvents)
		c.Request.SetBody(m)
		d.handle(&c)
		if got := c.Response.StatusCode(); got != http.StatusNoContent {
			return fmt.Errorf("the answer is %d %s", got, c.Response.Body())
		}
	}
	return nil
}

// plain does with bodies what the inbox does with what it has opened.
func (d *door) plain(ctx context.Context, bodies [][]byte) error {
	for _, body := range bodies {
		b, err := federation.ParseBatch(bytes.Clone(body))
		if err != nil {
			return err
		}
		videos := make([]federation.Video, len(b.Events))
		for i, e := range b.Events {
			videos[i] = *e.Video
		}
		if _, err := d.take(ctx, there, videos); err != nil {
			return err
		}
	}
	return nil
}

// timed says how long f takes, and how much of the processor it has of this process.
func timed(f func() error) (took, cpu time.Duration, err error) {
	began, used := time.Now(), ownCPU()
	err = f()
	return time.Since(began), ownCPU() - used, err
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// someVideo is a video as most are, without a picture: nobody has it.
func someVideo(origin network.Host, n int) video.Video {
	v := video.Video{
		ID: video.NewID(origin), Origin: origin, Revision: time.Now().UnixMilli(), Name: fmt.Sprintf("A walk along the river, part %d", n),
		Description: "Two hours by foot from the spring to the mill, with the birds that live there.", Uploader: fmt.Sprintf("walker%d", n%50),
		Tags: []string{"walk", "river", "birds"}, Created: time.Now().Add(-time.Duration(n) * time.Minute), Duration: 12 * time.Minute,
		Renditions: []video.Rendition{{Size: 180 << 20, Width: 1280, Height: 720, MIME: video.MP4, FileName: "walk.mp4"}},
	}
	_, _ = rand.Read(v.Renditions[0].InfoHash[:])
	return v
}
