package seeder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"kinopod/shared/torrent"
	"kinopod/shared/wire"
)

// channel is what a session speaks through: reliable and ordered. A data channel has
// borders between messages, and its Write never waits; a stream has none, and its Write
// waits until the peer has taken enough.
type channel interface {
	io.ReadWriter // one message a call, or any part of a stream; Read ends with an error when the channel is closed
	BufferedAmount() uint64
	SetBufferedAmountLowThreshold(bytes uint64)
	OnBufferedAmountLow(func()) // called when BufferedAmount falls to the threshold
}

// sessionConfig is what a session is made of.
type sessionConfig struct {
	channel channel
	stream  bool // the channel is one
	torrent *torrent.Torrent
	self    wire.PeerID
	file    io.ReaderAt
	pace    []*rate.Limiter // budgets that every byte of a block has to pass; nil is none
	buffers *blockBuffers
	sent    *atomic.Int64 // counts bytes of blocks
	stop    func(error)   // closes the channel, from wherever it is called
}

// session speaks the peer protocol with one peer, as a seeder that wants nothing:
//
//	we send    handshake, at once and in a message of its own
//	peer       handshake
//	we send    extension handshake, then have_all (a bitfield without BEP 6)
//	peer       interested; we send unchoke
//	peer       requests; we send blocks in the order of these, one a message
//
// Whoever breaks the protocol is disconnected: run returns the reason.
type session struct {
	sessionConfig
	ctx context.Context

	// Owned by the goroutine of run.
	in              wire.Splitter
	fast            bool
	extended        bool // speaks BEP 10, by its handshake
	metadataID      int  // under which the peer takes ut_metadata; 0 is not at all
	metadataAnswers int  // given so far
	choked          bool
	small           []byte // small messages that go out together

	writing sync.Mutex // held around channel.Write: messages keep their order

	mu        sync.Mutex
	changed   sync.Cond // of closed, and of the channel's buffer
	closed    bool
	uploading bool // a goroutine sends what is in queue
	queue     []job
	uploads   sync.WaitGroup
	window    window // of the uploading goroutine
	credit    int    // of it too: bytes that the budgets allowed and that were not used; may be below 0
	clock
}

// job is what waits to be sent: a block, or a piece of the info dictionary.
type job struct {
	metadata bool
	index    uint32 // of the piece, or of that of the info dictionary
	begin    uint32 // in the piece; or the id under which the peer takes ut_metadata
	length   uint32 // of the block
}

// errProtocol is wrapped by the reasons for which a peer is disconnected.
var errProtocol = errors.New("peer breaks the protocol")

func misbehaves(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errProtocol}, args...)...)
}

func newSession(ctx context.Context, c sessionConfig) *session {
	s := &session{sessionConfig: c, ctx: ctx, choked: true, window: window{size: minWindow}, clock: newClock(time.Now())}
	s.changed.L = &s.mu
	s.channel.OnBufferedAmountLow(s.wake)
	s.channel.SetBufferedAmountLowThreshold(lowMark(minWindow))
	return s
}

