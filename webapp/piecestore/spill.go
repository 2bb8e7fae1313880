package piecestore

// spill decides which pieces stay in memory and which may rest on disk. It is the
// rule alone: the browser's store acts on it.
type spill struct {
	most  int // bytes in memory
	held  map[int]Chunk
	order []int // of held, the oldest first
	bytes int
	away  map[int]bool // on disk, and not in memory
}

func newSpill(most int) *spill {
	return &spill{most: most, held: map[int]Chunk{}, away: map[int]bool{}}
}

// put takes a piece into memory.
func (s *spill) put(i int, c Chunk) {
	if _, ok := s.held[i]; ok {
		return
	}
	s.held[i] = c
	s.order = append(s.order, i)
	s.bytes += c.Len()
}

// next is the oldest piece where memory is over its bound; busy says which are being
// written.
func (s *spill) next(busy map[int]bool) (int, bool) {
	over := s.bytes
	for i := range busy {
		over -= s.held[i].Len()
	}
	if over <= s.most {
		return 0, false
	}
	for _, i := range s.order {
		if !busy[i] {
			return i, true
		}
	}
	return 0, false
}

// written drops a piece from memory that is on disk now.
func (s *spill) written(i int) {
	c, ok := s.held[i]
	if !ok {
		return
	}
	s.away[i] = true
	s.bytes -= c.Len()
	delete(s.held, i)
	for k, o := range s.order {
		if o == i {
			s.order = append(s.order[:k], s.order[k+1:]...)
			return
		}
	}
}
