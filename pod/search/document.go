package search

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"

	"kinopod/pod/search/segment"
	"kinopod/pod/search/words"
	"kinopod/shared/network"
)

// Document is what is searched of one video. No limit is asked of its texts, but what
// stands far behind counts as if it stood near (package segment, "Layout").
type Document struct {
	ID          uint32 // grows with each video, and never comes again
	Name        string
	Description string
	Uploader    string
	Tags        []string
	Origin      network.Host
	Created     time.Time
	Duration    time.Duration
}

// maxText is how many bytes of a text are looked at.
const maxText = 1 << 14

// maxTags is how many tags of a video are looked at.
const maxTags = 64

// analyzer makes of a Document what is indexed.
type analyzer struct {
	cutter words.Cutter
	found  []found
	text   []byte
}

type found struct {
	start, end int // in text
	at         uint8
	bare       bool
}

var analyzers = sync.Pool{New: func() any { return new(analyzer) }}

func analyze(d Document) *segment.Doc {
	a := analyzers.Get().(*analyzer)
	defer analyzers.Put(a)
	a.found, a.text = a.found[:0], a.text[:0]

	out := &segment.Doc{ID: d.ID, Created: clampSeconds(d.Created.Unix()), Duration: clampDuration(d.Duration)}
	at := a.positions(d.Name, 0, segment.MaxNameEnd, 0)
	out.NameEnd = uint8(at)
	for _, t := range append(slices.Clone(d.Tags[:min(len(d.Tags), maxTags)]), d.Uploader) {
		// A position is left free, so that no phrase goes from one to the next.
		at = min(a.positions(t, at+1, segment.MaxHeadEnd, segment.MaxHeadEnd-1), segment.MaxHeadEnd)
	}
	out.HeadEnd = uint8(at + 1)
	a.positions(d.Description, at+1, segment.Positions, at+1)

	a.value(Origin, string(words.Bound([]byte(d.Origin))))
	a.value(Uploader, words.Fold(clip(d.Uploader)))
	for _, t := range d.Tags[:min(len(d.Tags), maxTags)] {
		a.value(Tag, words.Fold(clip(t)))
	}
	out.Terms = a.terms()
	return out
}

func clampSeconds(s int64) uint32 { return uint32(min(max(s, 0), 1<<32-1)) }

func clampDuration(d time.Duration) uint16 {
	return uint16(min(max(d/time.Second, 0), segment.MaxDuration))
}

func clip(text string) string { return text[:min(len(text), maxText)] }

// positions adds the words of a text at the positions from at to end, and goes on at
// again where there are more. It answers the position after the last.
func (a *analyzer) positions(text string, at, end, again int) int {
	a.cutter.Cut(clip(text))
	last := at
	for i := range a.cutter.Len() {
		if at >= end {
			at = again
		}
		a.add(a.cutter.Word(i), uint8(at), false)
		at++
		last = max(last, at)
	}
	return last
}

func (a *analyzer) value(f Field, value string) {
	if value != "" {
		a.add(bare(f, value), 0, true)
	}
}

// A word has room in a segment, with what bare puts before it.
const _ = uint(segment.MaxTerm - words.MaxBytes - 2)

// bare is the word that stands for a value.
func bare(f Field, value string) []byte {
	return append([]byte{segment.Bare, f[0]}, value...)
}

func (a *analyzer) add(word []byte, at uint8, bare bool) {
	start := len(a.text)
	a.text = append(a.text, word...)
	a.found = append(a.found, found{start, len(a.text), at, bare})
}

// terms orders what was found, and packs it: a document has three pieces of memory.
func (a *analyzer) terms() []segment.Term {
	slices.SortFunc(a.found, func(x, y found) int {
		if c := bytes.Compare(a.text[x.start:x.end], a.text[y.start:y.end]); c != 0 {
			return c
		}
		return cmp.Compare(x.at, y.at)
	})
	n, size := 0, 0
	var last []byte
	for _, f := range a.found {
		if w := a.text[f.start:f.end]; n == 0 || !bytes.Equal(w, last) {
			n++
			size += len(w)
			last = w
		}
	}
	terms := make([]segment.Term, 0, n)
	all := make([]byte, 0, size)
	at := make([]byte, 0, len(a.found))
	for i := 0; i < len(a.found); {
		f := a.found[i]
		word := a.text[f.start:f.end]
		all = append(all, word...)
		from := len(at)
		for ; i < len(a.found) && bytes.Equal(a.text[a.found[i].start:a.found[i].end], word); i++ {
			if p := a.found[i].at; !f.bare && (len(at) == from || at[len(at)-1] != p) {
				at = append(at, p)
			}
		}
		var positions []byte
		if !f.bare {
			at[len(at)-1] |= segment.End
			positions = at[from:len(at):len(at)]
		}
		terms = append(terms, segment.Term{At: positions})
	}
	text := string(all)
	// The words are cut out of one string, in a second round, when it is whole.
	k, start := 0, 0
	last = nil
	for _, f := range a.found {
		if w := a.text[f.start:f.end]; k == 0 || !bytes.Equal(w, last) {
			terms[k].Text = text[start : start+len(w)]
			start += len(w)
			k++
			last = w
		}
	}
	return terms
}
