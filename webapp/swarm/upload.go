package swarm

import (
	"fmt"
	"time"

	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// maxUnchoked is how many peers may ask at the same time. One that has not asked for
// idleUpload leaves its place to another that wants it.
const (
	maxUnchoked = 8
	idleUpload  = 10 * time.Second
	leastPlace  = 32 << 10 // bytes a second of the upload rate
	bufferTime  = 300 * time.Millisecond
)

// unchoke lets an interested peer ask where there is a place.
func (p *peer) unchoke() {
	if p.unchoked || !p.wants || p.e.terms.NoUpload || !p.known {
		return
	}
	n := 0
	var idle *peer
	for o := range p.e.peers {
		if o.unchoked && o.wants {
			n++
			if len(o.uploads) == 0 && p.e.now.Sub(o.asked) > idleUpload {
				idle = o
			}
		}
	}
	places := p.e.places()
	if n >= places && idle != nil {
		idle.choke()
		n--
	}
	if n < places {
		p.unchoked, p.asked = true, p.e.now
		p.send(wire.Message{Kind: wire.Unchoke})
	}
}

// places is how many may ask at the same time: a block should not take longer than others
// wait for one.
func (e *Engine) places() int {
	if rate := e.terms.UploadRate; rate > 0 {
		return int(min(maxUnchoked, max(1, rate/leastPlace)))
	}
	return maxUnchoked
}

// choke lets a peer ask no more; what it asked for it does not get.
func (p *peer) choke() {
	if !p.unchoked {
		return
	}
	p.unchoked = false
	p.send(wire.Message{Kind: wire.Choke})
	for _, m := range p.uploads {
		p.reject(m)
	}
	p.uploads = nil
}

// requested takes a request of the peer.
func (p *peer) requested(m wire.Message) error {
	e := p.e
	i := int(m.Index)
	if i >= e.t.Pieces() || m.Length == 0 || m.Length > wire.LongBlock || int64(m.Begin)+int64(m.Length) > e.t.PieceSize(i) {
		return fmt.Errorf("%w: a request for %d+%d of piece %d", wire.ErrProtocol, m.Begin, m.Length, i)
	}
	if !p.unchoked || !e.have.Has(i) || len(p.uploads) >= maxUploadQueue {
		p.reject(m)
		return nil
	}
	p.asked = e.now
	p.uploads = append(p.uploads, m)
	p.upload()
	return nil
}

func (p *peer) reject(m wire.Message) {
	if p.fast {
		m.Kind = wire.Reject
		p.send(m)
	}
}

// upload answers requests while little waits to be sent.
func (p *peer) upload() {
	if p.e.terms.UploadRate > 0 {
		p.e.share()
		return
	}
	for p.ready() {
		p.serve()
	}
}

// share answers requests as far as the upload rate allows. Who waits longest is first.
func (e *Engine) share() {
	for {
		var next *peer
		for p := range e.peers {
			if p.ready() && (next == nil || p.served.Before(next.served)) {
				next = p
			}
		}
		if next == nil {
			return
		}
		n := onWire(wire.PieceHeader + int64(next.uploads[0].Length))
		if e.budget.fill(e.now, e.uploadRate(), n); !e.budget.take(n) {
			e.blockWaits()
			return // the next tick
		}
		next.serve()
	}
}

// ready says whether a request of the peer can be answered now.
func (p *peer) ready() bool {
	return !p.sending && !p.closed && len(p.uploads) > 0 && p.conn.Buffered() <= p.mostBuffered()
}

// mostBuffered is what may wait to be sent when another block is. Where several share a
// line that carries little, each of them would wait for all that the others have there,
// and take a busy viewer for one that is silent.
func (p *peer) mostBuffered() int {
	return min(sendHigh, max(sendLow, int(p.sent.rate*bufferTime.Seconds())))
}

// serve answers the first request that waits.
func (p *peer) serve() {
	e, m := p.e, p.uploads[0]
	p.uploads = p.uploads[1:]
	p.sending, p.served = true, e.now
	e.cfg.Store.Get(int(m.Index), func(piece piecestore.Chunk, err error) {
		e.box.post(func() {
			if !p.closed {
				p.give(m, piece, err)
				p.upload()
			}
		})
	})
}

// give sends one block.
func (p *peer) give(m wire.Message, piece piecestore.Chunk, err error) {
	p.sending = false
	if err != nil {
		p.e.lost(int(m.Index))
	}
	if err != nil || !p.unchoked {
		p.reject(m)
		return
	}
	p.sent.add(int(m.Length))
	p.e.up.add(int(m.Length))
	p.out = wire.AppendPieceHeader(p.out, m.Index, m.Begin, int(m.Length))
	p.flushWith(piece.Slice(int(m.Begin), int(m.Begin+m.Length)))
}
