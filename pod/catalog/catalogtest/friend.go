package catalogtest

import (
	"slices"
	"sync"
	"testing"

	"kinopod/pod/catalog"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

const theirs = network.Host("friend.example")

// friendVideo makes a video of another pod.
func friendVideo(n int) video.Video {
	v := NewVideo(n)
	v.ID, v.Origin, v.Uploader = video.NewID(theirs), theirs, "bob"
	return v
}

func mustTake(t testing.TB, s catalog.Store, v video.Video, want catalog.Outcome) {
	t.Helper()
	if got, err := s.Take(t.Context(), v); err != nil || len(got) != 1 || got[0] != want {
		t.Fatalf("Take: %v, %v, want %v", got, err, want)
	}
}

// testTakeMany takes videos of every outcome together, some of which share what others
// are found by.
func testTakeMany(t testing.TB, s catalog.Store) {
	known, older, gone := friendVideo(1), friendVideo(2), friendVideo(3)
	for _, v := range []video.Video{known, older, gone} {
		mustTake(t, s, v, catalog.Taken)
	}
	if err := s.Drop(t.Context(), theirs, gone.ID, true); err != nil {
		t.Fatal(err)
	}
	newer := older
	newer.Revision, newer.Name = older.Revision+1, "as it is now"
	stolen := known
	stolen.Origin, stolen.Revision = "other.example", known.Revision+1
	twice := friendVideo(4)
	later := twice
	later.Revision, later.Name = twice.Revision+1, "later in the same message"
	alike := friendVideo(5)
	alike.Thumbnail = friendVideo(6).Thumbnail
	another := friendVideo(7)
	another.Thumbnail, another.Renditions = alike.Thumbnail, alike.Renditions
	videos := []video.Video{known, newer, gone, stolen, twice, alike, later, another}
	want := []catalog.Outcome{catalog.Known, catalog.Taken, catalog.Withdrawn, catalog.Foreign, catalog.Taken, catalog.Taken, catalog.Taken, catalog.Taken}
	for range 100 { // more than are sent to a store at a time
		videos, want = append(videos, friendVideo(100)), append(want, catalog.Taken)
	}
	got, err := s.Take(t.Context(), videos...)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
	for _, v := range append([]video.Video{known, newer, alike, later, another}, videos[8:]...) {
		wantVideo(t, s, v)
	}
	if n, err := s.Count(t.Context(), theirs); err != nil || n != 105 {
		t.Errorf("%d videos, %v", n, err)
	}
	if got, err := s.Take(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

func testRevisions(t testing.TB, s catalog.Store) {
	v := NewVideo(0)
	v.Revision = 0
	if _, err := s.Add(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	first, err := s.Get(t.Context(), v.ID)
	if err != nil || first.Revision == 0 {
		t.Fatalf("revision %d, %v", first.Revision, err)
	}
	rename := func(name string) video.Video {
		now, err := s.Update(t.Context(), v.ID, func(v *video.Video) error { v.Name = name; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	if same := rename(v.Name); same.Revision != first.Revision {
		t.Errorf("nothing changed, and the revision went from %d to %d", first.Revision, same.Revision)
	}
	one := rename("one")
	two := rename("two")
	if one.Revision <= first.Revision || two.Revision <= one.Revision {
		t.Errorf("revisions %d, %d, %d", first.Revision, one.Revision, two.Revision)
	}
}

func testTake(t testing.TB, s catalog.Store) {
	v := friendVideo(1)
	mustTake(t, s, v, catalog.Taken)
	wantVideo(t, s, v)
	if got, err := s.ByThumbnail(t.Context(), v.Thumbnail); err != nil || got.ID != v.ID {
		t.Errorf("by its thumbnail: %v, %v", got.ID, err)
	}
	_, err := s.ByThumbnail(t.Context(), newThumbnail())
	wantErr(t, "by another thumbnail", err, catalog.ErrNotFound)
	mustTake(t, s, v, catalog.Known)
	earlier := v
	earlier.Revision, earlier.Name = v.Revision-1, "as it was"
	mustTake(t, s, earlier, catalog.Known)
	wantVideo(t, s, v)

	later := friendVideo(9)
	later.ID, later.Revision, later.Uploader = v.ID, v.Revision+1, "carl"
	later.Renditions[0] = v.Renditions[0] // one file stays
	mustTake(t, s, later, catalog.Taken)
	wantVideo(t, s, later)
	for _, l := range []catalog.Listing{{Limit: 10}, {Limit: 10, Origin: theirs}, {Limit: 10, Origin: theirs, Uploader: "carl"}} {
		if ids := list(t, s, l); len(ids) != 1 || ids[0] != v.ID {
			t.Errorf("%+v lists %v", l, ids)
		}
	}
	if ids := list(t, s, catalog.Listing{Limit: 10, Origin: theirs, Uploader: "bob"}); len(ids) != 0 {
		t.Errorf("the former uploader still has %v", ids)
	}
	_, err = s.ByInfoHash(t.Context(), "", v.Renditions[1].InfoHash)
	wantErr(t, "a former file", err, catalog.ErrNotFound)
	for _, r := range later.Renditions {
		if got, err := s.ByInfoHash(t.Context(), theirs, r.InfoHash); err != nil || got.ID != v.ID {
			t.Errorf("%v, %v", got.ID, err)
		}
	}
	wantLists(t, s, nil, []string{v.Thumbnail})

	stolen := later
	stolen.Origin, stolen.Revision = "other.example", later.Revision+1
	mustTake(t, s, stolen, catalog.Foreign)
	wantVideo(t, s, later)
}

func testTakeInARace(t testing.TB, s catalog.Store) {
	v := friendVideo(1)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			mine := v
			mine.Revision += int64(i % 5)
			mine.Thumbnail = newThumbnail()
			if _, err := s.Take(t.Context(), mine); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := s.Get(t.Context(), v.ID); err != nil || got.Revision != v.Revision+4 {
		t.Errorf("revision %d, %v; want %d", got.Revision, err, v.Revision+4)
	}
	if n, err := s.Count(t.Context(), theirs); err != nil || n != 1 {
		t.Errorf("%d videos, %v", n, err)
	}
}

func testDrop(t testing.TB, s catalog.Store) {
	v := friendVideo(1)
	mustTake(t, s, v, catalog.Taken)
	wantErr(t, "by another", s.Drop(t.Context(), "other.example", v.ID, true), catalog.ErrNotFound)
	wantVideo(t, s, v)
	if err := s.Drop(t.Context(), theirs, v.ID, true); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "again", s.Drop(t.Context(), theirs, v.ID, true), catalog.ErrNotFound)
	if ids := list(t, s, catalog.Listing{Limit: 10}); len(ids) != 0 {
		t.Errorf("%v is still listed", ids)
	}
	wantLists(t, s, nil, []string{v.Thumbnail})
	again := friendVideo(2) // gone, and perhaps not for good
	mustTake(t, s, again, catalog.Taken)
	if err := s.Drop(t.Context(), theirs, again.ID, false); err != nil {
		t.Fatal(err)
	}
	mustTake(t, s, again, catalog.Taken)
	mustTake(t, s, v, catalog.Withdrawn) // of a page that was read before
}

func testDropSome(t testing.TB, s catalog.Store) {
	ours := mustAdd(t, s, NewVideo(0))
	for i := range 7 {
		mustTake(t, s, friendVideo(i), catalog.Taken)
	}
	v := friendVideo(8)
	mustTake(t, s, v, catalog.Taken)
	total := 0
	for range 100 {
		n, err := s.DropSome(t.Context(), theirs, 3)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
	}
	if n, _ := s.Count(t.Context(), theirs); total != 8 || n != 0 {
		t.Errorf("%d dropped, %d left", total, n)
	}
	if ids := list(t, s, catalog.Listing{Limit: 10}); len(ids) != 1 || ids[0] != ours.ID {
		t.Errorf("%v are listed", ids)
	}
	mustTake(t, s, v, catalog.Taken) // friends again
}

func testMarks(t testing.TB, s catalog.Store) {
	mustAdd(t, s, NewVideo(0))
	want := map[video.ID]int64{}
	for i := range 30 {
		v := friendVideo(i)
		v.Revision += int64(i)
		mustTake(t, s, v, catalog.Taken)
		want[v.ID] = v.Revision
	}
	got := map[video.ID]int64{}
	err := s.Marks(t.Context(), theirs, func(marks []catalog.Mark) error {
		for _, m := range marks {
			got[m.ID] = m.Revision
		}
		return nil
	})
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d marks, %v", len(got), err)
	}
	for id, revision := range want {
		if got[id] != revision {
			t.Errorf("%s: %d, want %d", id, got[id], revision)
		}
	}
}

func testUnclaimed(t testing.TB, s catalog.Store) {
	ours, theirs, gone, never := mustAdd(t, s, NewVideo(0)), friendVideo(1), mustAdd(t, s, NewVideo(2)), newThumbnail()
	mustTake(t, s, theirs, catalog.Taken)
	mustWithdraw(t, s, gone.ID)
	got, err := s.Unclaimed(t.Context(), []string{ours.Thumbnail, theirs.Thumbnail, gone.Thumbnail, never})
	if err != nil || !slices.Equal(got, []string{gone.Thumbnail, never}) {
		t.Errorf("%v, %v", got, err)
	}
}

// A friend that says it has our file, and then that it has it no more, does not make
// it a file to delete; nor does it keep it.
func testFriendsDoNotTouchOurFiles(t testing.TB, s catalog.Store) {
	ours := mustAdd(t, s, NewVideo(0))
	liar := friendVideo(1)
	liar.Renditions = append([]video.Rendition(nil), ours.Renditions...)
	mustTake(t, s, liar, catalog.Taken)
	if got, err := s.ByInfoHash(t.Context(), ours.Origin, ours.Renditions[0].InfoHash); err != nil || got.ID != ours.ID {
		t.Errorf("%v, %v", got.ID, err)
	}
	if err := s.Drop(t.Context(), theirs, liar.ID, true); err != nil {
		t.Fatal(err)
	}
	wantLists(t, s, nil, []string{liar.Thumbnail})

	again := friendVideo(2)
	again.Renditions = liar.Renditions
	mustTake(t, s, again, catalog.Taken)
	mustWithdraw(t, s, ours.ID)
	files := []magnet.InfoHash{ours.Renditions[0].InfoHash, ours.Renditions[1].InfoHash}
	wantLists(t, s, files, []string{liar.Thumbnail, ours.Thumbnail})
}
