package redisstore

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// TestKilledInBulk kills Redis again and again while friends' videos come and go by the
// hundred. What was answered is there, nothing is half there, and who follows events knows
// just what is listed.
func TestKilledInBulk(t *testing.T) {
	s := startServer(t)
	db := open(t, s.socket())
	position, err := db.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, db: db, position: position, videos: map[uint32]video.Video{}}
	const stays, goes = network.Host("stays.example"), network.Host("goes.example")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	taken := map[video.ID]bool{}
	dropped := 0
	some := func(origin network.Host) []video.Video {
		videos := make([]video.Video, 300)
		for i := range videos {
			v := catalogtest.NewVideo(rand.IntN(100_000))
			v.ID, v.Origin = video.NewID(origin), origin
			if i%20 == 0 { // a picture that many have
				v.Thumbnail = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			}
			videos[i] = v
		}
		return videos
	}
	var wg sync.WaitGroup
	wg.Go(func() { // a bulk load
		for ctx.Err() == nil {
			videos := some(stays)
			outcomes, err := db.Take(ctx, videos...)
			if err != nil {
				continue
			}
			mu.Lock()
			for i, o := range outcomes {
				if o == catalog.Taken {
					taken[videos[i].ID] = true
				} else if o != catalog.Full {
					t.Errorf("a new video: %d", o)
				}
			}
			mu.Unlock()
		}
	})
	wg.Go(func() { // and a removal
		for ctx.Err() == nil {
			if _, err := db.Take(ctx, some(goes)...); err != nil {
				continue
			}
			for {
				n, err := db.DropSome(ctx, goes, 200)
				mu.Lock()
				dropped += n
				mu.Unlock()
				if err != nil || n == 0 {
					break
				}
			}
		}
	})
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(taken) > 500 && dropped > 100
	}
	for kills := 0; kills < 200 && (kills < 6 || !enough()); kills++ {
		time.Sleep(time.Duration(50+rand.IntN(150)) * time.Millisecond)
		s.kill()
		s.start(t)
	}
	stop()
	wg.Wait()
	s.kill()
	s.start(t)
	if err := db.waitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wantSame("after all")
	listed := check(t, db)
	for id := range taken {
		if _, ok := listed[id]; !ok {
			t.Errorf("video %s was taken and is not listed", id)
		}
	}
	r, _, err := db.Check(t.Context(), "pod.example", false)
	if err != nil || r.Found != 0 || r.Videos != len(listed) {
		t.Errorf("%+v, %v", r, err)
	}
	for {
		n, err := db.DropSome(t.Context(), goes, 200)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if n, err := db.Count(t.Context(), goes); n != 0 || err != nil {
		t.Errorf("%d videos are left, %v", n, err)
	}
	f.wantSame("at the end")
	if !enough() {
		t.Errorf("%d videos taken and %d dropped prove little", len(taken), dropped)
	}
}
