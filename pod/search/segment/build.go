package segment

import (
	"cmp"
	"slices"
)

// writer writes a segment: first what is known of the videos, then word by word, in
// order, the videos that have it.
type writer struct {
	mem   *memory
	dict  *memory
	index []byte

	videos, words int
	postingsAt    int // where postings begin
	term          []byte
	last          [MaxTerm]byte
	lastLen       int
	list          postingsWriter
}

// newWriter makes room for videos and about size bytes of words.
func newWriter(videos, size int) *writer {
	w := &writer{videos: videos, postingsAt: headerSize + 12*videos}
	w.mem = reserve(w.postingsAt + size + size/8)
	w.mem.room(w.postingsAt)
	w.mem.b = w.mem.b[:w.postingsAt]
	w.dict = reserve(size / 4)
	return w
}

func (w *writer) video(n int, id, created uint32, duration uint16, nameEnd, headEnd uint8) {
	b := w.mem.b[headerSize:]
	le.PutUint32(b[4*n:], id)
	le.PutUint32(b[4*(w.videos+n):], created)
	le.PutUint16(b[8*w.videos+2*n:], duration)
	b[10*w.videos+n] = nameEnd
	b[11*w.videos+n] = headEnd
}

func (w *writer) begin(term []byte) {
	w.term = term
	w.list.begin(w.mem, term[0] == Bare)
}

func (w *writer) add(n uint32, at []byte) { w.list.add(w.mem, n, at) }

// end ends a word. One that no video has is left out.
func (w *writer) end() {
	if w.list.n == 0 {
		return
	}
	start := w.list.start - w.postingsAt
	size := w.list.end(w.mem)
	shared := 0
	if w.words%inBlock == 0 {
		w.index = le.AppendUint32(w.index, uint32(len(w.dict.b)))
		w.index = le.AppendUint32(w.index, uint32(start))
	} else {
		for shared < min(w.lastLen, len(w.term)) && w.last[shared] == w.term[shared] {
			shared++
		}
	}
	w.dict.room(3 + len(w.term) + 20)
	if more := len(w.term) - shared; shared < 15 && more < 16 {
		w.dict.b = append(w.dict.b, byte(shared<<4|more))
	} else {
		w.dict.b = append(w.dict.b, longWord, byte(shared), byte(more))
	}
	w.dict.b = append(w.dict.b, w.term[shared:]...)
	w.dict.b = appendUvarint(w.dict.b, uint64(w.list.n))
	w.dict.b = appendUvarint(w.dict.b, uint64(size))
	w.lastLen = copy(w.last[:], w.term)
	w.words++
}

func appendUvarint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func (w *writer) finish() *Segment {
	postings := len(w.mem.b) - w.postingsAt
	w.mem.room(len(w.dict.b) + len(w.index) + 8)
	w.mem.b = append(w.mem.b, w.dict.b...)
	w.mem.b = append(w.mem.b, w.index...)
	w.mem.b = append(w.mem.b, 0, 0, 0, 0, 0, 0, 0, 0)
	b := w.mem.b
	le.PutUint32(b, uint32(w.videos))
	le.PutUint32(b[4:], uint32(len(w.index)/8))
	le.PutUint32(b[8:], uint32(w.words))
	le.PutUint32(b[12:], version)
	le.PutUint64(b[16:], uint64(postings))
	le.PutUint64(b[24:], uint64(len(w.dict.b)))
	w.dict.free()
	s, err := open(w.mem)
	if err != nil {
		panic(err) // what was just written is not what is read
	}
	s.learn()
	return s
}

// Build makes a segment of videos, of which no two have the same id. It orders docs.
func Build(docs []*Doc) *Segment {
	slices.SortFunc(docs, func(a, b *Doc) int { return cmp.Compare(b.ID, a.ID) })
	type posting struct{ term, doc, at uint32 }
	var postings []posting
	numbers := map[string]uint32{}
	var terms []string
	size := 0
	for n, d := range docs {
		for i, t := range d.Terms {
			number, ok := numbers[t.Text]
			if !ok {
				number = uint32(len(terms))
				numbers[t.Text] = number
				terms = append(terms, t.Text)
				size += len(t.Text) + 4
			}
			postings = append(postings, posting{number, uint32(n), uint32(i)})
			size += 2 + len(t.At)
		}
	}
	order := make([]uint32, len(terms)) // numbers in order of the words
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(terms[a], terms[b]) })
	// Postings are counted into place: by word, and within one in order of videos.
	starts := make([]uint32, len(terms)+1)
	for _, p := range postings {
		starts[p.term+1]++
	}
	for i := range terms {
		starts[i+1] += starts[i]
	}
	sorted := make([]posting, len(postings))
	for _, p := range postings {
		sorted[starts[p.term]] = p
		starts[p.term]++ // then where the word's end is
	}
	w := newWriter(len(docs), size)
	for n, d := range docs {
		w.video(n, d.ID, d.Created, d.Duration, d.NameEnd, d.HeadEnd)
	}
	for _, number := range order {
		from := uint32(0)
		if number > 0 {
			from = starts[number-1]
		}
		w.begin([]byte(terms[number]))
		for _, p := range sorted[from:starts[number]] {
			w.add(p.doc, docs[p.doc].Terms[p.at].At)
		}
		w.end()
	}
	return w.finish()
}
