package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

func TestFailuresAreErrors(t *testing.T) {
	d := newDoor(t, nil)
	long := `{"username":"` + strings.Repeat("x", api.MaxBody) + `"}`
	for _, c := range []struct {
		method, path, body string
		status             int
		code               api.Code
	}{
		{"GET", "/api/v1/nothing", "", 404, api.CodeNotFound},
		{"GET", "/api", "", 404, api.CodeNotFound},
		{"GET", "/api/v1/videos/", "", 404, api.CodeNotFound},
		{"GET", "/api/v1/videos/not-an-id", "", 404, api.CodeNotFound},
		{"GET", api.VideoPath(video.NewID("pod.example")), "", 404, api.CodeNotFound},
		{"GET", "/api/v1/videos?limit=0", "", 400, api.CodeInvalid},
		{"GET", "/api/v1/videos?limit=101", "", 400, api.CodeInvalid},
		{"GET", "/api/v1/videos?limit=x", "", 400, api.CodeInvalid},
		{"GET", "/api/v1/videos?origin=https%3A%2F%2Fx", "", 400, api.CodeInvalid},
		{"GET", "/api/v1/videos?sort=oldest", "", 400, api.CodeInvalid},
		{"GET", "/api/v1/search?q=x&limit=101", "", 400, api.CodeInvalid},
		{"GET", "/api/v1/search?q=x&cursor=bad", "", 400, api.CodeInvalid},
		{"GET", "/api/v1/search?q=" + strings.Repeat("x", api.MaxQuery+1), "", 413, api.CodeTooLarge},
		{"GET", "/api/v1/suggest?q=" + strings.Repeat("x", api.MaxQuery+1), "", 413, api.CodeTooLarge},
		{"POST", api.PathSearch, "{}", 405, api.CodeInvalid},
		{"PUT", "/api/v1/pod", "", 405, api.CodeInvalid},
		{"POST", api.PathVideos, "{}", 405, api.CodeInvalid},
		{"POST", api.PathSession, "", 400, api.CodeInvalid},
		{"POST", api.PathSession, "{", 400, api.CodeInvalid},
		{"POST", api.PathSession, `{"username":1}`, 400, api.CodeInvalid},
		{"POST", api.PathSession, `{} {}`, 400, api.CodeInvalid},
		{"POST", api.PathSession, long, 413, api.CodeTooLarge},
		{"GET", api.PathMe, "", 401, api.CodeUnauthorized},
		{"GET", api.PathUploads, "", 401, api.CodeUnauthorized},
		{"PATCH", api.VideoPath(d.video.ID), "{}", 401, api.CodeUnauthorized},
		{"DELETE", api.VideoPath(d.video.ID), "", 401, api.CodeUnauthorized},
		{"PUT", api.VideoThumbnailPath(d.video.ID), strings.Repeat("x", api.MaxThumbnail+1), 413, api.CodeTooLarge},
	} {
		res, body := d.ask(t, c.method, c.path, c.body)
		var e api.Error
		if err := json.Unmarshal(body, &e); err != nil || res.StatusCode != c.status || e.Code != c.code || e.Message == "" {
			t.Errorf("%s %s %.20q: %d %.200s", c.method, c.path, c.body, res.StatusCode, body)
		}
		if c.status == 405 && res.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
}

func TestAnswers(t *testing.T) {
	d := newDoor(t, nil)
	_, body := d.ask(t, "GET", api.PathVideos, "")
	var page api.VideoPage
	if err := json.Unmarshal(body, &page); err != nil || len(page.Videos) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	v := page.Videos[0]
	if v.StreamURL != "http://pod.example"+d.streamPath() || !strings.HasPrefix(v.Magnet, "magnet:?xt=urn:btih:"+v.Renditions[0].InfoHash.String()) || v.Mine {
		t.Errorf("%s", body)
	}
	if !strings.Contains(string(body), `"tags":[]`) {
		t.Errorf("no tags are not an empty list: %s", body)
	}
	_, body = d.ask(t, "GET", api.PathSearch+"?q=film", "")
	var found api.SearchPage
	if err := json.Unmarshal(body, &found); err != nil || len(found.Videos) != 1 || !found.Cut || !found.Building || found.Built != 0.5 {
		t.Errorf("%s: %v", body, err)
	}
	if _, body = d.ask(t, "GET", api.PathSuggest+"?q=fil", ""); string(body) != `{"suggestions":["film"],"videos":[{"id":"`+d.video.ID.String()+`","name":"`+d.video.Name+`"}]}` {
		t.Errorf("%s", body)
	}
	res, body := d.ask(t, "GET", api.PathPod, "")
	if res.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(string(body), `"host":"pod.example"`) {
		t.Errorf("%v %s", res.Header, body)
	}
}

func TestSecurityHeaders(t *testing.T) {
	d := newDoor(t, nil)
	for _, path := range []string{"/", "/api/v1/pod", "/api/v1/nothing", d.streamPath()} {
		res, _ := d.ask(t, "GET", path, "")
		csp := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none';", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %q is not in the policy %q", path, want, csp)
			}
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Referrer-Policy") == "" {
			t.Errorf("%s: %v", path, res.Header)
		}
	}
}

