package search

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func newIndex(t testing.TB) *Index {
	t.Helper()
	x := New()
	x.now = func() time.Time { return noon }
	t.Cleanup(x.Close)
	return x
}

func find(t testing.TB, x *Index, query string) []uint32 {
	t.Helper()
	r, err := x.Search(context.Background(), Parse(query), "", MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	if r.Cut {
		t.Errorf("%q was cut", query)
	}
	return r.IDs
}

func TestComesAndGoes(t *testing.T) {
	x := newIndex(t)
	for id := range uint32(3000) {
		x.Put(Document{ID: id + 1, Name: fmt.Sprintf("film number%d", id+1), Created: noon})
	}
	for _, id := range []uint32{1, 700, 3000} {
		word := fmt.Sprintf("number%d ", id)
		if got := find(t, x, word); len(got) == 0 || got[0] != id {
			t.Fatalf("%q: %v", word, got)
		}
		x.Put(Document{ID: id, Name: "renamed", Created: noon})
		if got := find(t, x, word); slices.Contains(got, id) {
			t.Errorf("%d is found by its old name", id)
		}
	}
	if got := find(t, x, "renamed"); !slices.Equal(got, []uint32{3000, 700, 1}) {
		t.Errorf("renamed: %v", got)
	}
	x.Remove(700)
	x.Remove(700)
	if got := find(t, x, "renamed"); !slices.Equal(got, []uint32{3000, 1}) {
		t.Errorf("after one was removed: %v", got)
	}
	if got := x.Stats().Videos; got != 2999 {
		t.Errorf("%d videos", got)
	}
}

// TestLongTexts looks for each two words that follow each other in texts with more words
// than there are positions.
func TestLongTexts(t *testing.T) {
	x := newIndex(t)
	var name, description []string
	for i := range 100 {
		name = append(name, fmt.Sprintf("n%d", i))
	}
	for i := range 300 {
		description = append(description, fmt.Sprintf("d%d", i))
	}
	x.Put(Document{ID: 1, Name: strings.Join(name, " "), Description: strings.Join(description, " "), Tags: []string{"one two", "three"}, Created: noon})
	for range 2 {
		for _, all := range [][]string{name, description} {
			for i := range len(all) - 1 {
				if got := find(t, x, fmt.Sprintf("%q", all[i]+" "+all[i+1])); len(got) != 1 {
					t.Errorf("%s %s is not found", all[i], all[i+1])
				}
			}
		}
		for query, want := range map[string]int{`"one two"`: 1, `"two three"`: 0, `"n99 one"`: 0, `"d5 d7"`: 0, `"three d0"`: 0} {
			if got := find(t, x, query); len(got) != want {
				t.Errorf("%s finds %v", query, got)
			}
		}
		x.settle(1)
	}
}

// TestNothingSaid has videos without a word.
func TestNothingSaid(t *testing.T) {
	x := newIndex(t)
	x.Put(Document{ID: 1})
	if got := find(t, x, "wordd "); len(got) != 0 {
		t.Errorf("%v", got)
	}
	x.settle(1)
	x.Put(Document{ID: 2, Name: "\x00\xff!", Tags: []string{"", "-"}, Created: time.Unix(-5, 0), Duration: -1})
	for range 2 {
		if got := find(t, x, "wordd "); len(got) != 0 {
			t.Errorf("%v", got)
		}
		if got := find(t, x, "duration:<1m"); !slices.Equal(got, []uint32{2, 1}) {
			t.Errorf("%v", got)
		}
		x.settle(1)
	}
}
