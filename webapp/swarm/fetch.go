package swarm

import (
	"time"

	"kinopod/webapp/piecestore"
)

// fetch is a piece on its way from one source.
type fetch struct {
	piece     int
	by        *peer // nil: the web seed
	block     int   // length of one, from a peer
	buf       piecestore.Chunk
	begun     *fetch // whose first bytes this one went on with; nil for none
	from      int    // where in the piece the web seed began; what is before that comes last
	next      int    // the next block to ask for
	got       []bool // blocks, from a peer
	missing   int    // bytes
	asked     time.Time
	began     time.Time // the first block, from a peer
	last      time.Time // the last block, or when it was asked for
	verifying bool
}

// newFetch notes that piece i comes from p, or from the web seed where p is nil.
func (e *Engine) newFetch(i int, p *peer) *fetch {
	size := int(e.t.PieceSize(i))
	f := &fetch{piece: i, by: p, missing: size, asked: e.now, last: e.now}
	if p != nil {
		f.block = p.blockLength()
		f.got = make([]bool, (size+f.block-1)/f.block)
	}
	e.busy[i] = f
	return f
}

// room makes the buffer when the first bytes come.
func (f *fetch) room(size int) piecestore.Chunk {
	if f.buf.Len() == 0 {
		f.buf = piecestore.Make(size)
	}
	return f.buf
}

// at is where in a piece of size bytes the next byte of the web seed belongs, and room
// how many follow it without a gap.
func (f *fetch) at(size int) (at, room int) {
	if at = f.from + size - f.missing; at < size {
		return at, size - at
	}
	return at - size, f.from - (at - size)
}

// here gives how many bytes from the one at off on have come of a piece of size bytes.
func (f *fetch) here(off, size int) int {
	switch at, _ := f.at(size); {
	case f.by != nil || f.begun != nil || f.missing == size:
		return 0
	case f.missing > f.from: // all that came is in one run
		if off < f.from {
			return 0
		}
		return max(0, at-off)
	case off >= f.from:
		return size - off
	default:
		return max(0, at-off)
	}
}

// prefix is the number of bytes that have come of the beginning, without a gap.
func (f *fetch) prefix() int {
	n := 0
	for n < len(f.got) && f.got[n] {
		n++
	}
	return n * f.block
}

// goOn has the web seed bring what is missing of a piece that a peer brings too late.
func (e *Engine) goOn(f *fetch) *fetch {
	g, n := e.newFetch(f.piece, nil), f.prefix()
	if n > 0 {
		g.begun, g.buf = f, f.buf
		g.missing -= n
		e.wasted -= int64(n)
	}
	return g
}

// left is the number of bytes that are to come.
func (f *fetch) left() int64 { return int64(f.missing) }

// release gives a piece back to the picker; what has come of it is lost.
func (e *Engine) release(f *fetch) {
	if e.busy[f.piece] != f {
		return
	}
	delete(e.busy, f.piece)
	e.wasted += e.t.PieceSize(f.piece) - int64(f.missing)
	e.changed = true
}

// verify checks a whole piece.
func (e *Engine) verify(f *fetch) {
	f.verifying = true
	f.buf.Sum(func(sum [20]byte, err error) {
		e.box.post(func() { e.verified(f, err == nil && sum == e.t.Hash(f.piece)) })
	})
}

func (e *Engine) verified(f *fetch, good bool) {
	if e.busy[f.piece] != f {
		return
	}
	if !good {
		f.missing = 0
		e.release(f)
		if f.begun != nil { // one of two lied: the web seed brings it whole, and will show which
			e.mixed[f.piece] = true
			f.begun.by.strike()
			return
		}
		if f.by == nil {
			e.log.Warn("the web seed sent wrong bytes", "piece", f.piece)
			e.web.lied = true
			e.web.fail(e, wrongBytesRest)
			return
		}
		e.ban(f.by)
		return
	}
	delete(e.busy, f.piece)
	e.keep(f.piece, f.buf, f.source())
	if b := f.begun; b != nil {
		n := int64(b.prefix())
		e.from[WebSeed] -= n
		e.from[b.source()] += n
	}
}

func (f *fetch) source() Source {
	switch {
	case f.by == nil:
		return WebSeed
	case f.by.pod:
		return Pod
	}
	return Viewer
}

// keep takes a piece that was checked.
func (e *Engine) keep(i int, piece piecestore.Chunk, from Source) {
	if e.have.Has(i) {
		return
	}
	e.cfg.Store.Put(i, piece)
	e.gain(i, piece.Len(), from)
}

// gain notes that piece i is in the store, and is right.
func (e *Engine) gain(i, bytes int, from Source) {
	e.have.Set(i)
	e.source[i] = from
	e.missing--
	e.from[from] += int64(bytes)
	e.wake(i)
	for p := range e.peers {
		p.tellHave(i)
	}
	if e.missing == 0 {
		for _, tr := range e.trackers {
			tr.completed()
		}
	}
	e.changed = true
}
