package segment

import (
	"encoding/binary"
	"math/bits"
)

// block is how many videos a block of postings has.
const block = 128

// Postings goes through the videos that have a word, the newest first.
//
// They stand in blocks of 128. A block has the bits a number needs, the differences
// between the videos' numbers less one, so packed, and the positions of each. The rest
// is written as differences (uvarint) and positions. Behind it stand, a block, its last
// video and where its bytes end (uint32 each), so that blocks are skipped unread.
type Postings struct {
	N uint32 // the number of the video where it stands

	seg  *Segment
	data []byte
	from int // where data begins in the segment's postings
	n    int // videos in all
	bare bool
	skip []byte

	blk   int // which block nums holds; -1 before the first
	count int // of nums
	i     int // where in nums it stands
	nums  [block]uint32
	posI  int // the one of nums whose positions begin at pos
	pos   int
	work  *int
}

// Start goes before the first video of a word. work counts the videos that are read.
func (p *Postings) Start(s *Segment, w Entry, work *int) {
	p.seg, p.n, p.bare, p.work = s, w.Videos, w.Bare, work
	p.from, p.data = w.at, s.postings[w.at:w.at+w.size+8]
	blocks := w.Videos / block
	p.skip = p.data[w.size-8*blocks : w.size]
	p.blk, p.count, p.i = -1, 0, 0
}

// Next goes to the next video.
func (p *Postings) Next() bool {
	p.i++
	if p.i >= p.count {
		if !p.load(p.blk + 1) {
			return false
		}
		p.i = 0
	}
	p.N = p.nums[p.i]
	return true
}

// Seek goes to the first video that is n or follows it. It never goes back.
func (p *Postings) Seek(n uint32) bool {
	if p.count == 0 || p.nums[p.count-1] < n {
		lo, hi := p.blk+1, len(p.skip)/8
		for step := 1; lo < hi; step *= 2 { // what is looked for is near, most often
			at := min(lo+step, hi) - 1
			if le.Uint32(p.skip[8*at:]) >= n {
				hi = at
				break
			}
			lo = at + 1
		}
		for lo < hi {
			if mid := int(uint(lo+hi) / 2); le.Uint32(p.skip[8*mid:]) < n {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if !p.load(lo) {
			return false
		}
		p.i = 0
	}
	i := p.i
	for i+8 < p.count && p.nums[i+8] < n {
		i += 8
	}
	for i < p.count && p.nums[i] < n {
		i++
	}
	p.i = i
	if i == p.count { // only in the rest
		return false
	}
	p.N = p.nums[i]
	return true
}

// load reads the numbers of a block; the one after the last is the rest.
func (p *Postings) load(blk int) bool {
	blocks := len(p.skip) / 8
	if blk > blocks || blk == blocks && p.n%block == 0 {
		p.blk, p.count = blocks+1, 0
		return false
	}
	at, last := 0, ^uint32(0)
	if blk > 0 {
		last = le.Uint32(p.skip[8*(blk-1):])
		at = int(le.Uint32(p.skip[8*(blk-1)+4:]))
	}
	p.blk, p.posI = blk, 0
	if blk < blocks {
		width := int(p.data[at])
		p.count = block
		unpack(&p.nums, p.data[at+1:], width, last)
		p.pos = at + 1 + block/8*width
	} else {
		p.count = p.n % block
		for i := range p.count {
			d := uint32(p.data[at])
			if d < 0x80 {
				at++
			} else {
				v, size := binary.Uvarint(p.data[at:])
				d = uint32(v)
				at += size
			}
			last += d + 1
			p.nums[i] = last
		}
		p.pos = at
	}
	*p.work += p.count
	return true
}

// unpack reads numbers of a width; b has 8 bytes behind them.
func unpack(nums *[block]uint32, b []byte, width int, last uint32) {
	if width == 0 {
		for i := range nums {
			last++
			nums[i] = last
		}
		return
	}
	mask := uint64(1)<<width - 1
	bit := 0
	for i := range nums {
		v := le.Uint64(b[bit>>3:]) >> (bit & 7) & mask
		bit += width
		last += uint32(v) + 1
		nums[i] = last
	}
}

// At is the positions of the word in the video, the last one marked with End; nil for
// a Bare one.
func (p *Postings) At() []byte {
	if p.bare {
		return nil
	}
	at := p.pos
	for ; p.posI < p.i; p.posI++ {
		at = after(p.data, at)
	}
	p.pos = at
	return p.data[at:after(p.data, at)]
}

// after is where the positions end that begin at at. 8 bytes stand behind the last ones.
func after(data []byte, at int) int {
	const ends = End * 0x0101010101010101
	for {
		if found := le.Uint64(data[at:]) & ends; found != 0 {
			return at + bits.TrailingZeros64(found)/8 + 1
		}
		at += 8
	}
}

// postingsWriter writes the postings of one word.
type postingsWriter struct {
	n, inBlock int
	bare       bool
	last       uint32 // of the video before; ^0 before the first
	blockStart uint32 // the one before the block
	nums       [block]uint32
	at         []byte // positions of the block
	skip       []byte
	start      int // in the memory
}

func (w *postingsWriter) begin(m *memory, bare bool) {
	w.n, w.inBlock, w.bare, w.last, w.blockStart = 0, 0, bare, ^uint32(0), ^uint32(0)
	w.at, w.skip, w.start = w.at[:0], w.skip[:0], len(m.b)
}

// add adds a video; numbers ascend.
func (w *postingsWriter) add(m *memory, n uint32, at []byte) {
	w.nums[w.inBlock] = n - w.last - 1
	w.inBlock++
	w.n++
	w.last = n
	if !w.bare {
		w.at = append(w.at, at...)
	}
	if w.inBlock < block {
		return
	}
	var all uint32
	for _, d := range w.nums {
		all |= d
	}
	width := bits.Len32(all)
	m.room(1 + block/8*width + len(w.at))
	m.b = append(m.b, byte(width))
	var acc uint64
	have := 0
	for _, d := range w.nums {
		acc |= uint64(d) << have
		for have += width; have >= 8; have -= 8 {
			m.b = append(m.b, byte(acc))
			acc >>= 8
		}
	}
	m.b = append(m.b, w.at...)
	w.skip = le.AppendUint32(w.skip, n)
	w.skip = le.AppendUint32(w.skip, uint32(len(m.b)-w.start))
	w.at, w.inBlock, w.blockStart = w.at[:0], 0, n
}

// end writes what is left, and says how many bytes the postings have.
func (w *postingsWriter) end(m *memory) (size int) {
	m.room(w.inBlock*binary.MaxVarintLen32 + len(w.at) + len(w.skip))
	for _, d := range w.nums[:w.inBlock] {
		m.b = binary.AppendUvarint(m.b, uint64(d))
	}
	m.b = append(m.b, w.at...)
	m.b = append(m.b, w.skip...)
	return len(m.b) - w.start
}
