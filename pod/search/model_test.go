package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinopod/pod/search/segment"
)

// randomDocument is of few words, so that queries find some.
func randomDocument(r *rand.Rand, id uint32) Document {
	text := func(n int) string {
		var words []string
		for range n {
			words = append(words, randomWord(r))
		}
		return strings.Join(words, " ")
	}
	d := Document{
		ID: id, Name: text(1 + r.IntN(6)), Uploader: "user" + fmt.Sprint(r.IntN(5)), Origin: "pod.example",
		Created: noon.Add(-time.Duration(r.IntN(1000)) * time.Hour), Duration: time.Duration(r.IntN(7200)) * time.Second,
	}
	if r.IntN(3) > 0 {
		d.Description = text(r.IntN(200))
	}
	for range r.IntN(4) {
		d.Tags = append(d.Tags, text(1+r.IntN(2)))
	}
	return d
}

func randomWord(r *rand.Rand) string {
	const letters = "abcdefgh"
	n := int(r.ExpFloat64() * r.ExpFloat64() * 40)
	w := "wor"
	for ; n > 0; n /= len(letters) {
		w += letters[n%len(letters) : n%len(letters)+1]
	}
	if len(w) == 6 && w[3] == 'b' {
		return "東京都"[:3*(1+n%3)] + "電車"
	}
	return w
}

func randomQuery(r *rand.Rand) string {
	var items []string
	for range 1 + r.IntN(3) {
		w := randomWord(r)
		switch r.IntN(9) {
		case 0:
			w = `"` + w + " " + randomWord(r) + `"`
		case 1:
			w = "-" + w
		case 2:
			w += "-" + randomWord(r)
		case 3:
			w = "by:user1 " + w
		case 4:
			w = "duration:<1h " + w
		}
		items = append(items, w)
	}
	q := strings.Join(items, " ")
	if r.IntN(2) == 0 {
		q += " "
	}
	return q
}

// TestWhereverTheyAre has the same videos in two indexes, one of which makes segments of
// them, merges, writes and reads these: a search answers the same.
func TestWhereverTheyAre(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	fresh, tidy := newIndex(t), newIndex(t)
	alive := map[uint32]bool{}
	for id := uint32(1); id <= 450; id++ {
		which := id
		if r.IntN(4) == 0 && id > 1 {
			which = 1 + r.Uint32N(id-1) // changed
		}
		d := randomDocument(r, which)
		alive[which] = true
		fresh.Put(d)
		tidy.Put(d)
		if r.IntN(6) == 0 {
			gone := 1 + r.Uint32N(id)
			delete(alive, gone)
			fresh.Remove(gone)
			tidy.Remove(gone)
		}
		if r.IntN(10) == 0 {
			tidy.settle(1)
		}
		if r.IntN(40) == 0 {
			for tidy.tidy() {
			}
		}
		if r.IntN(100) == 0 {
			path := t.TempDir() + "/snapshot"
			if err := tidy.Save(path, fmt.Sprint(id)); err != nil {
				t.Fatal(err)
			}
			read, at, err := Load(path)
			if err != nil || at != fmt.Sprint(id) {
				t.Fatal(at, err)
			}
			tidy.Close()
			tidy = read
			tidy.now = fresh.now
			defer tidy.Close()
		}
	}
	if a, b := fresh.Stats(), tidy.Stats(); a.Videos != len(alive) || b.Videos != len(alive) || b.Segments == 0 {
		t.Fatalf("%+v and %+v, want %d videos", a, b, len(alive))
	}
	answers := 0
	for range 500 {
		text := randomQuery(r)
		q := Parse(text)
		p := compile(q, noon, fromLetters)
		for range p.counted {
			p.weights = append(p.weights, uint8(8+r.IntN(150)))
		}
		if r.IntN(2) == 0 {
			p.wrong = p.mayErr(make([]int, len(p.terms)))
		}
		limit := []int{3, 24, MaxPage}[r.IntN(3)]
		run := func(x *Index) []hit {
			v := x.view()
			defer v.release()
			again := *p
			found, cut := x.run(context.Background(), v, &again, hit{rank: ^uint64(0) - 1}, limit)
			if cut {
				t.Errorf("%q was cut", text)
			}
			return slices.Clone(found.hits)
		}
		a, b := run(fresh), run(tidy)
		if !slices.Equal(a, b) {
			t.Fatalf("%q (%+v) finds\n%v\n%v", text, p, a, b)
		}
		answers += len(a)
	}
	if answers < 1500 {
		t.Errorf("only %d answers: the queries ask for nothing", answers)
	}
}

