package inbox

import (
	"bytes"
	"compress/gzip"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// sign signs a payload with any algorithm and header.
func sign(t testing.TB, key jose.SigningKey, payload string, fields map[string]any) []byte {
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
	return []byte(out)
}

// encrypt seals a body for us as federation.Seal would not.
func encrypt(t testing.TB, from network.Host, body []byte, compress jose.CompressionAlgorithm) string {
	t.Helper()
	e, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: &keys()[us].PublicKey}, (&jose.EncrypterOptions{Compression: compress}).WithHeader("from", from))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := e.Encrypt(body)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := sealed.CompactSerialize()
	return out
}

func segment(v any) string {
	b, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(b)
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// TestAttacks: what is not a good message of a friend is refused at the door. All that
// its sender learns is 404, and nothing is written.
func TestAttacks(t *testing.T) {
	all := known()
	for host, s := range map[network.Host]network.State{"asked.example": network.Asked, "revoked.example": network.Revoked, "blocked.example": network.Blocked} {
		all = append(all, friends.Friend{Host: host, State: s, Key: jwk(stranger)})
	}
	all = append(all, friends.Friend{Host: "broken.example", State: network.Friend, Key: "no key"}, friends.Friend{Host: "keyless.example", State: network.Friend, Key: "null"})
	w, _, _ := fakeWorld(t, all)

	id := video.NewID(friendly)
	batch := federation.Batch{Events: []federation.Event{{Kind: federation.VideoRemove, ID: &id}, {Kind: federation.PodLeave}}, Compare: true}
	change := func(f func(*federation.Header)) []byte {
		h := header(friendly, federation.PathEvents)
		f(&h)
		return seal(t, h, keys()[friendly], batch)
	}
	good := func() []byte { return change(func(*federation.Header) {}) }
	of := func(h network.Host, key *rsa.PrivateKey) []byte {
		return seal(t, header(h, federation.PathEvents), key, batch)
	}
	says := func(body string) []byte {
		return seal(t, header(friendly, federation.PathEvents), keys()[friendly], []byte(body))
	}
	signed := func(payload string, fields map[string]any) []byte {
		return sign(t, jose.SigningKey{Algorithm: jose.PS256, Key: keys()[friendly]}, payload, fields)
	}
	ours := func() map[string]any { return map[string]any{"kinopod": header(friendly, federation.PathEvents)} }
	forged := func(alter func(h *federation.Header)) []byte { // the header changed after the signature
		parts := strings.Split(string(good()), ".")
		h := header(friendly, federation.PathEvents)
		alter(&h)
		parts[0] = segment(map[string]any{"alg": "PS256", "kinopod": h})
		return []byte(strings.Join(parts, "."))
	}
	altered := func(part int) []byte {
		parts := strings.Split(string(good()), ".")
		b := []byte(parts[part])
		if i := len(b) / 2; b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		parts[part] = string(b)
		return []byte(strings.Join(parts, "."))
	}
	inner := strings.Split(string(good()), ".")[1]
	jwe, _ := base64.RawURLEncoding.DecodeString(inner)
	ago := func(d time.Duration) func(*federation.Header) {
		return func(h *federation.Header) { h.Time = time.Now().Add(-d).UnixMilli() }
	}
	replayed := good()
	if a := w.post(federation.PathEvents, replayed); a.status != http.StatusNoContent {
		t.Fatalf("a good message: %d %s", a.status, a.body)
	}
	want := []string{"FirstMessage friend.example", "Drop " + id.String() + " of friend.example", "Gone friend.example false", "Heard friend.example"}
	if said := w.calls.take(); !slices.Equal(said, want) {
		t.Fatalf("a good message does %q, want %q", said, want)
	}
	reference := w.post("/federation/v1/nothing", nil)
	if reference.status != http.StatusNotFound || len(reference.body) > 100 {
		t.Fatalf("%d %q", reference.status, reference.body)
	}

	const header_, sender, signature, sealed, body = federation.BadHeader, federation.BadSender, federation.BadSignature, federation.BadSeal, federation.BadBody
	type attack struct {
		message []byte
		reasons []federation.Reason
		headers []string
	}
	is := func(message []byte, reasons ...federation.Reason) attack {
		return attack{message: message, reasons: reasons}
	}
	attacks := map[string]attack{
		"nothing":                   is(nil, header_),
		"not JOSE":                  is([]byte("hello"), header_),
		"JSON":                      is([]byte(`{"payload":"","signatures":[{},{}]}`), header_),
		"a plain batch":             is([]byte(`{"events":[{"kind":"pod.leave"}]}`), header_),
		"oversized":                 is(make([]byte, federation.MaxMessage+1), federation.BadSize),
		"oversized inside":          is(signed(encrypt(t, friendly, make([]byte, federation.MaxBody+1), ""), ours()), federation.BadSize),
		"truncated":                 is(good()[:300], header_),
		"truncated signature":       is(good()[:len(good())-20], signature, header_),
		"altered header":            is(altered(0), header_, signature, sender),
		"altered body":              is(altered(1), signature),
		"altered signature":         is(altered(2), signature),
		"another id":                is(forged(func(h *federation.Header) { h.ID = federation.NewMessageID() }), signature),
		"another time":              is(forged(func(h *federation.Header) { h.Time += 1000 }), signature),
		"another path in header":    is(forged(func(h *federation.Header) { h.Path = federation.PathDigest }), signature),
		"another recipient in it":   is(forged(func(h *federation.Header) { h.To = other }), signature),
		"another friend as sender":  is(forged(func(h *federation.Header) { h.From = other }), signature),
		"another version in header": is(forged(func(h *federation.Header) { h.Version = 2 }), signature),
		"replayed":                  is(replayed, federation.Replayed),
		"too old":                   is(change(ago(federation.MaxAge+time.Second)), federation.BadTime),
		"too new":                   is(change(ago(-federation.MaxAge-2*time.Minute)), federation.BadTime),
		"the end of time":           is(change(func(h *federation.Header) { h.Time = 1<<63 - 1 }), federation.BadTime),
		"for another recipient":     is(change(func(h *federation.Header) { h.To = other }), federation.BadRecipient),
		"for another path":          is(change(func(h *federation.Header) { h.Path = federation.PathDigest }), federation.BadPath),
		"of another version":        is(change(func(h *federation.Header) { h.Version = 2 }), federation.BadVersion),
		"of a stranger":             is(of(stranger, keys()[stranger]), sender),
		"of one who left":           is(of(former, keys()[former]), sender),
		"of one who was asked":      is(of("asked.example", keys()[stranger]), sender),
		"of one who is revoked":     is(of("revoked.example", keys()[stranger]), sender),
		"of one who is blocked":     is(of("blocked.example", keys()[stranger]), sender),
		"of one with a broken key":  is(of("broken.example", keys()[stranger]), sender),
		"of one without a key":      is(of("keyless.example", keys()[stranger]), sender),
		"of ourselves":              is(of(us, keys()[us]), sender),
		"of nobody":                 is(of("", keys()[friendly]), header_),
		"of upper case":             is(of("FRIEND.example", keys()[friendly]), header_),
		"signed by another friend":  is(of(friendly, keys()[other]), signature),
		"signed by a stranger":      is(of(friendly, keys()[stranger]), signature),
		"sealed by another friend":  is(sign(t, jose.SigningKey{Algorithm: jose.PS256, Key: keys()[other]}, string(jwe), map[string]any{"kinopod": header(other, federation.PathEvents)}), sealed),
		"not sealed":                is(signed("{}", ours()), sealed),
		"compressed inside":         is(signed(encrypt(t, friendly, make([]byte, 200<<10), jose.DEFLATE), ours()), sealed),
		"compressed":                {gzipped(good()), []federation.Reason{header_}, []string{"Content-Encoding", "gzip"}},
		"a bomb":                    {gzipped(make([]byte, 50<<20)), []federation.Reason{header_}, []string{"Content-Encoding", "gzip"}},
		"no algorithm":              is([]byte(segment(map[string]any{"alg": "none", "kinopod": header(friendly, federation.PathEvents)})+"."+inner+"."), header_),
		"HMAC with the public key":  is(sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(jwk(friendly))}, string(jwe), ours()), header_),
		"a weaker signature":        is(sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: keys()[friendly]}, string(jwe), ours()), header_),
		"a header beside ours":      is(signed(string(jwe), map[string]any{"kinopod": header(friendly, federation.PathEvents), "jku": "https://evil.example"}), header_),
		"two signatures":            is([]byte(string(good())+"."+strings.Split(string(good()), ".")[2]), header_),
		"a long header":             is([]byte(strings.Repeat("A", 3<<10)+"."+inner+".AA"), header_),
		"not JSON inside":           is(says("hello"), body),
		"another shape":             is(says(`{"events":{"kind":"pod.leave"}}`), body),
		"a list":                    is(says(`[]`), body),
		"a put of nothing":          is(says(`{"events":[{"kind":"pod.leave"},{"kind":"video.put"}]}`), body),
		"a removal of nothing":      is(says(`{"events":[{"kind":"pod.leave"},{"kind":"video.remove"}]}`), body),
		"a key that is none":        is(says(`{"events":[{"kind":"pod.leave"},{"kind":"pod.key","key":{"kty":"oct","k":"AAAA"}}]}`), body),
		"too many events":           is(says(`{"events":[`+strings.Repeat(`{"kind":"pod.leave"},`, federation.MaxBatch)+`{"kind":"pod.leave"}]}`), body),
	}
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.calls.take()
			before := w.in.Stats()
			got := w.post(federation.PathEvents, a.message, a.headers...)
			if got.status != reference.status || !bytes.Equal(got.body, reference.body) || !reflect.DeepEqual(got.header, reference.header) {
				t.Errorf("%+v %s, where nothing is: %+v %s", got, got.body, reference, reference.body)
			}
			after := w.in.Stats()
			var raised []federation.Reason
			for _, r := range federation.Reasons {
				for range after.Refused[r] - before.Refused[r] {
					raised = append(raised, r)
				}
			}
			if len(raised) != 1 || !slices.Contains(a.reasons, raised[0]) {
				t.Errorf("counted as %v, want %v", raised, a.reasons)
			}
			if after.Taken != before.Taken {
				t.Error("counted as taken")
			}
			said := w.calls.take()
			if slices.Contains([]federation.Reason{federation.Replayed, sealed, body}, a.reasons[0]) || name == "oversized inside" {
				said = without(said, "FirstMessage") // its id was noted
			}
			if len(said) > 0 {
				t.Errorf("it did %q", said)
			}
		})
	}
	w.t = t
	// Each door is only for what is sent to it.
	for _, path := range []string{federation.PathDigest, federation.PathVideos} {
		if a := w.post(path, good()); a.status != http.StatusNotFound || !bytes.Equal(a.body, reference.body) {
			t.Errorf("events at %s: %d %s", path, a.status, a.body)
		}
		if a := w.send(stranger, path, struct{}{}, nil); a.status != http.StatusNotFound || !bytes.Equal(a.body, reference.body) {
			t.Errorf("a stranger at %s: %d %s", path, a.status, a.body)
		}
	}
	if a := w.send(friendly, federation.PathVideos, []string{"no request"}, nil); a.status != http.StatusNotFound || !bytes.Equal(a.body, reference.body) {
		t.Errorf("no request for a page: %d %s", a.status, a.body)
	}
	for _, path := range []string{federation.PathEvents, federation.PathHello, federation.PathDigest, "/federation", "/federation/v1/events/", "/federation/v2/events"} {
		res, err := http.Get(w.url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, res.StatusCode)
		}
	}
	if a := w.post(federation.PathEvents, good()); a.status != http.StatusNoContent {
		t.Errorf("a good message afterwards: %d", a.status)
	}
}

