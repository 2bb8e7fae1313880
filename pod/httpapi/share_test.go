package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

func ask(t *testing.T, d *door, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req) // redirects are looked at
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestFeeds(t *testing.T) {
	d := newDoor(t, nil)
	d.video.Uploader, d.video.Thumbnail = "ann", strings.Repeat("ab", 32)
	for _, kind := range []string{"atom", "rss"} {
		res, body := ask(t, d, api.PathFeeds+"/"+kind)
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/"+kind+"+xml; charset=utf-8" || res.Header.Get("Cache-Control") != "public, max-age=60" {
			t.Errorf("%s: %s %v", kind, res.Status, res.Header)
		}
		for _, want := range []string{"A film", "http://pod.example" + api.WatchPath(d.video.ID), "http://pod.example/stream/", "http://pod.example/thumbnails/abab", "ann@pod.example"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s has no %s:\n%s", kind, want, body)
			}
		}
		if again, _ := ask(t, d, api.PathFeeds+"/"+kind, "If-None-Match", res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s, again: %s", kind, again.Status)
		}
		d.video.Name = "Another"
		if _, same := ask(t, d, api.PathFeeds+"/"+kind); same != body {
			t.Errorf("%s is made anew for each", kind)
		}
		if _, other := ask(t, d, api.PathFeeds+"/"+kind+"?tag=x"); !strings.Contains(other, "Another") || !strings.Contains(other, "http://pod.example/?tag=x") {
			t.Errorf("%s of a tag: %s", kind, other)
		}
		d.video.Name = "A film"
	}
	for _, path := range []string{"/atom?q=train", "/rss?uploader=ann", "/atom?origin=pod.example&sort=trending"} {
		if res, body := ask(t, d, api.PathFeeds+path); res.StatusCode != http.StatusOK || !strings.Contains(body, "A film") {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	for path, want := range map[string]int{"/atom?sort=x": 400, "/rss?origin=//": 400} {
		if res, _ := ask(t, d, api.PathFeeds+path); res.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, res.Status, want)
		}
	}
	// The memory is bounded.
	for i := range feedsKept + 10 {
		d.feeds.put(string(rune('a'+i)), nil)
	}
	if n := len(d.feeds.made); n > feedsKept {
		t.Errorf("%d feeds are kept", n)
	}
	for i := range 40 {
		d.feeds.put(string(rune('a'+i%30)), make([]byte, 1<<20))
		sum := 0
		for _, m := range d.feeds.made {
			sum += len(m.body)
		}
		if sum > feedBytes || sum != d.feeds.bytes {
			t.Errorf("feeds of %d bytes are kept, %d are counted", sum, d.feeds.bytes)
		}
	}
}

func TestFeedsAreLimited(t *testing.T) {
	d := newDoor(t, func(c *config.Config) { c.Limits.RequestsPerSecond = 1 })
	last := 0
	for range burst + 5 {
		res, _ := ask(t, d, api.PathFeeds+"/atom")
		last = res.StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("status %d", last)
	}
}

func TestOEmbed(t *testing.T) {
	d := newDoor(t, nil)
	evil := `"><script>alert(1)</script>`
	d.video.Name, d.video.Uploader, d.video.Thumbnail, d.video.Duration = evil, "ann", strings.Repeat("ab", 32), time.Minute
	d.video.Renditions[0].Width, d.video.Renditions[0].Height = 1920, 1080
	id := d.video.ID
	about := func(address, more string) (int, oEmbed) {
		res, body := ask(t, d, api.PathOEmbed+"?url="+url.QueryEscape(address)+more)
		var o oEmbed
		_ = json.Unmarshal([]byte(body), &o)
		return res.StatusCode, o
	}
	for _, path := range []string{api.WatchPath(id), "/videos/" + id.String(), api.EmbedPath(id) + "?x=1"} {
		status, o := about("https://pod.example"+path, "&maxwidth=320&maxheight=1000")
		if status != http.StatusOK || o.Type != "video" || o.Version != "1.0" || o.Title != evil || o.Width != 320 || o.Height != 180 || o.ThumbnailWidth != 640 || o.ThumbnailHeight != 360 || o.ThumbnailURL == "" {
			t.Errorf("%s: %d, %+v", path, status, o)
		}
		if strings.Count(o.HTML, "<") != 2 || !strings.HasPrefix(o.HTML, `<iframe src="http://pod.example/embed/`) {
			t.Errorf("html: %s", o.HTML)
		}
	}
	for _, address := range []string{"", "x", "https://evil.example" + api.WatchPath(id), "javascript:" + api.WatchPath(id), "https://pod.example/watch/x", "https://pod.example" + api.WatchPath(video.NewID("pod.example"))} {
		if status, _ := about(address, ""); status != http.StatusNotFound {
			t.Errorf("%s: %d", address, status)
		}
	}
	if status, _ := about("https://pod.example"+api.WatchPath(id), "&format=xml"); status != http.StatusNotImplemented {
		t.Errorf("xml: %d", status)
	}
}

func TestEmbed(t *testing.T) {
	d := newDoor(t, nil)
	d.video.Name = `</title><script>alert(1)</script>`
	res, body := ask(t, d, api.EmbedPath(d.video.ID))
	policy := res.Header.Get("Content-Security-Policy")
	if res.StatusCode != http.StatusOK || !strings.Contains(policy, "frame-ancestors *") || strings.Contains(policy, "script-src") || strings.Contains(policy, "unsafe") {
		t.Errorf("%s %s", res.Status, policy)
	}
	if strings.Contains(body, "<script") || !strings.Contains(body, `<video src="/stream/`) || !strings.Contains(body, `href="http://pod.example/watch/`) {
		t.Errorf("the page: %s", body)
	}
	if res, _ := ask(t, d, api.EmbedPath(video.NewID("pod.example"))); res.StatusCode != http.StatusNotFound {
		t.Errorf("no video: %s", res.Status)
	}
	if res, _ := ask(t, d, "/videos/"+d.video.ID.String()); res.StatusCode != http.StatusMovedPermanently || res.Header.Get("Location") != api.WatchPath(d.video.ID) {
		t.Errorf("the short address: %s to %s", res.Status, res.Header.Get("Location"))
	}
	if res, _ := ask(t, d, api.TorrentPath(d.video.ID)); res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != bittorrent {
		t.Errorf("the torrent beside it: %s", res.Status)
	}
}
