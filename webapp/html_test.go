package webapp

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/maxence-charriere/go-app/v9/pkg/app"
)

// What people type must come out of the page as text, whatever it is.
func TestWriteHTMLEscapes(t *testing.T) {
	for _, s := range []string{
		`" onmouseover="alert(1)`, `\" x="`, `</a><script>alert(1)</script>`, `a & b < c > d 'e'`, "line\nbreak\ttab", `back\slash\`, "\u00a0\u200dzero\u202e",
		"👩‍👩‍👧 семья", `&quot;`, "true", "`",
	} {
		var b bytes.Buffer
		if err := writeHTML(&b, app.Div().Title(s).DataSet("x", s).Body(app.P().Text(s), app.Span().Text("end"))); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Title string `xml:"title,attr"`
			P     string `xml:"p"`
			Span  string `xml:"span"`
		}
		d := xml.NewDecoder(&b)
		d.Strict = false
		if err := d.Decode(&got); err != nil {
			t.Errorf("%q: %v in %s", s, err, b.String())
			continue
		}
		if got.Title != strings.TrimSpace(s) && s != "true" || got.P != s || got.Span != "end" {
			t.Errorf("%q came out as attribute %q, text %q, then %q", s, got.Title, got.P, got.Span)
		}
	}
}

func TestWriteHTMLAttributes(t *testing.T) {
	var b bytes.Buffer
	tree := app.Div().Aria("hidden", true).Aria("expanded", false).Body(
		app.Button().Disabled(false).Text("a"), app.Button().Disabled(true).Text("b"),
		app.Raw(`<svg aria-hidden="true" viewBox="0 0 1 1"><path d="M0 0h1"/></svg>`), app.Img().Alt("").Src("/x?a=1&b=2"),
	)
	if err := writeHTML(&b, tree); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		`aria-hidden="true"`, `aria-expanded="false"`, `<button>a</button>`, `<button disabled>b</button>`,
		`<svg aria-hidden="true" viewBox="0 0 1 1"><path d="M0 0h1"/></svg>`, ` alt`, `src="/x?a=1&amp;b=2"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "\n") {
		t.Errorf("line breaks that the browser's tree does not have: %q", got)
	}
}

func FuzzMendHTML(f *testing.F) {
	f.Add(`a"b`, `<c>`)
	f.Add(`\`, "\n")
	f.Fuzz(func(t *testing.T, value, text string) {
		if !xmlSafe(value) || !xmlSafe(text) || text == "\n" {
			return
		}
		var b bytes.Buffer
		if err := writeHTML(&b, app.Div().Title(value).Body(app.P().Text(text))); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Title string `xml:"title,attr"`
			P     string `xml:"p"`
		}
		d := xml.NewDecoder(bytes.NewReader(b.Bytes()))
		d.Strict = false
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%q, %q: %v in %s", value, text, err, b.String())
		}
		// The XML reader gives a bare attribute its own name as value.
		if trimmed := strings.TrimSpace(value); got.Title != trimmed && trimmed != "true" && trimmed != "" || got.P != text {
			t.Fatalf("%q, %q came out as %q, %q in %s", value, text, got.Title, got.P, b.String())
		}
	})
}

// xmlSafe says whether the XML reader of the tests can give s back as it is.
func xmlSafe(s string) bool {
	return strings.ToValidUTF8(s, "") == s && strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff || r == 0xfffd
	}) < 0
}
