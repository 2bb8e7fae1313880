package swarm

import (
	"time"

	"kinopod/shared/torrent"
	"kinopod/webapp/piecestore"
)

// fetch is a piece on its way from one source.
type fetch struct {
	piece     int
	by        *peer // nil: the web seed
	buf       piecestore.Chunk
	next      int    // the next block to ask for
	got       []bool // blocks, from a peer
	missing   int    // bytes
	asked     time.Time
	last      time.Time // the last block, or when it was asked for
	verifying bool
}

// newFetch notes that piece i comes from p, or from the web seed where p is nil.
func (e *Engine) newFetch(i int, p *peer) *fetch {
	size := int(e.t.PieceSize(i))
	f := &fetch{piece: i, by: p, missing: size, asked: e.now, last: e.now}
	if p != nil {
		f.got = make([]bool, (size+torrent.BlockLength-1)/torrent.BlockLength)
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
		if f.by == nil {
			e.log.Warn("the web seed sent wrong bytes", "piece", f.piece)
			e.web.fail(e, wrongBytesRest)
			return
		}
		e.ban(f.by)
		return
	}
	delete(e.busy, f.piece)
	e.keep(f.piece, f.buf, f.source())
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
	e.have.Set(i)
	e.source[i] = from
	e.missing--
	e.from[from] += int64(piece.Len())
	e.cfg.Store.Put(i, piece)
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
