package segment

// WindowSize is how many videos of a segment are gathered at once.
const WindowSize = 1 << 13

// Kinds of a word, of those that fit what is looked for. With InName it is a key: the
// greatest one of a video counts.
const (
	Mistaken uint8 = 0 // a letter is wrong
	Begun    uint8 = 4 // the word goes on
	Exact    uint8 = 5

	InName uint8 = 2 // it stands in the name
)

// Window is the videos from Base to Base+WindowSize-1 that have one of some words.
type Window struct {
	Base  uint32
	Has   [WindowSize / 64]uint64 // a bit a video
	Named [WindowSize / 64]uint64 // it has such a word in its name
	key   [WindowSize]uint8
	at    [WindowSize]uint32 // where the positions are; nothing where Has is not set
}

// Start empties the window.
func (w *Window) Start(base uint32) {
	w.Base = base
	clear(w.Has[:])
	clear(w.Named[:])
}

// Gather adds the videos of a word to a window: it goes behind them. It never goes back.
// Of words of one key the first counts.
func (p *Postings) Gather(w *Window, kind uint8) {
	if !p.Seek(w.Base) {
		return
	}
	names := p.seg.name
	for {
		p.At()
		at := p.pos
		for i := p.i; i < p.count; i++ {
			n := p.nums[i] - w.Base
			if n >= WindowSize {
				p.i, p.posI, p.pos = i, i, at
				return
			}
			word, bit := n/64, uint64(1)<<(n%64)
			if p.bare {
				w.Has[word] |= bit
				continue
			}
			start := at
			key := kind
			if p.data[at]&^End < names[p.nums[i]] {
				key |= InName
				w.Named[word] |= bit
			}
			at = after(p.data, at)
			if w.Has[word]&bit == 0 || key > w.key[n] {
				w.Has[word] |= bit
				w.key[n] = key
				w.at[n] = uint32(p.from + start)
			}
		}
		if !p.load(p.blk + 1) {
			return
		}
		p.i = 0
	}
}

// Key is the key of a video that the window has, and the positions of the word.
func (w *Window) Key(s *Segment, n uint32) (key uint8, at []byte) {
	n -= w.Base
	from := int(w.at[n])
	return w.key[n], s.postings[from:after(s.postings, from)]
}
