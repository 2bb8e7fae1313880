// Package wire is the BitTorrent peer protocol as browsers and the seeder speak
// it: the handshake (BEP 3), messages with those of the fast extension (BEP 6),
// and the extension protocol (BEP 10) with ut_metadata (BEP 9).
//
// A message on the wire is a length of four bytes (big endian), then an id byte
// and its payload. A data channel keeps the borders of what was sent, but clients
// do not put borders and messages together: read it as a stream (Splitter).
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"kinopod/shared/magnet"
)

// PeerID names one peer of a swarm, 20 bytes.
type PeerID [20]byte

// What our own peer ids begin with (BEP 20): those of viewers, and those of the seeders of
// pods, which come through the tracker like any peer.
const (
	ViewerID = "-KP0001-"
	SeederID = "-KP0100-"
)

// Seeder says whether the seeder of a pod has this id.
func (id PeerID) Seeder() bool { return string(id[:len(SeederID)]) == SeederID }

// Limits of what is read.
const (
	HandshakeLength = 68
	// MaxBlock is the longest block that everybody gives, in bytes.
	MaxBlock = 16 << 10
	// LongBlock is the longest block that is asked for of who gives long ones
	// (ExtensionHandshake.Block), in bytes. Each message costs a browser some
	// tenths of a millisecond, whatever is in it.
	LongBlock = 64 << 10
	// MaxMessage bounds the body of a message: a bitfield of 2^17 pieces, or a
	// block with its header, and room for an extension handshake.
	MaxMessage = LongBlock + 1<<10
	// RequestQueue is the number of requests that may wait at a peer (reqq).
	RequestQueue = 256
)

// Protocol is what a handshake begins with.
const Protocol = "\x13BitTorrent protocol"

// ErrProtocol is what every error of reading wraps.
var ErrProtocol = errors.New("not the BitTorrent protocol")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, args...)...)
}

// Handshake opens a connection, in both directions.
type Handshake struct {
	InfoHash  magnet.InfoHash
	PeerID    PeerID
	Extension bool // speaks the extension protocol (BEP 10)
	Fast      bool // speaks the fast extension (BEP 6)
}

// Append writes the 68 bytes of h to b.
func (h Handshake) Append(b []byte) []byte {
	var reserved [8]byte
	if h.Extension {
		reserved[5] |= 0x10
	}
	if h.Fast {
		reserved[7] |= 0x04
	}
	b = append(append(b, Protocol...), reserved[:]...)
	return append(append(b, h.InfoHash[:]...), h.PeerID[:]...)
}

// ParseHandshake reads the first HandshakeLength bytes of b.
func ParseHandshake(b []byte) (Handshake, error) {
	if len(b) < HandshakeLength || string(b[:20]) != Protocol {
		return Handshake{}, broken("handshake")
	}
	return Handshake{
		InfoHash: magnet.InfoHash(b[28:48]), PeerID: PeerID(b[48:68]),
		Extension: b[25]&0x10 != 0, Fast: b[27]&0x04 != 0,
	}, nil
}

// Kind is the id byte of a message.
type Kind byte

// The kinds that are read. KeepAlive has no id on the wire: its length is 0.
const (
	Choke         Kind = 0
	Unchoke       Kind = 1
	Interested    Kind = 2
	NotInterested Kind = 3
	Have          Kind = 4
	Bitfield      Kind = 5
	Request       Kind = 6
	Piece         Kind = 7
	Cancel        Kind = 8
	Port          Kind = 9
	Suggest       Kind = 0x0d
	HaveAll       Kind = 0x0e
	HaveNone      Kind = 0x0f
	Reject        Kind = 0x10
	AllowedFast   Kind = 0x11
	Extended      Kind = 20
	KeepAlive     Kind = 0xff
)

// Message is one message. Which fields count depends on its kind:
//
//	Have, Suggest, AllowedFast        Index
//	Request, Cancel, Reject           Index, Begin, Length
//	Piece                             Index, Begin, Data (the block)
//	Bitfield                          Data (the first piece is the highest bit)
//	Extended                          Index (the extended id), Data
//
// Unknown kinds are kept with their payload in Data: the protocol says to pass
// over them.
type Message struct {
	Kind   Kind
	Index  uint32
	Begin  uint32
	Length uint32
	Data   []byte
}

// PieceHeader is the length of what stands before a block in a Piece message:
// length, id, index, begin.
const PieceHeader = 13

// AppendPieceHeader writes the header of a Piece message whose block of length
// bytes follows.
func AppendPieceHeader(b []byte, index, begin uint32, length int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(9+length))
	b = append(b, byte(Piece))
	b = binary.BigEndian.AppendUint32(b, index)
	return binary.BigEndian.AppendUint32(b, begin)
}

