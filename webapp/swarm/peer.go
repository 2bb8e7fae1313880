package swarm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"kinopod/shared/announce"
	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// Bounds of a peer.
const (
	maxPeers         = 24
	connectTime      = 20 * time.Second        // from offer to handshake
	doubtTime        = 5 * time.Second         // from answer to handshake, until we try it once more
	silence          = 1500 * time.Millisecond // without a block that was asked for, a piece is late
	keepAlive        = 60 * time.Second
	idleTime         = 3 * time.Minute // without a message, a peer is gone
	maxUploadQueue   = wire.RequestQueue
	maxPending       = 64              // offers of ours that wait for an answer
	benchTime        = 3 * time.Second // at first; twice as long each time, mostDoublings times
	mostDoublings    = 4
	maxStrikes       = 6
	smallestPipeline = 8 * wire.MaxBlock // bytes
	longBlockRate    = 256 << 10         // bytes a second, from which on long blocks are asked for
)

// peer is one connection. Everything of it is owned by Engine.Run.
type peer struct {
	e        *Engine
	conn     Conn
	offered  bool             // the connection began with our offer
	offer    announce.OfferID // of the connection, on both sides; zero where it did not go by a tracker
	answered bool             // the offer was, ours or the peer's
	doubted  bool             // it should have opened long ago, and new offers were made
	since    time.Time
	in       stream
	closed   bool
	open     bool

	id         wire.PeerID
	known      bool // the handshake came
	pod        bool
	fast       bool
	metadataID int // under which the peer receives ut_metadata; 0 for none
	comingID   int // and wire.Coming
	reqq       int
	longest    int // block that it gives, in bytes

	has        wire.Bits
	choked     bool // by the peer
	interested bool // we are
	unchoked   bool // we let the peer ask
	wants      bool // the peer is interested

	coming   wire.ComingMessage // what it said last
	comingAt time.Time

	fetching    []*fetch
	outstanding int // bytes asked for
	recent      meter
	best        float64 // the highest rate seen lately, bytes a second
	strikes     int
	benched     time.Time

	out       []byte         // messages that wait for the next one that does not
	waited    int            // ticks since the last one
	uploads   []wire.Message // requests that wait
	served    time.Time      // the latest of them
	asked     time.Time      // the latest of them
	sending   bool           // a block is on its way from the store
	sent      meter
	line      traffic
	lastIn    time.Time
	lastBlock time.Time // of what it was asked for
	lastOut   time.Time
}

// viewers is the number of other viewers that we are connected to.
func (e *Engine) viewers() int {
	n := 0
	for p := range e.peers {
		if p.known && !p.pod {
			n++
		}
	}
	return n
}

// newPeer makes a peer; connect gets what the connection tells.
func (e *Engine) newPeer(offered bool, described func(p *peer, sdp string), connect func(ConnEvents) Conn) *peer {
	p := &peer{e: e, offered: offered, since: e.now, lastIn: e.now, lastOut: e.now, choked: true, has: wire.NewBits(e.t.Pieces()), reqq: wire.RequestQueue}
	live := func(f func()) {
		e.box.post(func() {
			if !p.closed {
				f()
			}
		})
	}
	e.peers[p] = struct{}{}
	p.conn = connect(ConnEvents{
		Described: func(sdp string) { live(func() { described(p, sdp) }) },
		Open:      func() { live(p.opened) },
		Message:   func(c piecestore.Chunk) { live(func() { p.message(c) }) },
		Low:       func() { live(p.upload) },
		Closed:    func(err error) { live(func() { p.close(err) }) },
	})
	return p
}

// opened greets the peer. What it says may be here before the platform tells that the
// channel is open.
func (p *peer) opened() {
	if p.open {
		return
	}
	p.open = true
	// In a message of its own: webtorrent.js loses what comes with it.
	p.write(wire.Handshake{InfoHash: p.e.t.InfoHash, PeerID: p.e.id, Extension: true, Fast: true}.Append(nil), piecestore.Chunk{})
}

// queue has m sent with the next message that does not wait, at the next tick but one at
// the latest: each message on its own costs a browser more than what is in it.
func (p *peer) queue(m wire.Message) { p.out = m.Append(p.out) }

func (p *peer) send(m wire.Message) {
	p.queue(m)
	p.flush()
}

// flush sends what waits, if anything does.
func (p *peer) flush() {
	if len(p.out) > 0 {
		p.flushWith(piecestore.Chunk{})
	}
}

// flushWith sends what waits, and body after it.
func (p *peer) flushWith(body piecestore.Chunk) {
	p.write(p.out, body)
	p.out, p.waited = p.out[:0], 0
}

func (p *peer) write(head []byte, body piecestore.Chunk) {
	p.lastOut = p.e.now
	p.line.sent += int64(len(head) + body.Len())
	p.conn.Send(head, body)
}

