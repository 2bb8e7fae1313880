// Package catalogtest says by tests what a catalog.Store has to do.
package catalogtest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"kinopod/pod/catalog"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

// TestStore runs the whole suite; open gives an empty store each time.
func TestStore(t *testing.T, open func(testing.TB) catalog.Store) {
	for _, test := range []struct {
		name string
		run  func(testing.TB, catalog.Store)
	}{
		{"Add", testAdd},
		{"AddInARace", testAddInARace},
		{"OneFileTwoVideos", testOneFileTwoVideos},
		{"Update", testUpdate},
		{"Text", testText},
		{"UpdateLosesNothing", testUpdateLosesNothing},
		{"Withdraw", testWithdraw},
		{"WithdrawInARace", testWithdrawInARace},
		{"WithdrawnStaysSo", testWithdrawnStaysSo},
		{"FileComesBack", testFileComesBack},
		{"Thumbnails", testThumbnails},
		{"Pages", testPages},
		{"PagesWhileItChanges", testPagesWhileItChanges},
		{"Filters", testFilters},
		{"Revisions", testRevisions},
		{"Take", testTake},
		{"TakeMany", testTakeMany},
		{"TakeInARace", testTakeInARace},
		{"Drop", testDrop},
		{"DropSome", testDropSome},
		{"Marks", testMarks},
		{"Unclaimed", testUnclaimed},
		{"FriendsDoNotTouchOurFiles", testFriendsDoNotTouchOurFiles},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// epoch is when the videos of NewVideo were made.
var epoch = time.Date(2026, 3, 14, 15, 9, 26, 535_000_000, time.UTC)

// NewVideo makes a valid video of pod.example by anna, n seconds after the others.
func NewVideo(n int) video.Video {
	return video.Video{
		ID: video.NewID("pod.example"), Origin: "pod.example", Revision: epoch.UnixMilli(), Name: fmt.Sprintf("Video %d", n), Description: "What it shows.\nAnd more, über alles Mögliche.",
		Uploader: "anna", Tags: []string{"one", "two words"}, Created: epoch.Add(time.Duration(n) * time.Second),
		Duration: 83*time.Second + 250*time.Millisecond, Thumbnail: newThumbnail(),
		Renditions: []video.Rendition{
			{InfoHash: newInfoHash(), Size: 1 << 32, Width: 1920, Height: 1080, MIME: video.MP4, FileName: "Video.mp4"},
			{InfoHash: newInfoHash(), Size: 1 << 20, MIME: video.WebM, FileName: "Video klein.webm"},
		},
	}
}

func newInfoHash() (h magnet.InfoHash) {
	_, _ = rand.Read(h[:])
	return h
}

func newThumbnail() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func mustAdd(t testing.TB, s catalog.Store, v video.Video) video.Video {
	t.Helper()
	if added, err := s.Add(t.Context(), v); err != nil || !added {
		t.Fatalf("Add: %v, %v", added, err)
	}
	return v
}

func anyone(*video.Video) error { return nil }

func mustWithdraw(t testing.TB, s catalog.Store, id video.ID) {
	t.Helper()
	if _, err := s.Withdraw(t.Context(), id, anyone); err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func wantVideo(t testing.TB, s catalog.Store, want video.Video) {
	t.Helper()
	if got, err := s.Get(t.Context(), want.ID); err != nil || !same(got, want) {
		t.Errorf("Get = %+v, %v; want %+v", got, err, want)
	}
}

// same says whether got is want, or what an update made of it: its revision may be later.
func same(got, want video.Video) bool {
	if got.Revision > want.Revision {
		want.Revision = got.Revision
	}
	return reflect.DeepEqual(got, want)
}

// wantLists checks the files and the thumbnails that are to be deleted.
func wantLists(t testing.TB, s catalog.Store, files []magnet.InfoHash, thumbnails []string) {
	t.Helper()
	byText := func(a, b magnet.InfoHash) int { return slices.Compare(a[:], b[:]) }
	got, err := s.Withdrawn(t.Context())
	if slices.SortFunc(got, byText); err != nil || !slices.Equal(got, slices.SortedFunc(slices.Values(files), byText)) {
		t.Errorf("Withdrawn: %v, %v; want %v", got, err, files)
	}
	names, err := s.UnusedThumbnails(t.Context())
	if slices.Sort(names); err != nil || !slices.Equal(names, slices.Sorted(slices.Values(thumbnails))) {
		t.Errorf("UnusedThumbnails: %v, %v; want %v", names, err, thumbnails)
	}
}

// list gives the ids of all pages.
func list(t testing.TB, s catalog.Store, l catalog.Listing) (ids []video.ID) {
	t.Helper()
	for range 10_000 {
		videos, next, err := s.Page(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if len(videos) > l.Limit {
			t.Fatalf("%d videos on a page of %d", len(videos), l.Limit)
		}
		for _, v := range videos {
			ids = append(ids, v.ID)
		}
		if next == nil {
			return ids
		}
		l.After = next
	}
	t.Fatal("pages without end")
	return nil
}

func wantList(t testing.TB, what string, got []video.ID, want ...video.Video) {
	t.Helper()
	ids := make([]video.ID, len(want))
	for i, v := range want {
		ids[i] = v.ID
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%s: %v, want %v", what, got, ids)
	}
}

// race runs f n times at once and counts the calls that won.
func race(t testing.TB, n int, f func(int) (bool, error)) (won int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		wg.Go(func() {
			ok, err := f(i)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			}
			if ok {
				won++
			}
		})
	}
	wg.Wait()
	return won
}

func testAdd(t testing.TB, s catalog.Store) {
	ctx := t.Context()
	_, err := s.Get(ctx, video.NewID("pod.example"))
	wantErr(t, "Get of a video that is not there", err, catalog.ErrNotFound)
	_, err = s.ByInfoHash(ctx, "", newInfoHash())
	wantErr(t, "ByInfoHash of nobody's file", err, catalog.ErrNotFound)

	full := mustAdd(t, s, NewVideo(1))
	bare := NewVideo(2)
	bare.Description, bare.Tags, bare.Thumbnail, bare.Duration, bare.Uploader = "", nil, "", 0, ""
	bare.Renditions = bare.Renditions[:1]
	mustAdd(t, s, bare)
	for _, v := range []video.Video{full, bare} {
		wantVideo(t, s, v)
		for _, r := range v.Renditions {
			if got, err := s.ByInfoHash(ctx, "", r.InfoHash); err != nil || got.ID != v.ID {
				t.Errorf("ByInfoHash: %s, %v; want %s", got.ID, err, v.ID)
			}
		}
	}

	again := NewVideo(3)
	again.ID = full.ID
	if added, err := s.Add(ctx, again); added || err != nil {
		t.Errorf("Add of a listed ID: %v, %v", added, err)
	}
	wantVideo(t, s, full)
	_, err = s.ByInfoHash(ctx, "", again.Renditions[0].InfoHash)
	wantErr(t, "file of an Add that changed nothing", err, catalog.ErrNotFound)
	wantList(t, "listing", list(t, s, catalog.Listing{Limit: 10}), bare, full)
	wantLists(t, s, nil, nil)
}

func testAddInARace(t testing.TB, s catalog.Store) {
	v := NewVideo(1)
	if won := race(t, 16, func(int) (bool, error) { return s.Add(t.Context(), v) }); won != 1 {
		t.Errorf("%d of 16 added the same video", won)
	}
	wantList(t, "listing", list(t, s, catalog.Listing{Limit: 10}), v)
}

func testOneFileTwoVideos(t testing.TB, s catalog.Store) {
	one, two := NewVideo(1), NewVideo(2)
	shared := one.Renditions[0].InfoHash
	two.Renditions[0].InfoHash = shared
	mustAdd(t, s, one)
	mustAdd(t, s, two)
	mustWithdraw(t, s, one.ID)
	wantLists(t, s, []magnet.InfoHash{one.Renditions[1].InfoHash}, []string{one.Thumbnail})
	if got, err := s.ByInfoHash(t.Context(), "", shared); err != nil || got.ID != two.ID {
		t.Errorf("the file of the other video: %s, %v", got.ID, err)
	}
	mustWithdraw(t, s, two.ID)
	wantLists(t, s, []magnet.InfoHash{one.Renditions[1].InfoHash, shared, two.Renditions[1].InfoHash}, []string{one.Thumbnail, two.Thumbnail})

	// Hashes that begin alike are not the same.
	a, b := NewVideo(3), NewVideo(4)
	a.Renditions, b.Renditions = a.Renditions[:1], b.Renditions[:1]
	copy(b.Renditions[0].InfoHash[:12], a.Renditions[0].InfoHash[:12])
	mustAdd(t, s, a)
	mustAdd(t, s, b)
	for _, v := range []video.Video{a, b} {
		if got, err := s.ByInfoHash(t.Context(), "", v.Renditions[0].InfoHash); err != nil || got.ID != v.ID {
			t.Errorf("ByInfoHash: %s, %v; want %s", got.ID, err, v.ID)
		}
	}
	mustWithdraw(t, s, a.ID)
	files, err := s.Withdrawn(t.Context())
	if err != nil || !slices.Contains(files, a.Renditions[0].InfoHash) || slices.Contains(files, b.Renditions[0].InfoHash) {
		t.Errorf("files to delete: %v, %v", files, err)
	}
	wantVideo(t, s, b)
}

func testUpdate(t testing.TB, s catalog.Store) {
	ctx := t.Context()
	_, err := s.Update(ctx, video.NewID("pod.example"), anyone)
	wantErr(t, "Update of a video that is not there", err, catalog.ErrNotFound)
	v := mustAdd(t, s, NewVideo(1))
	refused := errors.New("refused")
	_, err = s.Update(ctx, v.ID, func(v *video.Video) error {
		v.Name, v.Tags[0] = "changed all the same", "changed all the same"
		return refused
	})
	wantErr(t, "a change that is refused", err, refused)
	wantVideo(t, s, v)

	got, err := s.Update(ctx, v.ID, func(v *video.Video) error {
		v.Name, v.Description, v.Tags = "New name", "", []string{"three"}
		v.Created, v.Uploader, v.Origin, v.Renditions = time.Now(), "mallory", "other.example", nil // not for an Update
		return nil
	})
	v.Name, v.Description, v.Tags = "New name", "", []string{"three"}
	if err != nil || !same(got, v) {
		t.Errorf("Update = %+v, %v; want %+v", got, err, v)
	}
	wantVideo(t, s, v)
	wantList(t, "listing", list(t, s, catalog.Listing{Limit: 10}), v)
}

func testUpdateLosesNothing(t testing.TB, s catalog.Store) {
	v := NewVideo(1)
	v.Tags = nil
	mustAdd(t, s, v)
	race(t, 12, func(i int) (bool, error) {
		_, err := s.Update(t.Context(), v.ID, func(v *video.Video) error {
			v.Tags = append(v.Tags, fmt.Sprintf("tag %d", i))
			return nil
		})
		return true, err
	})
	if got, err := s.Get(t.Context(), v.ID); err != nil || len(got.Tags) != 12 {
		t.Errorf("12 changes at once leave %q, %v", got.Tags, err)
	}
}

func testWithdraw(t testing.TB, s catalog.Store) {
	ctx := t.Context()
	v, other := mustAdd(t, s, NewVideo(1)), mustAdd(t, s, NewVideo(2))
	refused := errors.New("refused")
	_, err := s.Withdraw(ctx, v.ID, func(*video.Video) error { return refused })
	wantErr(t, "a withdrawal that is refused", err, refused)
	wantVideo(t, s, v)
	wantLists(t, s, nil, nil)

	if got, err := s.Withdraw(ctx, v.ID, anyone); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("Withdraw = %+v, %v; want %+v", got, err, v)
	}
	_, err = s.Get(ctx, v.ID)
	wantErr(t, "Get afterwards", err, catalog.ErrNotFound)
	for _, r := range v.Renditions {
		_, err = s.ByInfoHash(ctx, "", r.InfoHash)
		wantErr(t, "ByInfoHash afterwards", err, catalog.ErrNotFound)
	}
	_, err = s.Update(ctx, v.ID, anyone)
	wantErr(t, "Update afterwards", err, catalog.ErrNotFound)
	_, err = s.Withdraw(ctx, v.ID, anyone)
	wantErr(t, "Withdraw afterwards", err, catalog.ErrNotFound)
	for _, l := range []catalog.Listing{{Limit: 10}, {Limit: 10, Origin: v.Origin}, {Limit: 10, Origin: v.Origin, Uploader: v.Uploader}} {
		wantList(t, fmt.Sprintf("listing %+v", l), list(t, s, l), other)
	}
	wantVideo(t, s, other)

	files := []magnet.InfoHash{v.Renditions[0].InfoHash, v.Renditions[1].InfoHash}
	wantLists(t, s, files, []string{v.Thumbnail})
	for range 2 {
		if err := errors.Join(s.Deleted(ctx, files[0]), s.ThumbnailDeleted(ctx, v.Thumbnail)); err != nil {
			t.Fatal(err)
		}
		wantLists(t, s, files[1:], nil)
	}
}

func testWithdrawInARace(t testing.TB, s catalog.Store) {
	v := mustAdd(t, s, NewVideo(1))
	won := race(t, 16, func(i int) (bool, error) {
		var err error
		if i%2 == 0 {
			_, err = s.Withdraw(t.Context(), v.ID, anyone)
		} else {
			_, err = s.Update(t.Context(), v.ID, func(v *video.Video) error {
				v.Name, v.Thumbnail = fmt.Sprintf("Name %d", i), newThumbnail()
				return nil
			})
		}
		if errors.Is(err, catalog.ErrNotFound) {
			return false, nil
		}
		return i%2 == 0, err
	})
	if won == 0 {
		t.Error("nobody withdrew it")
	}
	_, err := s.Get(t.Context(), v.ID)
	wantErr(t, "Get afterwards", err, catalog.ErrNotFound)
	wantList(t, "listing", list(t, s, catalog.Listing{Limit: 10}))
	names, err := s.UnusedThumbnails(t.Context())
	if err != nil || !slices.Contains(names, v.Thumbnail) {
		t.Errorf("UnusedThumbnails: %v, %v", names, err)
	}
}

func testWithdrawnStaysSo(t testing.TB, s catalog.Store) {
	v := mustAdd(t, s, NewVideo(1))
	mustWithdraw(t, s, v.ID)
	for _, r := range v.Renditions {
		if err := s.Deleted(t.Context(), r.InfoHash); err != nil {
			t.Fatal(err)
		}
	}
	other := NewVideo(2)
	other.Renditions = v.Renditions[:1]
	mustAdd(t, s, other)
	added, err := s.Add(t.Context(), v)
	if added || !errors.Is(err, catalog.ErrWithdrawn) {
		t.Errorf("Add of a withdrawn video: %v, %v", added, err)
	}
	_, err = s.Get(t.Context(), v.ID)
	wantErr(t, "Get", err, catalog.ErrNotFound)
	// Whoever added it has placed its files again; one of them another video needs.
	wantLists(t, s, []magnet.InfoHash{v.Renditions[1].InfoHash}, []string{v.Thumbnail})
}

func testFileComesBack(t testing.TB, s catalog.Store) {
	v := mustAdd(t, s, NewVideo(1))
	mustWithdraw(t, s, v.ID)
	again := NewVideo(2)
	again.Renditions, again.Thumbnail = v.Renditions, v.Thumbnail
	mustAdd(t, s, again)
	wantLists(t, s, nil, nil)
	wantVideo(t, s, again)
}

func testThumbnails(t testing.TB, s catalog.Store) {
	one, two := NewVideo(1), NewVideo(2)
	two.Thumbnail = one.Thumbnail
	old := one.Thumbnail
	mustAdd(t, s, one)
	mustAdd(t, s, two)
	set := func(v *video.Video, hash string) {
		t.Helper()
		v.Thumbnail = hash
		if got, err := s.Update(t.Context(), v.ID, func(v *video.Video) error { v.Thumbnail = hash; return nil }); err != nil || got.Thumbnail != hash {
			t.Fatalf("Update: %s, %v", got.Thumbnail, err)
		}
		wantVideo(t, s, *v)
	}
	next := newThumbnail()
	set(&one, next)
	wantLists(t, s, nil, nil) // two still has it
	set(&two, newThumbnail())
	wantLists(t, s, nil, []string{old})
	set(&one, old)
	wantLists(t, s, nil, []string{next})
	set(&one, old)
	wantLists(t, s, nil, []string{next})
}
