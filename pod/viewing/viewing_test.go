package viewing

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
)

func key(s string) func() []byte { return func() []byte { return []byte(s) } }

func TestGate(t *testing.T) {
	now := time.Date(2026, 3, 14, 15, 59, 59, 0, time.UTC)
	g := New(Members, key("secret"), func() time.Time { return now })
	h := magnet.InfoHash{1}
	p := g.Pass(h)
	good := p.Query()
	if lasts := time.Unix(p.Expires, 0).Sub(now); lasts < life || lasts > life+round {
		t.Errorf("a pass lasts for %s", lasts)
	}
	for name, test := range map[string]struct {
		hash  magnet.InfoHash
		query string
		want  bool
	}{
		"good":             {h, good, true},
		"among others":     {h, "info_hash=%01&" + good + "&port=1", true},
		"none":             {h, "", false},
		"of another file":  {magnet.InfoHash{2}, good, false},
		"longer":           {h, strings.Replace(good, strconv.FormatInt(p.Expires, 10), strconv.FormatInt(p.Expires+1, 10), 1), false},
		"the other number": {h, strings.Replace(good, "=", "=0", 1), true}, // the same time, written otherwise
		"altered":          {h, good[:len(good)-2] + "AA", false},
		"cut":              {h, good[:len(good)-1], false},
		"without a time":   {h, good[strings.Index(good, "&")+1:], false},
		"no signature":     {h, good[:strings.Index(good, "&")] + "&" + api.PassSignature + "=", false},
		"for a year":       {h, api.Pass{Expires: p.Expires + 365*86400, Signature: g.sign(h, p.Expires+365*86400)}.Query(), false},
		"not a query":      {h, good + "&%zz", false},
	} {
		if got := g.Admits(test.hash, test.query); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if New(Members, key("secret"), func() time.Time { return now }).Admits(h, good) != true {
		t.Error("a pass does not outlive a restart")
	}
	if New(Members, key("another"), func() time.Time { return now }).Admits(h, good) {
		t.Error("a pass of another pod is taken")
	}
	now = time.Unix(p.Expires, 0)
	if g.Admits(h, good) {
		t.Error("a pass does not expire")
	}
}

func TestPublic(t *testing.T) {
	g := New(Public, key("secret"), time.Now)
	if h := (magnet.InfoHash{1}); !g.Admits(h, "") || g.Closed() || g.Policy() != Public || g.Pass(h).Query() != "" {
		t.Error("a public pod asks for a pass")
	}
}

func FuzzAdmits(f *testing.F) {
	at := time.Unix(1_800_000_000, 0)
	g := New(Members, key("secret"), func() time.Time { return at })
	good := g.Pass(magnet.InfoHash{1})
	f.Add(good.Query())
	f.Add("expires=9&signature=")
	f.Fuzz(func(t *testing.T, query string) {
		if g.Admits(magnet.InfoHash{1}, query) && !strings.Contains(query, good.Signature) && !strings.Contains(query, "%") {
			t.Errorf("%q is let in", query)
		}
	})
}
