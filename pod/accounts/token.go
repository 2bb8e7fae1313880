package accounts

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// TokenHash is the SHA-256 of a token. Tokens are 256 random bits, so their hash
// needs no salt and gives nothing away: it is a session's public id, too.
type TokenHash [sha256.Size]byte

// String gives 43 characters of base64url.
func (h TokenHash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

func parseTokenHash(s string) (TokenHash, bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != sha256.Size {
		return TokenHash{}, false
	}
	return TokenHash(b), true
}

func newToken() (token string, hash TokenHash) {
	var b [sha256.Size]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:]), sha256.Sum256(b[:])
}

func hashToken(token string) (TokenHash, bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != sha256.Size {
		return TokenHash{}, false
	}
	return sha256.Sum256(b), true
}
