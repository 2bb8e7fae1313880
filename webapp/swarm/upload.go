package swarm

import (
	"fmt"

	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// maxUnchoked is how many peers may ask at the same time.
const maxUnchoked = 8

// unchoke lets an interested peer ask where there is a place.
func (p *peer) unchoke() {
	if p.unchoked || !p.wants || p.e.cfg.NoUpload || !p.known {
		return
	}
	n := 0
	for o := range p.e.peers {
		if o.unchoked && o.wants {
			n++
		}
	}
	if n < maxUnchoked {
		p.unchoked = true
		p.send(wire.Message{Kind: wire.Unchoke})
	}
}

// requested takes a request of the peer.
func (p *peer) requested(m wire.Message) error {
	e := p.e
	i := int(m.Index)
	if i >= e.t.Pieces() || m.Length == 0 || m.Length > wire.MaxBlock || int64(m.Begin)+int64(m.Length) > e.t.PieceSize(i) {
		return fmt.Errorf("%w: a request for %d+%d of piece %d", wire.ErrProtocol, m.Begin, m.Length, i)
	}
	if !p.unchoked || !e.have.Has(i) || len(p.uploads) >= maxUploadQueue {
		p.reject(m)
		return nil
	}
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
	e := p.e
	for !p.sending && !p.closed && len(p.uploads) > 0 && p.conn.Buffered() < sendHigh {
		m := p.uploads[0]
		if e.cfg.UploadRate > 0 {
			if e.budget < float64(m.Length) {
				return // the next tick
			}
			e.budget -= float64(m.Length)
		}
		p.uploads = p.uploads[1:]
		p.sending = true
		e.cfg.Store.Get(int(m.Index), func(piece piecestore.Chunk, err error) {
			e.box.post(func() {
				if !p.closed {
					p.give(m, piece, err)
					p.upload()
				}
			})
		})
	}
}

// give sends one block.
func (p *peer) give(m wire.Message, piece piecestore.Chunk, err error) {
	p.sending = false
	if err != nil {
		p.reject(m)
		return
	}
	p.lastOut = p.e.now
	p.sent.add(int(m.Length))
	p.e.up.add(int(m.Length))
	p.conn.Send(wire.AppendPieceHeader(nil, m.Index, m.Begin, int(m.Length)), piece.Slice(int(m.Begin), int(m.Begin+m.Length)))
}
