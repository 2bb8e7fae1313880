package magnet

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
)

const hashHex = "c9e15763f722f23e98a29decdfae341b98d53056"

func TestRoundTrip(t *testing.T) {
	h, err := ParseInfoHash(hashHex)
	if err != nil {
		t.Fatal(err)
	}
	m := Magnet{
		InfoHash: h, Name: "a & b + c/ü?.mp4", Length: 123,
		Trackers: []string{"wss://pod.example/tracker/socket", "https://pod.example/tracker/announce"},
		WebSeeds: []string{"https://pod.example/stream/" + hashHex + "/a%20b.mp4"},
		Sources:  []string{"https://pod.example/videos/x.torrent"},
	}
	s := m.String()
	if !strings.HasPrefix(s, "magnet:?xt=urn:btih:"+hashHex+"&") {
		t.Errorf("xt is not first and plain: %s", s)
	}
	got, err := Parse(s)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("Parse(%q) = %+v, %v; want %+v", s, got, err, m)
	}
}

func TestParseBase32(t *testing.T) {
	m, err := Parse("magnet:?xt=urn:btih:ZHQVOY7XELZD5GFCTXWN7LRUDOMNKMCW")
	if err != nil || m.InfoHash.String() != hashHex {
		t.Errorf("got %v, %v", m.InfoHash, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "http://x", "magnet:?", "magnet:?dn=x", "magnet:?xt=urn:btih:", "magnet:?xt=urn:btih:zz" + hashHex[2:],
		"magnet:?xt=urn:btih:" + hashHex + "&xt=urn:btih:" + hashHex, "magnet:?xt=urn:btih:" + hashHex + "&xl=-1", "magnet:?xt=urn:btih:" + hashHex + "&dn=%zz",
		"magnet:?xt=urn:btih:" + hashHex + strings.Repeat("&tr=x", maxValues+1), "magnet:?xt=urn:btih:" + hashHex + "&dn=" + strings.Repeat("x", MaxLength),
	} {
		if m, err := Parse(s); err == nil {
			t.Errorf("Parse(%.60q) = %+v, want an error", s, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("magnet:?xt=urn:btih:" + hashHex + "&dn=x&xl=5&tr=a&tr=b&ws=c&xs=d")
	f.Add("magnet:?xt=urn:btih:ZHQVOY7XELZD5GFCTXWN7LRUDOMNKMCW")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := Parse(s)
		if err != nil {
			return
		}
		if out := m.String(); len(out) <= MaxLength {
			again, err := Parse(out)
			if err != nil || !reflect.DeepEqual(m, again) {
				t.Fatalf("%q: %+v became %+v, %v", s, m, again, err)
			}
		}
	})
}

// TestEscapes compares with the standard library, byte by byte and some together.
func TestEscapes(t *testing.T) {
	var all strings.Builder
	for c := range 256 {
		s := string([]byte{byte(c)})
		if got, want := string(appendQuery(nil, s)), url.QueryEscape(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
		all.WriteString(s)
	}
	if got, want := string(appendQuery([]byte("x="), all.String())), "x="+url.QueryEscape(all.String()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
