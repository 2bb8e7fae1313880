package swarm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"kinopod/shared/torrent"
	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// Bounds of a peer.
const (
	maxPeers         = 24
	connectTime      = 20 * time.Second // from offer to handshake
	silence          = 4 * time.Second  // without a block that was asked for, a piece is late
	keepAlive        = 60 * time.Second
	idleTime         = 3 * time.Minute // without a message, a peer is gone
	maxUploadQueue   = wire.RequestQueue
	maxPending       = 64 // offers of ours that wait for an answer
	benchTime        = 10 * time.Second
	maxStrikes       = 6
	smallestPipeline = 8 // blocks
)

// peer is one connection. Everything of it is owned by Engine.Run.
type peer struct {
	e       *Engine
	conn    Conn
	offered bool // the connection began with our offer
	since   time.Time
	in      stream
	closed  bool
	open    bool

	id         wire.PeerID
	known      bool // the handshake came
	pod        bool
	fast       bool
	metadataID int // under which the peer receives ut_metadata; 0 for none
	reqq       int

	has        wire.Bits
	choked     bool // by the peer
	interested bool // we are
	unchoked   bool // we let the peer ask
	wants      bool // the peer is interested

	fetching    []*fetch
	outstanding int // blocks asked for
	recent      meter
	best        float64 // the highest rate seen lately, bytes a second
	strikes     int
	benched     time.Time

	uploads []wire.Message // requests that wait
	sending bool           // a block is on its way from the store
	sent    meter
	lastIn  time.Time
	lastOut time.Time
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
	p.conn.Send(wire.Handshake{InfoHash: p.e.t.InfoHash, PeerID: p.e.id, Extension: true, Fast: true}.Append(nil), piecestore.Chunk{})
}

func (p *peer) send(m wire.Message) {
	p.lastOut = p.e.now
	p.conn.Send(m.Append(nil), piecestore.Chunk{})
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
		// Two connections to one peer: both sides keep the one that the lower id offered.
		if o == p || !o.known || o.id != h.PeerID {
			continue
		}
		lower := string(e.id[:]) < string(h.PeerID[:])
		if p.offered == lower && o.offered != lower {
			o.close(errSelf)
		} else {
			return errSelf
		}
	}
	p.known, p.id, p.fast = true, h.PeerID, h.Fast
	p.pod = h.PeerID == e.podID
	e.log.Debug("peer", "pod", p.pod, "offered", p.offered)
	if h.Extension {
		p.send(wire.ExtensionHandshake{
			Extensions: map[string]int{wire.Metadata: wire.MetadataID}, Client: "Kinopod", RequestQueue: wire.RequestQueue, MetadataSize: int64(len(e.t.Info)),
		}.Message())
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
		p.metadataID = h.Extensions[wire.Metadata]
		if h.RequestQueue > 0 {
			p.reqq = min(h.RequestQueue, wire.RequestQueue)
		}
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
		p.send(wire.Message{Kind: wire.Have, Index: uint32(i)})
	}
	if p.interested && p.e.missing == 0 {
		p.interested = false
		p.send(wire.Message{Kind: wire.NotInterested})
	}
}

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
	return time.Duration((float64(p.outstanding*torrent.BlockLength) + float64(n)) / p.speed() * float64(time.Second))
}

// finishes is the time until f, which p brings, is here.
func (p *peer) finishes(f *fetch) time.Duration {
	bytes := max(float64(p.outstanding*torrent.BlockLength), float64(f.left()))
	return p.e.now.Sub(f.last) + time.Duration(bytes/p.speed()*float64(time.Second))
}

// pipeline is the number of blocks to keep asked for: about a second's worth.
func (p *peer) pipeline() int {
	return min(p.reqq, max(smallestPipeline, int(math.Ceil(1.2*p.speed()/torrent.BlockLength))))
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
	for _, f := range p.fetching {
		for f.next < len(f.got) && p.outstanding < p.pipeline() {
			p.send(p.blockMessage(wire.Request, f, f.next))
			f.next++
			p.outstanding++
		}
	}
}

func (p *peer) blockMessage(k wire.Kind, f *fetch, block int) wire.Message {
	begin := block * torrent.BlockLength
	length := min(torrent.BlockLength, int(p.e.t.PieceSize(f.piece))-begin)
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
	if f == nil || begin%torrent.BlockLength != 0 || begin/torrent.BlockLength >= f.next || f.got[begin/torrent.BlockLength] {
		e.wasted += int64(block.Len()) // was cancelled, or nobody asked
		return nil
	}
	b := begin / torrent.BlockLength
	if want := p.blockMessage(wire.Request, f, b); int(want.Length) != block.Len() {
		return fmt.Errorf("%w: a block of %d bytes", wire.ErrProtocol, block.Len())
	}
	f.room(int(e.t.PieceSize(i))).CopyFrom(begin, block)
	f.got[b] = true
	f.missing -= block.Len()
	f.last = e.now
	p.outstanding--
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
			p.outstanding--
			p.send(p.blockMessage(wire.Cancel, f, b))
		}
	}
	p.e.release(f)
}

// overtaken takes a piece from p that another brings sooner. That p is slower than was
// hoped is no fault; that it is silent is one.
func (p *peer) overtaken(f *fetch) {
	if p.e.now.Sub(f.last) > silence/2 {
		p.late(f)
		return
	}
	p.abandon(f)
}

// late is called where p does not bring a piece in time: it is taken away, and p is
// left alone for a while.
func (p *peer) late(f *fetch) {
	p.abandon(f)
	p.strikes++
	p.best /= 2
	p.benched = p.e.now.Add(benchTime * time.Duration(p.strikes))
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

func (p *peer) tick() {
	e := p.e
	busy := p.outstanding > 0 || p.recent.total != p.recent.last
	p.recent.tick(tick)
	p.sent.tick(tick)
	if busy {
		p.best = max(p.recent.rate, p.best*0.97)
	}
	switch {
	case !p.known && e.now.Sub(p.since) > connectTime:
		p.close(errors.New("no connection in time"))
		return
	case p.known && e.now.Sub(p.lastIn) > idleTime:
		p.close(errors.New("silent"))
		return
	case p.known && e.now.Sub(p.lastOut) > keepAlive:
		p.send(wire.Message{Kind: wire.KeepAlive})
	}
	for _, f := range slices.Clone(p.fetching) {
		if e.now.Sub(f.last) > silence && e.now.Sub(p.lastIn) > silence/2 {
			p.late(f)
			if p.closed {
				return
			}
		}
	}
	p.unchoke()
	p.upload()
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
