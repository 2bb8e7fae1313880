package federation

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kinopod/shared/network"
)

// Limits of a message.
const (
	MaxBody    = 256 << 10 // bytes of plaintext
	MaxMessage = 512 << 10 // bytes on the wire: base64 twice, and the headers
	MaxAge     = 5 * time.Minute
	maxHeader  = 2 << 10 // bytes of either header, encoded
)

// Bits of the keys that are taken.
const minKeyBits, maxKeyBits = 2048, 8192

// Reason says why a message was refused. Reasons are only ever added.
type Reason string

// The reasons, in the order of the checks.
const (
	BadSize      Reason = "size"
	BadHeader    Reason = "header"
	BadSender    Reason = "sender" // no friend
	BadSignature Reason = "signature"
	BadRecipient Reason = "recipient"
	BadPath      Reason = "path"
	BadVersion   Reason = "version"
	BadTime      Reason = "time"
	Replayed     Reason = "replayed"
	BadSeal      Reason = "seal" // it cannot be decrypted
	BadBody      Reason = "body" // it can, but says nothing that is known
)

// Reasons are all of them.
var Reasons = []Reason{BadSize, BadHeader, BadSender, BadSignature, BadRecipient, BadPath, BadVersion, BadTime, Replayed, BadSeal, BadBody}

// Refusal is a message that is ignored.
type Refusal struct {
	Reason Reason
	Cause  error
}

// Error gives the reason, and the cause behind it where there is one.
func (r *Refusal) Error() string {
	if r.Cause != nil {
		return fmt.Sprintf("refused, %s: %v", r.Reason, r.Cause)
	}
	return "refused, " + string(r.Reason)
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

func refuse(why Reason, cause error) error { return &Refusal{why, cause} }

// MessageID tells messages of one sender apart.
type MessageID [16]byte

// NewMessageID draws one.
func NewMessageID() (id MessageID) {
	_, _ = rand.Read(id[:])
	return id
}

// MarshalText gives base64url, 22 characters.
func (id MessageID) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(id[:])), nil
}

// UnmarshalText reads exactly what MarshalText writes.
func (id *MessageID) UnmarshalText(b []byte) error {
	if len(b) != 22 {
		return errors.New("not a message id")
	}
	_, err := base64.RawURLEncoding.Strict().Decode(id[:], b)
	return err
}

// Header is what a message says of itself, and its signature covers.
type Header struct {
	From    network.Host `json:"from"`
	To      network.Host `json:"to"`
	Path    string       `json:"path"`
	Version int          `json:"version"`
	Time    int64        `json:"time"` // ms since 1970
	ID      MessageID    `json:"id"`
}

const (
	signing    = jose.PS256
	sealing    = jose.RSA_OAEP_256
	encryption = jose.A256GCM
)

// signedHeader is the protected header of the JWS, whole.
type signedHeader struct {
	Algorithm jose.SignatureAlgorithm `json:"alg"`
	Kinopod   Header                  `json:"kinopod"`
}

// sealedHeader is the protected header of the JWE, whole.
type sealedHeader struct {
	Algorithm  jose.KeyAlgorithm      `json:"alg"`
	Encryption jose.ContentEncryption `json:"enc"`
	From       network.Host           `json:"from"`
}

// Seal makes a message: body for the holder of to, signed with key.
func Seal(h Header, key *rsa.PrivateKey, to *rsa.PublicKey, body []byte) ([]byte, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("seal: a body of %d bytes, %d are allowed", len(body), MaxBody)
	}
	e, err := jose.NewEncrypter(encryption, jose.Recipient{Algorithm: sealing, Key: to}, (&jose.EncrypterOptions{}).WithHeader("from", h.From))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	sealed, err := e.Encrypt(body)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	inner, err := sealed.CompactSerialize()
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: signing, Key: key}, (&jose.SignerOptions{}).WithHeader("kinopod", h))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	signed, err := s.Sign([]byte(inner))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	out, err := signed.CompactSerialize()
	return []byte(out), err
}

// Opener reads messages that are for one pod.
type Opener struct {
	Host     network.Host
	Keys     Ring // who has not heard of the newest seals for one before it
	Versions network.Versions
	Now      func() time.Time
	// Sender gives the key on record of a friend; nil for who is none.
	Sender func(ctx context.Context, h network.Host) (*rsa.PublicKey, error)
	// First notes a message of a sender until a time, and says whether it is new.
	First func(ctx context.Context, h network.Host, id MessageID, until time.Time) (bool, error)
}

