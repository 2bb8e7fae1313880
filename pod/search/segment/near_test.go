package segment

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNear(t *testing.T) {
	all := []string{"", "a", "ab", "ba", "abc", "acb", "bac", "abcd", "abdc", "äbc", "äbd", "aäc", "kubernetes", "kubernates", "kubernets", "kubernettes", "kubenretes", "kubenrates"}
	for _, a := range all {
		for _, b := range all {
			if got, want := Near(a, b), distance([]rune(a), []rune(b)) == 1; got != want {
				t.Errorf("%q and %q: %v", a, b, got)
			}
		}
	}
}

// distance is the number of edits, with exchanges of neighbours (optimal string alignment).
func distance(a, b []rune) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// TestNearInALargeDictionary compares what is looked for letter by letter with what a look at
// every word finds.
func TestNearInALargeDictionary(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	scripts := [][]rune{[]rune("abcdeé1"), []rune("жялмн")} // nobody mistakes one for another
	random := func() string {
		word, letters := make([]rune, 4+r.IntN(3)), scripts[r.IntN(2)]
		for i := range word {
			word[i] = letters[r.IntN(len(letters))]
		}
		return string(word)
	}
	words := map[string]bool{}
	for len(words) < 20_000 {
		words[random()] = true
	}
	d := &Doc{ID: 1}
	for _, w := range slices.Sorted(maps.Keys(words)) {
		d.Terms = append(d.Terms, Term{w, []byte{End}})
	}
	s := Build([]*Doc{d})
	defer s.Release()
	found := 0
	for range 100 {
		word := random()
		want := map[string]bool{}
		for w := range words {
			if Near(word, w) {
				want[w] = true
			}
		}
		work := 0
		s.Near(word, &work, func(text []byte, e Entry) bool {
			if have, ok := s.Find(text); !ok || have != e || !Near(word, string(text)) {
				t.Errorf("%q near %q: %+v, the dictionary has %+v", text, word, e, have)
			}
			delete(want, string(text))
			found++
			return true
		})
		if len(want) > 0 {
			t.Errorf("near %q are %v, too", word, want)
		}
	}
	if found < 500 {
		t.Errorf("only %d words", found)
	}
}
