package httpapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

func (d *door) streamPath() string {
	return api.StreamPath(d.video.Renditions[0].InfoHash, d.video.Renditions[0].FileName)
}

func TestStreamRanges(t *testing.T) {
	d := newDoor(t, nil)
	for _, c := range []struct {
		ask         string // Range
		dest        string // Sec-Fetch-Dest
		status      int
		first, last int
	}{
		{"", "", 200, 0, filmSize - 1},
		{"", "video", 200, 0, filmSize - 1},
		{"bytes=0-0", "", 206, 0, 0},
		{"bytes=0-", "", 206, 0, filmSize - 1},
		{"bytes=1048575-1048577", "", 206, 1<<20 - 1, 1<<20 + 1},
		{"bytes=3000000-", "", 206, 3000000, filmSize - 1},
		{"bytes=-1000", "", 206, filmSize - 1000, filmSize - 1},
		{fmt.Sprintf("bytes=%d-", filmSize-1), "", 206, filmSize - 1, filmSize - 1},
		{"bytes=100-99999999999", "", 206, 100, filmSize - 1},
		{"bytes=0-9,20-29", "", 200, 0, filmSize - 1},
		// the hand-over: little of an open range to a media element, all of the others
		{"bytes=0-", "video", 206, 0, api.FirstHandOver - 1},
		{"bytes=2000000-", "audio", 206, 2000000, 2000000 + api.HandOver - 1},
		{"bytes=5000000-", "video", 206, 5000000, filmSize - 1},
		{"bytes=0-3000000", "video", 206, 0, 3000000},
		{"bytes=0-", "empty", 206, 0, filmSize - 1},
	} {
		headers := []string{"Sec-Fetch-Dest: " + c.dest}
		if c.ask != "" {
			headers = append(headers, "Range: "+c.ask)
		}
		res, body := d.ask(t, "GET", d.streamPath(), "", headers...)
		if res.StatusCode != c.status || !bytes.Equal(body, d.bytes[c.first:c.last+1]) {
			t.Errorf("%q for %q: %d with %d bytes, want %d with %d", c.ask, c.dest, res.StatusCode, len(body), c.status, c.last+1-c.first)
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, filmSize); c.status == 206 && res.Header.Get("Content-Range") != want {
			t.Errorf("%q for %q: Content-Range %q, want %q", c.ask, c.dest, res.Header.Get("Content-Range"), want)
		}
		for key, want := range map[string]string{
			"Content-Type": "video/mp4", "Accept-Ranges": "bytes", "Access-Control-Allow-Origin": "*",
			"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "public, max-age=31536000, immutable",
			"Etag": `"` + d.video.Renditions[0].InfoHash.String() + `"`,
		} {
			if got := res.Header.Get(key); got != want {
				t.Errorf("%q: %s is %q, want %q", c.ask, key, got, want)
			}
		}
	}
}

// Chromium knows the length from the first answer, and names the end in its next range.
func TestStreamCutsRangesOfChromium(t *testing.T) {
	d := newDoor(t, nil)
	for _, c := range []struct {
		ask   string
		brand string // Sec-CH-UA
		bytes int
	}{
		{fmt.Sprintf("bytes=%d-%d", api.HandOver, filmSize-1), `"Chromium";v="156"`, api.HandOver},
		{fmt.Sprintf("bytes=%d-%d", api.HandOver, filmSize-1), "", filmSize - api.HandOver},
		{"bytes=0-3000000", `"Chromium";v="156"`, 3000001},
	} {
		headers := []string{"Sec-Fetch-Dest: video", "Range: " + c.ask}
		if c.brand != "" {
			headers = append(headers, "Sec-CH-UA: "+c.brand)
		}
		if res, body := d.ask(t, "GET", d.streamPath(), "", headers...); res.StatusCode != 206 || len(body) != c.bytes {
			t.Errorf("%s of %q: %d with %d bytes, want %d", c.ask, c.brand, res.StatusCode, len(body), c.bytes)
		}
	}
}