func TestCookie(t *testing.T) {
	for secure, name := range map[bool]string{true: "__Host-kinopod", false: "kinopod"} {
		d := newDoor(t, func(c *config.Config) { c.AllowHTTP = !secure })
		res, _ := d.ask(t, "POST", api.PathSession, `{"username":"ann","password":"x"}`)
		if len(res.Cookies()) != 1 {
			t.Fatalf("%v", res.Header)
		}
		c := res.Cookies()[0]
		if c.Name != name || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != secure || c.Path != "/" || c.Expires.Before(time.Now()) {
			t.Errorf("secure %v: %s", secure, c)
		}
		for cookie, status := range map[string]int{"good": 200, "bad": 401, "": 401} {
			if res, _ := d.ask(t, "GET", api.PathMe, "", "Cookie: "+name+"="+cookie); res.StatusCode != status {
				t.Errorf("cookie %q: %d", cookie, res.StatusCode)
			}
		}
		res, _ = d.ask(t, "DELETE", api.PathSession, "", "Cookie: "+name+"=good")
		if c := res.Cookies(); res.StatusCode != 204 || len(c) != 1 || c[0].Value != "" || c[0].Expires.After(time.Now()) {
			t.Errorf("log out: %d %v", res.StatusCode, c)
		}
	}
}

func TestBearer(t *testing.T) {
	d := newDoor(t, nil)
	for value, status := range map[string]int{"Bearer good": 200, "bearer good": 200, "Bearer bad": 401, "Bearer ": 401, "Basic good": 401} {
		if res, _ := d.ask(t, "GET", api.PathMe, "", "Authorization: "+value); res.StatusCode != status {
			t.Errorf("%q: %d, want %d", value, res.StatusCode, status)
		}
	}
	// A bad bearer token is told, even where none is needed; a bad cookie is none.
	if res, _ := d.ask(t, "GET", api.PathPod, "", "Authorization: Bearer bad"); res.StatusCode != 401 {
		t.Errorf("bad bearer: %d", res.StatusCode)
	}
	if res, _ := d.ask(t, "GET", api.PathPod, "", "Cookie: kinopod=bad"); res.StatusCode != 200 {
		t.Errorf("bad cookie: %d", res.StatusCode)
	}
}

func TestCrossSite(t *testing.T) {
	d := newDoor(t, nil)
	host := strings.TrimPrefix(d.url, "http://")
	for _, c := range []struct {
		headers []string
		refused bool
	}{
		{nil, false}, // no browser
		{[]string{"Sec-Fetch-Site: same-origin"}, false},
		{[]string{"Sec-Fetch-Site: none"}, false},
		{[]string{"Sec-Fetch-Site: cross-site"}, true},
		{[]string{"Sec-Fetch-Site: same-site"}, true},
		{[]string{"Sec-Fetch-Site: cross-site", "Origin: http://" + host}, true},
		{[]string{"Origin: http://" + host}, false},
		{[]string{"Origin: https://pod.example"}, false},
		{[]string{"Origin: https://evil.example"}, true},
		{[]string{"Origin: null"}, true},
		{[]string{"Origin: https://pod.example.evil.example"}, true},
		{[]string{"Origin: https://evil.example", "Authorization: Bearer good"}, false},
	} {
		for _, r := range []struct{ method, path, body string }{
			{"PUT", api.PathPassword, "{}"}, {"POST", api.PathSession, "{}"}, {"POST", api.PathUploads, ""},
		} {
			d.tus = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }
			res, body := d.ask(t, r.method, r.path, r.body, append([]string{"Cookie: kinopod=good"}, c.headers...)...)
			if refused := res.StatusCode == http.StatusForbidden; refused != c.refused {
				t.Errorf("%s %s with %v: %d %s", r.method, r.path, c.headers, res.StatusCode, body)
			}
		}
		if res, _ := d.ask(t, "GET", api.PathMe, "", append([]string{"Cookie: kinopod=good"}, c.headers...)...); res.StatusCode != 200 {
			t.Errorf("GET with %v: %d", c.headers, res.StatusCode)
		}
	}
}