// close ends the connection and gives back what it was to bring.
func (p *peer) close(err error) {
	if p.closed {
		return
	}
	p.closed = true
	e := p.e
	e.log.Debug("peer closed", "pod", p.pod, "known", p.known, "err", err)
	p.conn.Close()
	up, down := p.line.sum()
	e.gone.up, e.gone.down = e.gone.up+up, e.gone.down+down
	delete(e.peers, p)
	for _, f := range slices.Clone(p.fetching) {
		e.release(f)
	}
	p.fetching = nil
	if !p.pod {
		for i := range e.avail {
			if p.has.Has(i) {
				e.avail[i]--
			}
		}
	}
	if e.pod.peer == p {
		e.pod.lost(e.now)
	}
	e.changed = true
}

// ban closes the connection for good: nobody with this peer id is let in again.
func (e *Engine) ban(p *peer) {
	e.log.Warn("a peer sent wrong bytes", "peer", hex.EncodeToString(p.id[:]), "pod", p.pod)
	e.banned[p.id] = true
	p.close(errors.New("wrong bytes"))
}

var errSelf = errors.New("closed by choice")

func (p *peer) message(c piecestore.Chunk) {
	p.lastIn = p.e.now
	p.line.received += int64(c.Len())
	p.opened()
	if err := p.in.feed(c, p.handshake, p.handle); err != nil {
		p.close(err)
	}
}

func (p *peer) handshake(h wire.Handshake) error {
	e := p.e
	switch {
	case h.InfoHash != e.t.InfoHash:
		return errors.New("another info hash")
	case h.PeerID == e.id || e.banned[h.PeerID]:
		return errSelf
	}
	for o := range e.peers {
		if o == p || !o.known || o.id != h.PeerID {
			continue
		}
		if !p.keptRather(o) {
			return errSelf
		}
		o.close(errSelf)
	}
	p.known, p.id, p.fast = true, h.PeerID, h.Fast
	p.pod = h.PeerID == e.podID || h.PeerID.Seeder()
	e.log.Debug("peer", "pod", p.pod, "offered", p.offered)
	if h.Extension {
		p.tellExtensions()
	}
	have := e.have.Count()
	switch {
	case p.fast && have == 0:
		p.send(wire.Message{Kind: wire.HaveNone})
	case p.fast && e.missing == 0:
		p.send(wire.Message{Kind: wire.HaveAll})
	case have > 0:
		p.send(wire.Message{Kind: wire.Bitfield, Data: e.have})
	}
	e.changed = true
	return nil
}

// keptRather says whether p is kept of two connections to o's peer. Both sides see them open
// in any order, and keep the same: that which the lower peer id offered, or with the lower
// offer id.
func (p *peer) keptRather(o *peer) bool {
	if p.offered != o.offered {
		return p.offered == (bytes.Compare(p.e.id[:], o.id[:]) < 0)
	}
	return bytes.Compare(p.offer[:], o.offer[:]) < 0
}

// tellExtensions says what can be asked for beyond BEP 3; what is said later replaces it.
func (p *peer) tellExtensions() {
	p.send(wire.ExtensionHandshake{
		Extensions: map[string]int{wire.Metadata: wire.MetadataID, wire.Coming: wire.ComingID}, Client: "Kinopod", RequestQueue: wire.RequestQueue, MetadataSize: int64(len(p.e.t.Info)), Block: p.e.terms.longest(),
	}.Message())
}

func (p *peer) handle(m wire.Message, block piecestore.Chunk) error {
	e := p.e
	if !p.known {
		return errors.New("a message before the handshake")
	}
	switch m.Kind {
	case wire.Choke:
		p.choked = true
		if !p.fast {
			p.dropFetches()
		}
	case wire.Unchoke:
		p.choked = false
	case wire.Interested:
		p.wants = true
		p.unchoke()
	case wire.NotInterested:
		p.wants = false
	case wire.Have:
		return p.gotHave(int(m.Index))
	case wire.Bitfield:
		bits, err := wire.ParseBits(m.Data, e.t.Pieces())
		if err != nil {
			return err
		}
		p.setHas(func(i int) bool { return bits.Has(i) })
	case wire.HaveAll:
		p.setHas(func(int) bool { return true })
	case wire.HaveNone:
		p.setHas(func(int) bool { return false })
	case wire.Piece:
		return p.gotBlock(int(m.Index), int(m.Begin), block)
	case wire.Reject:
		p.rejected(int(m.Index))
	case wire.Request:
		return p.requested(m)
	case wire.Cancel:
		p.uploads = slices.DeleteFunc(p.uploads, func(u wire.Message) bool { return u.Index == m.Index && u.Begin == m.Begin })
	case wire.Extended:
		return p.extended(m)
	default: // keep-alive, hints, and what we do not know
		return nil
	}
	e.changed = true
	return nil
}

