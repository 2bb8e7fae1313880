package segment

import (
	"bytes"
	"cmp"
	"encoding/binary"
)

// inBlock is how many words a block of the dictionary has.
const inBlock = 16

// MaxTerm is the longest word in bytes, with what a Bare one has before it.
const MaxTerm = 34

// Entry is a word of the dictionary: in how many videos it is, and where they stand.
type Entry struct {
	Videos   int
	Bare     bool
	at, size int
}

// Compare puts entries of one segment in the order of their words.
func (e Entry) Compare(other Entry) int { return cmp.Compare(e.at, other.at) }

// Words goes through the dictionary in order of the words' bytes.
type Words struct {
	Text  []byte // good until the next step
	Entry Entry

	seg   *Segment
	block int
	i     int  // of the next word in the block
	at    int  // of the next word in the dictionary
	next  int  // where its postings begin
	ahead bool // Seek has read the next word already
	room  [MaxTerm]byte
}

// Words goes before the first word that is text or follows it.
func (s *Segment) Words(from []byte) *Words {
	w := &Words{seg: s}
	w.Seek(from)
	return w
}

// first is the first word of a block.
func (s *Segment) first(block int) []byte {
	b := s.dict[le.Uint32(s.indexed[8*block:]):]
	_, more, at := lengths(b)
	return b[at : at+more]
}

// Seek goes before the first word that is text or follows it.
func (w *Words) Seek(from []byte) { w.seek(from, 0, w.seg.blocks) }

// seek is Seek among some blocks, of which one has the word if any has.
func (w *Words) seek(from []byte, lo, hi int) {
	w.start(w.seg.blockOf(from, lo, hi))
	w.ahead = false
	for w.Next() {
		if bytes.Compare(w.Text, from) >= 0 {
			w.ahead = true
			return
		}
	}
}

// blockOf is the last block from lo to hi-1 that begins with text or before it; lo if
// none does.
func (s *Segment) blockOf(text []byte, lo, hi int) int {
	first := lo
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); bytes.Compare(s.first(mid), text) > 0 {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return max(lo-1, first)
}

func (w *Words) start(block int) {
	w.block, w.i, w.Text = block, 0, w.room[:0]
	if block < w.seg.blocks {
		w.at = int(le.Uint32(w.seg.indexed[8*block:]))
		w.next = int(le.Uint32(w.seg.indexed[8*block+4:]))
	}
}

// Next goes to the next word.
func (w *Words) Next() bool {
	if w.ahead {
		w.ahead = false
		return true
	}
	s := w.seg
	if w.block >= s.blocks {
		return false
	}
	b := s.dict[w.at:]
	shared, more, at := lengths(b)
	w.Text = w.room[:shared+more]
	copy(w.Text[shared:], b[at:at+more])
	at += more
	videos, n := uvarint(b[at:])
	at += n
	size, n := uvarint(b[at:])
	at += n
	w.Entry = Entry{Videos: videos, Bare: w.Text[0] == Bare, at: w.next, size: size}
	w.at += at
	w.next += size
	if w.i++; w.i == inBlock || w.at == len(s.dict) {
		text := w.Text
		w.start(w.block + 1)
		w.Text = text
	}
	return true
}

// longWord begins a word whose lengths do not fit into four bits each.
const longWord = 0xff

// lengths is how many bytes a word shares, how many are new, and where those are.
func lengths(b []byte) (shared, more, at int) {
	if b[0] == longWord {
		return int(b[1]), int(b[2]), 3
	}
	return int(b[0] >> 4), int(b[0] & 15), 1
}

func uvarint(b []byte) (v, n int) {
	if b[0] < 0x80 {
		return int(b[0]), 1
	}
	u, n := binary.Uvarint(b)
	return int(u), n
}

// Find is a word of the dictionary.
func (s *Segment) Find(word []byte) (Entry, bool) { return s.find(word, 0, s.blocks) }

func (s *Segment) find(word []byte, lo, hi int) (Entry, bool) {
	w := Words{seg: s}
	w.seek(word, lo, hi)
	if !w.Next() || !bytes.Equal(w.Text, word) {
		return Entry{}, false
	}
	return w.Entry, true
}
