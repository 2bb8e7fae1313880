package federation

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"kinopod/shared/network"
)

// Key is a pod's public key: a JWK in JSON.
type Key struct{ *rsa.PublicKey }

// MarshalJSON writes kty, n and e.
func (k Key) MarshalJSON() ([]byte, error) {
	if k.PublicKey == nil {
		return []byte("null"), nil
	}
	return json.Marshal(jose.JSONWebKey{Key: k.PublicKey})
}

// UnmarshalJSON takes an RSA key that is safe to use, and null for none.
func (k *Key) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		k.PublicKey = nil
		return nil
	}
	if len(b) > maxHeader {
		return errors.New("key: too long")
	}
	var j jose.JSONWebKey
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	public, ok := j.Key.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("key: a %T, not a public RSA key", j.Key)
	}
	if n := public.N.BitLen(); n < minKeyBits || n > maxKeyBits || public.N.Bit(0) == 0 || public.E != 65537 {
		return fmt.Errorf("key: %d bits and exponent %d", n, public.E)
	}
	k.PublicKey = public
	return nil
}

// ParseKey reads a key that is kept as a JWK.
func ParseKey(jwk string) (*rsa.PublicKey, error) {
	var k Key
	if err := json.Unmarshal([]byte(jwk), &k); err != nil {
		return nil, err
	}
	if k.PublicKey == nil {
		return nil, errors.New("key: none")
	}
	return k.PublicKey, nil
}

// Is says whether two keys are the same.
func (k Key) Is(other Key) bool {
	if k.PublicKey == nil || other.PublicKey == nil {
		return k.PublicKey == other.PublicKey
	}
	return k.Equal(other.PublicKey)
}

// Card is what a pod says of itself to everybody.
type Card struct {
	Host     network.Host     `json:"host"`
	Name     string           `json:"name"`
	Software string           `json:"software"` // "kinopod"
	Version  string           `json:"version"`
	Key      Key              `json:"key"`
	Protocol network.Versions `json:"protocol"`
}

// Hello asks for friendship.
type Hello struct {
	Host network.Host `json:"host"`
}