func (p *peer) extended(m wire.Message) error {
	if m.Index == wire.ExtensionHandshakeID {
		h, err := wire.ParseExtensionHandshake(m.Data)
		if err != nil {
			return err
		}
		p.metadataID, p.comingID, p.longest = h.Extensions[wire.Metadata], h.Extensions[wire.Coming], min(h.Block, wire.LongBlock)
		p.tellComing()
		p.flush()
		if h.RequestQueue > 0 {
			p.reqq = min(h.RequestQueue, wire.RequestQueue)
		}
		return nil
	}
	if m.Index == wire.ComingID {
		c, err := wire.ParseComing(m.Data)
		if err != nil {
			return err
		}
		c.End = min(c.End, c.First+uint32(webSeedRun/p.e.t.PieceLength)+1) // a run has no more
		p.coming, p.comingAt = c, p.e.now
		return nil
	}
	if m.Index != wire.MetadataID || p.metadataID == 0 {
		return nil
	}
	q, err := wire.ParseMetadata(m.Data)
	if err != nil {
		return err
	}
	if q.Kind != wire.MetadataRequest {
		return nil
	}
	a := wire.MetadataMessage{Kind: wire.MetadataReject, Piece: q.Piece}
	if piece, ok := wire.MetadataPieceOf(p.e.t.Info, q.Piece); ok && p.conn.Buffered() < sendHigh {
		a = wire.MetadataMessage{Kind: wire.MetadataData, Piece: q.Piece, TotalSize: int64(len(p.e.t.Info)), Data: piece}
	}
	p.send(a.Message(p.metadataID))
	return nil
}

// setHas replaces what the peer says it has.
func (p *peer) setHas(has func(int) bool) {
	if !p.pod && p.e.met.IsZero() {
		p.e.met = p.e.now
	}
	for i := range p.e.t.Pieces() {
		if now := has(i); now != p.has.Has(i) {
			p.count(i, now)
		}
	}
	p.tellInterest()
}

func (p *peer) gotHave(i int) error {
	if i >= p.e.t.Pieces() {
		return fmt.Errorf("%w: have %d", wire.ErrProtocol, i)
	}
	if !p.has.Has(i) {
		p.count(i, true)
		p.tellInterest()
	}
	p.e.changed = true
	return nil
}

func (p *peer) count(i int, has bool) {
	n := 1
	if has {
		p.has.Set(i)
	} else {
		p.has.Clear(i)
		n = -1
	}
	if !p.pod {
		p.e.avail[i] += n
	}
}

func (p *peer) tellInterest() {
	if p.interested || p.e.missing == 0 {
		return
	}
	for i := range p.e.t.Pieces() {
		if p.has.Has(i) && !p.e.have.Has(i) {
			p.interested = true
			p.send(wire.Message{Kind: wire.Interested})
			return
		}
	}
}

func (p *peer) tellHave(i int) {
	if !p.known {
		return
	}
	// The pod has everything and asks for nothing.
	if !p.pod {
		p.queue(wire.Message{Kind: wire.Have, Index: uint32(i)})
	}
	if p.interested && p.e.missing == 0 {
		p.interested = false
		p.send(wire.Message{Kind: wire.NotInterested})
	}
}

func (p *peer) tick() {
	e := p.e
	busy := p.outstanding > 0 || p.recent.total != p.recent.last
	p.recent.tick(tick)
	p.sent.tick(tick)
	if busy {
		p.best = max(p.recent.rate, p.speed()*0.97) // the guess at first: recent takes two seconds to tell
	}
	switch {
	case !p.known && e.now.Sub(p.since) > connectTime:
		p.close(errors.New("no connection in time"))
		return
	case !p.known && p.answered && !p.doubted && e.now.Sub(p.since) > e.patience(doubtTime):
		p.doubted = true
		e.tryAgain()
	case p.known && e.now.Sub(p.lastIn) > idleTime:
		p.close(errors.New("silent"))
		return
	case p.known && e.now.Sub(p.lastOut) > keepAlive:
		p.send(wire.Message{Kind: wire.KeepAlive})
	}
	for _, f := range slices.Clone(p.fetching) {
		if e.now.Sub(f.last) > e.patience(silence) && e.now.Sub(p.lastBlock) > e.patience(silence/2) {
			p.late(f)
			if p.closed {
				return
			}
		}
	}
	p.unchoke()
	p.upload()
	p.weigh()
	if p.waited++; p.waited >= 2 {
		p.flush()
	}
}

func (p *peer) stat(now time.Time) Peer {
	s := Peer{
		ID: hex.EncodeToString(p.id[:]), Pod: p.pod, Down: p.recent.rate, Up: p.sent.rate, Received: p.recent.total, Sent: p.sent.total,
		Progress: float64(p.has.Count()) / float64(p.e.t.Pieces()), State: "connected",
	}
	switch {
	case !p.known:
		s.State = "connecting"
	case now.Before(p.benched):
		s.State = "benched"
	case p.choked:
		s.State = "choked"
	}
	return s
}