func TestStreamRefusesRanges(t *testing.T) {
	d := newDoor(t, nil)
	for _, ask := range []string{
		fmt.Sprintf("bytes=%d-", filmSize), "bytes=99999999999999999999-", "bytes=-0", "bytes=5-4", "bytes=x", "bytes=", "bytes", "bytes=-", "bytes=1-2-3", "bytes=a-b,c-d",
	} {
		res, body := d.ask(t, "GET", d.streamPath(), "", "Range: "+ask)
		if want := fmt.Sprintf("bytes */%d", filmSize); res.StatusCode != 416 || res.Header.Get("Content-Range") != want {
			t.Errorf("%q: %d, Content-Range %q", ask, res.StatusCode, res.Header.Get("Content-Range"))
		}
		if !strings.Contains(string(body), `"code":"invalid"`) || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %s", ask, body)
		}
	}
}

func TestStreamConditions(t *testing.T) {
	d := newDoor(t, nil)
	tag := `"` + d.video.Renditions[0].InfoHash.String() + `"`
	res, body := d.ask(t, "GET", d.streamPath(), "", "If-None-Match: "+tag)
	if res.StatusCode != http.StatusNotModified || len(body) != 0 {
		t.Errorf("If-None-Match: %d with %d bytes", res.StatusCode, len(body))
	}
	if res, body = d.ask(t, "GET", d.streamPath(), "", "If-Range: "+tag, "Range: bytes=5-6"); res.StatusCode != 206 || !bytes.Equal(body, d.bytes[5:7]) {
		t.Errorf("If-Range of this file: %d with %d bytes", res.StatusCode, len(body))
	}
	if res, body = d.ask(t, "GET", d.streamPath(), "", `If-Range: "other"`, "Range: bytes=5-6"); res.StatusCode != 200 || len(body) != filmSize {
		t.Errorf("If-Range of another file: %d with %d bytes", res.StatusCode, len(body))
	}
	for _, ask := range []string{"bytes=5-6", "bytes=x", ""} {
		res, body = d.ask(t, "HEAD", d.streamPath(), "", "Range: "+ask)
		if res.StatusCode != 200 || res.ContentLength != filmSize || len(body) != 0 || res.Header.Get("Accept-Ranges") != "bytes" {
			t.Errorf("HEAD with %q: %d, Content-Length %d", ask, res.StatusCode, res.ContentLength)
		}
	}
	if res, _ = d.ask(t, "OPTIONS", d.streamPath(), "", "Origin: https://other.example"); res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Headers") != "Range, If-Range, If-None-Match, Cache-Control" {
		t.Errorf("preflight: %d %v", res.StatusCode, res.Header)
	}
}

func TestStreamRefuses(t *testing.T) {
	d := newDoor(t, nil)
	hash := d.video.Renditions[0].InfoHash.String()
	for path, status := range map[string]int{
		"/stream/" + hash + "/Another.mp4":                            404,
		"/stream/" + hash + "/":                                       404,
		"/stream/" + hash:                                             404,
		"/stream/" + hash + "/..%2f..%2fetc%2fpasswd":                 404,
		"/stream/" + strings.Repeat("0", 40) + "/A%20film.mp4":        404,
		"/stream/x/A%20film.mp4":                                      404,
		"/videos/" + video.NewID("pod.example").String() + ".torrent": 404,
		"/videos/x.torrent":                                           404,
		"/thumbnails/" + strings.Repeat("0", 64) + ".webp":            404,
		"/thumbnails/..%2f..%2fkey.pem":                               404,
		"/stream/" + strings.ToUpper(hash) + "/A%20film.mp4":          200,
		"/stream/" + hash + "/%41%20film.mp4":                         200,
		"/stream/" + strings.ToUpper(hash) + "/A%20film.mp4?ignore":   200,
	} {
		res, body := d.ask(t, "GET", path, "")
		if res.StatusCode != status {
			t.Errorf("%s: %d %.100s", path, res.StatusCode, body)
		}
		if status == 404 && !strings.Contains(string(body), `"code":"not_found"`) {
			t.Errorf("%s: %.100s", path, body)
		}
	}
	if res, _ := d.ask(t, "POST", d.streamPath(), "x"); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
	d.SetStreamOff(true)
	if res, _ := d.ask(t, "GET", d.streamPath(), ""); res.StatusCode != 503 {
		t.Errorf("off: %d", res.StatusCode)
	}
	d.SetStreamOff(false)
	if res, _ := d.ask(t, "GET", d.streamPath(), "", "Range: bytes=0-0"); res.StatusCode != 206 {
		t.Errorf("on again: %d", res.StatusCode)
	}
}