// TestPages turns pages while videos come and go: those that stay come once each, in an
// order that holds.
func TestPages(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	x := newIndex(t)
	for id := range uint32(800) {
		d := randomDocument(r, 2*id+1)
		d.Name += " film"
		x.Put(d)
	}
	for _, text := range []string{"film ", "film wor", "by:user2", "user3 film ", "felm ", "film -user1 "} {
		q := Parse(text)
		stays := map[uint32]bool{}
		for _, id := range all(t, x, q, 100, func() {}) {
			stays[id] = true
		}
		if len(stays) < 40 {
			t.Fatalf("%q finds %d", text, len(stays))
		}
		x.now = func() time.Time { return noon.Add(time.Duration(r.IntN(1000)) * time.Hour) }
		seen := map[uint32]bool{}
		for _, id := range all(t, x, q, 9, func() {
			id := 1 + r.Uint32N(1600)
			x.Remove(id)
			delete(stays, id)
			d := randomDocument(r, id&^1)
			d.Name += " film"
			x.Put(d)
		}) {
			if seen[id] && id%2 == 1 {
				t.Errorf("%q: %d comes twice", text, id)
			}
			seen[id] = true
		}
		for id := range stays {
			if id%2 == 1 && !seen[id] {
				t.Errorf("%q: %d is missing", text, id)
			}
		}
		x.now = func() time.Time { return noon }
	}
	for _, bad := range []string{"x", "AQAA", strings.Repeat("A", 60)} {
		if _, err := x.Search(context.Background(), Parse("film"), bad, 10); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
	page, _ := x.Search(context.Background(), Parse("film"), "", 10)
	if _, err := x.Search(context.Background(), Parse("film2"), page.Next, 10); !errors.Is(err, ErrCursor) {
		t.Errorf("a cursor of another query: %v", err)
	}
}

// TestInOrderOfTime turns the pages of lists that are longer than a window of a segment: all
// videos come, the newest first, although what was not made in the time of a page is skipped.
func TestInOrderOfTime(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	x := newIndex(t)
	const n = 3*segment.WindowSize + 100
	type made struct {
		id uint32
		at time.Time
	}
	var rare, common []made
	for id := range uint32(n) {
		at := noon.Add(-time.Duration(n-id) * time.Minute) // most come as they were made
		if r.IntN(50) == 0 {
			at = noon.Add(-time.Duration(r.IntN(n)) * time.Minute)
		}
		d := Document{ID: id, Created: at, Tags: []string{"common"}, Origin: "pod.example", Uploader: "anna"}
		if id%40 == 7 {
			d.Tags, rare = append(d.Tags, "rare"), append(rare, made{id, at})
		}
		common = append(common, made{id, at})
		x.Put(d)
	}
	x.settle(1)
	for x.tidy() {
	}
	if s := x.Stats(); s.Segments > 3 {
		t.Fatalf("%+v", s)
	}
	old := noon.Add(-n / 2 * time.Minute)
	for name, list := range map[string]struct {
		query  Query
		videos []made
		limit  int
	}{
		"rare":     {Only("rare", "pod.example", "Anna"), rare, 24},
		"common":   {Only("common", "", ""), common, 100},
		"uploader": {Only("", "pod.example", "anna"), common, 100},
		"older":    {Query{Filters: Only("rare", "", "").Filters, Before: old}, slices.DeleteFunc(slices.Clone(rare), func(m made) bool { return !m.at.Before(old) }), 5},
		"newer":    {Query{Filters: Only("rare", "", "").Filters, After: old}, slices.DeleteFunc(slices.Clone(rare), func(m made) bool { return m.at.Before(old) }), 5},
	} {
		slices.SortFunc(list.videos, func(a, b made) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.id, a.id)) })
		var want []uint32
		for _, m := range list.videos {
			want = append(want, m.id)
		}
		if got := all(t, x, list.query, list.limit, func() {}); !slices.Equal(got, want) || len(want) < 100 {
			t.Errorf("%s: %d videos, or in another order than the %d", name, len(got), len(want))
		}
	}
}

// all is every page of a search. between is called between two pages.
func all(t *testing.T, x *Index, q Query, limit int, between func()) (ids []uint32) {
	t.Helper()
	for cursor, n := "", 0; ; n++ {
		page, err := x.Search(context.Background(), q, cursor, limit)
		if err != nil || n > 5000 {
			t.Fatalf("page %d: %v", n, err)
		}
		if ids = append(ids, page.IDs...); page.Next == "" {
			return ids
		}
		cursor = page.Next
		between()
	}
}

// TestAtOnce adds, removes, searches, merges and saves at the same time.
func TestAtOnce(t *testing.T) {
	x := newIndex(t)
	ctx, stop := context.WithCancel(context.Background())
	var busy, run sync.WaitGroup
	run.Go(func() {
		if err := x.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	const each = 1000
	for part := range uint32(2) {
		busy.Go(func() {
			r := rand.New(rand.NewPCG(6, uint64(part)))
			for i := range uint32(each) {
				x.Put(randomDocument(r, 2*i+part))
				if i%3 == 0 {
					x.Remove(2*i + part)
				}
				if i%5 == 0 {
					x.Put(randomDocument(r, 2*r.Uint32N(i+1)+part))
				}
			}
			for i := range uint32(each) {
				d := randomDocument(r, 2*i+part)
				d.Name = "last"
				x.Put(d)
			}
		})
	}
	searching, stopSearching := context.WithCancel(ctx)
	for range 2 {
		run.Go(func() {
			r := rand.New(rand.NewPCG(7, 7))
			for searching.Err() == nil {
				if _, err := x.Search(ctx, Parse(randomQuery(r)), "", 24); err != nil {
					t.Error(err)
				}
				x.Suggest(ctx, randomQuery(r), 5)
			}
		})
	}
	path := t.TempDir() + "/snapshot"
	for range 5 {
		if err := x.Save(path, "x"); err != nil {
			t.Error(err)
		}
	}
	busy.Wait()
	stopSearching()
	if got := x.Stats().Videos; got != 2*each {
		t.Errorf("%d videos", got)
	}
	if got := all(t, x, Parse(`"last"`), 100, func() {}); len(got) != 2*each {
		t.Errorf("%d are found by what was said last", len(got))
	}
	stop()
	run.Wait()
	if err := x.Save(path, "y"); err != nil {
		t.Fatal(err)
	}
	read, at, err := Load(path)
	if err != nil || at != "y" || read.Stats().Videos != 2*each {
		t.Fatal(read, at, err)
	}
	read.Close()
}
