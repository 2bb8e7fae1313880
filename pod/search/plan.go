package search

import (
	"strings"
	"time"
	"unicode/utf8"

	"kinopod/pod/search/segment"
	"kinopod/pod/search/words"
)

// plan is a query as it is looked for.
type plan struct {
	terms   []term // all must be there; the first counted ones count for the rank
	counted int
	phrases []phrase // of terms
	not     []clause

	shortest, longest uint16 // seconds
	from, until       uint32 // created, seconds since 1970, both included

	now     uint32
	weights []uint8
	wrong   uint32 // the words that may have a wrong letter, a bit each; loose for phrases
}

// term is a word that is looked for.
type term struct {
	text   string
	prefix bool // what begins so will do
	fuzzy  bool // it is long enough for a wrong letter
}

// phrase is terms that follow each other.
type phrase struct {
	from, to int  // of plan.terms
	strict   bool // in quotes: nothing else will do
}

// clause is words that must not be there, following each other.
type clause []string

// loose is the bit of plan.wrong that lets words stand apart that were written as one.
const loose = 1 << 31

// fromLetters is how many letters of a word are enough to look for what begins so.
const fromLetters = 3

// compile makes a plan of a query, at a time.
func compile(q Query, now time.Time, letters int) *plan {
	p := &plan{}
	for _, t := range q.Texts {
		all := words.Of(t.Text)
		open := t.Open && !t.Quoted
		phrase := phrase{from: len(p.terms), strict: t.Quoted}
		for i, w := range all {
			if len(p.terms) == MaxWords {
				break
			}
			last := open && i == len(all)-1 && utf8.RuneCountInString(w.Text) >= letters
			if last && i > 0 && words.Mistakable(w.Text) {
				p.addPhrase(phrase) // "wi-fib": what is open is on its own
				phrase.from = len(p.terms)
			}
			p.terms = append(p.terms, term{text: w.Text, prefix: (w.Part && !t.Quoted) || last && !t.Quoted, fuzzy: !t.Quoted && words.Mistakable(w.Text)})
		}
		p.addPhrase(phrase)
	}
	p.counted = len(p.terms)
	for _, t := range q.Without {
		var c clause
		for _, w := range words.Of(t.Text) {
			c = append(c, w.Text)
		}
		if len(c) > 0 {
			p.not = append(p.not, c)
		}
	}
	for _, f := range q.Filters {
		value := string(bare(f.Field, f.Value))
		if f.Not {
			p.not = append(p.not, clause{value})
		} else {
			p.terms = append(p.terms, term{text: value})
		}
	}
	p.at(q, clampSeconds(now.Unix()))
	return p
}

// at sets the time of the search, in seconds since 1970, and what depends on it.
func (p *plan) at(q Query, now uint32) {
	p.now, p.longest, p.from, p.until = now, segment.MaxDuration, 0, ^uint32(0)
	seconds := func(d time.Duration) uint32 { return clampSeconds(int64(d / time.Second)) }
	p.shortest = clampDuration(q.Duration.Min)
	if q.Duration.Max > 0 {
		p.longest = clampDuration(q.Duration.Max)
	}
	if q.Age.Min > 0 {
		p.until = p.now - min(seconds(q.Age.Min), p.now)
	}
	if q.Age.Max > 0 {
		p.from = p.now - min(seconds(q.Age.Max), p.now)
	}
	if !q.After.IsZero() {
		p.from = max(p.from, clampSeconds(q.After.Unix()))
	}
	if !q.Before.IsZero() {
		p.until = min(p.until, clampSeconds(q.Before.Unix()-1))
	}
}

func (p *plan) addPhrase(ph phrase) {
	if ph.to = len(p.terms); ph.to-ph.from > 1 {
		p.phrases = append(p.phrases, ph)
	}
}

// mayErr says which words a second search lets have a wrong letter: those that are
// nowhere, if there are such, or else all that are long enough.
func (p *plan) mayErr(videos []int) (wrong uint32) {
	unknown := uint32(0)
	for i, t := range p.terms[:p.counted] {
		if t.fuzzy {
			wrong |= 1 << i
			if videos[i] == 0 {
				unknown |= 1 << i
			}
		}
	}
	if unknown != 0 {
		wrong = unknown
	}
	for _, ph := range p.phrases {
		if !ph.strict {
			wrong |= loose
		}
	}
	return wrong
}

func (p *plan) errs(i int) bool { return i < p.counted && p.wrong>>i&1 != 0 }

// written says whether a match has the words of a phrase as they are written, so that
// they may be asked to follow each other.
func (p *plan) written(ph phrase, m *match) bool {
	for i := ph.from; i < ph.to; i++ {
		if p.terms[i].prefix || m.wrong[i] {
			return false
		}
	}
	return true
}

// fits says whether what is not a word of a video is as asked.
func (p *plan) fits(created uint32, duration uint16) bool {
	return created >= p.from && created <= p.until && duration >= p.shortest && duration <= p.longest
}

// kind is how a word of a video fits a term; ok is false for not at all.
func (p *plan) kind(i int, word string) (kind uint8, ok bool) {
	t := &p.terms[i]
	switch {
	case word == t.text:
		return segment.Exact, true
	case t.prefix && strings.HasPrefix(word, t.text):
		return segment.Begun, true
	case p.errs(i) && segment.Near(t.text, word):
		return segment.Mistaken, true
	}
	return 0, false
}

// follows says whether a position follows another, in the same video.
func follows(at, next byte, headEnd uint8) bool {
	at &^= segment.End
	next &^= segment.End
	switch at + 1 {
	case segment.Positions:
		return next == headEnd
	case segment.MaxNameEnd:
		return next == at+1 || next == 0 // a name with more words than positions
	}
	return next == at+1
}

// adjacentIn says whether words follow each other, each given by its positions.
func adjacentIn(all [][]byte, headEnd uint8) bool {
	for _, start := range all[0] {
		at := start
		found := true
		for _, positions := range all[1:] {
			found = false
			for _, next := range positions {
				if follows(at, next, headEnd) {
					at, found = next, true
					break
				}
			}
			if !found {
				break
			}
		}
		if found {
			return true
		}
	}
	return false
}
