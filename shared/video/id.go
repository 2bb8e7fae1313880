package video

import (
	"crypto/rand"
	"errors"
	"math/big"
)

// ID names a video everywhere: 128 random bits, base58 in URLs.
type ID [16]byte

// ErrID is what ParseID returns.
var ErrID = errors.New("not a video id")

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// idLength is the number of base58 digits that hold 128 bits.
const idLength = 22

// NewID draws an ID.
func NewID() ID {
	var id ID
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return id
}

// IsZero holds for the ID of no video.
func (id ID) IsZero() bool { return id == ID{} }

// String gives 22 base58 digits (the alphabet of Bitcoin), filled with "1".
func (id ID) String() string {
	var out [idLength]byte
	n, base, digit := new(big.Int).SetBytes(id[:]), big.NewInt(58), new(big.Int)
	for i := idLength - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		out[i] = alphabet[digit.Int64()]
	}
	return string(out[:])
}

// ParseID reads exactly what String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != idLength {
		return id, ErrID
	}
	n, base := new(big.Int), big.NewInt(58)
	for i := range len(s) {
		d := digitOf(s[i])
		if d < 0 {
			return id, ErrID
		}
		n.Add(n.Mul(n, base), big.NewInt(int64(d)))
	}
	if n.BitLen() > 128 {
		return id, ErrID
	}
	n.FillBytes(id[:])
	return id, nil
}

func digitOf(c byte) int {
	for i := range len(alphabet) {
		if alphabet[i] == c {
			return i
		}
	}
	return -1
}

// MarshalText writes the form of String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the form of String.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}
