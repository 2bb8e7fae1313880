package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomDocs has few words, so that lists are long, and some rare ones.
func randomDocs(r *rand.Rand, n int, firstID uint32) []*Doc {
	var docs []*Doc
	for i := range n {
		d := &Doc{ID: firstID + uint32(i)*3, Created: r.Uint32(), Duration: uint16(r.Uint32()), NameEnd: uint8(r.IntN(MaxNameEnd)), HeadEnd: MaxHeadEnd}
		seen := map[string]bool{}
		for range 1 + r.IntN(20) {
			w := fmt.Sprintf("word%d", int(r.ExpFloat64()*r.ExpFloat64()*30))
			if r.IntN(4) == 0 {
				w = string(rune(Bare)) + w
			}
			if !seen[w] {
				seen[w] = true
				d.Terms = append(d.Terms, Term{Text: w})
			}
		}
		slices.SortFunc(d.Terms, func(a, b Term) int { return strings.Compare(a.Text, b.Text) })
		for j := range d.Terms {
			if d.Terms[j].Text[0] == Bare {
				continue
			}
			at := r.Perm(Positions)[:1+r.IntN(12)]
			slices.Sort(at)
			for _, p := range at {
				d.Terms[j].At = append(d.Terms[j].At, byte(p))
			}
			d.Terms[j].At[len(at)-1] |= End
		}
		docs = append(docs, d)
	}
	return docs
}

// same fails unless the segment says of docs what they say.
func same(t *testing.T, s *Segment, docs []*Doc) {
	t.Helper()
	if s.Videos()-s.Gone() != len(docs) {
		t.Fatalf("%d videos, %d of them gone, want %d", s.Videos(), s.Gone(), len(docs))
	}
	want := map[string]map[uint32]string{}
	for _, d := range docs {
		n, ok := s.Number(d.ID)
		if !ok || s.Created(n) != d.Created || s.Duration(n) != d.Duration || s.NameEnd(n) != d.NameEnd || s.HeadEnd(n) != d.HeadEnd {
			t.Fatalf("video %d is not as it was", d.ID)
		}
		for _, term := range d.Terms {
			if want[term.Text] == nil {
				want[term.Text] = map[uint32]string{}
			}
			want[term.Text][d.ID] = string(term.At)
		}
	}
	work := 0
	var p, q, g Postings
	var window Window
	last := ""
	for w := s.Words(nil); w.Next(); {
		text := string(w.Text)
		if text <= last {
			t.Fatalf("%q follows %q", text, last)
		}
		last = text
		e, ok := s.Find(w.Text)
		if !ok || e != w.Entry {
			t.Fatalf("%q is not found: %+v, %+v", text, e, w.Entry)
		}
		got := map[uint32]string{}
		p.Start(s, e, &work)
		q.Start(s, e, &work)
		g.Start(s, e, &work)
		for p.Next() {
			if p.N%7 == 0 && (!q.Seek(p.N) || q.N != p.N || !bytes.Equal(q.At(), p.At())) {
				t.Fatalf("%q: %d is not sought", text, p.N)
			}
			if p.N%97 == 0 && !e.Bare {
				window.Start(p.N / WindowSize * WindowSize)
				g.Start(s, e, &work)
				g.Gather(&window, Exact)
				if _, at := window.Key(s, p.N); !bytes.Equal(at, p.At()) {
					t.Fatalf("%q: %d is not gathered", text, p.N)
				}
			}
			if !s.Dead(p.N) {
				got[s.ID(p.N)] = string(p.At())
			}
		}
		if len(got) != len(want[text]) {
			t.Fatalf("%q is in %d videos, want %d", text, len(got), len(want[text]))
		}
		for id, at := range got {
			if want[text][id] != at {
				t.Fatalf("%q stands at %x of %d, want %x", text, at, id, want[text][id])
			}
		}
		delete(want, text)
	}
	if len(want) > 0 {
		t.Fatalf("%d words are missing", len(want))
	}
}

func TestBuildAndMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a, b, c := randomDocs(r, 10_000, 100), randomDocs(r, 3000, 20_102), randomDocs(r, 1, 7)
	sa, sb, sc := Build(slices.Clone(a)), Build(slices.Clone(b)), Build(slices.Clone(c))
	same(t, sa, a)
	same(t, sb, b)
	var left []*Doc
	for i, d := range append(append(a, b...), c...) {
		if i%4 == 1 {
			if !sa.Strike(d.ID) && !sb.Strike(d.ID) && !sc.Strike(d.ID) {
				t.Fatalf("%d cannot be struck out", d.ID)
			}
		} else {
			left = append(left, d)
		}
	}
	merged := Merge([]*Segment{sc, sb, sa})
	if !sa.Strike(left[0].ID) || sa.Strike(left[0].ID) { // meanwhile
		t.Fatal("struck out once is not once")
	}
	s := merged.Finish()
	left = left[1:]
	if s.Gone() != 1 {
		t.Errorf("%d are gone", s.Gone())
	}
	sa.Release()
	sb.Release()
	sc.Release()
	for _, word := range []string{"word1", "word12", "wor1", "wrod12", "ward", "xord3"} {
		near := map[string]bool{}
		work := 0
		s.Near(word, &work, func(text []byte, e Entry) bool {
			if near[string(text)] || e.Videos == 0 {
				t.Errorf("%q twice near %q", text, word)
			}
			near[string(text)] = true
			return true
		})
		for w := s.Words(nil); w.Next(); {
			if w.Text[0] != Bare && Near(word, string(w.Text)) != near[string(w.Text)] {
				t.Errorf("%q and %q: %v", word, w.Text, near[string(w.Text)])
			}
		}
	}

	var out bytes.Buffer
	if _, err := s.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	whole := out.Bytes()
	read, err := Read(bytes.NewReader(whole), int64(len(whole)))
	if err == nil {
		err = read.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range left { // what is gone is not among the words either, after another merge
		if _, ok := read.Number(d.ID); !ok {
			t.Fatalf("%d was lost", d.ID)
		}
	}
	again := Merge([]*Segment{read}).Finish()
	same(t, again, left)
	again.Release()
	read.Release()
	s.Release()
	for _, n := range []int{0, 5, 8, 40, len(whole) / 2, len(whole) - 1} {
		if _, err := Read(bytes.NewReader(whole[:n]), int64(n)); !errors.Is(err, ErrBroken) {
			t.Errorf("%d bytes of %d: %v", n, len(whole), err)
		}
	}
}

func TestNothingLeft(t *testing.T) {
	s := Build(randomDocs(rand.New(rand.NewPCG(1, 2)), 3, 1))
	defer s.Release()
	for _, id := range []uint32{1, 4, 7} {
		s.Strike(id)
	}
	if got := Merge([]*Segment{s}).Finish(); got != nil {
		t.Errorf("a segment of %d videos", got.Videos())
	}
}

// FuzzRead changes bytes of a segment: it is refused, or whatever is read of it stays
// within it.
func FuzzRead(f *testing.F) {
	s := Build(randomDocs(rand.New(rand.NewPCG(3, 3)), 400, 1))
	var out bytes.Buffer
	_, _ = s.WriteTo(&out)
	f.Add(uint32(0), []byte{})
	f.Add(uint32(16), []byte{1})
	f.Add(uint32(9000), []byte{0xff, 0})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		b := bytes.Clone(out.Bytes())
		copy(b[int(at)%len(b):], change)
		s, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrBroken) {
				t.Fatal(err)
			}
			return
		}
		defer s.Release()
		if err := s.Check(); err != nil {
			if !errors.Is(err, ErrBroken) {
				t.Fatal(err)
			}
			return
		}
		work := 0
		var p Postings
		var window Window
		for w := s.Words(nil); w.Next(); {
			p.Start(s, w.Entry, &work)
			for p.Next() {
				_ = s.ID(p.N) + uint32(len(p.At()))
			}
			p.Start(s, w.Entry, &work)
			window.Start(0)
			p.Gather(&window, Exact)
			s.Near(string(w.Text), &work, func([]byte, Entry) bool { return true })
		}
		if m := Merge([]*Segment{s}).Finish(); m != nil {
			m.Release()
		}
	})
}
