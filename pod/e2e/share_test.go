package e2e

import (
	"encoding/json"
	"encoding/xml"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// fetched is what a robot gets of a page, as JSON, or as XML.
func fetched(t *testing.T, address string) string {
	t.Helper()
	res, err := http.Get(address)
	must(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", address, res.Status)
	}
	return string(b)
}

// In XML a text keeps its letters, but for those that may not stand there.
func inXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes all
	var out string
	if xml.Unmarshal([]byte("<x>"+b.String()+"</x>"), &out) != nil {
		return s
	}
	return out
}

// checkShared looks at what others show of videos: feeds, oEmbed, what stands in the head
// of a page, and the film in a frame. Whatever the texts are, they stay texts.
func checkShared(t *testing.T, p *podtest.Pod, listed map[video.ID]api.Video) {
	t.Helper()
	names := map[string]bool{}
	for _, v := range listed {
		names[inXML(v.Name)] = true
	}
	var atom struct {
		Entries []struct {
			Title string `xml:"title"`
		} `xml:"http://www.w3.org/2005/Atom entry"`
	}
	must(t, xml.Unmarshal([]byte(fetched(t, p.URL+api.PathFeeds+"/atom")), &atom))
	var rss struct {
		Items []struct {
			Title       string `xml:"title"`
			Description string `xml:"description"`
		} `xml:"channel>item"`
	}
	must(t, xml.Unmarshal([]byte(fetched(t, p.URL+api.PathFeeds+"/rss")), &rss))
	if len(atom.Entries) != min(len(listed), 50) || len(rss.Items) != len(atom.Entries) {
		t.Errorf("%d entries in Atom, %d items in RSS, %d videos", len(atom.Entries), len(rss.Items), len(listed))
	}
	for _, e := range atom.Entries {
		if !names[e.Title] {
			t.Errorf("a title that is none: %q", e.Title)
		}
	}
	for _, e := range rss.Items {
		if !names[e.Title] || strings.ContainsAny(e.Description, "<>") {
			t.Errorf("an item: %+v", e)
		}
	}
	markup := regexp.MustCompile(`(?i)<(script|img|svg|iframe|style|object|math)[\s/>]`)
	attribute := regexp.MustCompile(`<[^>"]*(?:"[^"]*"[^>"]*)* on[a-z]+=`)
	for id, v := range listed {
		page := fetched(t, p.URL+api.EmbedPath(id))
		if rest := strings.Split(page, "</style>"); len(rest) != 2 || strings.Count(page, "<body") != 1 || markup.MatchString(rest[1]) || attribute.MatchString(rest[1]) {
			t.Errorf("the frame of %q: %s", v.Name, page)
		}
		var card struct {
			Title, HTML string
			Width       int
		}
		must(t, json.Unmarshal([]byte(fetched(t, p.URL+api.PathOEmbed+"?url="+url.QueryEscape(p.URL+api.WatchPath(id)))), &card))
		if card.Title != v.Name || strings.Count(card.HTML, "<") != 2 || !strings.HasPrefix(card.HTML, `<iframe src="`+p.URL+api.EmbedPath(id)+`"`) || !strings.HasSuffix(card.HTML, "></iframe>") {
			t.Errorf("oEmbed of %q: %+v", v.Name, card)
		}
		head, _, _ := strings.Cut(fetched(t, p.URL+api.WatchPath(id)), "<body")
		if got := regexp.MustCompile(`<meta property="og:title" content="([^"]*)">`).FindStringSubmatch(head); got == nil || html.UnescapeString(got[1]) != strings.ReplaceAll(v.Name, "\x00", "\ufffd") {
			t.Errorf("og:title of %q: %q", v.Name, got)
		}
		for _, tag := range regexp.MustCompile(`<(\w+)`).FindAllStringSubmatch(head, -1) {
			if !strings.Contains(" html head meta title link script ", " "+tag[1]+" ") {
				t.Errorf("in the head of %q: %s", v.Name, tag[0])
			}
		}
		if strings.Count(head, "<script") != 1 {
			t.Errorf("scripts in the head of %q", v.Name)
		}
	}
}
