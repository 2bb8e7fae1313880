package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

const friendly = network.Host("friend.example:8443")

func friendOf(t testing.TB, db *DB, h network.Host) friends.Friend {
	t.Helper()
	all, err := db.Friends(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(f friends.Friend) bool { return f.Host == h })
	if i < 0 {
		return friends.Friend{}
	}
	return all[i]
}

func TestChangeFriend(t *testing.T) {
	db := open(t, startServer(t).socket())
	ctx := t.Context()
	full := friends.Friend{
		Host: friendly, State: network.Revoked, Name: "Ein „Name“ <b>", Key: `{"kty":"RSA"}`, Score: 70, Secure: true, Protocol: network.Versions{Min: 1, Max: 3, SwitchAt: 7},
		Since: at, ByUs: true, Until: at.Add(time.Hour), Cursor: "1-2", Attempts: 3, LastSuccess: at, LastFailure: at, Problem: "x\ny", Repaired: at,
	}
	got, err := db.ChangeFriend(ctx, friendly, func(f *friends.Friend) error {
		if *f != (friends.Friend{Host: friendly}) {
			t.Errorf("a new one is %+v", f)
		}
		*f = full
		return nil
	})
	if err != nil || got != full || friendOf(t, db, friendly) != full {
		t.Fatalf("%+v, %+v, %v", got, friendOf(t, db, friendly), err)
	}
	got, err = db.ChangeFriend(ctx, friendly, func(f *friends.Friend) error {
		if *f != full {
			t.Errorf("%+v, want %+v", f, full)
		}
		f.Score = 80
		return nil
	})
	if want := full; err != nil || got.Score != 80 || friendOf(t, db, friendly).Score != 80 {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	oops := errors.New("oops")
	if _, err := db.ChangeFriend(ctx, friendly, func(f *friends.Friend) error { f.Score = 0; return oops }); !errors.Is(err, oops) || friendOf(t, db, friendly).Score != 80 {
		t.Errorf("after an error: %v, %+v", err, friendOf(t, db, friendly))
	}
	record := db.redis.HGet(ctx, keyFriends(), string(friendly)).Val()
	if _, err := db.ChangeFriend(ctx, friendly, func(*friends.Friend) error { return nil }); err != nil || db.redis.HGet(ctx, keyFriends(), string(friendly)).Val() != record {
		t.Errorf("nothing was to change: %v", err)
	}
	if _, err := db.ChangeFriend(ctx, "new.example", func(*friends.Friend) error { return oops }); !errors.Is(err, oops) {
		t.Error(err)
	}
	if _, err := db.ChangeFriend(ctx, "new.example", func(*friends.Friend) error { return nil }); err != nil {
		t.Error(err)
	}
	if all, err := db.Friends(ctx); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := db.ChangeFriend(ctx, friendly, func(f *friends.Friend) error { f.State = ""; return nil }); err != nil {
		t.Error(err)
	}
	if all, err := db.Friends(ctx); err != nil || len(all) != 0 {
		t.Errorf("after the end: %+v, %v", all, err)
	}
	if err := db.redis.HSet(ctx, keyFriends(), string(friendly), "no JSON").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Friends(ctx); !errors.Is(err, errRecord) {
		t.Error(err)
	}
	if _, err := db.ChangeFriend(ctx, friendly, func(*friends.Friend) error { return nil }); !errors.Is(err, errRecord) {
		t.Error(err)
	}
}

// TestChangeFriendInARace: several processes change one pod in the same way at the same
// time, and nothing is lost.
func TestChangeFriendInARace(t *testing.T) {
	db := open(t, startServer(t).socket())
	one := func() {
		if _, err := db.ChangeFriend(t.Context(), friendly, func(f *friends.Friend) error {
			f.State = network.Friend
			f.Score++
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				one()
			}
		})
	}
	all.Wait()
	if f := friendOf(t, db, friendly); f.Score != 8*25 {
		t.Errorf("a score of %d after %d changes", f.Score, 8*25)
	}
	check(t, db)
}

