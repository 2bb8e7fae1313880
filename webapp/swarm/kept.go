package swarm

import (
	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// checkPace is how fast pieces of an earlier visit are checked that nobody waits for, in
// bytes a second: the device has a film to show.
const checkPace = 64 << 20

// kept is what the store has from an earlier visit. A piece of it is neither fetched nor
// offered until it was checked: at once where somebody waits for it, else one after the
// other.
type kept struct {
	pieces   wire.Bits
	left     int
	checking map[int]bool
	pace     float64 // bytes that may be checked now
	gone     wire.Bits
}

func newKept(n int) kept {
	return kept{pieces: wire.NewBits(n), checking: map[int]bool{}, gone: wire.NewBits(n), pace: checkPace}
}

// opened is called when the store is open, which has these pieces.
func (e *Engine) opened(pieces []int) {
	for _, i := range pieces {
		e.kept.pieces.Set(i)
	}
	e.kept.left = e.kept.pieces.Count()
	for i := range e.waiting {
		if e.kept.pieces.Has(i) {
			e.check(i)
		}
	}
	e.opening, e.changed = false, true
}

// tickKept goes on with what could not be checked at once.
func (e *Engine) tickKept() {
	e.kept.pace = min(checkPace, e.kept.pace+checkPace*tick.Seconds())
	e.checkNext()
}

// checkNext checks the next piece from the player's place on.
func (e *Engine) checkNext() {
	if e.kept.left == 0 || e.kept.pace < 0 || len(e.kept.checking) > 0 {
		return
	}
	n := e.t.Pieces()
	for k, i := 0, e.headPiece(); k < n; k, i = k+1, (i+1)%n {
		if e.kept.pieces.Has(i) {
			e.check(i)
			return
		}
	}
}

func (e *Engine) check(i int) {
	if e.kept.checking[i] {
		return
	}
	e.kept.checking[i] = true
	e.kept.pace -= float64(e.t.PieceSize(i))
	e.cfg.Store.Get(i, func(c piecestore.Chunk, err error) {
		if err != nil {
			e.box.post(func() { e.checked(i, c, false) })
			return
		}
		c.Sum(func(sum [20]byte, err error) {
			e.box.post(func() { e.checked(i, c, err == nil && sum == e.t.Hash(i)) })
		})
	})
}

func (e *Engine) checked(i int, c piecestore.Chunk, good bool) {
	delete(e.kept.checking, i)
	e.kept.pieces.Clear(i)
	e.kept.left--
	if good {
		e.gain(i, c.Len(), Local)
	} else {
		e.log.Warn("a piece of an earlier visit is not whole", "piece", i)
		e.cfg.Store.Drop(i)
		e.changed = true
	}
	e.checkNext()
}

// lost is called where the store does not have a piece any more: there was no room for
// the whole film. It comes again where the player needs it, and not for others.
func (e *Engine) lost(i int) {
	if !e.have.Has(i) {
		return
	}
	e.have.Clear(i)
	e.kept.gone.Set(i)
	e.source[i] = None
	e.missing++
	e.changed = true
}
