package redisstore

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// all lists everything, some at a time.
func all(t *testing.T, db *DB, l catalog.Listing) (ids []video.ID) {
	t.Helper()
	for {
		page, next, err := db.Page(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page {
			ids = append(ids, v.ID)
		}
		if next == nil {
			return ids
		}
		l.After = next
	}
}

// TestNewest lists videos of one moment, nearly, and others of any time, also before 1970:
// whatever the size of a page, each comes once, the newest first.
func TestNewest(t *testing.T) {
	db := open(t, startServer(t).socket())
	const origin = network.Host("friend.example")
	r := rand.New(rand.NewPCG(1, 1))
	var videos []video.Video
	for i := range 150 {
		v := catalogtest.NewVideo(i)
		v.ID, v.Origin = video.NewID(origin), origin
		switch {
		case i < 50: // the same moment, nearly
			v.Created = time.UnixMilli(1<<40 + r.Int64N(3)).UTC()
		case i < 100:
			v.Created = time.UnixMilli(r.Int64N(1<<41) - 1<<40).UTC()
		default: // around 1970
			v.Created = time.UnixMilli(r.Int64N(10) - 5).UTC()
		}
		videos = append(videos, v)
	}
	if _, err := db.Take(t.Context(), videos...); err != nil {
		t.Fatal(err)
	}
	locals := map[video.ID]uint32{}
	err := db.each(t.Context(), func(some []stored) error {
		for _, s := range some {
			locals[s.ID] = s.local
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(videos, func(a, b video.Video) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return int(locals[b.ID]) - int(locals[a.ID])
	})
	wanted := func() (ids []video.ID) {
		for _, v := range videos {
			ids = append(ids, v.ID)
		}
		return ids
	}
	for _, limit := range []int{1, 2, 7, 32, 50, 149, 150, 1000} {
		if got := all(t, db, catalog.Listing{Limit: limit}); !slices.Equal(got, wanted()) {
			t.Errorf("pages of %d: %d videos, not the %d in order", limit, len(got), len(videos))
		}
		if got := all(t, db, catalog.Listing{Limit: limit, Origin: origin}); !slices.Equal(got, wanted()) {
			t.Errorf("pages of %d of one origin: %d videos", limit, len(got))
		}
		if got := all(t, db, catalog.Listing{Limit: limit, Origin: origin, Uploader: "Anna"}); !slices.Equal(got, wanted()) {
			t.Errorf("pages of %d of one uploader: %d videos", limit, len(got))
		}
	}
	for len(videos) > 0 { // a place stays one when its video is gone
		page, next, err := db.Page(t.Context(), catalog.Listing{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page {
			if err := db.Drop(t.Context(), origin, v.ID, false); err != nil {
				t.Fatal(err)
			}
		}
		videos = videos[len(page):]
		if next == nil {
			break
		}
		if got := all(t, db, catalog.Listing{Limit: 7, After: next}); !slices.Equal(got, wanted()) {
			t.Fatalf("behind a place that is gone: %d videos of %d", len(got), len(videos))
		}
		check(t, db)
	}
	if n := db.redis.Exists(t.Context(), keyNewest()).Val(); n != 0 || len(videos) != 0 {
		t.Errorf("%d videos are left", len(videos))
	}
}

// TestOlderLists opens a catalogue of an earlier version, with stretches of the newest and lists
// of uploaders, and ends in the middle of it, with Redis, too: the next start goes on,
// everything is listed, and nothing of what was is left.
func TestOlderLists(t *testing.T) {
	s := startServer(t)
	db := open(t, s.socket())
	const n = 3*joinAtOnce + 10
	for i := 0; i < n; i += 250 {
		var videos []video.Video
		for k := range min(250, n-i) {
			v := catalogtest.NewVideo(i + k)
			v.ID, v.Origin = video.NewID("friend.example"), "friend.example"
			v.Created = v.Created.Add(time.Duration(i+k) * time.Minute)
			videos = append(videos, v)
		}
		if _, err := db.Take(t.Context(), videos...); err != nil {
			t.Fatal(err)
		}
	}
	want := all(t, db, catalog.Listing{Limit: 100})
	stretchOf := func(v *stored) int64 { // most are in one that is larger than a step
		if v.local <= n-100 {
			return -3
		}
		return v.Created.UnixMilli() >> 22
	}
	err := db.each(t.Context(), func(some []stored) error { // as it was
		for i := range some {
			v := &some[i]
			stretch := strconv.FormatInt(stretchOf(v), 10)
			listed := redis.Z{Score: float64(v.Created.UnixMilli()), Member: member(v.local)}
			for key, z := range map[string]redis.Z{
				keyStretches():          {Score: float64(stretchOf(v)), Member: stretch},
				prefixStretch + stretch: listed,
				"u:friend.example/anna": listed,
			} {
				if err := db.redis.ZAdd(t.Context(), key, z).Err(); err != nil {
					return err
				}
			}
		}
		return db.redis.Del(t.Context(), keyNewest()).Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := db.joinSome(t.Context()); left < 2 || err != nil || db.redis.ZCard(t.Context(), keyNewest()).Val() != joinAtOnce {
		t.Fatalf("%d stretches are left after a step, %v", left, err)
	}
	s.kill()
	s.start(t)
	db = open(t, s.socket())
	if got := all(t, db, catalog.Listing{Limit: 100}); len(want) != n || !slices.Equal(got, want) {
		t.Errorf("%d videos are listed, want %d in the same order", len(got), len(want))
	}
	check(t, db) // there is no key of a kind that keys.go does not know
	if r, _, err := db.Check(t.Context(), "pod.example", false); err != nil || r.Found != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
