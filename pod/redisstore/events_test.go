package redisstore

import (
	"slices"
	"strings"
	"testing"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

func TestSeqs(t *testing.T) {
	for _, seqs := range [][]uint32{nil, {1}, {7, 7}, {1, 2, 3, 300}, {0, 1<<32 - 1}} {
		if got := appendSeqs(nil, string(packSeqs(seqs))); !slices.Equal(got, seqs) {
			t.Errorf("%v reads as %v", seqs, got)
		}
	}
	if got := appendSeqs(nil, string(packSeqs([]uint32{9, 2, 5}))); !slices.Equal(got, []uint32{2, 5, 9}) {
		t.Errorf("without order: %v", got)
	}
	together := make([]uint32, 256)
	for i := range together {
		together[i] = 1_000_000 + uint32(i)
	}
	if n := len(packSeqs(together)); n > 260 {
		t.Errorf("%d bytes for 256 videos that came together", n)
	}
}

func FuzzSeqs(f *testing.F) {
	f.Add("")
	f.Add(string(packSeqs([]uint32{1, 2, 300, 1<<32 - 1})))
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, packed string) {
		seqs := appendSeqs(nil, packed)
		if !slices.IsSorted(seqs) {
			t.Fatalf("%x reads as %v", packed, seqs)
		}
		if again := appendSeqs(nil, string(packSeqs(seqs))); !slices.Equal(again, seqs) {
			t.Fatalf("%v was written and read as %v", seqs, again)
		}
	})
}

// follower reads events as an index does, and keeps what the catalogue says.
type follower struct {
	t        *testing.T
	db       *DB
	position string
	videos   map[uint32]video.Video
}

func (f *follower) catchUp() (lost bool) {
	f.t.Helper()
	for {
		seqs, last, lost, err := f.db.Events(f.t.Context(), f.position, 3)
		if err != nil {
			f.t.Fatal(err)
		}
		if lost || last == f.position {
			return lost
		}
		if last < f.position {
			f.t.Fatalf("position %q follows %q", last, f.position)
		}
		f.position = last
		for _, n := range seqs {
			delete(f.videos, n)
		}
		found, err := f.db.BySeq(f.t.Context(), seqs)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, v := range found {
			f.videos[v.Seq] = v.Video
		}
	}
}

// wantSame fails the test where the follower does not know just what is listed.
func (f *follower) wantSame(what string) {
	f.t.Helper()
	if lost := f.catchUp(); lost {
		f.t.Fatalf("%s: events are lost", what)
	}
	listed := check(f.t, f.db)
	if len(listed) != len(f.videos) {
		f.t.Errorf("%s: %d videos are listed, %d are known", what, len(listed), len(f.videos))
	}
	for _, v := range f.videos {
		if now := listed[v.ID]; now.Revision != v.Revision || now.Name != v.Name {
			f.t.Errorf("%s: %q is known, %q is listed", what, v.Name, now.Name)
		}
	}
}

// TestEvents does everything that changes the catalogue, and follows it.
func TestEvents(t *testing.T) {
	db := open(t, startServer(t).socket())
	ctx := t.Context()
	const theirs = network.Host("friend.example")
	position, err := db.LastEvent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, db: db, position: position, videos: map[uint32]video.Video{}}
	foreign := func(n int) video.Video {
		v := catalogtest.NewVideo(n)
		v.ID, v.Origin = video.NewID(theirs), theirs
		return v
	}
	var own, friends []video.Video
	for i := range 10 {
		v := catalogtest.NewVideo(i)
		if _, err := db.Add(ctx, v); err != nil {
			t.Fatal(err)
		}
		own, friends = append(own, v), append(friends, foreign(i))
	}
	f.wantSame("added")
	if _, err := db.Take(ctx, friends...); err != nil {
		t.Fatal(err)
	}
	f.wantSame("taken")
	if _, err := db.Update(ctx, own[0].ID, func(v *video.Video) error { v.Name = "another"; return nil }); err != nil {
		t.Fatal(err)
	}
	friends[0].Revision, friends[0].Name = friends[0].Revision+1, "another of theirs"
	if _, err := db.Take(ctx, friends[:1]...); err != nil {
		t.Fatal(err)
	}
	f.wantSame("changed")
	if _, err := db.Withdraw(ctx, own[1].ID, anyone); err != nil {
		t.Fatal(err)
	}
	if err := db.Drop(ctx, theirs, friends[1].ID, true); err != nil {
		t.Fatal(err)
	}
	f.wantSame("taken out")
	if _, err := db.DropSome(ctx, theirs, 100); err != nil {
		t.Fatal(err)
	}
	f.wantSame("the friend left")
	if len(f.videos) != 9 {
		t.Errorf("%d videos are left", len(f.videos))
	}

	var all []catalog.Numbered
	last, err := db.LastSeq(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for seq := last + 1; seq > 0; {
		videos, next, err := db.Below(ctx, seq)
		if err != nil || next >= seq {
			t.Fatal(next, err)
		}
		all, seq = append(all, videos...), next
	}
	for _, v := range all {
		if f.videos[v.Seq].ID != v.ID {
			t.Errorf("%d is %s", v.Seq, v.Name)
		}
	}
	if len(all) != len(f.videos) {
		t.Errorf("%d videos were read", len(all))
	}
}

// TestEventsAreLost: whoever cannot follow any more is told so.
func TestEventsAreLost(t *testing.T) {
	db := open(t, startServer(t).socket())
	ctx := t.Context()
	first, err := db.LastEvent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	lost := func(what, position string, want bool) {
		t.Helper()
		_, last, got, err := db.Events(ctx, position, 10)
		if err != nil || got != want || got && last != position {
			t.Errorf("%s: lost %v, %v", what, got, err)
		}
	}
	for i := range 300 {
		if _, err := db.Add(ctx, catalogtest.NewVideo(i)); err != nil {
			t.Fatal(err)
		}
	}
	lost("nothing", first, false)
	for _, nonsense := range []string{"", " ", "x", "x y-z", first[:len(first)-1] + "x", "other" + first[5:], first[:30]} {
		lost("nonsense "+nonsense, nonsense, true)
	}
	if err := db.redis.XTrimMaxLen(ctx, keyEvents(), 10).Err(); err != nil {
		t.Fatal(err)
	}
	lost("too old", first, true)
	now, err := db.LastEvent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	lost("the last", now, false)
	if err := db.redis.FlushDB(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	lost("an empty Redis", now, true)
	again, err := db.LastEvent(ctx)
	if err != nil || strings.Fields(again)[0] == strings.Fields(now)[0] {
		t.Errorf("%q, %v: the same catalogue as %q", again, err, now)
	}
	// The same entry, of another catalogue.
	lost("another Redis", strings.Fields(now)[0]+" "+strings.Fields(again)[1], true)
}
