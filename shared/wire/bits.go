package wire

import "math/bits"

// Bits is a set of pieces as a Bitfield message carries it: piece 0 is the highest
// bit of the first byte. Indexes outside are absent, and ignored when set.
type Bits []byte

// NewBits makes an empty set for n pieces.
func NewBits(n int) Bits { return make(Bits, (n+7)/8) }

// ParseBits takes the payload of a Bitfield message of a torrent with n pieces. A
// wrong length, or a spare bit that is set, is an error.
func ParseBits(b []byte, n int) (Bits, error) {
	if len(b) != (n+7)/8 {
		return nil, broken("a bitfield of %d bytes for %d pieces", len(b), n)
	}
	if spare := len(b)*8 - n; spare > 0 && b[len(b)-1]&(1<<spare-1) != 0 {
		return nil, broken("spare bits in a bitfield")
	}
	return append(Bits(nil), b...), nil
}

// Has says whether piece i is in the set.
func (b Bits) Has(i int) bool {
	return i >= 0 && i>>3 < len(b) && b[i>>3]&(0x80>>(i&7)) != 0
}

// Set puts piece i into the set.
func (b Bits) Set(i int) {
	if i >= 0 && i>>3 < len(b) {
		b[i>>3] |= 0x80 >> (i & 7)
	}
}

// Clear takes piece i out of the set.
func (b Bits) Clear(i int) {
	if i >= 0 && i>>3 < len(b) {
		b[i>>3] &^= 0x80 >> (i & 7)
	}
}

// Count is the number of pieces in the set.
func (b Bits) Count() int {
	n := 0
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}
