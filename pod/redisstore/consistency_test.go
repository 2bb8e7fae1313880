package redisstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

// types is what keys.go says, by how a key begins.
var types = []struct{ prefix, kind string }{
	{"v:next", "string"},
	{"v:", "hash"},
	{"id:", "hash"},
	{"ih:", "hash"},
	{"th:", "hash"},
	{"new", "zset"},
	{"p:", "set"},
	{"n:", "hash"},
	{"trend", "zset"},
	{"views:at", "zset"},
	{"views:", "hash"},
	{"gone", "zset"},
	{"unused:files", "zset"},
	{"unused:thumbs", "zset"},
	{"users", "hash"},
	{"setup", "string"},
	{"invite:", "string"},
	{"s:", "string"},
	{"us:", "zset"},
	{"q:", "hash"},
	{"friends", "hash"},
	{"fed:log", "stream"},
	{"idx:ev", "stream"},
	{"idx:of", "string"},
	{"fed:seen:", "string"},
}

// check reads the whole database and fails the test where its parts do not agree:
// each video in each index, nothing else there, and no file to delete that is needed.
func check(t testing.TB, db *DB) (listed map[video.ID]video.Video) {
	t.Helper()
	ctx := t.Context()
	listed = map[video.ID]video.Video{}
	entries, members := 0, map[string]int64{}
	keys, err := db.redis.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		i := slices.IndexFunc(types, func(k struct{ prefix, kind string }) bool { return strings.HasPrefix(key, k.prefix) })
		if kind := db.redis.Type(ctx, key).Val(); i < 0 || kind != types[i].kind {
			t.Errorf("key %q is a %s", key, kind)
		}
		switch begin, _, _ := strings.Cut(key, ":"); begin {
		case keyNewest():
			members[begin] += db.redis.ZCard(ctx, key).Val()
		case "p":
			members[begin] += db.redis.SCard(ctx, key).Val()
		case "id", "ih", "th":
			for _, locals := range db.redis.HVals(ctx, key).Val() {
				entries += len(parseLocals(locals))
			}
		case "v":
			if key == keyVideoNext() {
				continue
			}
			for field, record := range db.redis.HGetAll(ctx, key).Val() {
				v, err := decodeVideo(record)
				if err != nil {
					t.Fatal(err)
				}
				if _, twice := listed[v.ID]; twice {
					t.Errorf("video %s is there twice", v.ID)
				}
				listed[v.ID] = v
				entries -= len(refsOf(&v))
				checkIndexed(t, db, key, field, v)
			}
		}
	}
	for name, n := range members {
		if int(n) != len(listed) {
			t.Errorf("%d members of %s, %d videos", n, name, len(listed))
		}
	}
	if entries != 0 {
		t.Errorf("%d entries more than videos have", entries)
	}
	checkUnused(t, db, listed)
	return listed
}

func checkIndexed(t testing.TB, db *DB, key, field string, v video.Video) {
	t.Helper()
	ctx := t.Context()
	var hundred, rest uint32
	_, _ = fmt.Sscanf(key+" "+field, "v:%d %d", &hundred, &rest)
	local := hundred*videosAHash + rest
	score := float64(v.Created.UnixMilli())
	if got, err := db.redis.ZScore(ctx, keyNewest(), string(binary.BigEndian.AppendUint32(nil, local))).Result(); err != nil || got != score {
		t.Errorf("%s in the list: %v, %v", v.ID, got, err)
	}
	if ok := db.redis.SIsMember(ctx, keyOrigin(v.Origin), local).Val(); !ok {
		t.Errorf("%s is not among the videos of its origin", v.ID)
	}
	for _, r := range refsOf(&v) {
		if locals := db.redis.HGet(ctx, r.key, r.field).Val(); !slices.Contains(parseLocals(locals), local) {
			t.Errorf("%s is not in %s: %q", v.ID, r.key, locals)
		}
	}
	if db.redis.ZScore(ctx, keyGone(), string(v.ID[:])).Err() == nil {
		t.Errorf("%s is listed and withdrawn", v.ID)
	}
}