// ParsePieceHeader reads a header that AppendPieceHeader wrote; length is that of
// the block.
func ParsePieceHeader(b []byte) (index, begin uint32, length int, err error) {
	if len(b) < PieceHeader || Kind(b[4]) != Piece {
		return 0, 0, 0, broken("piece header")
	}
	n := binary.BigEndian.Uint32(b)
	if n < 9 || n > 9+LongBlock {
		return 0, 0, 0, broken("a piece message of %d bytes", n)
	}
	return binary.BigEndian.Uint32(b[5:]), binary.BigEndian.Uint32(b[9:]), int(n - 9), nil
}

// Append writes m with its length to b.
func (m Message) Append(b []byte) []byte {
	switch m.Kind {
	case KeepAlive:
		return append(b, 0, 0, 0, 0)
	case Piece:
		return append(AppendPieceHeader(b, m.Index, m.Begin, len(m.Data)), m.Data...)
	case Have, Suggest, AllowedFast:
		b = append(binary.BigEndian.AppendUint32(b, 5), byte(m.Kind))
		return binary.BigEndian.AppendUint32(b, m.Index)
	case Request, Cancel, Reject:
		b = append(binary.BigEndian.AppendUint32(b, 13), byte(m.Kind))
		b = binary.BigEndian.AppendUint32(b, m.Index)
		b = binary.BigEndian.AppendUint32(b, m.Begin)
		return binary.BigEndian.AppendUint32(b, m.Length)
	case Extended:
		b = append(binary.BigEndian.AppendUint32(b, uint32(2+len(m.Data))), byte(m.Kind), byte(m.Index))
		return append(b, m.Data...)
	default:
		b = append(binary.BigEndian.AppendUint32(b, uint32(1+len(m.Data))), byte(m.Kind))
		return append(b, m.Data...)
	}
}

// Parse reads the body of a message: what follows the length. Data points into b.
func Parse(b []byte) (Message, error) {
	if len(b) == 0 {
		return Message{Kind: KeepAlive}, nil
	}
	m := Message{Kind: Kind(b[0])}
	b = b[1:]
	want := -1 // any
	switch m.Kind {
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
		want = 0
	case Have, Suggest, AllowedFast:
		want = 4
	case Request, Cancel, Reject:
		want = 12
	case KeepAlive:
		return Message{}, broken("message id 255")
	}
	if want >= 0 && len(b) != want {
		return Message{}, broken("message %d with %d bytes", m.Kind, len(b))
	}
	switch m.Kind {
	case Have, Suggest, AllowedFast:
		m.Index = binary.BigEndian.Uint32(b)
	case Request, Cancel, Reject:
		m.Index, m.Begin, m.Length = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	case Piece:
		if len(b) < 8 || len(b) > 8+LongBlock {
			return Message{}, broken("a piece message of %d bytes", len(b))
		}
		m.Index, m.Begin, m.Data = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), b[8:]
	case Extended:
		if len(b) < 1 {
			return Message{}, broken("an empty extended message")
		}
		m.Index, m.Data = uint32(b[0]), b[1:]
	default:
		m.Data = b
	}
	return m, nil
}

// Splitter finds the handshake and the messages in a stream that comes in parts
// of any length. The zero value is ready. It keeps at most one message.
type Splitter struct {
	handshaken bool
	buf        []byte
}

// Feed takes the next bytes and calls handshake once and message for each whole
// message, in order; Data of a message is valid until the call returns. The first
// error ends the connection.
func (s *Splitter) Feed(b []byte, handshake func(Handshake) error, message func(Message) error) error {
	if len(s.buf) > 0 {
		b = append(s.buf, b...)
		s.buf = nil
	}
	if !s.handshaken {
		if len(b) < HandshakeLength {
			if n := min(len(b), len(Protocol)); string(b[:n]) != Protocol[:n] {
				return broken("handshake")
			}
			s.buf = append([]byte(nil), b...)
			return nil
		}
		h, err := ParseHandshake(b)
		if err != nil {
			return err
		}
		s.handshaken = true
		if err := handshake(h); err != nil {
			return err
		}
		b = b[HandshakeLength:]
	}
	for len(b) >= 4 {
		n := binary.BigEndian.Uint32(b)
		if n > MaxMessage {
			return broken("a message of %d bytes", n)
		}
		if len(b)-4 < int(n) {
			break
		}
		m, err := Parse(b[4 : 4+n])
		if err != nil {
			return err
		}
		if err := message(m); err != nil {
			return err
		}
		b = b[4+n:]
	}
	if len(b) > 0 {
		s.buf = append([]byte(nil), b...)
	}
	return nil
}
