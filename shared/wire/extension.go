package wire

import (
	"bytes"

	"github.com/anacrolix/torrent/bencode"
)

// Extended ids: 0 is the extension handshake; each side names the ids under which
// it wants to receive the rest.
const (
	ExtensionHandshakeID = 0
	// MetadataID is the id under which we receive ut_metadata.
	MetadataID = 1
)

// MetadataPiece is the length of a piece of the info dictionary (BEP 9), in bytes.
const MetadataPiece = 16 << 10

// MaxMetadata bounds an info dictionary, in bytes.
const MaxMetadata = 4 << 20

// ExtensionHandshake is the payload of extended message 0 (BEP 10).
type ExtensionHandshake struct {
	Extensions   map[string]int `bencode:"m"`
	Client       string         `bencode:"v,omitempty"`
	RequestQueue int            `bencode:"reqq,omitempty"`
	MetadataSize int64          `bencode:"metadata_size,omitempty"`
	// Block is the longest block that the sender gives, in bytes, where that is more
	// than MaxBlock. It is Kinopod's own.
	Block int `bencode:"kp_block,omitempty"`
}

// Metadata is the name of the extension of BEP 9 in ExtensionHandshake.Extensions.
const Metadata = "ut_metadata"

// Message gives the handshake as a message.
func (h ExtensionHandshake) Message() Message {
	return Message{Kind: Extended, Index: ExtensionHandshakeID, Data: bencode.MustMarshal(h)}
}

// ParseExtensionHandshake reads Data of an Extended message with index 0.
func ParseExtensionHandshake(b []byte) (ExtensionHandshake, error) {
	var h ExtensionHandshake
	if err := bencode.Unmarshal(b, &h); err != nil {
		return ExtensionHandshake{}, broken("extension handshake: %v", err)
	}
	if h.Block < 0 || h.Block > MaxMetadata {
		return ExtensionHandshake{}, broken("blocks of %d bytes", h.Block)
	}
	if h.MetadataSize < 0 || h.MetadataSize > MaxMetadata {
		return ExtensionHandshake{}, broken("metadata of %d bytes", h.MetadataSize)
	}
	for name, id := range h.Extensions {
		if id < 0 || id > 255 {
			return ExtensionHandshake{}, broken("extension %q has id %d", name, id)
		}
	}
	return h, nil
}

// MetadataKind tells the three messages of ut_metadata apart.
type MetadataKind int

// Messages of ut_metadata.
const (
	MetadataRequest MetadataKind = 0
	MetadataData    MetadataKind = 1
	MetadataReject  MetadataKind = 2
)

// MetadataMessage is one message of ut_metadata. Data is set for MetadataData.
type MetadataMessage struct {
	Kind      MetadataKind
	Piece     int
	TotalSize int64
	Data      []byte
}

type metadataHeader struct {
	Kind      int   `bencode:"msg_type"`
	Piece     int   `bencode:"piece"`
	TotalSize int64 `bencode:"total_size,omitempty"`
}

// Message gives m as a message to a peer that receives ut_metadata under id.
func (m MetadataMessage) Message(id int) Message {
	b := bencode.MustMarshal(metadataHeader{Kind: int(m.Kind), Piece: m.Piece, TotalSize: m.TotalSize})
	return Message{Kind: Extended, Index: uint32(id), Data: append(b, m.Data...)}
}

// ParseMetadata reads Data of an Extended message of ut_metadata.
func ParseMetadata(b []byte) (MetadataMessage, error) {
	r := bytes.NewReader(b)
	d := bencode.NewDecoder(r)
	var h metadataHeader
	if err := d.Decode(&h); err != nil {
		return MetadataMessage{}, broken("ut_metadata: %v", err)
	}
	m := MetadataMessage{Kind: MetadataKind(h.Kind), Piece: h.Piece, TotalSize: h.TotalSize, Data: b[d.Offset:]}
	if m.Kind < MetadataRequest || m.Kind > MetadataReject || m.Piece < 0 || m.Piece > MaxMetadata/MetadataPiece || m.TotalSize < 0 || m.TotalSize > MaxMetadata || len(m.Data) > MetadataPiece {
		return MetadataMessage{}, broken("ut_metadata: message %d, piece %d", m.Kind, m.Piece)
	}
	return m, nil
}

// MetadataPieceOf is piece i of an info dictionary; ok is false where there is none.
func MetadataPieceOf(info []byte, i int) (piece []byte, ok bool) {
	if i < 0 || i*MetadataPiece >= len(info) {
		return nil, false
	}
	return info[i*MetadataPiece : min(len(info), (i+1)*MetadataPiece)], true
}
