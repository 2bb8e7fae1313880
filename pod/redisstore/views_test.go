package redisstore

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog/catalogtest"
	"kinopod/pod/federation"
	"kinopod/pod/views"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

const here = network.Host("pod.example")

// ofFriend is a video of another pod.
func ofFriend(n int) video.Video {
	v := catalogtest.NewVideo(n)
	v.Origin, v.ID = "friend.example", video.NewID("friend.example")
	return v
}

func addOwn(t *testing.T, db *DB, n int) video.Video {
	t.Helper()
	v := catalogtest.NewVideo(n)
	if _, err := db.Add(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	return v
}

func viewsOf(t *testing.T, db *DB, id video.ID) int64 {
	t.Helper()
	v, err := db.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v.Views
}

func TestViewsAreCounted(t *testing.T) {
	db := open(t, startServer(t).socket())
	v := addOwn(t, db, 1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				if err := db.CountView(t.Context(), here, v.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := viewsOf(t, db, v.ID); n != 200 {
		t.Errorf("%d views", n)
	}
	r, err := db.redis.ZScore(t.Context(), keyTrend(), string(member(1))).Result()
	if want := views.Weight(time.Now()) + math.Log2(200); err != nil || math.Abs(r-want) > 0.01 {
		t.Errorf("score %f, want %f, %v", r, want, err)
	}
	if err := db.CountView(t.Context(), here, video.NewID(here)); !errors.Is(err, views.ErrNotFound) {
		t.Errorf("of no video: %v", err)
	}
	check(t, db)
	if _, err := db.Withdraw(t.Context(), v.ID, func(*video.Video) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{keyTrend(), keyViewsChanged(), keyNumbers(1)} {
		if n := db.redis.Exists(t.Context(), key).Val(); n != 0 {
			t.Errorf("%s is left of a video that is gone", key)
		}
	}
}

// A friend's batch counts once, however often it comes, and up to what it may.
func TestTakeViews(t *testing.T) {
	s := startServer(t)
	db := open(t, s.socket())
	v, other, theirs := addOwn(t, db, 1), addOwn(t, db, 2), ofFriend(3)
	if _, err := db.Take(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	tell := func(from network.Host, batch int64, most int, counts ...federation.ViewCount) {
		t.Helper()
		if err := db.TakeViews(t.Context(), here, from, batch, counts, most); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, of video.Video, n int64) {
		t.Helper()
		if got := viewsOf(t, db, of.ID); got != n {
			t.Errorf("%s: %d views, want %d", what, got, n)
		}
	}
	for range 3 {
		tell("friend.example", 1000, 0, federation.ViewCount{ID: v.ID, Count: 5}, federation.ViewCount{ID: theirs.ID, Count: 9}, federation.ViewCount{ID: video.NewID(here), Count: 2})
	}
	want("one batch three times", v, 5)
	want("of a video that is not ours", theirs, 0)
	tell("friend.example", 999, 0, federation.ViewCount{ID: v.ID, Count: 5})
	want("an older batch", v, 5)
	tell("third.example", 999, 0, federation.ViewCount{ID: v.ID, Count: 5})
	want("another friend", v, 10)
	// 400 a day, 100 of one video.
	for i := range 10 {
		tell("liar.example", int64(i+1), 400, federation.ViewCount{ID: v.ID, Count: 1 << 50}, federation.ViewCount{ID: other.ID, Count: 30})
	}
	want("a friend that says too much", v, 110)
	want("the other video of it", other, 100)
	// Killed and started again, what was counted is, and comes no second time.
	s.kill()
	s.start(t)
	tell("friend.example", 1000, 0, federation.ViewCount{ID: v.ID, Count: 5})
	want("after a kill", v, 110)
	check(t, db)
}

func TestViewsToTell(t *testing.T) {
	db := open(t, startServer(t).socket())
	v, w := ofFriend(1), ofFriend(2)
	if _, err := db.Take(t.Context(), v, w); err != nil {
		t.Fatal(err)
	}
	if batch, _, err := db.ViewsToTell(t.Context(), "friend.example"); batch != 0 || err != nil {
		t.Fatalf("nothing to tell: batch %d, %v", batch, err)
	}
	count := func(id video.ID, n int) {
		t.Helper()
		for range n {
			if err := db.CountView(t.Context(), here, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	sumOf := func(counts []federation.ViewCount) (sum int64) {
		for _, c := range counts {
			sum += c.Count
		}
		return sum
	}
	count(v.ID, 3)
	first, counts, err := db.ViewsToTell(t.Context(), "friend.example")
	if err != nil || first == 0 || len(counts) != 1 || counts[0] != (federation.ViewCount{ID: v.ID, Count: 3}) {
		t.Fatalf("%d, %+v, %v", first, counts, err)
	}
	// Until it was taken it is the same, whatever comes meanwhile.
	count(v.ID, 1)
	count(w.ID, 2)
	if again, same, err := db.ViewsToTell(t.Context(), "friend.example"); err != nil || again != first || sumOf(same) != 3 {
		t.Fatalf("again: %d, %+v, %v", again, same, err)
	}
	// The origin has our three and four others; one of ours it does not know yet.
	if err := db.TakeTotals(t.Context(), "friend.example", first, []federation.ViewCount{{ID: v.ID, Count: 7}}, 0); err != nil {
		t.Fatal(err)
	}
	if n := viewsOf(t, db, v.ID); n != 8 {
		t.Errorf("%d views, want 7 of the origin and 1", n)
	}
	second, counts, err := db.ViewsToTell(t.Context(), "friend.example")
	if err != nil || second <= first || sumOf(counts) != 3 {
		t.Errorf("the next batch: %d after %d, %+v, %v", second, first, counts, err)
	}
	// Nobody else says how often it was watched.
	own := addOwn(t, db, 9)
	for _, from := range []network.Host{"third.example", "friend.example"} {
		if err := db.TakeTotals(t.Context(), from, 0, []federation.ViewCount{{ID: own.ID, Count: 1000}}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.TakeTotals(t.Context(), "third.example", 0, []federation.ViewCount{{ID: v.ID, Count: 1000}}, 0); err != nil {
		t.Fatal(err)
	}
	if a, b := viewsOf(t, db, own.ID), viewsOf(t, db, v.ID); a != 0 || b != 8 {
		t.Errorf("what is not theirs: %d and %d views", a, b)
	}
	check(t, db)
	for {
		if n, err := db.DropSome(t.Context(), "friend.example", 10); err != nil || n == 0 {
			break
		}
	}
	if n := db.redis.ZCard(t.Context(), keyTrend()).Val() + db.redis.HLen(t.Context(), keyNumbers(1)).Val(); n != 0 {
		t.Errorf("%d numbers are left of a friend that is gone", n)
	}
	if left := db.redis.Keys(t.Context(), "views:[no]*").Val(); len(left) != 0 {
		t.Errorf("%q is left of a friend that is gone", left)
	}
}

func TestViewTotals(t *testing.T) {
	db := open(t, startServer(t).socket())
	var all []video.Video
	for i := range 25 {
		v := addOwn(t, db, i)
		all = append(all, v)
		for range i % 3 {
			if err := db.CountView(t.Context(), here, v.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(after string, most int) (map[video.ID]int64, string) {
		t.Helper()
		seen := map[video.ID]int64{}
		for {
			totals, next, more, err := db.ViewTotals(t.Context(), after, most)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range totals {
				if _, twice := seen[c.ID]; twice {
					t.Errorf("%s twice", c.ID)
				}
				seen[c.ID] = c.Count
			}
			if after = next; !more {
				return seen, after
			}
		}
	}
	for _, most := range []int{1, 3, 100} {
		seen, end := read("", most)
		for i, v := range all {
			if seen[v.ID] != int64(i%3) {
				t.Errorf("pages of %d: %d views of %d", most, seen[v.ID], i)
			}
		}
		if some, _ := read(end, most); len(some) != 0 {
			t.Errorf("pages of %d: %d after the end", most, len(some))
		}
	}
	_, end := read("", 100)
	if err := db.CountView(t.Context(), here, all[4].ID); err != nil {
		t.Fatal(err)
	}
	if some, _ := read(end, 100); len(some) != 1 || some[all[4].ID] != 2 {
		t.Errorf("after one more view: %v", some)
	}
	for _, strange := range []string{"x", "-", "1-x", "99999999999999999999-1", "-1-1"} {
		if some, _ := read(strange, 100); len(some) != 16 {
			t.Errorf("from %q: %d", strange, len(some))
		}
	}
}

// What stays as it is comes once, whatever happens to the others.
func TestRankedWhileItChanges(t *testing.T) {
	db := open(t, startServer(t).socket())
	var all []video.Video
	for i := range 60 {
		v := addOwn(t, db, i)
		all = append(all, v)
		n := rand.IntN(4) + 1
		at := time.Now().Add(-time.Duration(rand.IntN(3)) * 24 * time.Hour).Truncate(24 * time.Hour) // many have the same score
		key, field := keyVideos(uint32(i + 1))
		if err := db.countOwn(t.Context(), at, "", 0, 0, []any{key, field, keyNumbers(uint32(i + 1)), member(uint32(i + 1)), n}); err != nil {
			t.Fatal(err)
		}
	}
	seen, moved := map[video.ID]int{}, map[video.ID]bool{}
	var at *views.Rank
	for {
		some, last, more, err := db.Ranked(t.Context(), "", at, 7)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range some {
			seen[r.ID]++
			if i > 0 && (r.At.Score > some[i-1].At.Score || r.At.Score == some[i-1].At.Score && r.At.Seq > some[i-1].At.Seq) {
				t.Errorf("out of order: %+v after %+v", r.At, some[i-1].At)
			}
		}
		if at = last; !more {
			break
		}
		for range 3 {
			v := all[rand.IntN(len(all))]
			moved[v.ID] = true
			if err := db.CountView(t.Context(), here, v.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, v := range all {
		if n := seen[v.ID]; n > 1 || n == 0 && !moved[v.ID] {
			t.Errorf("video %d came %d times (moved: %v)", i, n, moved[v.ID])
		}
	}
	check(t, db)
}

func TestRankedIsBounded(t *testing.T) {
	db := open(t, startServer(t).socket())
	for i := 0; i < rankedMost+500; i += 500 { // each is answered in time on a slow machine, too
		some := make([]redis.Z, 500)
		for k := range some {
			some[k] = redis.Z{Score: float64(i + k), Member: member(uint32(i + k + 10))}
		}
		if err := db.redis.ZAdd(t.Context(), keyTrend(), some...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	v := addOwn(t, db, 1)
	if err := db.CountView(t.Context(), here, v.ID); err != nil {
		t.Fatal(err)
	}
	if n := db.redis.ZCard(t.Context(), keyTrend()).Val(); n != rankedMost {
		t.Errorf("%d in the ranking", n)
	}
	if some, _, _, err := db.Ranked(t.Context(), here, nil, 1000); err != nil || len(some) != 0 && some[0].ID != v.ID {
		t.Errorf("%d, %v", len(some), err)
	}
}
