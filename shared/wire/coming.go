package wire

import "encoding/binary"

// Coming is the name of Kinopod's own extension in ExtensionHandshake.Extensions: a
// peer tells where it plays, and which pieces it is fetching from where everybody may.
// Others then wait for it instead of fetching them as well.
const Coming = "kp_coming"

// ComingID is the id under which we receive Coming.
const ComingID = 2

const comingLength = 12

// ComingMessage is the payload of Coming.
type ComingMessage struct {
	At         uint32 // the piece that the peer plays
	First, End uint32 // the pieces that come to it, End excluded; none where they are equal
}

// Message gives m as a message to a peer that receives Coming under id.
func (m ComingMessage) Message(id int) Message {
	b := make([]byte, 0, comingLength)
	for _, n := range []uint32{m.At, m.First, m.End} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return Message{Kind: Extended, Index: uint32(id), Data: b}
}

// ParseComing reads Data of an Extended message of Coming.
func ParseComing(b []byte) (m ComingMessage, err error) {
	if len(b) != comingLength {
		return m, broken("coming of %d bytes", len(b))
	}
	m = ComingMessage{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])}
	if m.End < m.First {
		return ComingMessage{}, broken("coming from %d to %d", m.First, m.End)
	}
	return m, nil
}
