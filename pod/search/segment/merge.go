package segment

import (
	"bytes"
	"cmp"
	"slices"
)

// Merge makes one segment of several, without what is struck out, and says what was
// struck out when it began: see Merged.Finish. It answers nil for no video at all.
func Merge(parts []*Segment) *Merged {
	m := &Merged{parts: parts}
	type input struct {
		seg   *Segment
		n     uint32 // next video
		to    []uint32
		words *Words
		more  bool
	}
	inputs := make([]*input, len(parts))
	size, videos := 0, 0
	for i, s := range parts {
		dead := s.struckOut()
		m.dead = append(m.dead, dead)
		inputs[i] = &input{seg: s, to: make([]uint32, s.videos), words: s.Words(nil)}
		for n := range s.videos {
			if dead[n/64]&(1<<(n%64)) != 0 {
				inputs[i].to[n] = gone
			} else {
				videos++
			}
		}
		size += len(s.postings) + len(s.dict)
		inputs[i].more = inputs[i].words.Next()
	}
	if videos == 0 {
		return m
	}
	// The newest first, whichever part they are in: the ids are merged.
	w := newWriter(videos, size)
	for n := 0; n < videos; n++ {
		var from *input
		for _, in := range inputs {
			for int(in.n) < in.seg.videos && in.to[in.n] == gone {
				in.n++
			}
			if int(in.n) < in.seg.videos && (from == nil || in.seg.ID(in.n) > from.seg.ID(from.n)) {
				from = in
			}
		}
		v, s := from.n, from.seg
		w.video(n, s.ID(v), s.Created(v), s.Duration(v), s.NameEnd(v), s.HeadEnd(v))
		from.to[v] = uint32(n)
		from.n++
	}
	slices.SortFunc(inputs, func(a, b *input) int { return cmp.Compare(b.seg.ID(0), a.seg.ID(0)) })
	var term [MaxTerm]byte
	var l list
	var p Postings
	work := 0
	for {
		var least []byte
		for _, in := range inputs {
			if in.more && (least == nil || bytes.Compare(in.words.Text, least) < 0) {
				least = in.words.Text
			}
		}
		if least == nil {
			break
		}
		least = term[:copy(term[:], least)]
		l.reset()
		for _, in := range inputs {
			if !in.more || !bytes.Equal(in.words.Text, least) {
				continue
			}
			p.Start(in.seg, in.words.Entry, &work)
			for p.Next() {
				if to := in.to[p.N]; to != gone {
					l.add(to, p.At())
				}
			}
			in.more = in.words.Next()
		}
		w.begin(least)
		l.write(w)
		w.end()
	}
	m.whole = w.finish()
	return m
}

// gone is the number of a video that is left out.
const gone = ^uint32(0)

// Merged is a segment that was made of others.
type Merged struct {
	parts []*Segment
	dead  [][]uint64 // what was struck out of each part
	whole *Segment
}

// Finish strikes out of the whole what was struck out of its parts since, and answers
// it; nil if there was no video left. Nobody else may strike meanwhile.
func (m *Merged) Finish() *Segment {
	if m.whole == nil {
		return nil
	}
	for i, s := range m.parts {
		for j := range s.dead {
			for n := range 64 {
				if since := s.dead[j].Load() &^ m.dead[i][j]; since>>n&1 != 0 {
					m.whole.Strike(s.ID(uint32(64*j + n)))
				}
			}
		}
	}
	return m.whole
}

// list is the videos of one word, from several parts.
type list struct {
	nums []uint32
	ends []uint32 // of their positions
	at   []byte
	// sorted says that no video follows an older one: as long as parts do not overlap.
	sorted bool
	order  []uint32
}

func (l *list) reset() {
	l.nums, l.ends, l.at, l.sorted = l.nums[:0], l.ends[:0], l.at[:0], true
}

func (l *list) add(n uint32, at []byte) {
	if k := len(l.nums); k > 0 && l.nums[k-1] > n {
		l.sorted = false
	}
	l.nums = append(l.nums, n)
	l.at = append(l.at, at...)
	l.ends = append(l.ends, uint32(len(l.at)))
}

func (l *list) write(w *writer) {
	put := func(i uint32) {
		from := uint32(0)
		if i > 0 {
			from = l.ends[i-1]
		}
		w.add(l.nums[i], l.at[from:l.ends[i]])
	}
	if l.sorted {
		for i := range l.nums {
			put(uint32(i))
		}
		return
	}
	l.order = l.order[:0]
	for i := range l.nums {
		l.order = append(l.order, uint32(i))
	}
	slices.SortFunc(l.order, func(a, b uint32) int { return cmp.Compare(l.nums[a], l.nums[b]) })
	for _, i := range l.order {
		put(i)
	}
}
