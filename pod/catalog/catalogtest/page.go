package catalogtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kinopod/pod/catalog"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// newest puts videos in the order of a listing; of the same time the last added
// comes first.
func newest(videos []video.Video) []video.Video {
	out := slices.Clone(videos)
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b video.Video) int { return b.Created.Compare(a.Created) })
	return out
}

func testPages(t testing.TB, s catalog.Store) {
	wantList(t, "an empty catalogue", list(t, s, catalog.Listing{Limit: 1}))
	var all []video.Video
	for i := range 300 { // more than fit one small listpack, many of the same time
		all = append(all, mustAdd(t, s, NewVideo(i*7%5)))
	}
	for _, limit := range []int{1, 7, 24, 100, 299, 300, 301} {
		wantList(t, fmt.Sprintf("pages of %d", limit), list(t, s, catalog.Listing{Limit: limit}), newest(all)...)
	}
	for name, at := range map[string]catalog.Position{
		"before the oldest":   {Created: time.UnixMilli(0)},
		"beyond all numbers":  {Created: epoch, Seq: 1<<32 - 1},
		"before all time":     {Created: time.UnixMilli(-1 << 50)},
		"after the newest":    {Created: epoch.Add(time.Hour)},
		"a time nobody had":   {Created: epoch.Add(time.Millisecond)},
		"the end of all time": {Created: time.UnixMilli(1<<63 - 1)},
	} {
		var want []video.Video
		for _, v := range newest(all) {
			if !v.Created.After(at.Created) && (v.Created.Before(at.Created) || at.Seq > 0) {
				want = append(want, v)
			}
		}
		wantList(t, name, list(t, s, catalog.Listing{Limit: 100, After: &at}), want...)
	}
}

func testPagesWhileItChanges(t testing.TB, s catalog.Store) {
	var all []video.Video
	for i := range 40 {
		all = append(all, mustAdd(t, s, NewVideo(i/10)))
	}
	order := newest(all)
	videos, next, err := s.Page(t.Context(), catalog.Listing{Limit: 15})
	if err != nil || next == nil || len(videos) != 15 {
		t.Fatal(len(videos), next, err)
	}
	// The cursor's video, the one before and the one after go; one comes on top.
	for _, v := range order[13:16] {
		mustWithdraw(t, s, v.ID)
	}
	mustAdd(t, s, NewVideo(99))
	wantList(t, "what follows", list(t, s, catalog.Listing{Limit: 7, After: next}), order[16:]...)
}

func testFilters(t testing.TB, s catalog.Store) {
	var all []video.Video
	for i := range 60 {
		v := NewVideo(i)
		if i%3 == 0 {
			v.Origin = "other.example:8443"
		}
		if i%5 == 0 {
			v.Uploader = "Bob"
		}
		all = append(all, mustAdd(t, s, v))
	}
	for _, l := range []catalog.Listing{
		{Origin: "pod.example"},
		{Origin: "other.example:8443"},
		{Origin: "nobody.example"},
		{Origin: "pod.example", Uploader: "anna"},
		{Origin: "pod.example", Uploader: "bob"},
		{Origin: "other.example:8443", Uploader: "BOB"},
		{Origin: "pod.example", Uploader: "nobody"},
	} {
		want := slices.DeleteFunc(newest(all), func(v video.Video) bool {
			return v.Origin != l.Origin || l.Uploader != "" && !strings.EqualFold(v.Uploader, l.Uploader)
		})
		for _, l.Limit = range []int{1, 4, 100} {
			wantList(t, fmt.Sprintf("%+v", l), list(t, s, l), want...)
		}
	}
	// Names that could be taken for one another's key.
	a, b := NewVideo(100), NewVideo(101)
	a.Origin, a.Uploader = "x.example:1", "y"
	b.Origin, b.Uploader = "x.example", "1:y"
	mustAdd(t, s, a)
	mustAdd(t, s, b)
	for _, v := range []video.Video{a, b} {
		wantList(t, "uploader "+v.Uploader, list(t, s, catalog.Listing{Origin: v.Origin, Uploader: v.Uploader, Limit: 9}), v)
	}

	// One origin's few videos among many others are all found.
	few := network.Host("few.example")
	old := NewVideo(-10)
	old.Origin = few
	mustAdd(t, s, old)
	for i := range 1500 {
		mustAdd(t, s, NewVideo(200+i))
	}
	recent := NewVideo(9999)
	recent.Origin = few
	mustAdd(t, s, recent)
	wantList(t, "few among many", list(t, s, catalog.Listing{Origin: few, Limit: 24}), recent, old)
}
