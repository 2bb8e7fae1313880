package piecestore

import (
	"encoding/binary"
	"slices"
	"time"
)

// The file "index" of a video, big-endian: indexMagic with its version, when the video
// was watched last (milliseconds since 1970, which the worker of another video reads
// too), then for each slot of the file "pieces" the number of its piece and one, or 0 for
// none.
const (
	indexMagic  = "KPIECES\x01"
	indexHeader = len(indexMagic) + 8
	indexEntry  = 4
)

// free is in slots of a shelf where there is no piece.
const free = -1

// shelf says which piece is in which slot of a video's file. It is the rule alone: the
// browser's store acts on it.
type shelf struct {
	slots []int       // the piece in each slot
	at    map[int]int // the slot of each piece
	order []int       // of at, the piece used longest ago first
	full  bool        // the file may not grow
}

func newShelf() *shelf { return &shelf{at: map[int]int{}} }

// parseIndex reads the file "index" of a torrent with so many pieces. What cannot be
// read is left out: it costs the pieces that it speaks of.
func parseIndex(b []byte, pieces int) *shelf {
	s := newShelf()
	if len(b) < indexHeader || string(b[:len(indexMagic)]) != indexMagic {
		return s
	}
	for b = b[indexHeader:]; len(b) >= indexEntry && len(s.slots) < pieces; b = b[indexEntry:] {
		i := int(binary.BigEndian.Uint32(b)) - 1
		if _, twice := s.at[i]; i < 0 || i >= pieces || twice {
			i = free
		} else {
			s.at[i] = len(s.slots)
			s.order = append(s.order, i)
		}
		s.slots = append(s.slots, i)
	}
	return s
}

// appendHeader writes the beginning of an index of a video that is watched now.
func appendHeader(b []byte, now time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(b, indexMagic...), uint64(now.UnixMilli()))
}

// entry gives what the index says of a slot, and where.
func (s *shelf) entry(slot int) (at int, b []byte) {
	return indexHeader + slot*indexEntry, binary.BigEndian.AppendUint32(nil, uint32(s.slots[slot]+1))
}

// kept is the pieces on the shelf, in their order in the film.
func (s *shelf) kept() []int { return slices.Sorted(slices.Values(s.order)) }

// put finds a slot for a piece: one that is free, a new one, or, where the file may not
// grow, that of the piece used longest ago. ok is false where there is none at all.
func (s *shelf) put(i int) (slot int, ok bool) {
	if slot, ok = s.at[i]; ok {
		return slot, true
	}
	slot = slices.Index(s.slots, free)
	switch {
	case slot >= 0:
	case !s.full:
		slot = len(s.slots)
		s.slots = append(s.slots, free)
	case len(s.order) > 0:
		slot = s.at[s.order[0]]
		s.take(s.order[0])
	default:
		return 0, false
	}
	s.slots[slot], s.at[i] = i, slot
	s.order = append(s.order, i)
	return slot, true
}

// refused takes back the slot that put gave piece i: the file may not grow.
func (s *shelf) refused(i int) {
	s.full = true
	s.take(i)
	for len(s.slots) > 0 && s.slots[len(s.slots)-1] == free {
		s.slots = s.slots[:len(s.slots)-1]
	}
}

// use makes a piece the one used last.
func (s *shelf) use(i int) {
	if k := slices.Index(s.order, i); k >= 0 {
		s.order = append(append(s.order[:k], s.order[k+1:]...), i)
	}
}

// take frees the slot of a piece.
func (s *shelf) take(i int) (slot int, ok bool) {
	if slot, ok = s.at[i]; ok {
		s.slots[slot] = free
		delete(s.at, i)
		s.order = slices.DeleteFunc(s.order, func(o int) bool { return o == i })
	}
	return slot, ok
}
