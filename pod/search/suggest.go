package search

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kinopod/pod/search/words"
)

// Suggestions are what a search box shows while somebody types.
type Suggestions struct {
	// Queries are what was typed with its last word completed, the commonest first.
	// The word is folded: without case and accents.
	Queries []string
	// IDs are the videos that what was typed finds, the best first.
	IDs []uint32
}

// suggestLetters is how many letters are completed. Letters of scripts without spaces
// say more: one is enough, and finds videos only.
const suggestLetters = 2

// perSegment is how many completions of one segment are considered.
const perSegment = 32

// Suggest completes what somebody types: at most n of each kind.
func (x *Index) Suggest(ctx context.Context, text string, n int) Suggestions {
	q := Parse(text)
	if len(q.Texts) == 0 || !q.Texts[len(q.Texts)-1].Open || n <= 0 {
		return Suggestions{}
	}
	n = min(n, MaxPage)
	all := words.Of(q.Texts[len(q.Texts)-1].Text)
	last := all[len(all)-1].Text
	if utf8.RuneCountInString(last) < suggestLetters && !all[len(all)-1].Part {
		return Suggestions{}
	}
	v := x.view()
	defer v.release()
	t, _ := x.run(ctx, v, compile(q, x.now(), suggestLetters), hit{rank: ^uint64(0)}, n)
	var s Suggestions
	for _, h := range t.hits {
		s.IDs = append(s.IDs, h.id)
	}
	typed := strings.TrimRightFunc(text, func(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.M) })
	if all[len(all)-1].Part || len(all) > 1 && !strings.HasSuffix(strings.ToLower(text[len(typed):]), last) {
		return s // "東京": what it ends with is no word
	}
	for _, word := range v.complete(last) {
		if len(s.Queries) == n || ctx.Err() != nil {
			break
		}
		whole := typed + word
		if len(q.Texts) > 1 || len(q.Filters) > 0 { // what finds nothing is not suggested
			t, _ := x.run(ctx, v, compile(Parse(whole+" "), x.now(), fromLetters), hit{rank: ^uint64(0)}, 1)
			if len(t.hits) == 0 || t.hits[0].rank>>mistakesAt < 3 {
				continue
			}
		}
		s.Queries = append(s.Queries, whole)
	}
	return s
}

// complete is the commonest words that begin so and go on.
func (v view) complete(prefix string) []string {
	counts := map[string]int{}
	for _, f := range v.fresh {
		if f.gone.Load() {
			continue
		}
		for _, t := range termsFrom(f.doc.Terms, prefix) {
			if !strings.HasPrefix(t.Text, prefix) {
				break
			}
			counts[t.Text]++
		}
	}
	type completion struct {
		word   string
		videos int
	}
	more := func(a, b completion) int {
		return cmp.Or(cmp.Compare(b.videos, a.videos), cmp.Compare(a.word, b.word))
	}
	var best []completion
	for _, s := range v.segments {
		best = best[:0]
		least := 0
		w := s.Words([]byte(prefix))
		for range maxRange {
			if !w.Next() || !bytes.HasPrefix(w.Text, []byte(prefix)) {
				break
			}
			if w.Entry.Videos <= least {
				continue
			}
			best = append(best, completion{string(w.Text), w.Entry.Videos})
			if len(best) == 2*perSegment {
				slices.SortFunc(best, more)
				best = best[:perSegment]
				least = best[perSegment-1].videos
			}
		}
		for _, c := range best {
			counts[c.word] += c.videos
		}
	}
	best = best[:0]
	for word, videos := range counts {
		if word != prefix && !words.Shortened(word) {
			best = append(best, completion{word, videos})
		}
	}
	slices.SortFunc(best, more)
	var out []string
	for _, c := range best[:min(len(best), perSegment)] {
		out = append(out, c.word)
	}
	return out
}
