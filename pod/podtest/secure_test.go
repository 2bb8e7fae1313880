package podtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"kinopod/pod"
	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// TestPodTurnsTLSOn: a pod that was reached by http is put behind TLS under the same host.
// Everything that knows it works on, by https alone: also when https is down, and after
// its friends were started again.
func TestPodTurnsTLSOn(t *testing.T) {
	trusting := pod.Options{Roots: Authority(t)}
	b := Start(t)
	a := StartWith(t, trusting, func(c *config.Config) { c.Friends = []string{string(b.Host())} })
	Eventually(t, "they are friends", func() bool { return len(friendsOf(t, a)) == 1 && len(friendsOf(t, b)) == 1 })
	ada, bob := a.User(t, "ada", api.RoleUser), b.User(t, "bob", api.RoleUser)
	old, _ := bob.Film(t, WebM)
	Eventually(t, "the friend lists it, with its picture", func() bool {
		v, err := ada.Video(t.Context(), old.ID)
		return err == nil && v.ThumbnailURL != ""
	})
	linksOf(t, ada, old.ID, string(b.Host()), false)

	front := b.BehindTLS(t)
	bob = Login(t, b.URL, "bob")
	Eventually(t, "the friend's links are https", func() bool {
		v, err := ada.Video(t.Context(), old.ID)
		return err == nil && strings.HasPrefix(v.StreamURL, "https://")
	})
	linksOf(t, ada, old.ID, string(b.Host()), true)
	linksOf(t, bob, old.ID, string(b.Host()), true)
	for _, p := range []*Pod{a, b} {
		if got := videosOf(t, p, b.Host()); len(got) != 1 || got[old.ID] == "" {
			t.Errorf("its videos are %v", got)
		}
	}
	cookieIsSecure(t, front)
	c := StartWith(t, trusting, func(c *config.Config) { c.Friends = []string{string(b.Host())} })
	Eventually(t, "a new pod makes friends of both", func() bool { return len(friendsOf(t, c)) == 2 && len(videosOf(t, c, "")) == 1 })
	theirs, _ := ada.Film(t, WebM)
	ours, _ := bob.Film(t, WebM)
	for _, p := range []*Pod{a, b, c} {
		Eventually(t, "what is new is everywhere", func() bool { return videosOf(t, p, "")[ours.ID] != "" && videosOf(t, p, "")[theirs.ID] != "" })
	}

	// https is down, and somebody listens there who would like to hear http.
	front.Close()
	spy := listen(t, string(b.Host()))
	late, _ := ada.Film(t, WebM)
	Eventually(t, "it is tried by https", func() bool { return spy.secure() > 0 })
	for _, p := range []*Pod{a, c} {
		p.Restart(t)
	}
	tried := spy.secure()
	Eventually(t, "it is tried again", func() bool { return spy.secure() > tried+1 })
	ada = Login(t, a.URL, "ada")
	linksOf(t, ada, old.ID, string(b.Host()), true)
	if got := spy.close(t); len(got) > 0 {
		t.Errorf("said by http: %q", got)
	}
	b.Front(t)
	b.Restart(t) // says that it is there
	Eventually(t, "https is back, and what waited is there", func() bool { return videosOf(t, b, "")[late.ID] != "" })
	for h, f := range friendsOf(t, b) {
		if f.Score < 100 {
			t.Errorf("%s was punished: %+v", h, f)
		}
	}
}

// linksOf checks every way to a video of the pod at host, as another one gives them.
func linksOf(t *testing.T, c *Client, id video.ID, host string, secure bool) {
	t.Helper()
	web, socket := "http://"+host, "ws%3A%2F%2F"
	if secure {
		web, socket = "https://"+host, "wss%3A%2F%2F"
	}
	v, err := c.Video(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if string(v.Origin) != host || !strings.HasPrefix(v.StreamURL, web+"/") || !strings.HasPrefix(v.TorrentURL, web+"/") || !strings.Contains(v.Magnet, "tr="+socket) {
		t.Errorf("want %s: %s, %s, %s", web, v.StreamURL, v.TorrentURL, v.Magnet)
	}
	if other := "http%3A%2F%2F"; secure && strings.Contains(v.Magnet, other) {
		t.Errorf("http is left in %s", v.Magnet)
	}
	picture := v.ThumbnailURL[strings.Index(v.ThumbnailURL, "/thumbnails/"):]
	if a := c.Ask(t, http.MethodGet, picture, nil); a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Text, "RIFF") {
		t.Errorf("picture: %s", a.Status)
	}
	a := c.Ask(t, http.MethodGet, api.TorrentPath(id), nil)
	if a.StatusCode != http.StatusOK || !strings.Contains(a.Text, web+api.PathAnnounce) || secure && strings.Contains(a.Text, "http://") {
		t.Errorf("torrent: %s %.300q", a.Status, a.Text)
	}
	own, err := c.Pod(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := v.StreamURL
	if own.Host == v.Origin {
		want = ""
	}
	if got := redirectOf(t, c.URL+v.StreamURL[strings.Index(v.StreamURL, "/stream/"):]); got != want {
		t.Errorf("the stream leads to %q, want %q", got, want)
	}
}

// redirectOf is where a pod sends who asks for a video of another; "" where it is its own.
func redirectOf(t *testing.T, address string) string {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	switch res.StatusCode {
	case http.StatusOK:
		return ""
	case http.StatusTemporaryRedirect:
		return res.Header.Get("Location")
	}
	t.Errorf("%s: %s", address, res.Status)
	return ""
}

// cookieIsSecure logs in by https.
func cookieIsSecure(t *testing.T, front *httptest.Server) {
	t.Helper()
	b, _ := json.Marshal(api.Credentials{Username: "bob", Password: Password})
	res, err := front.Client().Post(front.URL+api.PathSession, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if c := res.Cookies(); res.StatusCode != http.StatusOK || len(c) != 1 || !c[0].Secure || !strings.HasPrefix(c[0].Name, "__Host-") {
		t.Errorf("%s, %v", res.Status, c)
	}
}

// spy listens where a pod was, and says nothing.
type spy struct {
	l    net.Listener
	done sync.WaitGroup

	mu    sync.Mutex
	tls   int      // connections that began as TLS does
	plain []string // what the others said
}

func listen(t *testing.T, address string) *spy {
	t.Helper()
	var l net.Listener
	Eventually(t, "the address is free", func() (ok bool) { // a call of somebody may have had its port
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	s := &spy{l: l}
	s.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 512)
			n, _ := conn.Read(b)
			s.mu.Lock()
			if n > 0 && b[0] == 0x16 { // a handshake
				s.tls++
			} else if n > 0 {
				s.plain = append(s.plain, string(b[:n]))
			}
			s.mu.Unlock()
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return s
}

func (s *spy) secure() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tls
}

func (s *spy) close(t *testing.T) []string {
	t.Helper()
	_ = s.l.Close()
	s.done.Wait()
	return s.plain
}