// TestScoreInARace: a thousand deliveries end at the same time, and each counts.
func TestScoreInARace(t *testing.T) {
	db := open(t, startServer(t).socket())
	now := time.Now()
	l := friends.New(db, "us.example", 1_000_000, func() time.Time { return now }) // the same for all: records look alike
	if _, err := l.Meet(t.Context(), friendly, friends.Card{Key: "key"}, "1-1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // a few seconds, on a busy machine more
	defer cancel()
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			var err error
			if i < 900 {
				err = l.Delivered(ctx, friendly, "2-2", true)
			} else {
				_, _, err = l.Failed(ctx, friendly, "x")
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// An attempt that failed costs when eleven fail in a row, and any that succeeds begins anew.
	f := friendOf(t, db, friendly)
	if highest := network.StartScore + 900*network.ScoreStep; f.Score > highest || f.Score < highest-100/friends.Tries*network.ScoreStep {
		t.Errorf("a score of %d, want %d or a little less", f.Score, highest)
	}
	before := f.Score
	for range 1000 {
		all.Go(func() {
			if err := l.Delivered(ctx, friendly, "3-3", true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if f := friendOf(t, db, friendly); f.Score != before+1000*network.ScoreStep || f.Cursor != "3-3" || f.Attempts != 0 {
		t.Errorf("%+v, want a score of %d", f, before+1000*network.ScoreStep)
	}
	for range 1100 {
		all.Go(func() {
			if _, _, err := l.Failed(ctx, friendly, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if f := friendOf(t, db, friendly); f.Score != before+900*network.ScoreStep || f.Attempts != 1100 {
		t.Errorf("%+v, want a score of %d", f, before+900*network.ScoreStep)
	}
}

// positions are the places of changes, oldest first.
func positions(changes []catalog.Change) (out []string) {
	for _, c := range changes {
		out = append(out, c.Position)
	}
	return out
}

func TestChanges(t *testing.T) {
	db := open(t, startServer(t).socket())
	ctx := t.Context()
	begin, err := db.LastChange(ctx)
	if err != nil || begin == "" {
		t.Fatal(begin, err)
	}
	if again, err := db.LastChange(ctx); again != begin || err != nil {
		t.Errorf("an empty log ends at %s, then at %s, %v", begin, again, err)
	}
	if changes, lost, err := db.Changes(ctx, begin, 10); len(changes) > 0 || lost || err != nil {
		t.Errorf("nothing happened: %v, %v, %v", changes, lost, err)
	}
	var want []video.ID
	var all []video.Video
	for i := range 5 {
		v := catalogtest.NewVideo(i)
		if _, err := db.Add(ctx, v); err != nil {
			t.Fatal(err)
		}
		want, all = append(want, v.ID), append(all, v)
	}
	if _, err := db.Update(ctx, all[0].ID, func(v *video.Video) error { v.Name = "New"; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(ctx, all[0].ID, func(*video.Video) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Withdraw(ctx, all[1].ID, anyone); err != nil {
		t.Fatal(err)
	}
	want = append(want, all[0].ID, all[1].ID)
	foreign := catalogtest.NewVideo(9)
	foreign.ID, foreign.Origin = video.NewID(friendly), friendly
	if _, err := db.Take(ctx, foreign); err != nil { // is not ours to tell
		t.Fatal(err)
	}
	if err := db.Drop(ctx, friendly, foreign.ID, true); err != nil {
		t.Fatal(err)
	}
	changes, lost, err := db.Changes(ctx, begin, 100)
	var got []video.ID
	for _, c := range changes {
		got = append(got, c.ID)
	}
	if err != nil || lost || !slices.Equal(got, want) {
		t.Fatalf("%v, %v, %v; want %v", got, lost, err, want)
	}
	last, err := db.LastChange(ctx)
	if err != nil || last != changes[len(changes)-1].Position {
		t.Errorf("the last is %s, %v", last, err)
	}
	// In parts, one after the other.
	var parts []string
	for cursor := begin; ; {
		some, lost, err := db.Changes(ctx, cursor, 3)
		if err != nil || lost || len(some) > 3 {
			t.Fatal(some, lost, err)
		}
		if len(some) == 0 {
			break
		}
		parts = append(parts, positions(some)...)
		cursor = some[len(some)-1].Position
	}
	if !slices.Equal(parts, positions(changes)) {
		t.Errorf("in parts %v", parts)
	}
	// What the log does not know any more, or never knew.
	if err := db.redis.XTrimMaxLen(ctx, keyLog(), 3).Err(); err != nil {
		t.Fatal(err)
	}
	for name, after := range map[string]string{"before what is known": begin, "just cut off": changes[3].Position, "of another log": "99999999999999-0", "the beginning of time": "0-0", "between two": "1-1"} {
		if _, lost, err := db.Changes(ctx, after, 2); err != nil || !lost {
			t.Errorf("%s: lost %v, %v", name, lost, err)
		}
	}
	if some, lost, err := db.Changes(ctx, changes[4].Position, 10); err != nil || lost || len(some) != 2 {
		t.Errorf("the oldest that is known: %v, %v, %v", some, lost, err)
	}
	if err := db.redis.Del(ctx, keyLog()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, lost, err := db.Changes(ctx, last, 10); err != nil || !lost {
		t.Errorf("the log is gone: lost %v, %v", lost, err)
	}
	if anew, err := db.LastChange(ctx); err != nil || anew == last {
		t.Errorf("a new log begins at %s, %v", anew, err)
	}
}

// TestLogIsBounded: it forgets the oldest, and grows no further.
func TestLogIsBounded(t *testing.T) {
	db := open(t, startServer(t).socket())
	ctx := t.Context()
	first, err := db.LastChange(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for done := 0; done < logMost+5000; done += 5000 {
		if _, err := db.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
			for range 5000 {
				p.XAdd(ctx, &redis.XAddArgs{Stream: keyLog(), Values: []any{"v", "0123456789abcdef"}})
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Add(ctx, catalogtest.NewVideo(1)); err != nil {
		t.Fatal(err)
	}
	if n := db.redis.XLen(ctx, keyLog()).Val(); n > logMost+200 || n < logMost-200 {
		t.Errorf("%d changes are known", n)
	}
	if _, lost, err := db.Changes(ctx, first, 10); err != nil || !lost {
		t.Errorf("lost %v, %v", lost, err)
	}
}

func TestAwaitChange(t *testing.T) {
	db := open(t, startServer(t).socket())
	last, err := db.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A change of a friend's video is none, one of ours is: it is noticed when it happens,
	// and not when the time is over. The best of some tries says so on a busy machine too.
	best, first := changeWait, last
	for i := 0; i < 5 && best > changeWait/2; i++ {
		done := make(chan error, 1)
		go func() { done <- db.AwaitChange(t.Context(), last) }()
		time.Sleep(50 * time.Millisecond)
		if _, err := db.Add(t.Context(), catalogtest.NewVideo(1+i)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		best = min(best, time.Since(began))
		if last, err = db.LastChange(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if best > changeWait/2 {
		t.Errorf("it is noticed after %v", best)
	}
	if err := db.AwaitChange(t.Context(), first); err != nil { // it happened before
		t.Error(err)
	}
	if err := db.AwaitChange(t.Context(), last); err != nil { // nothing happens
		t.Error(err)
	}
	// The end of ctx is the end of it, and not when the time is over.
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := db.AwaitChange(ctx, last); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx: %v", err)
	}
}

func TestFirstMessage(t *testing.T) {
	db := open(t, startServer(t).socket())
	ctx := t.Context()
	first := func(h network.Host, id string, until time.Time) bool {
		t.Helper()
		fresh, err := db.FirstMessage(ctx, h, id, until)
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	until := time.Now().Add(10 * time.Minute)
	if !first(friendly, "a", until) || first(friendly, "a", until) || first(friendly, "a", until.Add(time.Hour)) {
		t.Error("a message comes twice")
	}
	if !first(friendly, "b", until) || !first("other.example", "a", until) {
		t.Error("one message hides another")
	}
	if left := db.redis.TTL(ctx, keySeen(friendly, "a")).Val(); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("it is known for %v", left)
	}
	soon := time.Now().Add(2 * time.Second)
	if !first(friendly, "c", soon) {
		t.Error("not new")
	}
	for end := time.Now().Add(time.Minute); db.redis.Exists(ctx, keySeen(friendly, "c")).Val() == 1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is known for ever")
		}
	}
	check(t, db)
	// One of many that come at the same time is the first.
	var mu sync.Mutex
	var all sync.WaitGroup
	n := 0
	for range 50 {
		all.Go(func() {
			fresh, err := db.FirstMessage(ctx, friendly, "d", until)
			mu.Lock()
			defer mu.Unlock()
			if fresh {
				n++
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n != 1 {
		t.Errorf("%d were the first", n)
	}
}

func TestVersions(t *testing.T) {
	db := open(t, startServer(t).socket())
	ctx := t.Context()
	var ids []video.ID
	for i := range 300 {
		v := catalogtest.NewVideo(i)
		if _, err := db.Add(ctx, v); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, v.ID)
	}
	if _, err := db.Update(ctx, ids[1], func(v *video.Video) error { v.Name = "New"; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Withdraw(ctx, ids[2], anyone); err != nil {
		t.Fatal(err)
	}
	// Another pod may draw an id that begins as one of ours.
	alike := catalogtest.NewVideo(7)
	alike.ID, alike.Origin = video.NewID(friendly), friendly
	copy(alike.ID[:refPrefix], ids[0][:refPrefix])
	if _, err := db.Take(ctx, alike); err != nil {
		t.Fatal(err)
	}
	found, err := db.Versions(ctx, append(slices.Clone(ids), video.NewID("pod.example")))
	if err != nil || len(found) != 299 {
		t.Fatalf("%d videos, %v", len(found), err)
	}
	seen := map[video.ID]string{}
	for _, v := range found {
		if _, twice := seen[v.ID]; twice {
			t.Errorf("%s comes twice", v.ID)
		}
		seen[v.ID] = v.Name
	}
	if seen[ids[1]] != "New" || seen[ids[2]] != "" || seen[ids[3]] != "Video 3" {
		t.Errorf("%q, %q, %q", seen[ids[1]], seen[ids[2]], seen[ids[3]])
	}
	if none, err := db.Versions(ctx, nil); err != nil || len(none) > 0 {
		t.Errorf("of nothing: %v, %v", none, err)
	}
}

// TestFriendsOutage: what a pod does with others fails as unavailable while Redis is gone.
func TestFriendsOutage(t *testing.T) {
	s := startServer(t)
	db := open(t, s.socket())
	last, err := db.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.kill()
	ctx := t.Context()
	var all sync.WaitGroup
	for name, call := range map[string]func() error{
		"Friends": func() error { _, err := db.Friends(ctx); return err },
		"ChangeFriend": func() error {
			_, err := db.ChangeFriend(ctx, friendly, func(*friends.Friend) error { return nil })
			return err
		},
		"LastChange":  func() error { _, err := db.LastChange(ctx); return err },
		"Changes":     func() error { _, _, err := db.Changes(ctx, last, 1); return err },
		"AwaitChange": func() error { return db.AwaitChange(ctx, last) },
		"FirstMessage": func() error {
			fresh, err := db.FirstMessage(ctx, friendly, "a", time.Now().Add(time.Hour))
			if fresh {
				return fmt.Errorf("it is new: %w", err)
			}
			return err
		},
		"Versions": func() error { _, err := db.Versions(ctx, []video.ID{video.NewID(friendly)}); return err },
	} {
		all.Go(func() {
			if err := call(); !api.Is(err, api.CodeUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
	s.start(t)
	if err := db.waitReady(ctx); err != nil {
		t.Error(err)
	}
}

// TestCrowded: one friend that gives all of its videos the same picture makes nothing
// slow: so many are found by it, and the others are not taken.
func TestCrowded(t *testing.T) {
	db := open(t, startServer(t).socket())
	var videos []video.Video
	for i := range 2 * mostLocals {
		v := catalogtest.NewVideo(i)
		v.ID, v.Origin = video.NewID("other.example"), "other.example"
		v.Thumbnail = strings.Repeat("ab", 32)
		videos = append(videos, v)
	}
	outcomes, err := db.Take(t.Context(), videos...)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range outcomes {
		if want := map[bool]catalog.Outcome{true: catalog.Taken, false: catalog.Full}[i < mostLocals]; got != want {
			t.Fatalf("video %d: %v, want %v", i, got, want)
		}
	}
	changed := videos[0]
	changed.Name, changed.Revision = "It has its place already", changed.Revision+1
	if outcomes, err := db.Take(t.Context(), changed); err != nil || outcomes[0] != catalog.Taken {
		t.Errorf("a change of one of them: %v, %v", outcomes, err)
	}
}