func checkUnused(t testing.TB, db *DB, listed map[video.ID]video.Video) {
	t.Helper()
	files, err := db.Withdrawn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	thumbnails, err := db.UnusedThumbnails(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range listed {
		if slices.Contains(thumbnails, v.Thumbnail) {
			t.Errorf("thumbnail of %s is to be deleted", v.ID)
		}
		for _, r := range v.Renditions {
			if slices.Contains(files, r.InfoHash) {
				t.Errorf("file of %s is to be deleted", v.ID)
			}
		}
	}
}

// TestKilledInTheMiddle kills Redis again and again while videos are added, edited
// and withdrawn. Nothing that was answered is lost, nothing is half there.
func TestKilledInTheMiddle(t *testing.T) {
	s := startServer(t)
	db := open(t, s.socket())
	var mu sync.Mutex
	want := map[video.ID]bool{} // listed or not, of what was answered
	files := map[magnet.InfoHash]bool{}
	shared := catalogtest.NewVideo(0).Renditions // by many videos
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	work := func() {
		for ctx.Err() == nil {
			v := catalogtest.NewVideo(rand.IntN(1000))
			if rand.IntN(4) == 0 {
				v.Renditions[1] = shared[rand.IntN(2)]
			}
			_, err := db.Add(ctx, v)
			if err == nil {
				mu.Lock()
				want[v.ID] = true
				mu.Unlock()
				_, _ = db.Update(ctx, v.ID, func(v *video.Video) error {
					v.Thumbnail = catalogtest.NewVideo(0).Thumbnail
					return nil
				})
			}
			if err != nil || rand.IntN(2) == 0 {
				continue
			}
			mu.Lock()
			delete(want, v.ID) // open until it is answered
			mu.Unlock()
			if _, err := db.Withdraw(ctx, v.ID, anyone); err == nil {
				mu.Lock()
				want[v.ID] = false
				files[v.Renditions[0].InfoHash] = true
				mu.Unlock()
			}
		}
	}
	for range 6 {
		wg.Go(work)
	}
	proof := func() (listed, withdrawn int) {
		mu.Lock()
		defer mu.Unlock()
		return len(want) - len(files), len(files)
	}
	for kills := 0; kills < 60; kills++ { // a busy machine gets little done between two
		if listed, withdrawn := proof(); kills >= 6 && listed > 20 && withdrawn > 20 {
			break
		}
		time.Sleep(time.Duration(100+rand.IntN(200)) * time.Millisecond)
		s.kill()
		s.start(t)
	}
	time.Sleep(100 * time.Millisecond)
	stop()
	wg.Wait()
	s.kill()
	s.start(t)
	if err := db.waitReady(t.Context()); err != nil {
		t.Fatal(err)
	}

	listed := check(t, db)
	for id, there := range want {
		if _, ok := listed[id]; ok != there {
			t.Errorf("video %s is listed: %v, answered was %v", id, ok, there)
		}
	}
	unused, err := db.Withdrawn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for h := range files {
		if !slices.Contains(unused, h) {
			t.Errorf("file %s of a withdrawn video is not to be deleted", h)
		}
	}
	if len(listed) < 20 || len(files) < 20 {
		t.Errorf("%d videos and %d withdrawn files prove little", len(listed), len(files))
	}
}

// TestCompact: the encodings that a million videos are paid with (facts.md).
func TestCompact(t *testing.T) {
	db := open(t, startServer(t).socket())
	var v video.Video
	for i := range 200 {
		v = catalogtest.NewVideo(i)
		if _, err := db.Add(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	record, err := encodeVideo(&v)
	if err != nil || len(record) > 350 {
		t.Errorf("a record has %d bytes, %v", len(record), err)
	}
	idKey, _ := keyID(v.ID[:])
	ihKey, _ := keyInfoHash(v.Renditions[0].InfoHash[:])
	for key, want := range map[string]string{"v:1": "listpack", idKey: "listpack", ihKey: "listpack", keyOrigin(v.Origin): "intset"} {
		if got := db.redis.ObjectEncoding(t.Context(), key).Val(); got != want {
			t.Errorf("%s is a %s, want %s", key, got, want)
		}
	}
	if n := db.redis.HLen(t.Context(), "v:1").Val(); n != videosAHash {
		t.Errorf("%d videos in a hash", n)
	}
}

func TestWithdrawnAreForgottenInTime(t *testing.T) {
	db := open(t, startServer(t).socket())
	old, recent := catalogtest.NewVideo(1), catalogtest.NewVideo(2)
	for _, v := range []video.Video{old, recent} {
		if _, err := db.Add(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Withdraw(t.Context(), v.ID, anyone); err != nil {
			t.Fatal(err)
		}
		if v.ID == old.ID {
			if err := db.redis.Do(t.Context(), "ZADD", keyGone(), millis(time.Now().Add(-goneFor-time.Hour)), v.ID[:]).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if added, err := db.Add(t.Context(), old); !added || err != nil {
		t.Errorf("long ago: %v, %v", added, err)
	}
	if _, err := db.Add(t.Context(), recent); err != catalog.ErrWithdrawn {
		t.Errorf("just now: %v", err)
	}
}
