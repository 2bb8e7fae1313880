package page

import (
	"image/color"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/webapp/swarm"
)

func TestFormat(t *testing.T) {
	for n, want := range map[int64]string{-1: "0 B", 0: "0 B", 999: "999 B", 1000: "1.0 KiB", 9 << 10: "9.0 KiB", 10_200: "10 KiB", 1023 << 10: "1.0 MiB", 123_456_789: "118 MiB", 20 << 30: "20 GiB", 1 << 62: "4096 PiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("formatBytes(%d) = %q, want %q", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0:00", 0.4: "0:00", 59.6: "1:00", 754: "12:34", 3600: "1:00:00", 3723: "1:02:03", -5: "0:00", math.Inf(1): "0:00"} {
		if got := formatDuration(s); got != want {
			t.Errorf("formatDuration(%v) = %q, want %q", s, got, want)
		}
	}
	for s, want := range map[float64]string{1: "1 second", 62: "1 minute 2 seconds", 1200: "20 minutes", 3600: "1 hour", 3723: "1 hour 2 minutes", 7260: "2 hours 1 minute"} {
		if got := spokenDuration(s); got != want {
			t.Errorf("spokenDuration(%v) = %q, want %q", s, got, want)
		}
	}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		-time.Hour: "just now", 30 * time.Second: "just now", time.Minute: "1 minute ago", 23 * time.Hour: "23 hours ago", 47 * time.Hour: "1 day ago",
		40 * 24 * time.Hour: "1 month ago", 800 * 24 * time.Hour: "2 years ago",
	} {
		if got := formatAgo(now.Add(-d), now); got != want {
			t.Errorf("formatAgo(%v) = %q, want %q", d, got, want)
		}
	}
	if got := formatShare(1, 3); got != "33 %" {
		t.Error(got)
	}
	if got := formatShare(1, 0); got != "0 %" {
		t.Error(got)
	}
	if got := cut(strings.Repeat("ü", 300), 200); len([]rune(got)) != 200 || !strings.HasSuffix(got, "…") {
		t.Error(got)
	}
}