func TestTorrentFile(t *testing.T) {
	d := newDoor(t, nil)
	res, body := d.ask(t, "GET", api.TorrentPath(d.video.ID), "")
	got, err := torrent.Parse(body)
	if err != nil || got.InfoHash != d.video.Renditions[0].InfoHash {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	for _, part := range []string{
		"ws://pod.example/tracker/socket", "http://pod.example/tracker/announce", "8:url-list",
		"http://pod.example/stream/" + got.InfoHash.String() + "/A%20film.mp4",
	} {
		if !bytes.Contains(body, []byte(part)) {
			t.Errorf("%q is not in it", part)
		}
	}
	if res.Header.Get("Content-Type") != "application/x-bittorrent" || res.Header.Get("Content-Disposition") != "attachment; filename*=UTF-8''A%20film.mp4.torrent" {
		t.Errorf("%v", res.Header)
	}
}

// TestStreamCounts sees that bytes that left are counted, and that a connection
// serves the next request after a body that the kernel sent.
func TestStreamCounts(t *testing.T) {
	d := newDoor(t, nil)
	for range 3 {
		d.ask(t, "GET", d.streamPath(), "", "Range: bytes=0-999")
		d.ask(t, "GET", d.streamPath(), "", "Range: bytes=0-1048575")
	}
	res, err := http.Get(d.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf(`kinopod_sent_bytes_total{source="stream"} %g`, float64(3*(1000+1<<20))),
		`kinopod_requests_total{route="stream",status="206"} 6`,
		"kinopod_connections 1",
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is not among the metrics", want)
		}
	}
}

// BenchmarkStream gets a film whole on one connection.
func BenchmarkStream(b *testing.B) {
	d := newDoor(b, nil)
	b.SetBytes(filmSize)
	for b.Loop() {
		res, err := http.Get(d.url + d.streamPath())
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); err != nil || n != filmSize {
			b.Fatal(n, err)
		}
		_ = res.Body.Close()
	}
}

// TestStreamsOfOneAddress: behind a proxy many people share connections, and each has
// an address.
func TestStreamsOfOneAddress(t *testing.T) {
	d := newDoor(t, func(c *config.Config) { c.Limits.ConnectionsPerAddress, c.TrustedProxies = 3, loopback })
	begin := func(from string) (status int, c net.Conn) {
		c = dial(t, d, "127.0.0.1")
		if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET "+api.StreamPath(d.video.Renditions[0].InfoHash, "A film.mp4")+" HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: "+from+"\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, c
	}
	var open []net.Conn
	for range 3 {
		status, c := begin("203.0.113.5")
		if open = append(open, c); status != 200 {
			t.Fatalf("within the limit: %d", status)
		}
	}
	if status, _ := begin("203.0.113.5"); status != http.StatusTooManyRequests {
		t.Errorf("one more: %d", status)
	}
	if status, _ := begin("203.0.113.6"); status != 200 {
		t.Errorf("somebody else: %d", status)
	}
	_ = open[0].Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if status, _ := begin("203.0.113.5"); status == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a stream that ended still counts")
		}
	}
}