// TestOneOfManyReplays: of a message that comes often at the same time one is taken.
func TestOneOfManyReplays(t *testing.T) {
	w := realWorld(t)
	m := seal(t, header(friendly, federation.PathEvents), keys()[friendly], federation.Batch{})
	codes := make(chan int, 20)
	for range cap(codes) {
		go func() {
			a, _ := w.try(federation.PathEvents, m)
			codes <- a.status
		}()
	}
	taken := 0
	for range cap(codes) {
		switch code := <-codes; code {
		case http.StatusNoContent:
			taken++
		case http.StatusNotFound:
		default:
			t.Errorf("%d", code)
		}
	}
	if s := w.in.Stats(); taken != 1 || s.Taken != 1 || s.Refused[federation.Replayed] != 19 {
		t.Errorf("%d are taken: %+v", taken, s)
	}
}

// TestStoreIsDown: a good message that could not be noted is to be sent again, and its
// sender is told so.
func TestStoreIsDown(t *testing.T) {
	w, _, s := fakeWorld(t, known())
	s.fail = &api.Error{Code: api.CodeUnavailable, Message: "Later."}
	for _, path := range []string{federation.PathEvents, federation.PathDigest, federation.PathVideos} {
		if a := w.send(friendly, path, struct{}{}, nil); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if st := w.in.Stats(); st.Taken != 0 || len(w.refused()) > 0 {
		t.Errorf("%+v", st)
	}
}

// TestRate: one friend's messages are bounded, another's are not touched by it.
func TestRate(t *testing.T) {
	const most = 5
	w, _, _ := fakeWorld(t, known(), func(c *Config) { c.Messages = most })
	taken := 0
	for range 2*most + 1 { // also where a minute ends meanwhile
		switch a := w.send(friendly, federation.PathEvents, federation.Batch{}, nil); a.status {
		case http.StatusNoContent:
			taken++
		case http.StatusTooManyRequests:
		default:
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if taken < most || taken > 2*most {
		t.Errorf("%d messages are taken of %d in a minute", taken, most)
	}
	if heard := w.calls.take(); len(heard)-2*taken != 2*most+1-taken {
		t.Errorf("%d calls for %d messages: %q", len(heard), taken, heard)
	}
	if a := w.send(other, federation.PathEvents, federation.Batch{}, nil); a.status != http.StatusNoContent {
		t.Errorf("another friend: %d", a.status)
	}
	if a := w.send(stranger, federation.PathEvents, federation.Batch{}, nil); a.status != http.StatusNotFound {
		t.Errorf("a stranger: %d", a.status)
	}
	if len(w.in.rates) != 2 {
		t.Errorf("rates are kept for %d pods", len(w.in.rates))
	}
}