// Every byte comes from the pod that the page is of.
func TestOwnPath(t *testing.T) {
	for in, want := range map[string]string{
		"https://pod.example/thumbnails/a.webp": "/thumbnails/a.webp", "/stream/aa/film%20one.mp4": "/stream/aa/film%20one.mp4", "http://user@x:9/a?b=c": "/a?b=c",
		"": "", "javascript:alert(1)": "", "data:text/html,x": "", "https://pod.example": "", "//evil.example//x": "", "/%zz": "",
	} {
		if got := ownPath(in); got != want {
			t.Errorf("ownPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestScreenFor(t *testing.T) {
	for path, want := range map[string]any{
		"/": &home{}, "/watch/" + strings.Repeat("1", 22): &watch{}, "/watch/" + strings.Repeat("1", 22) + "/x": &notFound{}, "/watch/x": &notFound{}, "/login": &login{},
		"/account": &account{}, "/offline": &offline{}, "/offline/": &offline{}, "/login/x": &notFound{}, "/x": &notFound{}, "//": &notFound{},
	} {
		e := &Env{}
		New(e, &url.URL{Path: "/"})
		if got := screenFor(e, &url.URL{Path: path}); reflect.TypeOf(got) != reflect.TypeOf(want) {
			t.Errorf("%s: %T, want %T", path, got, want)
		}
	}
}

func pieces(s string) (out []swarm.PieceState) {
	for _, c := range s {
		p := swarm.PieceState{}
		switch c {
		case 'w':
			p = swarm.PieceState{Source: swarm.WebSeed, Have: true}
		case 'p':
			p = swarm.PieceState{Source: swarm.Pod, Have: true}
		case 'v':
			p = swarm.PieceState{Source: swarm.Viewer, Have: true}
		case 'l':
			p = swarm.PieceState{Source: swarm.Local, Have: true}
		case 'f':
			p.Fetching = true
		}
		out = append(out, p)
	}
	return out
}

func TestCells(t *testing.T) {
	got := cellsOf(pieces("wwvvv.f.l"), 3)
	want := []cell{
		{first: 0, count: 3, source: swarm.WebSeed, have: 1},
		{first: 3, count: 3, source: swarm.Viewer, have: 2.0 / 3},
		{first: 6, count: 3, source: swarm.Local, have: 1.0 / 3, fetching: true},
	}
	if len(got) != len(want) {
		t.Fatalf("%d cells: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("cell %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	if n := len(cellsOf(pieces("wvp"), 100)); n != 3 {
		t.Errorf("%d cells for 3 pieces", n)
	}
	if cellsOf(nil, 10) != nil || cellsOf(pieces("w"), 0) != nil {
		t.Error("cells of nothing")
	}
	for s, want := range map[string]string{"w": "Piece 1 of 9: from the web seed", "f": "Piece 1 of 9: on its way", ".": "Piece 1 of 9: not here yet", "vv": "Pieces 1–2 of 9: from other viewers", "v.": "Pieces 1–2 of 9: 50 % here, from other viewers"} {
		if got := cellsOf(pieces(s), 1)[0].describe(9); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestPaintRow(t *testing.T) {
	row := make([]byte, 4*10)
	red, none := color.NRGBA{255, 0, 0, 255}, color.NRGBA{}
	paintRow(row, 2, 1, func(i int) color.NRGBA { return [...]color.NRGBA{red, none}[i] })
	for x := range 10 {
		want := byte(0)
		if x < 4 { // 5 pixels, the last of them a gap
			want = 255
		}
		if row[4*x] != want || row[4*x+3] != want {
			t.Errorf("pixel %d: %v", x, row[4*x:4*x+4])
		}
	}
	paintRow(row, 20, 1, func(int) color.NRGBA { return red }) // more cells than pixels
	for x := range 10 {
		if row[4*x] != 255 {
			t.Errorf("pixel %d is empty", x)
		}
	}
}

// What the player had by plain HTTP is told from what is missing.
func TestPlainPieces(t *testing.T) {
	plain := make([]bool, 8)
	if !markPlain(plain, pieces("..w....."), 0.05, 0.51) || markPlain(plain, pieces("..w....."), 0.05, 0.51) || markPlain(plain, pieces("........"), math.NaN(), 0.5) {
		t.Error("what changed")
	}
	if want := []bool{false, true, false, true, false, false, false, false}; !slices.Equal(plain, want) {
		t.Errorf("%v", plain)
	}
	s := &strip{plain: plain, stats: swarm.Stats{Pieces: pieces("........")}}
	if !s.plainOnly() {
		t.Error("the swarm gave nothing yet")
	}
	s.stats.Pieces, s.stats.FromPod = pieces("w......."), 1
	if got := s.summary(); s.plainOnly() || got != "1 of 8 pieces are here, 1 from the web seed; 2 more played by plain HTTP." {
		t.Error(got)
	}
	if c := (cell{count: 1, plain: true}); c.describe(8) != "Piece 1 of 8: played by plain HTTP" {
		t.Error(c.describe(8))
	}
	p := &panel{known: true, plain: true}
	if got := p.state(); got != "Starting by HTTP" {
		t.Error(got)
	}
}

// Only addresses become links, and only those of the web.
func TestLinks(t *testing.T) {
	for text, want := range map[string]string{
		"See https://a.example/x?y=1&z=2#t, and (http://b.example/q_(r)).": "See [https://a.example/x?y=1&z=2#t], and ([http://b.example/q_(r)]).",
		"HTTPS://A.example.": "[HTTPS://A.example].", "https://a.example\nhttps://b.example": "[https://a.example]\n[https://b.example]",
		"javascript:alert(1) data:text/html,x ftp://a.example www.a.example xhttp://a.example": "javascript:alert(1) data:text/html,x ftp://a.example www.a.example xhttp://a.example",
		"http:// https:/a http:a https://u:p@a.example/":                                       "http:// https:/a http:a https://u:p@a.example/",
		"javascript:https://a.example":                                                         "javascript:[https://a.example]",
		`https://a.example/"><script>alert(1)</script>`:                                        `[https://a.example/]"><script>alert(1)</script>`,
		"": "", "…http": "…http", "İ http://a.example": "İ http://a.example",
	} {
		got := ""
		for _, s := range spansOf(text) {
			got += pick(s.address != "", "["+s.text+"]", s.text)
			if s.address != "" && !strings.HasPrefix(s.address, "http://") && !strings.HasPrefix(s.address, "https://") {
				t.Errorf("%q leads to %q", text, s.address)
			}
		}
		if got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
	html := app.HTMLString(elem("p").Body(linked("<b>x</b> https://a.example/<i>")...))
	if strings.Contains(html, "<b>") || strings.Contains(html, "<i>") || !strings.Contains(html, `rel="nofollow noopener noreferrer ugc"`) || !strings.Contains(html, `target="_blank"`) {
		t.Error(html)
	}
}

func TestGrid(t *testing.T) {
	for _, n := range []int{1, 7, 466, 2000, 100_000} {
		g := gridFor(n, 330, 96, 4, 12)
		if g.columns*g.side > 330 || g.rows*g.side > 96 || g.side < 4 || g.side > 12 {
			t.Errorf("%d: %+v", n, g)
		}
		if fits := g.columns * g.rows; fits < n && fits < 330/4*(96/4) {
			t.Errorf("%d: %+v holds %d", n, g, fits)
		}
	}
	var p palette
	p.missing = color.NRGBA{1, 1, 1, 255}
	p.source[swarm.WebSeed] = color.NRGBA{2, 2, 2, 255}
	pixels := make([]byte, 4*8*4)
	paintGrid(pixels, 8, grid{side: 4, columns: 2, rows: 1}, cellsOf(pieces("w."), 2), 1, &p)
	if pixels[0] != 2 || pixels[4*4] != 1 || pixels[4*3+3] != 0 {
		t.Errorf("%v", pixels[:32])
	}
	paintGrid(pixels, 8, grid{side: 4, columns: 2, rows: 1}, cellsOf(pieces("wwwwww"), 6), 1, &p) // does not fit: no panic
}

func TestPalette(t *testing.T) {
	p := readPalette(func(name string) string {
		return map[string]string{"--src-web": " #0102ff", "--accent": "#ffc857"}[name]
	})
	if p.source[swarm.WebSeed] != (color.NRGBA{1, 2, 255, 255}) || p.accent != (color.NRGBA{255, 200, 87, 255}) || p.missing != (color.NRGBA{128, 128, 128, 255}) {
		t.Errorf("%+v", p)
	}
}

func TestPanelText(t *testing.T) {
	p := &panel{}
	if got := p.state(); got != "Joining…" {
		t.Error(got)
	}
	p.known = true
	p.stats = swarm.Stats{PieceLength: 10, Length: 25, Pieces: pieces("wll"), FromWebSeed: 10, FromViewers: 30, Uploaded: 20}
	parts := p.parts()
	if parts[3].bytes != 15 || parts[0].bytes != 10 || parts[2].bytes != 30 {
		t.Errorf("%+v", parts)
	}
	p.stats.Peers = []swarm.Peer{{Pod: true, State: "connected"}, {State: "connecting"}, {State: "connected"}}
	if got := p.state(); got != "With 1 viewer" {
		t.Error(got)
	}
	s := &strip{stats: p.stats}
	if got := s.summary(); got != "3 of 3 pieces are here, 1 from the web seed, 2 from this device." {
		t.Error(got)
	}
}

func TestEditChecks(t *testing.T) {
	for _, f := range []edit{{}, {name: newText(strings.Repeat("x", 121))}, {name: newText("a"), about: text{now: strings.Repeat("x", 20_001)}}, {name: newText("a"), tags: newText(strings.Repeat("x", 31))}} {
		if _, err := f.change(); err == nil {
			t.Errorf("%.20q, %.20q, %.20q: taken", f.name.now, f.about.now, f.tags.now)
		}
	}
	f := edit{name: newText(" A  name "), tags: newText("Go, #Two,go,")}
	c, err := f.change()
	if err != nil || *c.Name != "A name" || strings.Join(*c.Tags, "|") != "go|two" || c.Description != nil {
		t.Errorf("%+v, %v", c, err)
	}
	f.about.now = " new "
	if c, err := f.change(); err != nil || c.Description == nil || *c.Description != "new" {
		t.Errorf("%+v, %v", c, err)
	}
}

// However many pods there are, each has a place of its own in the picture.
func TestRingPlaces(t *testing.T) {
	for n := range 260 {
		places := ringPlaces(n)
		if len(places) != n {
			t.Fatalf("%d places for %d", len(places), n)
		}
		for i, a := range places {
			if a.x < 5 || a.x > 95 || a.y < 5 || a.y > 95 || math.Hypot(a.x-50, a.y-50) < 14 {
				t.Errorf("%d of %d is at %v", i, n, a)
			}
			for _, b := range places[:i] {
				if d := math.Hypot(a.x-b.x, a.y-b.y); d < 3 {
					t.Errorf("of %d, %v and %v are %.1f apart", n, a, b, d)
				}
			}
		}
	}
}

func TestParsePod(t *testing.T) {
	for typed, want := range map[string]string{" Pod.Example:9090 ": "pod.example:9090", "[::1]:80": "[::1]:80", "localhost": "localhost"} {
		if h, err := parsePod(typed, "us.example"); err != nil || string(h) != want {
			t.Errorf("%q: %s, %v", typed, h, err)
		}
	}
	for _, typed := range []string{"", " ", "https://a", "a/b", "a@b", "a b", "a,b", "us.example", "a:0", "a:99999", "-a", "[::1", strings.Repeat("a", 300), "ä.example"} {
		if h, err := parsePod(typed, "us.example"); err == nil {
			t.Errorf("%q is taken for %s", typed, h)
		}
	}
}

func TestAsQuery(t *testing.T) {
	long := strings.Repeat("x", api.MaxQuery-1)
	for typed, want := range map[string]string{"": "", "käse": "käse", long + "y": long + "y", long + "yz": long + "y", long + "ä": long, long[2:] + "🎞": long[2:]} {
		if got := asQuery(typed); got != want {
			t.Errorf("%d bytes become %d, want %d", len(typed), len(got), len(want))
		}
	}
}

func TestFeedsHaveABound(t *testing.T) {
	var f feeds
	for i := range 2 * maxFeeds {
		f.keep(strconv.Itoa(i), feed{Cursor: strconv.Itoa(i)})
		f.keep("often", feed{})
	}
	newest := strconv.Itoa(2*maxFeeds - 1)
	if l, ok := f.of(newest); !ok || l.Cursor != newest {
		t.Errorf("the last one: %v, %v", l, ok)
	}
	if _, ok := f.of("0"); ok || len(f) != maxFeeds {
		t.Errorf("%d are kept, the first one: %v", len(f), ok)
	}
}
