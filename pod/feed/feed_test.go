package feed

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// node is an element of XML, with its namespace.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Nodes   []node     `xml:",any"`
}

func (n node) all(space, name string) (out []node) {
	for _, c := range n.Nodes {
		if c.XMLName.Local == name && c.XMLName.Space == space {
			out = append(out, c)
		}
	}
	return out
}

func (n node) one(t *testing.T, space, name string) node {
	t.Helper()
	found := n.all(space, name)
	if len(found) != 1 {
		t.Fatalf("%d of %s in %s", len(found), name, n.XMLName.Local)
	}
	return found[0]
}

func (n node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func read(t *testing.T, b []byte, err error) node {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(b)) // it is strict
	var n node
	if err := d.Decode(&n); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("after the document: %v", err)
	}
	return n
}

// hostile are texts that friends may send.
var hostile = []string{
	"A film", `]]><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "a\x00b\x1b[31m\ufffe\u2028", "&amp;<![CDATA[x]]>", "مدينة &#x0;", strings.Repeat("🎬", 120),
}

func films() []api.Video {
	var out []api.Video
	for i, text := range hostile {
		v := api.Video{
			ID: video.NewID("pod.example"), Origin: "pod.example", Name: text, Description: text, Uploader: text, Tags: []string{text, "x"},
			Created: time.Date(2026, 3, 1+i, 12, 0, 0, 0, time.UTC), Duration: 61,
			ThumbnailURL: "https://pod.example/thumbnails/ab.webp", StreamURL: "https://pod.example/stream/aa/film%20%26.mp4?x=1&y=2",
			Renditions: []api.Rendition{{Size: 1234, MIME: video.MP4}},
		}
		out = append(out, v)
	}
	out[1].Members, out[2].ThumbnailURL, out[3].Renditions = true, "", nil
	return out
}

func list() *Feed {
	return &Feed{Title: "Lumen <b>", Subtitle: "The newest & best", Base: "https://pod.example", Path: "/feeds/atom?tag=a&b", Page: "/?tag=a", Videos: films()}
}

// said is what a reader makes of a text that may not stand in XML as it is.
func said(text string) string {
	return strings.Map(func(r rune) rune {
		if r == 0 || r == 0x1b || r == 0xfffe {
			return '\ufffd'
		}
		return r
	}, text)
}

func absolute(t *testing.T, address string) {
	t.Helper()
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host != "pod.example" {
		t.Errorf("not an address: %q", address)
	}
}

// RFC 4287, 4.1: what a feed and an entry must have, and have once.
func TestAtom(t *testing.T) {
	b, err := list().Atom()
	f := read(t, b, err)
	if f.XMLName != (xml.Name{Space: atomSpace, Local: "feed"}) {
		t.Errorf("%v", f.XMLName)
	}
	absolute(t, f.one(t, atomSpace, "id").Text)
	if f.one(t, atomSpace, "title").Text != "Lumen <b>" {
		t.Error("the title")
	}
	if _, err := time.Parse(time.RFC3339, f.one(t, atomSpace, "updated").Text); err != nil {
		t.Error(err)
	}
	rels := map[string]int{}
	for _, l := range f.all(atomSpace, "link") {
		rels[l.attr("rel")]++
		absolute(t, l.attr("href"))
	}
	if rels["self"] != 1 || rels["alternate"] != 1 {
		t.Errorf("links %v", rels)
	}
	entries, ids := f.all(atomSpace, "entry"), map[string]bool{}
	if len(entries) != len(hostile) {
		t.Fatalf("%d entries", len(entries))
	}
	for i, e := range entries {
		id := e.one(t, atomSpace, "id").Text
		if ids[id] || !strings.HasPrefix(id, "urn:uuid:") || len(id) != 9+36 {
			t.Errorf("id %q", id)
		}
		ids[id] = true
		if got := e.one(t, atomSpace, "title").Text; got != said(hostile[i]) {
			t.Errorf("title %q, want %q", got, said(hostile[i]))
		}
		if got := e.one(t, atomSpace, "author").one(t, atomSpace, "name").Text; got != said(hostile[i])+"@pod.example" {
			t.Errorf("author %q", got)
		}
		for _, name := range []string{"updated", "published"} {
			if _, err := time.Parse(time.RFC3339, e.one(t, atomSpace, name).Text); err != nil {
				t.Error(err)
			}
		}
		enclosures := 0
		for _, l := range e.all(atomSpace, "link") {
			absolute(t, l.attr("href"))
			if l.attr("rel") == "enclosure" {
				enclosures++
				if l.attr("type") != video.MP4 || l.attr("length") != "1234" {
					t.Errorf("enclosure %+v", l)
				}
			}
		}
		if want := map[bool]int{true: 0, false: 1}[i == 1 || i == 3]; enclosures != want {
			t.Errorf("entry %d: %d enclosures", i, enclosures)
		}
		if n := len(e.all(mediaSpace, "thumbnail")); n != map[bool]int{true: 0, false: 1}[i == 2] {
			t.Errorf("entry %d: %d pictures", i, n)
		}
		for _, c := range e.all(atomSpace, "category") {
			if c.attr("term") == "" {
				t.Error("a category without a term")
			}
		}
		for _, c := range e.Nodes {
			if strings.Contains("script img b", c.XMLName.Local) {
				t.Errorf("an element of the text: %v", c.XMLName)
			}
		}
	}
}

// RSS 2.0: what a channel must have; an item has a title or a description.
func TestRSS(t *testing.T) {
	b, err := list().RSS()
	f := read(t, b, err)
	if f.XMLName.Local != "rss" || f.attr("version") != "2.0" {
		t.Errorf("%+v", f.XMLName)
	}
	c := f.one(t, "", "channel")
	absolute(t, c.one(t, "", "link").Text)
	if c.one(t, "", "title").Text == "" || c.one(t, "", "description").Text == "" || c.one(t, atomSpace, "link").attr("rel") != "self" {
		t.Error("the channel lacks something")
	}
	if _, err := time.Parse(time.RFC1123Z, c.one(t, "", "lastBuildDate").Text); err != nil {
		t.Error(err)
	}
	items := c.all("", "item")
	if len(items) != len(hostile) {
		t.Fatalf("%d items", len(items))
	}
	for i, e := range items {
		if got := e.one(t, "", "title").Text; got != said(hostile[i]) {
			t.Errorf("title %q", got)
		}
		absolute(t, e.one(t, "", "link").Text)
		if g := e.one(t, "", "guid"); g.attr("isPermaLink") != "false" || !strings.HasPrefix(g.Text, "urn:uuid:") {
			t.Errorf("guid %+v", g)
		}
		if _, err := time.Parse(time.RFC1123Z, e.one(t, "", "pubDate").Text); err != nil {
			t.Error(err)
		}
		// A description is HTML: no tag of the text may be one there.
		if d := e.one(t, "", "description").Text; strings.ContainsAny(d, "<>") {
			t.Errorf("description %q", d)
		}
		for _, x := range e.all("", "enclosure") {
			absolute(t, x.attr("url"))
			if x.attr("length") != "1234" || x.attr("type") != video.MP4 {
				t.Errorf("%+v", x)
			}
		}
	}
}

func TestEmpty(t *testing.T) {
	f := &Feed{Title: "Lumen", Base: "https://pod.example", Path: "/feeds/rss", Page: "/"}
	b, err := f.Atom()
	if n := read(t, b, err); n.one(t, atomSpace, "updated").Text == "" {
		t.Error("it does not say when it was updated")
	}
	b, err = f.RSS()
	if n := read(t, b, err); n.one(t, "", "channel").one(t, "", "description").Text == "" {
		t.Error("no description")
	}
}