func TestRate(t *testing.T) {
	d := newDoor(t, func(c *config.Config) {
		c.Limits.RequestsPerSecond = 2
		c.TrustedProxies = loopback
	})
	refused := func(headers ...string) (n int) {
		for range 4 * burst {
			res, _ := d.ask(t, "GET", api.PathPod, "", headers...)
			if res.StatusCode == http.StatusTooManyRequests {
				n++
				if res.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			}
		}
		return n
	}
	if refused("X-Forwarded-For: 192.0.2.1") == 0 {
		t.Error("an address is not limited")
	}
	if n := refused("X-Forwarded-For: 192.0.2.2"); n == 4*burst {
		t.Error("an address pays for another one")
	}
	if refused("X-Forwarded-For: 2001:db8::1")+refused("X-Forwarded-For: 2001:db8::2") < 5*burst {
		t.Error("a /64 counts as many")
	}
	// one account from many addresses
	n := 0
	for i := range 4 * burst {
		res, _ := d.ask(t, "GET", api.PathMe, "", "Authorization: Bearer good", "X-Forwarded-For: 198.51.100."+string(rune('0'+i%10)))
		if res.StatusCode == http.StatusTooManyRequests {
			n++
		}
	}
	if n == 0 {
		t.Error("an account is not limited")
	}
}

func TestPagesKnowTheCaller(t *testing.T) {
	d := newDoor(t, nil)
	res, body := d.ask(t, "GET", "/watch/x?y=z", "", "Cookie: kinopod=good")
	if res.StatusCode != 200 || string(body) != "<!doctype html><title>ann</title>" || res.Header.Get("Vary") != "Cookie" {
		t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
	}
	if res, body = d.ask(t, "GET", "/", "", "Cookie: kinopod=bad"); res.StatusCode != 200 || string(body) != "<!doctype html><title></title>" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if got := res.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
}

// TestUnreadBody sees that what is left of a refused body is not taken for the next
// request on the connection, and that the answer arrives.
func TestUnreadBody(t *testing.T) {
	d := newDoor(t, nil)
	c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	smuggled := "GET /api/v1/pod HTTP/1.1\r\nHost: x\r\n\r\n"
	body := strings.Repeat(smuggled, 2<<20/len(smuggled))
	go func() { // until the pod hangs up
		_, _ = c.Write([]byte("POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n" + body))
	}()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got := readAll(c)
	if !strings.HasPrefix(got, "HTTP/1.1 413 ") || strings.Count(got, "HTTP/1.1") != 1 || !strings.Contains(got, "Connection: close") {
		t.Errorf("%.500q", got)
	}
}

// TestPackedBody: what unpacks to more than anybody may send is not unpacked.
func TestPackedBody(t *testing.T) {
	d := newDoor(t, nil)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(make([]byte, 64<<20))
	_ = z.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, encoding := range []string{"gzip", "gzip, gzip", "deflate", "br", "zstd", "none of them"} {
		res, body := d.ask(t, "POST", api.PathSession, packed.String(), "Content-Encoding: "+encoding)
		if res.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(string(body), `"code"`) {
			t.Errorf("%s: %d %s", encoding, res.StatusCode, body)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

// TestTwoLengths: a body has one end.
func TestTwoLengths(t *testing.T) {
	d := newDoor(t, nil)
	c := dial(t, d, "127.0.0.1")
	_, err := io.WriteString(c, "POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/v1/pod HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if got := readAll(c); !strings.HasPrefix(got, "HTTP/1.1 400 ") || strings.Count(got, "HTTP/1.1") != 1 {
		t.Errorf("%q", got)
	}
}

// TestHeadOfUploadThatCannotBeAnswered: tus-js-client asks again later, and does not
// begin anew.
func TestHeadOfUploadThatCannotBeAnswered(t *testing.T) {
	d := newDoor(t, func(c *config.Config) { c.Limits.RequestsPerSecond = 1 })
	d.tus = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	seen := map[int]int{}
	for range 4 * burst {
		res, _ := d.ask(t, "HEAD", api.PathUploads+"/x", "", "Authorization: Bearer good")
		seen[res.StatusCode]++
	}
	if seen[http.StatusLocked] == 0 || len(seen) != 2 {
		t.Errorf("%v", seen)
	}
}
