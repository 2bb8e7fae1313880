package e2e

import (
	"encoding/json"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	cookies "github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"kinopod/build/browser"
	"kinopod/pod/config"
	"kinopod/pod/federation"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// corpus are texts that somebody may hope to harm a page with, by what they try.
func corpus(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/hostile.json")
	must(t, err)
	var out map[string]string
	must(t, json.Unmarshal(b, &out))
	return out
}

// logIn gives a tab the session of a user of a pod.
func logIn(t *testing.T, p *browser.Page, c *podtest.Client) {
	t.Helper()
	_, err := chromedp.Call(p.Ctx, cookies.SetCookie, cookies.SetCookieParams{Name: "kinopod", Value: c.Token, URL: c.URL})
	must(t, err)
}

// leavesBox gives what stands out of the window at the side, where somebody sees it.
const leavesBox = `(() => {
	const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
	const out = [...document.querySelectorAll('body *')].filter((e) => {
		if (e.closest('.off-screen, svg, canvas, [hidden]') || !e.checkVisibility()) return false;
		const r = e.getBoundingClientRect();
		if (r.width === 0 || r.right <= innerWidth + 1 && r.left >= -1) return false;
		for (let b = e.parentElement; b; b = b.parentElement) { // what is cut off is not seen
			if (getComputedStyle(b).overflowX !== 'visible' && b.getBoundingClientRect().right <= innerWidth + 1) return false;
		}
		return true;
	}).map((e) => e.tagName + '.' + e.className + ' ' + Math.round(e.getBoundingClientRect().right));
	return (over > 0 ? over + ' pixels too wide; ' : '') + out.slice(0, 5).join(', ');
})()`

// lookAt opens a page with a hostile text on it and says what went wrong.
func lookAt(t *testing.T, p *browser.Page, what, address, until string) {
	t.Helper()
	must(t, p.Open(address))
	must(t, p.Until(60*time.Second, `document.documentElement.dataset.app === "ready"`))
	if err := p.Until(30*time.Second, until); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if value[bool](t, p, `"ran" in window`) {
		t.Errorf("%s: a script ran at %s", what, address)
	}
	if out := value[string](t, p, leavesBox); out != "" {
		t.Errorf("%s: %s: %s", what, address, out)
	}
	if bad := value[[]string](t, p, `[...document.links].map(a => a.protocol).filter(s => !["http:", "https:", "magnet:"].includes(s))`); len(bad) > 0 {
		t.Errorf("%s: links to %v", what, bad)
	}
	if n := value[int](t, p, `document.querySelectorAll("iframe, object, embed, base, [onload], [onerror], [onmouseover], [onfocus], [style]:not(canvas):not([class])").length + document.querySelectorAll("main script, main style").length`); n > 0 {
		t.Errorf("%s: %d elements that nobody of us made", what, n)
	}
}

// Whatever a friend says of itself, its videos and their uploaders is text: no script
// runs, nothing leaves its box, and no address is asked but those of the pods.
func TestHostileTexts(t *testing.T) {
	texts := corpus(t)
	names := []string{texts["picture"], texts["turned"] + texts["script"], texts["one long word"], texts["template of a framework"]}
	var pods []*hostilePod
	var hosts []string
	for _, n := range names {
		p := startHostilePod(t, n)
		pods, hosts = append(pods, p), append(hosts, string(p.host))
	}
	h := pods[0]
	what := map[video.ID]string{}
	ours := map[video.ID]federation.Video{}
	for name, text := range texts {
		d := federation.Details{Description: text, Uploader: video.Profile{Name: text, About: text}}
		raw := h.list(federation.Video{Name: text, Description: text, Uploader: text, Tags: []string{text}}, d)
		what[raw] = name + ", as it is"
		v := federation.Video{
			Name: polite(text, video.MaxName, video.CleanName), Description: polite(text, video.MaxDescription, video.CleanDescription),
			Uploader: polite(text, video.MaxUploader, video.CleanName),
		}
		if tags, err := video.CleanTags([]string{first(text, video.MaxTag), "<b>" + first(text, 20)}); err == nil {
			v.Tags = tags
		}
		d.Uploader = video.Profile{Name: first(text, video.MaxShownName), About: first(text, video.MaxAbout)}
		d.Description = first(text, video.MaxText)
		id := h.list(v, d)
		what[id], ours[id] = name, v
	}
	// One whose rest is asked for.
	var cut video.Video
	cut.SetText(strings.Repeat(texts["script"]+texts["picture"]+"\n", 200))
	long := h.list(federation.Video{Name: "Long", Description: cut.Description, Uploader: "x"}, federation.Details{Description: cut.Text})

	p := podtest.Start(t, func(c *config.Config) { c.Friends = hosts })
	admin := p.User(t, "root", api.RoleAdmin)
	listed, since, before := map[video.ID]api.Video{}, time.Now(), 0
	podtest.Eventually(t, "the pod lists what can be listed", func() bool {
		for cursor := ""; ; {
			page, err := admin.Videos(t.Context(), api.VideosQuery{Cursor: cursor, Limit: api.MaxPage})
			must(t, err)
			for _, v := range page.Videos {
				listed[v.ID] = v
			}
			if cursor = page.Cursor; cursor == "" {
				break
			}
		}
		for id := range ours {
			if listed[id].Name == "" {
				return false
			}
		}
		if len(listed) != before { // those as they are come as well, some of them
			since, before = time.Now(), len(listed)
		}
		return listed[long].Name != "" && time.Since(since) > 2*time.Second
	})
	for id, v := range ours {
		if listed[id].Name != v.Name {
			t.Errorf("%s is listed as %q, not as %q", what[id], listed[id].Name, v.Name)
		}
	}
	t.Logf("%d of %d videos are listed", len(listed), len(h.videos))

	checkShared(t, p, listed)
	tab := viewer(t)
	must(t, tab.Size(360, 740))
	logIn(t, tab, admin)
	for id, v := range listed {
		quoted, err := json.Marshal(v.Name)
		must(t, err)
		// As HTML has it: nothing is lost, nothing becomes something else.
		lookAt(t, tab, what[id], p.URL+api.WatchPath(id), `document.querySelector("h1")?.textContent === `+string(quoted)+` && document.querySelector(".uploader") && !document.querySelector(".uploader-about.skeleton")`)
	}
	lookAt(t, tab, "the whole text", p.URL+api.WatchPath(long), `(() => { document.querySelector(".more button")?.click(); return document.querySelector(".description").textContent.length > 2000 })()`)
	lookAt(t, tab, "the list", p.URL+"/", `document.querySelectorAll(".card").length > 10`)
	for id := range ours {
		lookAt(t, tab, "the list of an uploader: "+what[id], p.URL+"/?"+url.Values{"uploader": {listed[id].Uploader}, "origin": {string(h.host)}}.Encode(), `document.querySelector(".card")`)
	}
	for _, address := range []string{"/network", "/search?q=" + url.QueryEscape(texts["script"]), "/u/" + url.PathEscape(texts["picture"]) + "@" + string(h.host), "/?sort=trending&tag=" + url.QueryEscape(texts["script"]), "/?uploader=" + url.QueryEscape(texts["script"]), "/login?next=" + url.QueryEscape(texts["javascript link"]), "/account"} {
		lookAt(t, tab, "the page", p.URL+address, `document.querySelector("h1, h2")`)
	}
	must(t, tab.Open(p.URL+"/network"))
	must(t, tab.Until(30*time.Second, `document.body.textContent.includes(`+js(t, first(texts["picture"], 20))+`)`))

	for _, r := range tab.Requests() {
		if !strings.HasPrefix(r, p.URL+"/") && !strings.HasPrefix(r, "data:") && !strings.HasPrefix(r, "blob:") && !slices.ContainsFunc(hosts, func(h string) bool { return strings.HasPrefix(r, "http://"+h+"/") }) {
			t.Errorf("a request to somebody else: %s", r)
		}
	}
	for _, line := range tab.Console() {
		// The hostile pod has no film, no tracker and no picture.
		if (strings.HasPrefix(line, "error") || strings.HasPrefix(line, "exception")) && !mayFail(line) {
			t.Errorf("console: %s", line)
		}
	}
}

func mayFail(line string) bool {
	for _, path := range []string{api.PathStream + "/", api.PathTorrents + "/", "/tracker/", api.PathThumbnails + "/"} {
		if strings.Contains(line, path) {
			return true
		}
	}
	return false
}

func js(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	must(t, err)
	return string(b)
}
