package federation

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kinopod/shared/network"
)

const us, friend = network.Host("us.example"), network.Host("friend.example")

// keys are made once: that takes a while.
var keys = sync.OnceValue(func() map[network.Host]*rsa.PrivateKey {
	out := map[network.Host]*rsa.PrivateKey{}
	for _, h := range []network.Host{us, friend, "other.example", "stranger.example"} {
		out[h], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return out
})

var now = time.UnixMilli(1_700_000_000_123)

// opener is us, with two friends.
func opener() *Opener {
	seen := map[MessageID]bool{}
	return &Opener{
		Host: us, Keys: Ring{keys()[us]}, Versions: Speaks, Now: func() time.Time { return now },
		Sender: func(_ context.Context, h network.Host) (*rsa.PublicKey, error) {
			if h == friend || h == "other.example" {
				return &keys()[h].PublicKey, nil
			}
			return nil, nil
		},
		First: func(_ context.Context, _ network.Host, id MessageID, until time.Time) (bool, error) {
			if until.Before(now.Add(MaxAge)) {
				return false, errors.New("an id is forgotten while its message is still taken")
			}
			first := !seen[id]
			seen[id] = true
			return first, nil
		},
	}
}

func header() Header {
	return Header{From: friend, To: us, Path: PathEvents, Version: 1, Time: now.UnixMilli(), ID: NewMessageID()}
}

func seal(t testing.TB, h Header, signer *rsa.PrivateKey, to *rsa.PublicKey, body string) []byte {
	t.Helper()
	m, err := Seal(h, signer, to, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSealAndOpen(t *testing.T) {
	h := header()
	m := seal(t, h, keys()[friend], &keys()[us].PublicKey, "hello")
	got, body, err := opener().Open(t.Context(), m, PathEvents)
	if err != nil || got != h || string(body) != "hello" {
		t.Fatalf("%+v, %q, %v", got, body, err)
	}
}

// sign signs a payload with any header.
func sign(t testing.TB, key jose.SigningKey, payload string, fields map[string]any) string {
	t.Helper()
	o := &jose.SignerOptions{}
	for k, v := range fields {
		o.WithHeader(jose.HeaderKey(k), v)
	}
	s, err := jose.NewSigner(key, o)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func segment(v any) string {
	b, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(b)
}

// bomb is a message whose sealed body unpacks to very much.
func bomb(t *testing.T, h Header) []byte {
	e, err := jose.NewEncrypter(encryption, jose.Recipient{Algorithm: sealing, Key: &keys()[us].PublicKey}, (&jose.EncrypterOptions{Compression: jose.DEFLATE}).WithHeader("from", h.From))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := e.Encrypt(make([]byte, 200<<10))
	if err != nil {
		t.Fatal(err)
	}
	inner, _ := sealed.CompactSerialize()
	return []byte(sign(t, jose.SigningKey{Algorithm: signing, Key: keys()[friend]}, inner, map[string]any{"kinopod": h}))
}

func TestAttacks(t *testing.T) {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 9)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	change := func(f func(*Header)) []byte {
		h := header()
		f(&h)
		return seal(t, h, keys()[friend], &keys()[us].PublicKey, "{}")
	}
	good := func() []byte { return change(func(*Header) {}) }
	altered := func(part int) []byte {
		parts := strings.Split(string(good()), ".")
		b := []byte(parts[part])
		i := len(b) / 2
		if b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		parts[part] = string(b)
		return []byte(strings.Join(parts, "."))
	}
	forged := func(alter func(*Header)) []byte { // the header changed after the signature
		parts := strings.Split(string(good()), ".")
		h := header()
		alter(&h)
		parts[0] = segment(signedHeader{signing, h})
		return []byte(strings.Join(parts, "."))
	}
	inner := strings.Split(string(good()), ".")[1]
	payload, _ := base64.RawURLEncoding.DecodeString(inner)
	public, _ := json.Marshal(Key{&keys()[friend].PublicKey})
	for name, c := range map[string]struct {
		message []byte
		reasons []Reason
	}{
		"nothing":                    {nil, []Reason{BadHeader}},
		"not JOSE":                   {[]byte("hello"), []Reason{BadHeader}},
		"JSON":                       {[]byte(`{"payload":"","signatures":[]}`), []Reason{BadHeader}},
		"100 MB":                     {make([]byte, 100<<20), []Reason{BadSize}},
		"truncated":                  {good()[:300], []Reason{BadHeader}},
		"truncated signature":        {good()[:len(good())-10], []Reason{BadSignature, BadHeader}},
		"altered header":             {altered(0), []Reason{BadHeader, BadSignature, BadSender}},
		"altered body":               {altered(1), []Reason{BadSignature}},
		"altered signature":          {altered(2), []Reason{BadSignature}},
		"another id":                 {forged(func(h *Header) { h.ID = NewMessageID() }), []Reason{BadSignature}},
		"another time":               {forged(func(h *Header) { h.Time++ }), []Reason{BadSignature}},
		"another path in header":     {forged(func(h *Header) { h.Path = PathDigest }), []Reason{BadSignature}},
		"another recipient in it":    {forged(func(h *Header) { h.To = "other.example" }), []Reason{BadSignature}},
		"another friend as sender":   {forged(func(h *Header) { h.From = "other.example" }), []Reason{BadSignature}},
		"another version in header":  {forged(func(h *Header) { h.Version = 2 }), []Reason{BadSignature}},
		"too old":                    {change(func(h *Header) { h.Time = now.Add(-MaxAge - time.Millisecond).UnixMilli() }), []Reason{BadTime}},
		"too new":                    {change(func(h *Header) { h.Time = now.Add(MaxAge + time.Millisecond).UnixMilli() }), []Reason{BadTime}},
		"the end of time":            {change(func(h *Header) { h.Time = 1<<63 - 1 }), []Reason{BadTime}},
		"for another recipient":      {change(func(h *Header) { h.To = "other.example" }), []Reason{BadRecipient}},
		"for another path":           {change(func(h *Header) { h.Path = PathDigest }), []Reason{BadPath}},
		"of another version":         {change(func(h *Header) { h.Version = 2 }), []Reason{BadVersion}},
		"of a stranger":              {change(func(h *Header) { h.From = "stranger.example" }), []Reason{BadSender}},
		"of nobody":                  {change(func(h *Header) { h.From = "" }), []Reason{BadHeader}},
		"of somebody in upper case":  {change(func(h *Header) { h.From = "FRIEND.example" }), []Reason{BadHeader}},
		"signed by another friend":   {seal(t, header(), keys()["other.example"], &keys()[us].PublicKey, "{}"), []Reason{BadSignature}},
		"sealed for another":         {seal(t, header(), keys()[friend], &keys()["other.example"].PublicKey, "{}"), []Reason{BadSeal}},
		"sealed by another friend":   {[]byte(sign(t, jose.SigningKey{Algorithm: signing, Key: keys()["other.example"]}, string(payload), map[string]any{"kinopod": func() Header { h := header(); h.From = "other.example"; return h }()})), []Reason{BadSeal}},
		"not sealed":                 {[]byte(sign(t, jose.SigningKey{Algorithm: signing, Key: keys()[friend]}, "{}", map[string]any{"kinopod": header()})), []Reason{BadSeal}},
		"compressed":                 {bomb(t, header()), []Reason{BadSeal}},
		"a bomb as it is":            {packed.Bytes(), []Reason{BadHeader}},
		"no algorithm":               {[]byte(segment(signedHeader{"none", header()}) + "." + inner + "."), []Reason{BadHeader}},
		"HMAC with the public key":   {[]byte(sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, string(payload), map[string]any{"kinopod": header()})), []Reason{BadHeader}},
		"a weaker RSA signature":     {[]byte(sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: keys()[friend]}, string(payload), map[string]any{"kinopod": header()})), []Reason{BadHeader}},
		"another header beside ours": {[]byte(sign(t, jose.SigningKey{Algorithm: signing, Key: keys()[friend]}, string(payload), map[string]any{"kinopod": header(), "jku": "https://evil.example"})), []Reason{BadHeader}},
		"two signatures":             {[]byte(string(good()) + "." + strings.Split(string(good()), ".")[2]), []Reason{BadHeader}},
		"a long header":              {[]byte(strings.Repeat("A", 3<<10) + "." + inner + ".AA"), []Reason{BadHeader}},
	} {
		t.Run(name, func(t *testing.T) {
			o := opener()
			o.First = func(_ context.Context, _ network.Host, _ MessageID, _ time.Time) (bool, error) {
				if c.reasons[0] != BadSeal {
					t.Error("it was noted as seen")
				}
				return true, nil
			}
			_, body, err := o.Open(t.Context(), c.message, PathEvents)
			var r *Refusal
			if !errors.As(err, &r) || body != nil {
				t.Fatalf("%q, %v", body, err)
			}
			for _, want := range c.reasons {
				if r.Reason == want {
					return
				}
			}
			t.Errorf("%v, want %v", err, c.reasons)
		})
	}
	t.Run("replayed", func(t *testing.T) {
		o, m := opener(), good()
		if _, _, err := o.Open(t.Context(), m, PathEvents); err != nil {
			t.Fatal(err)
		}
		var r *Refusal
		if _, _, err := o.Open(t.Context(), m, PathEvents); !errors.As(err, &r) || r.Reason != Replayed {
			t.Error(err)
		}
	})
}

