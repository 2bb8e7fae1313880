package swarm

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// useful says whether p can be asked for something now.
func (p *peer) useful(now time.Time) bool {
	return p.known && !p.choked && !now.Before(p.benched)
}

// speed is what the peer is expected to bring, in bytes a second.
func (p *peer) speed() float64 {
	if p.best > 0 {
		return p.best
	}
	return guessedRate
}

// eta is the time until n more bytes from p are here.
func (p *peer) eta(n int64) time.Duration {
	return time.Duration(float64(int64(p.outstanding)+n) / p.speed() * float64(time.Second))
}

// finishes is the time until f, which p brings, is here: by what p could do before, or
// by how f goes since its first block came, which is the slower where p has much to do.
func (p *peer) finishes(f *fetch) time.Duration {
	var bytes int64 // it comes after what was asked for before it
	for _, g := range p.fetching {
		if bytes += g.left(); g == f {
			break
		}
	}
	hoped := time.Duration(float64(bytes) / p.speed() * float64(time.Second))
	var goes time.Duration
	if got := p.e.t.PieceSize(f.piece) - f.left() - int64(f.block); got > 0 {
		goes = time.Duration(float64(p.e.now.Sub(f.began)) * float64(f.left()) / float64(got))
	}
	return max(hoped, goes) + p.silent(f)
}

// silent is the time since p brought something of f, or of what was asked for before it.
func (p *peer) silent(f *fetch) time.Duration {
	return min(p.e.now.Sub(f.last), p.e.now.Sub(p.lastBlock))
}

// pipeline is the number of bytes to keep asked for: about a second's worth.
func (p *peer) pipeline() int {
	return min(p.reqq*wire.MaxBlock, max(smallestPipeline, int(1.2*p.speed())))
}

// blockLength is the length of the blocks to ask p for. A slow peer would be silent for
// too long with a long one.
func (p *peer) blockLength() int {
	if p.longest > wire.MaxBlock && p.best >= longBlockRate {
		return p.longest
	}
	return wire.MaxBlock
}

// roomFor says whether p can take another piece.
func (p *peer) roomFor(now time.Time) bool {
	if p.outstanding >= p.pipeline() || !p.useful(now) {
		return false
	}
	for _, f := range p.fetching {
		if f.next < len(f.got) {
			return false
		}
	}
	return true
}

// fetchFrom asks p for piece i.
func (e *Engine) fetchFrom(p *peer, i int) {
	p.fetching = append(p.fetching, e.newFetch(i, p))
	p.request()
}

// request fills the pipeline.
func (p *peer) request() {
	asked := false
	for _, f := range p.fetching {
		for f.next < len(f.got) && p.outstanding < p.pipeline() {
			m := p.blockMessage(wire.Request, f, f.next)
			p.queue(m)
			f.next++
			p.outstanding += int(m.Length)
			asked = true
		}
	}
	if asked {
		p.flush()
	}
}

func (p *peer) blockMessage(k wire.Kind, f *fetch, block int) wire.Message {
	begin := block * f.block
	length := min(f.block, int(p.e.t.PieceSize(f.piece))-begin)
	return wire.Message{Kind: k, Index: uint32(f.piece), Begin: uint32(begin), Length: uint32(length)}
}

func (p *peer) fetchOf(i int) *fetch {
	for _, f := range p.fetching {
		if f.piece == i {
			return f
		}
	}
	return nil
}

func (p *peer) gotBlock(i, begin int, block piecestore.Chunk) error {
	e := p.e
	e.down.add(block.Len())
	p.recent.add(block.Len())
	f := p.fetchOf(i)
	if f == nil || begin%f.block != 0 || begin/f.block >= f.next || f.got[begin/f.block] {
		e.wasted += int64(block.Len()) // was cancelled, or nobody asked
		return nil
	}
	b := begin / f.block
	if want := p.blockMessage(wire.Request, f, b); int(want.Length) != block.Len() {
		return fmt.Errorf("%w: a block of %d bytes", wire.ErrProtocol, block.Len())
	}
	f.room(int(e.t.PieceSize(i))).CopyFrom(begin, block)
	if f.began.IsZero() {
		f.began = e.now
	}
	f.got[b] = true
	f.missing -= block.Len()
	f.last, p.lastBlock = e.now, e.now
	p.outstanding -= block.Len()
	if f.missing == 0 {
		p.forget(f)
		p.strikes = 0
		p.best = max(p.best, float64(e.t.PieceSize(i))/max(0.01, e.now.Sub(f.asked).Seconds()))
		e.verify(f)
	}
	p.request()
	e.changed = true
	return nil
}

// forget takes f from the list of what p brings.
func (p *peer) forget(f *fetch) {
	p.fetching = slices.DeleteFunc(p.fetching, func(o *fetch) bool { return o == f })
}

// abandon takes a piece from p: what was asked for is cancelled.
func (p *peer) abandon(f *fetch) {
	p.forget(f)
	for b := range f.next {
		if !f.got[b] {
			m := p.blockMessage(wire.Cancel, f, b)
			p.outstanding -= int(m.Length)
			p.queue(m)
		}
	}
	p.flush()
	p.e.release(f)
}

// overtaken takes a piece from p that another brings sooner. That p is slower than was
// hoped is no fault; that it is silent is one.
func (p *peer) overtaken(f *fetch) {
	if p.silent(f) > p.e.patience(silence/2) {
		p.late(f)
		return
	}
	p.abandon(f)
}

// late is called where p does not bring a piece in time: it is taken away, and p is
// left alone for a while.
func (p *peer) late(f *fetch) {
	p.abandon(f)
	p.strike()
}

// strike leaves p alone for a while, longer each time.
func (p *peer) strike() {
	if p.closed || p.e.now.Before(p.benched) {
		return // another piece, the same silence
	}
	p.strikes++
	p.best /= 2
	p.benched = p.e.now.Add(benchTime << min(p.strikes-1, mostDoublings))
	if p.strikes >= maxStrikes && !p.pod {
		p.close(errors.New("too often late"))
	}
}

// rejected gives the piece back whole: the peer does not have it any more, or does
// not want to give it.
func (p *peer) rejected(i int) {
	if f := p.fetchOf(i); f != nil {
		p.abandon(f)
		p.benched = p.e.now.Add(time.Second)
	}
}

func (p *peer) dropFetches() {
	for _, f := range slices.Clone(p.fetching) {
		p.forget(f)
		p.e.release(f)
	}
	p.outstanding = 0
}
