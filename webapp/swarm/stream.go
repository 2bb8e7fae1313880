package swarm

import (
	"encoding/binary"
	"fmt"

	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
)

// stream finds the handshake and the messages in what a peer sends. It does what
// wire.Splitter does, and leaves blocks where the platform keeps them.
type stream struct {
	handshaken bool
	parts      []piecestore.Chunk
	length     int
}

// feed takes the next bytes. block is set for wire.Piece, whose message has no Data.
func (s *stream) feed(c piecestore.Chunk, handshake func(wire.Handshake) error, message func(m wire.Message, block piecestore.Chunk) error) error {
	s.parts = append(s.parts, c)
	s.length += c.Len()
	if !s.handshaken {
		if s.length < wire.HandshakeLength {
			return nil
		}
		h, err := wire.ParseHandshake(s.take(wire.HandshakeLength).Bytes())
		if err != nil {
			return err
		}
		s.handshaken = true
		if err := handshake(h); err != nil {
			return err
		}
	}
	for s.length >= 4 {
		var head [wire.PieceHeader]byte
		known := s.peek(head[:])
		n := binary.BigEndian.Uint32(head[:])
		if n > wire.MaxMessage {
			return fmt.Errorf("%w: a message of %d bytes", wire.ErrProtocol, n)
		}
		if s.length < 4+int(n) {
			return nil
		}
		if n >= 9 && wire.Kind(head[4]) == wire.Piece {
			index, begin, length, err := wire.ParsePieceHeader(head[:known])
			if err != nil {
				return err
			}
			s.take(wire.PieceHeader)
			if err := message(wire.Message{Kind: wire.Piece, Index: index, Begin: begin}, s.take(length)); err != nil {
				return err
			}
			continue
		}
		m, err := wire.Parse(s.take(4 + int(n)).Bytes()[4:])
		if err != nil {
			return err
		}
		if err := message(m, piecestore.Chunk{}); err != nil {
			return err
		}
	}
	return nil
}

// peek copies the first bytes to p without taking them and gives their number.
func (s *stream) peek(p []byte) int {
	n := 0
	for _, c := range s.parts {
		n += c.ReadAt(p[n:], 0)
		if n == len(p) {
			break
		}
	}
	return n
}

// take takes n bytes: shared where one part holds them, else put together.
func (s *stream) take(n int) piecestore.Chunk {
	s.length -= n
	for len(s.parts) > 0 && s.parts[0].Len() == 0 {
		s.parts = s.parts[1:]
	}
	if n == 0 {
		return piecestore.Chunk{}
	}
	if first := s.parts[0]; first.Len() >= n {
		s.drop(n)
		return first.Slice(0, n)
	}
	out, at := piecestore.Make(n), 0
	for at < n {
		c := s.parts[0]
		k := min(c.Len(), n-at)
		out.CopyFrom(at, c.Slice(0, k))
		at += k
		s.drop(k)
	}
	return out
}

// drop forgets k bytes of the first part.
func (s *stream) drop(k int) {
	c := s.parts[0]
	if k < c.Len() {
		s.parts[0] = c.Slice(k, c.Len())
		return
	}
	s.parts[0] = piecestore.Chunk{}
	s.parts = s.parts[1:]
}