// wake has those look again who wait for the buffer to drain.
func (s *session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// run serves until the channel is closed, ctx ends or the peer breaks the
// protocol, and says why it ended. Whoever calls it closes the channel then.
func (s *session) run() error {
	unwatch := context.AfterFunc(s.ctx, s.close)
	defer unwatch()
	defer s.uploads.Wait()
	defer s.close()

	hello := wire.Handshake{InfoHash: s.torrent.InfoHash, PeerID: s.self, Extension: true, Fast: true}
	if err := s.send(hello.Append(nil)); err != nil {
		return err
	}
	buf := make([]byte, longestMessage(s.torrent))
	for {
		n, err := s.channel.Read(buf)
		if err != nil {
			return fmt.Errorf("read from peer: %w", err)
		}
		s.heard(time.Now())
		err = s.in.Feed(buf[:n], s.handshake, s.message)
		if e := s.flush(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
		// A peer that asks for much and takes little is not read from meanwhile.
		if !s.waitBelow(maxBuffered) {
			return context.Cause(s.ctx)
		}
	}
}

// close lets go of everybody who waits in the session.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.queue = nil
	s.changed.Broadcast()
}

// send hands one message to the channel.
func (s *session) send(b []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.channel.Write(b); err != nil {
		return fmt.Errorf("send to peer: %w", err)
	}
	s.spoke(time.Now(), len(b))
	return nil
}

// say adds a small message to those that go out when all has been read that came.
func (s *session) say(m wire.Message) { s.small = m.Append(s.small) }

// flush sends what was said.
func (s *session) flush() error {
	if len(s.small) == 0 {
		return nil
	}
	err := s.send(s.small)
	s.small = s.small[:0]
	return err
}

// handshake takes the peer's handshake.
func (s *session) handshake(h wire.Handshake) error {
	if h.InfoHash != s.torrent.InfoHash {
		return misbehaves("it wants another torrent")
	}
	if h.PeerID == s.self {
		return misbehaves("it has our peer id")
	}
	s.fast, s.extended = h.Fast, h.Extension
	s.shaken()
	if s.extended {
		s.say(wire.ExtensionHandshake{
			Extensions: map[string]int{wire.Metadata: wire.MetadataID}, Client: "Kinopod",
			RequestQueue: wire.RequestQueue, MetadataSize: int64(len(s.torrent.Info)),
		}.Message())
		if err := s.flush(); err != nil {
			return err
		}
	}
	if s.fast {
		s.say(wire.Message{Kind: wire.HaveAll})
	} else {
		s.say(wire.Message{Kind: wire.Bitfield, Data: all(s.torrent.Pieces())})
	}
	return s.flush()
}

// all is the set of n pieces.
func all(n int) wire.Bits {
	b := wire.NewBits(n)
	for i := range b {
		b[i] = 0xff
	}
	for i := n; i < 8*len(b); i++ {
		b.Clear(i)
	}
	return b
}

// message takes one message of the peer's. What it has itself is of no concern.
func (s *session) message(m wire.Message) error {
	switch m.Kind {
	case wire.Interested:
		if s.choked {
			s.choked = false
			s.say(wire.Message{Kind: wire.Unchoke})
		}
	case wire.Request:
		return s.request(m)
	case wire.Cancel:
		s.cancel(m)
	case wire.Extended:
		return s.extension(m)
	case wire.Piece:
		return misbehaves("a block that nobody asked for")
	case wire.Bitfield:
		if _, err := wire.ParseBits(m.Data, s.torrent.Pieces()); err != nil {
			return err
		}
	case wire.Have, wire.Suggest:
		if int64(m.Index) >= int64(s.torrent.Pieces()) {
			return misbehaves("piece %d of %d", m.Index, s.torrent.Pieces())
		}
	}
	return nil
}

// queueWithoutFast is how many requests may wait of a peer that cannot be told of
// those that are not served (BEP 6): it has no way to know our queue's length.
const queueWithoutFast = 2048

// request takes a request into the queue, or rejects it.
func (s *session) request(m wire.Message) error {
	if err := s.inside(m); err != nil {
		return err
	}
	if s.choked {
		s.reject(m)
		return nil
	}
	most := wire.RequestQueue
	if !s.fast {
		most = queueWithoutFast
	}
	if s.enqueue(job{index: m.Index, begin: m.Begin, length: m.Length}, most) {
		return nil
	}
	if !s.fast {
		return misbehaves("more than %d requests", most)
	}
	s.reject(m)
	return nil
}

// inside makes sure that a request is for bytes that there are.
func (s *session) inside(m wire.Message) error {
	if int64(m.Index) >= int64(s.torrent.Pieces()) || m.Length == 0 || m.Length > wire.MaxBlock ||
		int64(m.Begin)+int64(m.Length) > s.torrent.PieceSize(int(m.Index)) {
		return misbehaves("a request of %d bytes at %d in piece %d", m.Length, m.Begin, m.Index)
	}
	return nil
}

// reject says no to a request, where the peer knows how to be told.
func (s *session) reject(m wire.Message) {
	if s.fast {
		m.Kind = wire.Reject
		s.say(m)
	}
}

// cancel takes a request out of the queue. One that is not there has been served.
func (s *session) cancel(m wire.Message) {
	if s.dequeue(job{index: m.Index, begin: m.Begin, length: m.Length}) {
		s.reject(m)
	}
}

// extension takes a message of the extension protocol.
func (s *session) extension(m wire.Message) error {
	switch {
	case !s.extended:
		return misbehaves("an extension it did not offer")
	case m.Index == wire.ExtensionHandshakeID:
		h, err := wire.ParseExtensionHandshake(m.Data)
		if err != nil {
			return err
		}
		if id, named := h.Extensions[wire.Metadata]; named { // a later handshake may take it back with 0
			s.metadataID = id
		}
	case m.Index == wire.MetadataID:
		return s.metadata(m.Data)
	}
	return nil
}

// metadata answers a request for a piece of the info dictionary (BEP 9).
func (s *session) metadata(b []byte) error {
	m, err := wire.ParseMetadata(b)
	if err != nil {
		return err
	}
	if m.Kind != wire.MetadataRequest || s.metadataID == 0 {
		return nil
	}
	pieces := (len(s.torrent.Info)-1)/wire.MetadataPiece + 1
	if s.metadataAnswers++; s.metadataAnswers > 4*pieces+16 {
		return misbehaves("it asks for the info dictionary again and again")
	}
	if m.Piece < pieces && s.enqueue(job{metadata: true, index: uint32(m.Piece), begin: uint32(s.metadataID)}, wire.RequestQueue) {
		return nil
	}
	s.say(wire.MetadataMessage{Kind: wire.MetadataReject, Piece: m.Piece}.Message(s.metadataID))
	return nil
}
