package podclient

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

func TestCard(t *testing.T) {
	const h = network.Host("pod.example")
	change := func(what string, to any) []byte {
		var fields map[string]any
		if err := json.Unmarshal(encode(t, cardOf(h)), &fields); err != nil {
			t.Fatal(err)
		}
		fields[what] = to
		return encode(t, fields)
	}
	for name, c := range map[string]struct {
		body []byte
		want string // its name, "" for an error
	}{
		"as it is":             {encode(t, cardOf(h)), "A pod"},
		"with more":            {change("theme", map[string]int{"dark": 1}), "A pod"},
		"of another":           {encode(t, cardOf("other.example")), ""},
		"of another port":      {encode(t, cardOf(h+":1")), ""},
		"in upper case":        {encode(t, cardOf("Pod.Example")), ""},
		"without a key":        {change("key", nil), ""},
		"with a bad key":       {change("key", map[string]string{"kty": "oct", "k": "AAAA"}), ""},
		"version 0":            {change("protocol", network.Versions{Min: 0, Max: 1}), ""},
		"no versions":          {change("protocol", nil), ""},
		"versions upside down": {change("protocol", network.Versions{Min: 3, Max: 2}), ""},
		"newer versions":       {change("protocol", network.Versions{Min: 2, Max: 9}), "A pod"},
		"a long name":          {change("name", strings.Repeat("ü", 100)), strings.Repeat("ü", 60)},
		"a name of two lines":  {change("name", " A\r\n\x1b[31mpod\u202e\u0000"), "A [31mpod"},
		"null":                 {[]byte("null"), ""},
		"a list":               {[]byte("[]"), ""},
		"nothing":              {nil, ""},
		"HTML":                 {[]byte("<html>"), ""},
		"two":                  {append(encode(t, cardOf(h)), encode(t, cardOf(h))...), ""},
	} {
		got, err := parseCard(c.body, h)
		if (err == nil) != (c.want != "") || got.Name != c.want || err == nil && !got.Key.Is(key()) {
			t.Errorf("%s: %q, %v", name, got.Name, err)
		}
	}
	long, _ := parseCard(change("version", strings.Repeat("1", 1000)), h)
	if len(long.Version) != 60 {
		t.Errorf("a version of %d bytes", len(long.Version))
	}
}

// What a pod says of itself holds for the host that was asked.
func TestCardOfAnother(t *testing.T) {
	s := secureServer(t, say(http.StatusOK, encode(t, cardOf("other.example"))))
	if card, secure, err := client(t, true).Card(t.Context(), s.at()); err == nil || secure || card.Host != "" {
		t.Errorf("%v, %v, %v", card.Host, secure, err)
	}
}

