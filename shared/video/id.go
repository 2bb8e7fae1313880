package video

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"kinopod/shared/network"
)

// ID names a video everywhere: 64 random bits and 64 of its origin's hash; base58 in
// URLs. So nobody else can have a video of this ID.
type ID [16]byte

// ErrID is what ParseID returns.
var ErrID = errors.New("not a video id")

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// idLength is the number of base58 digits that hold 128 bits.
const idLength = 22

// idRandom is the number of random bytes.
const idRandom = 8

// NewID draws an ID for a video of origin.
func NewID(origin network.Host) ID {
	var id ID
	_, _ = rand.Read(id[:idRandom]) // never fails: crypto/rand ends the program instead
	copy(id[idRandom:], originHash(origin))
	return id
}

func originHash(origin network.Host) []byte {
	sum := sha256.Sum256([]byte(origin))
	return sum[:len(ID{})-idRandom]
}

// Of says whether the ID is of a video of origin.
func (id ID) Of(origin network.Host) bool { return bytes.Equal(id[idRandom:], originHash(origin)) }

// IsZero holds for the ID of no video.
func (id ID) IsZero() bool { return id == ID{} }

// String gives 22 base58 digits (the alphabet of Bitcoin), filled with "1".
func (id ID) String() string {
	var out [idLength]byte
	for i := idLength - 1; i >= 0; i-- {
		rest := 0 // of id divided by 58
		for j, b := range id {
			rest = rest<<8 | int(b)
			id[j] = byte(rest / 58)
			rest %= 58
		}
		out[i] = alphabet[rest]
	}
	return string(out[:])
}

// ParseID reads exactly what String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != idLength {
		return ID{}, ErrID
	}
	for i := range len(s) {
		carry := digitOf(s[i])
		if carry < 0 {
			return ID{}, ErrID
		}
		for j := len(id) - 1; j >= 0; j-- {
			carry += int(id[j]) * 58
			id[j] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return ID{}, ErrID
		}
	}
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
