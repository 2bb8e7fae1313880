package federation

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
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

// ID names a key: its JWK thumbprint (RFC 7638), SHA-256 in base64url. "" for no key.
func (k Key) ID() string {
	if k.PublicKey == nil {
		return ""
	}
	sum, err := (&jose.JSONWebKey{Key: k.PublicKey}).Thumbprint(crypto.SHA256)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// Ring are a pod's own keys: the one in use, and those before it, the newest first.
type Ring []*rsa.PrivateKey

// Public is the key that others are to know.
func (r Ring) Public() Key { return Key{&r[0].PublicKey} }

// Known is the key of ours that somebody has on record, by its ID. Who is noted without
// one knows the oldest.
func (r Ring) Known(id string) *rsa.PrivateKey {
	if id == "" {
		return r[len(r)-1]
	}
	for _, k := range r {
		if (Key{&k.PublicKey}).ID() == id {
			return k
		}
	}
	return r[0]
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