func TestFriends(t *testing.T) {
	s := secureServer(t, say(http.StatusOK, []byte(`{"next":"","friends":[{"host":"B.example","state":"friend","score":100},
		{"host":"c.example:8443","state":"friend"},{"host":"d.example","state":"blocked"},{"host":"e.example"},
		{"host":"https://f.example","state":"friend"},{"host":"","state":"friend"},{"host":"me@g.example","state":"friend"}]}`)))
	got, err := client(t, true).Friends(t.Context(), s.at())
	if want := []network.Host{"b.example", "c.example:8443"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	var many []string
	for i := range 10_001 {
		many = append(many, fmt.Sprintf(`{"host":"pod%d.example","state":"friend"}`, i))
	}
	got, err = parseFriends([]byte(`{"friends":[` + strings.Join(many, ",") + `]}`))
	if err != nil || len(got) != 10_000 {
		t.Errorf("%d, %v", len(got), err)
	}
	if _, err := parseFriends([]byte(`["a.example"]`)); err == nil {
		t.Error("a list is no answer")
	}
}

func TestThumbnail(t *testing.T) {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	const webp = "RIFF\x04\x00\x00\x00WEBP"
	for name, c := range map[string]struct {
		body, hash string
		asked, ok  bool
	}{
		"a picture":       {webp, hash(webp), true, true},
		"another hash":    {webp, hash("another"), true, false},
		"in upper case":   {webp, strings.ToUpper(hash(webp)), false, false},
		"a page":          {"<script>alert(1)</script>", hash("<script>alert(1)</script>"), true, false},
		"a sound":         {"RIFF\x04\x00\x00\x00WAVE", hash("RIFF\x04\x00\x00\x00WAVE"), true, false},
		"nothing":         {"", hash(""), true, false},
		"cut off":         {webp[:11], hash(webp[:11]), true, false},
		"no hash":         {webp, "", false, false},
		"a path for hash": {webp, "../../api/v1/me?" + strings.Repeat("0", 48), false, false},
	} {
		s := secureServer(t, say(http.StatusOK, []byte(c.body)))
		got, err := client(t, true).Thumbnail(t.Context(), s.at(), c.hash)
		if (err == nil) != c.ok || c.ok && string(got) != c.body || !c.ok && got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if asked := s.calls.Load() != 0; asked != c.asked {
			t.Errorf("%s: it was asked for: %v", name, asked)
		}
	}
}

func TestStatusError(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   StatusError
	}{
		"of the API":     {404, `{"code":"not_found","message":"There is no such video."}`, StatusError{404, api.CodeNotFound, "There is no such video."}},
		"nothing":        {404, "", StatusError{Status: 404}},
		"a page":         {502, "<html><body>Bad gateway</body></html>", StatusError{Status: 502}},
		"another shape":  {500, `{"code":{"a":1},"message":["b"]}`, StatusError{Status: 500}},
		"of strange use": {299 + 1, `{"code":"x"}`, StatusError{Status: 300, Code: "x"}},
		"markup and control characters": {
			400, `{"code":"a\nb","message":"<b>one</b>\r\n\u001b[2Jtwo\u0000\u202ethree\u2028four\u0085"}`,
			StatusError{400, "a b", "<b>one</b> [2Jtwo three four"},
		},
		"long":                     {400, `{"code":"` + strings.Repeat("c", 1000) + `","message":"` + strings.Repeat("ü", 1000) + `"}`, StatusError{400, api.Code(strings.Repeat("c", 40)), strings.Repeat("ü", 200)}},
		"not UTF-8":                {400, "{\"code\":\"invalid\",\"message\":\"a\xff\xfeb\"}", StatusError{400, "invalid", "a b"}},
		"longer than what is read": {400, `{"code":"invalid","message":"` + strings.Repeat("x", 16<<10) + `"}`, StatusError{Status: 400}},
	} {
		s := secureServer(t, say(c.status, []byte(c.body)))
		err := client(t, true).Hello(t.Context(), s.at(), "us.example")
		var e *StatusError
		if !errors.As(err, &e) || *e != c.want {
			t.Errorf("%s: %+v (%v)", name, e, err)
		}
		if err != nil && !isLine(err.Error(), maxError) {
			t.Errorf("%s: the error is %q", name, err)
		}
	}
}

// What net/http quotes of the other end comes out as one line, too.
func TestErrorIsOneLine(t *testing.T) {
	s := plainServer(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\x1b[2Jno header " + strings.Repeat("x", 2000) + "\r\n\r\n"))
		_ = conn.Close()
	})
	err := client(t, true).Hello(t.Context(), s.at(), "us.example")
	if err == nil || !isLine(err.Error(), maxError) || !strings.Contains(err.Error(), "call pod.example.com:") {
		t.Errorf("%q", err)
	}
}

func isLine(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most && !strings.ContainsFunc(s, unicode.IsControl) && s == strings.TrimSpace(s)
}

func FuzzAnswers(f *testing.F) {
	const h = network.Host("pod.example")
	f.Add(encode(f, cardOf(h)))
	f.Add([]byte(`{"friends":[{"host":"A.example:1","state":"friend"},{"host":"x","state":"left"}]}`))
	f.Add([]byte(`{"code":"invalid","message":"a\u0000\u202e` + strings.Repeat("x", 300) + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if card, err := parseCard(b, h); err == nil {
			if card.Host != h || card.Key.PublicKey == nil || card.Protocol.Min < 1 || card.Protocol.Max < card.Protocol.Min {
				t.Fatalf("took the card %+v", card)
			}
			for _, s := range []string{card.Name, card.Software, card.Version} {
				if !isLine(s, maxName) {
					t.Fatalf("the card says %q", s)
				}
			}
			again, err := parseCard(encode(t, card), h)
			if err != nil || again.Name != card.Name || !again.Key.Is(card.Key) {
				t.Fatalf("the card %+v became %+v, %v", card, again, err)
			}
		}
		hosts, err := parseFriends(b)
		if err != nil && hosts != nil || len(hosts) > maxHosts {
			t.Fatalf("%d hosts, %v", len(hosts), err)
		}
		for _, h := range hosts {
			if again, err := network.ParseHost(string(h)); err != nil || again != h {
				t.Fatalf("the host %q", h)
			}
		}
		if e := statusError(404, b); e.Status != 404 || !isLine(string(e.Code), maxCode) || !isLine(e.Message, maxMessage) || !isLine(e.Error(), 1000) {
			t.Fatalf("the error %+v", e)
		}
	})
}