func TestOpenAnswer(t *testing.T) {
	asked := Header{From: us, To: friend, Path: PathDigest, Version: 1, Time: now.UnixMilli(), ID: NewMessageID()}
	answer := asked
	answer.From, answer.To = friend, us
	m := seal(t, answer, keys()[friend], &keys()[us].PublicKey, "{}")
	if body, err := opener().OpenAnswer(m, asked, &keys()[friend].PublicKey); err != nil || string(body) != "{}" {
		t.Errorf("%q, %v", body, err)
	}
	for name, alter := range map[string]func(*Header){
		"to another question":  func(h *Header) { h.ID = NewMessageID() },
		"of another friend":    func(h *Header) { h.From = "other.example" },
		"from another path":    func(h *Header) { h.Path = PathEvents },
		"for somebody else":    func(h *Header) { h.To = "other.example" },
		"of another time":      func(h *Header) { h.Time -= 2 * MaxAge.Milliseconds() },
		"of another's version": func(h *Header) { h.Version = 7 },
	} {
		h := answer
		alter(&h)
		m := seal(t, h, keys()[friend], &keys()[us].PublicKey, "{}")
		var r *Refusal
		if _, err := opener().OpenAnswer(m, asked, &keys()[friend].PublicKey); !errors.As(err, &r) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysThatAreNotTaken(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, _ := json.Marshal(jose.JSONWebKey{Key: &short.PublicKey})
	odd := keys()[us].PublicKey
	odd.E = 3
	three, _ := json.Marshal(jose.JSONWebKey{Key: &odd})
	private, _ := json.Marshal(jose.JSONWebKey{Key: keys()[us]})
	for name, b := range map[string][]byte{
		"short": weak, "exponent": three, "private": private, "symmetric": []byte(`{"kty":"oct","k":"AAAA"}`), "none": []byte(`{}`), "text": []byte(`"key"`),
		"long": []byte(`{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("A", 4000) + `"}`),
	} {
		var k Key
		if err := json.Unmarshal(b, &k); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	good, _ := json.Marshal(Key{&keys()[us].PublicKey})
	var k Key
	if err := json.Unmarshal(good, &k); err != nil || !k.Is(Key{&keys()[us].PublicKey}) {
		t.Errorf("%v", err)
	}
}

func FuzzOpen(f *testing.F) {
	m := seal(f, header(), keys()[friend], &keys()[us].PublicKey, "{}")
	f.Add(m)
	f.Add([]byte("a.b.c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r *Refusal
		if _, body, err := opener().Open(t.Context(), b, PathEvents); !errors.As(err, &r) && (err != nil || string(body) != "{}") { // base64 has spare bits
			t.Fatalf("%q: %q, %v", b, body, err)
		}
	})
}

// FuzzUnseal gives to the inner layer what a friend may sign.
func FuzzUnseal(f *testing.F) {
	m := seal(f, header(), keys()[friend], &keys()[us].PublicKey, "{}")
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(string(m), ".")[1])
	f.Add(payload)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r *Refusal
		if body, err := unseal([]byte("."+base64.RawURLEncoding.EncodeToString(b)+"."), friend, Ring{keys()[us]}); !errors.As(err, &r) && (err != nil || string(body) != "{}") {
			t.Fatalf("%q: %q, %v", b, body, err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for b.Loop() {
		_, _ = Seal(header(), keys()[friend], &keys()[us].PublicKey, make([]byte, 10<<10))
	}
}

func BenchmarkOpen(b *testing.B) {
	o := opener()
	o.First = func(context.Context, network.Host, MessageID, time.Time) (bool, error) { return true, nil }
	m := seal(b, header(), keys()[friend], &keys()[us].PublicKey, strings.Repeat("x", 10<<10))
	for b.Loop() {
		if _, _, err := o.Open(b.Context(), m, PathEvents); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefuse shows what a message costs that is not taken.
func BenchmarkRefuse(b *testing.B) {
	o := opener()
	strange := header()
	strange.From = "stranger.example"
	for name, m := range map[string][]byte{
		"stranger":        seal(b, strange, keys()["stranger.example"], &keys()[us].PublicKey, strings.Repeat("x", 10<<10)),
		"wrong signature": seal(b, header(), keys()["other.example"], &keys()[us].PublicKey, strings.Repeat("x", 10<<10)),
		"too large":       make([]byte, MaxMessage+1),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := o.Open(b.Context(), m, PathEvents); err == nil {
					b.Fatal("taken")
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "refusals/s")
		})
	}
}

// A message that was sealed for an old key is opened as long as that is there.
func TestOldKeys(t *testing.T) {
	old, h := keys()["stranger.example"], header()
	m, err := Seal(h, keys()[friend], &old.PublicKey, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	o := opener()
	o.Keys = Ring{keys()[us], keys()["other.example"], old}
	if _, body, err := o.Open(t.Context(), m, PathEvents); err != nil || string(body) != "hello" {
		t.Errorf("%q, %v", body, err)
	}
	o = opener()
	o.Keys = o.Keys[:1]
	var r *Refusal
	if _, _, err := o.Open(t.Context(), m, PathEvents); !errors.As(err, &r) || r.Reason != BadSeal {
		t.Errorf("for a key that is gone: %v", err)
	}
}

func TestRing(t *testing.T) {
	r := Ring{keys()[us], keys()[friend], keys()["other.example"]}
	id := func(i int) string { return Key{&r[i].PublicKey}.ID() }
	for name, c := range map[string]struct {
		id   string
		want int
	}{
		"the newest": {id(0), 0}, "one before": {id(1), 1}, "the oldest": {id(2), 2}, "of before there were ids": {"", 2}, "forgotten": {"gone", 0},
	} {
		if r.Known(c.id) != r[c.want] {
			t.Errorf("%s: another key", name)
		}
	}
	if !r.Public().Is(Key{&r[0].PublicKey}) || id(0) == id(1) || len(id(0)) != 43 || (Key{}).ID() != "" {
		t.Errorf("%q, %q", id(0), id(1))
	}
}
