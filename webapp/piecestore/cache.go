package piecestore

import "slices"

// cache is pieces in memory: the ones used last, and those that are on their way to
// disk.
type cache struct {
	most  int // bytes, but for what is held fast
	bytes int
	held  map[int]Chunk
	fast  map[int]bool // not to be dropped: they are nowhere else yet
	order []int        // of held, the one used longest ago first
}

func newCache(most int) *cache {
	return &cache{most: most, held: map[int]Chunk{}, fast: map[int]bool{}}
}

// put takes a piece; fast holds it until it is let go.
func (c *cache) put(i int, piece Chunk, fast bool) {
	if _, ok := c.held[i]; ok {
		return
	}
	c.held[i] = piece
	c.bytes += piece.Len()
	c.order = append(c.order, i)
	if fast {
		c.fast[i] = true
	}
	c.shrink()
}

// get gives a piece that is in memory, as the one used last.
func (c *cache) get(i int) (Chunk, bool) {
	piece, ok := c.held[i]
	if k := slices.Index(c.order, i); k >= 0 {
		c.order = append(append(c.order[:k], c.order[k+1:]...), i)
	}
	return piece, ok
}

// let lets go of a piece that was held fast.
func (c *cache) let(i int) {
	delete(c.fast, i)
	c.shrink()
}

func (c *cache) drop(i int) {
	c.bytes -= c.held[i].Len()
	delete(c.held, i)
	delete(c.fast, i)
	c.order = slices.DeleteFunc(c.order, func(o int) bool { return o == i })
}

// shrink drops what was used longest ago. The piece used last stays, however long it is.
func (c *cache) shrink() {
	for k := 0; k < len(c.order)-1 && c.bytes > c.most; {
		if i := c.order[k]; c.fast[i] {
			k++
		} else {
			c.drop(i)
		}
	}
}