// Open gives what a message that came to path says, or a *Refusal. Other errors are of
// Sender and First: the message may be good, and its sender has to try again.
func (o *Opener) Open(ctx context.Context, message []byte, path string) (Header, []byte, error) {
	h, err := o.check(ctx, message, path)
	if err != nil {
		return Header{}, nil, err
	}
	fresh, err := o.First(ctx, h.From, h.ID, time.UnixMilli(h.Time).Add(2*MaxAge))
	if err != nil {
		return Header{}, nil, err
	}
	if !fresh {
		return Header{}, nil, refuse(Replayed, nil)
	}
	body, err := unseal(message, h.From, o.Keys)
	return h, body, err
}

// OpenAnswer gives what a friend with this key said to a message of ours.
func (o *Opener) OpenAnswer(message []byte, asked Header, key *rsa.PublicKey) ([]byte, error) {
	known := *o
	known.Sender = func(_ context.Context, h network.Host) (*rsa.PublicKey, error) {
		if h != asked.To {
			return nil, nil
		}
		return key, nil
	}
	h, err := known.check(context.Background(), message, asked.Path)
	if err != nil {
		return nil, err
	}
	if h.ID != asked.ID {
		return nil, refuse(Replayed, nil)
	}
	return unseal(message, h.From, o.Keys)
}

// check looks at all that can be seen without decrypting, but for the id.
func (o *Opener) check(ctx context.Context, message []byte, path string) (Header, error) {
	if len(message) > MaxMessage {
		return Header{}, refuse(BadSize, nil)
	}
	var outer signedHeader
	if err := parseHeader(message, 3, &outer); err != nil {
		return Header{}, refuse(BadHeader, err)
	}
	h := outer.Kinopod
	if outer.Algorithm != signing {
		return Header{}, refuse(BadHeader, fmt.Errorf("algorithm %q", outer.Algorithm))
	}
	if from, err := network.ParseHost(string(h.From)); err != nil || from != h.From {
		return Header{}, refuse(BadHeader, errors.New("no sender"))
	}
	key, err := o.Sender(ctx, h.From)
	if err != nil {
		return Header{}, err
	}
	if key == nil {
		return Header{}, refuse(BadSender, nil)
	}
	signed, err := jose.ParseSignedCompact(string(message), []jose.SignatureAlgorithm{signing})
	if err != nil {
		return Header{}, refuse(BadHeader, err)
	}
	if _, err := signed.Verify(key); err != nil {
		return Header{}, refuse(BadSignature, err)
	}
	switch now, age := o.Now(), o.Now().Sub(time.UnixMilli(h.Time)); {
	case h.To != o.Host:
		return Header{}, refuse(BadRecipient, nil)
	case h.Path != path:
		return Header{}, refuse(BadPath, nil)
	case h.Version < o.Versions.At(now.Unix()).Min || h.Version > o.Versions.Max:
		return Header{}, refuse(BadVersion, nil)
	case age > MaxAge || age < -MaxAge:
		return Header{}, refuse(BadTime, nil)
	}
	return h, nil
}

// unseal decrypts the payload of a message whose signature was checked.
func unseal(message []byte, from network.Host, keys Ring) (body []byte, err error) {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(message), ".")[1])
	if err != nil {
		return nil, refuse(BadSeal, err)
	}
	var inner sealedHeader
	if err := parseHeader(payload, 5, &inner); err != nil {
		return nil, refuse(BadSeal, err)
	}
	if inner != (sealedHeader{sealing, encryption, from}) {
		return nil, refuse(BadSeal, errors.New("another header"))
	}
	sealed, err := jose.ParseEncryptedCompact(string(payload), []jose.KeyAlgorithm{sealing}, []jose.ContentEncryption{encryption})
	if err != nil {
		return nil, refuse(BadSeal, err)
	}
	for _, key := range keys {
		if body, err = sealed.Decrypt(key); err == nil {
			break
		}
	}
	if err != nil {
		return nil, refuse(BadSeal, err)
	}
	if len(body) > MaxBody {
		return nil, refuse(BadSize, nil)
	}
	return body, nil
}

// parseHeader reads the first of the parts of a compact serialization, exactly.
func parseHeader(compact []byte, parts int, into any) error {
	if bytes.Count(compact, []byte{'.'}) != parts-1 {
		return fmt.Errorf("not %d parts", parts)
	}
	first := compact[:bytes.IndexByte(compact, '.')]
	if len(first) > maxHeader {
		return errors.New("too long")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(first))
	if err != nil {
		return err
	}
	return strictJSON(b, into)
}

// strictJSON reads one JSON value and nothing after it, without fields that are not
// known.
func strictJSON(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() || d.InputOffset() != int64(len(bytes.TrimRight(b, " \t\r\n"))) {
		return errors.New("more than one value")
	}
	return nil
}
