package views

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// counts is a Store of one ranking that never changes.
type counts struct {
	of     map[video.ID]int
	fail   error
	ranked []Ranked
}

func (c *counts) CountView(_ context.Context, _ network.Host, id video.ID) error {
	if c.fail == nil {
		c.of[id]++
	}
	return c.fail
}

func (c *counts) Ranked(_ context.Context, origin network.Host, after *Rank, most int) (some []Ranked, last *Rank, more bool, err error) {
	seen := 0
	for _, r := range c.ranked {
		if after != nil && (r.At.Score > after.Score || r.At.Score == after.Score && r.At.Seq >= after.Seq) {
			continue
		}
		if seen == most {
			return some, last, true, nil
		}
		seen++
		last = &r.At
		if origin == "" || r.Origin == origin {
			some = append(some, r)
		}
	}
	return some, last, false, nil
}

func TestOnceAViewerAndDay(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 50, 0, 0, time.UTC)
	store := &counts{of: map[video.ID]int{}}
	c := New(store, "pod.example", func() time.Time { return now })
	a, b := video.NewID("pod.example"), video.NewID("pod.example")
	watch := func(viewer string, id video.ID) {
		t.Helper()
		if err := c.Watched(t.Context(), viewer, id); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		watch("address 192.0.2.1/32", a)
		watch("address 192.0.2.2/32", a)
		watch("account anna", a)
		watch("account anna", b)
	}
	if store.of[a] != 3 || store.of[b] != 1 {
		t.Errorf("counted %v", store.of)
	}
	key := c.key
	now = now.Add(20 * time.Minute)
	watch("account anna", a)
	if store.of[a] != 4 {
		t.Errorf("on the next day: counted %d", store.of[a])
	}
	if c.key == key {
		t.Error("the key outlives the day")
	}
	// What is not listed is no failure, and leaves no trace.
	store.fail = ErrNotFound
	before := slices.Clone(c.seen)
	for range 10 {
		watch("account carla", video.NewID("pod.example"))
	}
	if !slices.Equal(c.seen, before) || len(c.running) != 0 {
		t.Error("IDs of no video are remembered")
	}
	// What could not be written may be told again.
	store.fail = errors.New("away")
	if err := c.Watched(t.Context(), "account bert", a); err == nil {
		t.Error("a failure was not told")
	}
	store.fail = nil
	watch("account bert", a)
	watch("account bert", a)
	if store.of[a] != 5 {
		t.Errorf("after a failure: counted %d", store.of[a])
	}
}

func TestOneViewerCountsForSoManyOnly(t *testing.T) {
	store := &counts{of: map[video.ID]int{}}
	c := New(store, "pod.example", time.Now)
	for range viewsADay + 50 {
		if err := c.Watched(t.Context(), "address 192.0.2.1/32", video.NewID("pod.example")); err != nil {
			t.Fatal(err)
		}
	}
	// One or two may be taken for known; the day may end in between.
	if n := len(store.of); n < viewsADay-5 || n > 2*viewsADay {
		t.Errorf("%d videos counted", n)
	}
}

func TestFilterKnowsWhatItWasTold(t *testing.T) {
	c := New(&counts{}, "pod.example", time.Now)
	f := make(filter, filterBits/64)
	const n = 200_000
	for i := range n {
		f.add(c.sum("in", fmt.Sprint(i)))
	}
	wrong := 0
	for i := range n {
		if !f.has(c.sum("in", fmt.Sprint(i))) {
			t.Fatalf("%d is forgotten", i)
		}
		if f.has(c.sum("out", fmt.Sprint(i))) {
			wrong++
		}
	}
	if wrong > n/1000 {
		t.Errorf("%d of %d were taken for known", wrong, n)
	}
}

func TestTrendingFilters(t *testing.T) {
	store := &counts{}
	for i := range 3000 {
		v := video.Video{ID: video.NewID("pod.example"), Origin: "pod.example", Uploader: "Anna", Tags: []string{"x"}}
		if i%100 == 99 {
			v.Origin, v.Uploader, v.Tags = "other.example", "bert", []string{"jazz", "y"}
		}
		store.ranked = append(store.ranked, Ranked{v, Rank{float64(5000 - i/7), uint32(10000 - i)}})
	}
	c := New(store, "pod.example", time.Now)
	for _, test := range []struct {
		q    api.VideosQuery
		want int
	}{
		{api.VideosQuery{}, 3000},
		{api.VideosQuery{Uploader: "anna"}, 2970},
		{api.VideosQuery{Uploader: "anna", Origin: "other.example"}, 0},
		{api.VideosQuery{Tag: "JAZZ"}, 30},
		{api.VideosQuery{Origin: "other.example"}, 30},
		{api.VideosQuery{Tag: "none"}, 0},
	} {
		seen, pages := map[video.ID]bool{}, 0
		for q := test.q; ; pages++ {
			q.Limit = 7
			page, cursor, err := c.Trending(t.Context(), q)
			if err != nil || len(page) > 7 || pages > 3000 {
				t.Fatalf("%+v: %d, %v", q, len(page), err)
			}
			for _, v := range page {
				if seen[v.ID] {
					t.Fatalf("%+v: %s came twice", test.q, v.ID)
				}
				seen[v.ID] = true
			}
			if q.Cursor = cursor; cursor == "" {
				break
			}
		}
		if len(seen) != test.want {
			t.Errorf("%+v: %d videos, want %d", test.q, len(seen), test.want)
		}
	}
	if _, _, err := c.Trending(t.Context(), api.VideosQuery{Cursor: "x"}); !api.Is(err, api.CodeInvalid) {
		t.Errorf("a cursor that is none: %v", err)
	}
}

func FuzzParseRank(f *testing.F) {
	f.Add(Rank{10250.123456789, 7}.String())
	f.Add("AAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRank(s)
		if err != nil {
			return
		}
		if math.IsNaN(r.Score) || r.String() != s {
			t.Errorf("%q became %+v", s, r)
		}
	})
}
