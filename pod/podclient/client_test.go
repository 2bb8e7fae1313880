package podclient

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kinopod/pod/federation"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// What is asked, to the byte, and by which HTTP.
func TestRequests(t *testing.T) {
	type seen struct{ method, path, contentType, body string }
	var got seen
	s := secureServer(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), string(b)}
		if ua := r.UserAgent(); ua != "Kinopod/1.2" || r.ProtoMajor != 2 {
			t.Errorf("%s by %s", ua, r.Proto)
		}
		for _, name := range []string{"Accept-Encoding", "Cookie", "Authorization", "Referer"} {
			if v := r.Header.Get(name); v != "" {
				t.Errorf("%s: %s", name, v)
			}
		}
		http.SetCookie(w, &http.Cookie{Name: "who", Value: "you", Path: "/"})
		_, _ = w.Write([]byte("{}"))
	})
	c, at, ctx := publicly(client(t, false)), s.at(), t.Context()
	hash := strings.Repeat("0a", 32)
	for want, ask := range map[seen]func(){
		{"GET", federation.PathCard, "", ""}:                                        func() { _, _, _ = c.Card(ctx, at) },
		{"GET", "/api/v1/friends", "", ""}:                                          func() { _, _ = c.Friends(ctx, at) },
		{"GET", "/thumbnails/" + hash + ".webp", "", ""}:                            func() { _, _ = c.Thumbnail(ctx, at, hash) },
		{"POST", federation.PathHello, "application/json", `{"host":"us.example"}`}: func() { _ = c.Hello(ctx, at, "us.example") },
		{"POST", federation.PathEvents, "application/jose", "a sealed message, \xff as it is \x00"}: func() {
			_, _ = c.Send(ctx, at, federation.PathEvents, []byte("a sealed message, \xff as it is \x00"))
		},
	} {
		if ask(); got != want {
			t.Errorf("asked %v, want %v", got, want)
		}
	}
}

func TestNoHost(t *testing.T) {
	for _, h := range []network.Host{"", "pod.example/path?", "me@pod.example", "Pod.Example", "https://pod.example"} {
		if err := client(t, true).Hello(t.Context(), Target{Host: h}, "us.example"); !errors.Is(err, network.ErrHost) {
			t.Errorf("%q: %v", h, err)
		}
	}
}

func TestSend(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   []byte
	}{
		"nothing": {204, "", nil},
		"a lot":   {200, strings.Repeat("x", federation.MaxMessage), bytes.Repeat([]byte("x"), federation.MaxMessage)},
	} {
		s := secureServer(t, say(c.status, []byte(c.body)))
		got, err := client(t, true).Send(t.Context(), s.at(), federation.PathDigest, []byte("sealed"))
		if err != nil || !bytes.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// calls are all of them, and how long an answer may be.
var calls = map[string]struct {
	most int
	call func(ctx context.Context, c *Client, at Target) error
}{
	"card": {64 << 10, func(ctx context.Context, c *Client, at Target) error {
		_, _, err := c.Card(ctx, at)
		return err
	}},
	"friends": {2 << 20, func(ctx context.Context, c *Client, at Target) error {
		_, err := c.Friends(ctx, at)
		return err
	}},
	"send": {federation.MaxMessage, func(ctx context.Context, c *Client, at Target) error {
		_, err := c.Send(ctx, at, federation.PathVideos, []byte("sealed"))
		return err
	}},
	"thumbnail": {api.MaxPicture, func(ctx context.Context, c *Client, at Target) error {
		_, err := c.Thumbnail(ctx, at, strings.Repeat("0", 64))
		return err
	}},
}

func TestTooLong(t *testing.T) {
	for name, c := range calls {
		for _, more := range []int{0, 1} {
			for _, length := range []bool{true, false} {
				s := secureServer(t, func(w http.ResponseWriter, _ *http.Request) {
					if !length {
						w.WriteHeader(http.StatusOK)
						_ = http.NewResponseController(w).Flush()
					}
					_, _ = w.Write(bytes.Repeat([]byte(" "), c.most+more))
				})
				err := c.call(t.Context(), client(t, true), s.at())
				if errors.Is(err, errTooLong) != (more == 1) {
					t.Errorf("%s and %d, length said: %v: %v", name, more, length, err)
				}
			}
		}
	}
}

// The length that is said is believed where it is too much: nothing of it is awaited.
func TestTooLongSaid(t *testing.T) {
	for name, c := range calls {
		s := secureServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000000000")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		if err := c.call(t.Context(), client(t, true), s.at()); !errors.Is(err, errTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongHeader(t *testing.T) {
	for _, s := range []*server{
		secureServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) }),
		plainServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) }),
	} {
		err := client(t, true).Hello(t.Context(), s.at(), "us.example")
		if err == nil || len(err.Error()) > 1000 {
			t.Errorf("%.2000v", err)
		}
	}
}

// Who answers byte by byte, or not at all, is left when the call's time is over.
func TestSlow(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"drip by drip": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		},
	} {
		for kind, s := range map[string]*server{"https": secureServer(t, answer), "http": plainServer(t, answer)} {
			c := client(t, true)
			if c.limit != 20*time.Second {
				t.Errorf("the limit is %v", c.limit)
			}
			c.limit = 100 * time.Millisecond
			if _, _, err := c.Card(t.Context(), s.at()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s by %s: %v", name, kind, err)
			}
		}
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := secureServer(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := client(t, true).Friends(ctx, s.at()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What is compressed stays so: a small answer is never a large one.
func TestGzipBomb(t *testing.T) {
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 10<<20))
	_ = w.Close()
	s := secureServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	got, err := client(t, true).Send(t.Context(), s.at(), federation.PathVideos, nil)
	if err != nil || !bytes.Equal(got, bomb.Bytes()) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := client(t, true).Friends(t.Context(), s.at()); err == nil || errors.Is(err, errTooLong) {
		t.Error(err)
	}
}

// At most four connections are made to one pod, however much there is to ask.
func TestConnections(t *testing.T) {
	const callers = 12
	four, arrived := make(chan struct{}), make(chan struct{}, callers)
	s := plainServer(t, func(_ http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-four
	})
	c := client(t, true)
	at := Target{Host: network.Host("127.0.0.1:" + s.port)} // by http first: one connection a call
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if err := c.Hello(t.Context(), at, "us.example"); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		<-arrived
	}
	close(four)
	wg.Wait()
	if n := s.conns.Load(); n > 4 {
		t.Errorf("%d connections", n)
	}
}

func TestSchemes(t *testing.T) {
	t.Run("https where it is there", func(t *testing.T) {
		secure, plain := secureServer(t, card), plainServer(t, card)
		c := client(t, true)
		atPorts(c, map[string]string{"443": secure.port, "80": plain.port})
		if _, byHTTPS, err := c.Card(t.Context(), Target{Host: "pod.example.com"}); err != nil || !byHTTPS || plain.conns.Load() != 0 {
			t.Errorf("%v, %v", byHTTPS, err)
		}
	})
	t.Run("http where nothing else is", func(t *testing.T) {
		plain := plainServer(t, card)
		for name, ports := range map[string]map[string]string{
			"closed":        {"443": closedPort(t), "80": plain.port},
			"refused":       {"443": "0", "80": plain.port},
			"no TLS":        {"443": plain.port, "80": plain.port},
			"no TLS at all": {plain.port: plain.port},
		} {
			host := network.Host("pod.example.com")
			if len(ports) == 1 {
				host = plain.at().Host
			}
			c := client(t, true)
			atPorts(c, ports)
			if _, byHTTPS, err := c.Card(t.Context(), Target{Host: host}); err != nil || byHTTPS {
				t.Errorf("%s: %v, %v", name, byHTTPS, err)
			}
			asked := plain.calls.Load()
			for _, c := range []*Client{client(t, true), publicly(client(t, false))} {
				atPorts(c, ports)
				if _, _, err := c.Card(t.Context(), Target{Host: host, Secure: c.allowHTTP}); err == nil || plain.calls.Load() != asked {
					t.Errorf("%s, where http is not allowed: %v", name, err)
				}
			}
		}
	})
	t.Run("no http after an answer by https", func(t *testing.T) {
		plain := plainServer(t, card)
		for name, h := range map[string]http.HandlerFunc{
			"an error":     say(http.StatusInternalServerError, nil),
			"a bad answer": say(http.StatusBadRequest, nil),
			"nonsense":     say(http.StatusOK, []byte("<html>")),
			"cut off":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		} {
			c := client(t, true)
			atPorts(c, map[string]string{"443": secureServer(t, h).port, "80": plain.port})
			if _, _, err := c.Card(t.Context(), Target{Host: "pod.example.com"}); err == nil || plain.conns.Load() != 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("what worked is remembered", func(t *testing.T) {
		plain, tries := plainServer(t, card), secureServer(t, card)
		tries.TLS.Certificates = nil // no handshake
		tries.TLS.GetCertificate = nil
		c := client(t, true)
		now := time.Now()
		c.now = func() time.Time { return now }
		ports := map[string]string{"443": tries.port, "80": plain.port}
		atPorts(c, ports)
		at := Target{Host: "pod.example.com"}
		get := func(wantTries int32) {
			t.Helper()
			if _, byHTTPS, err := c.Card(t.Context(), at); err != nil || byHTTPS || tries.conns.Load() != wantTries {
				t.Fatalf("%v, %v, %d tries by https", byHTTPS, err, tries.conns.Load())
			}
		}
		get(1)
		get(1)
		if _, _, err := c.Card(t.Context(), Target{Host: at.Host, Secure: true}); err == nil {
			t.Fatal("http though it is to be secure")
		}
		tries.conns.Store(1)
		now = now.Add(memoryTime)
		get(2)
		now = now.Add(memoryTime)
		secure := secureServer(t, card)
		ports["443"] = secure.port
		for range 2 {
			if _, byHTTPS, err := c.Card(t.Context(), at); err != nil || !byHTTPS {
				t.Fatalf("https came up: %v, %v", byHTTPS, err)
			}
			c.learn(at.Host, false) // of a call that began earlier
		}
		asked := plain.calls.Load()
		secure.Close()
		if _, _, err := c.Card(t.Context(), at); err == nil || plain.calls.Load() != asked {
			t.Errorf("https went down: %v", err)
		}
	})
	t.Run("this machine by http first", func(t *testing.T) {
		plain, secure := plainServer(t, card), secureServer(t, card)
		for _, name := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "pod.localhost"} {
			c := client(t, true)
			at := Target{Host: network.Host(name + ":" + plain.port)}
			plain.conns.Store(0)
			if _, byHTTPS, err := c.Card(t.Context(), at); err != nil || byHTTPS || plain.conns.Load() != 1 {
				t.Errorf("%s: %v, %v, %d connections", name, byHTTPS, err, plain.conns.Load())
			}
		}
		at := Target{Host: network.Host("127.0.0.1:" + secure.port)}
		if _, byHTTPS, err := client(t, true).Card(t.Context(), at); err != nil || !byHTTPS {
			t.Errorf("with TLS: %v, %v", byHTTPS, err)
		}
		at.Secure = true
		asked := secure.conns.Load()
		if _, byHTTPS, err := client(t, true).Card(t.Context(), at); err != nil || !byHTTPS || secure.conns.Load() != asked+1 {
			t.Errorf("with TLS, known: %v, %v", byHTTPS, err)
		}
	})
	t.Run("where http leads elsewhere https is asked, and noted", func(t *testing.T) {
		var moved atomic.Bool
		plain := plainServer(t, func(w http.ResponseWriter, r *http.Request) {
			if moved.Load() {
				http.Redirect(w, r, "https://pod.example.com"+r.URL.Path, http.StatusPermanentRedirect)
			}
		})
		secure := secureServer(t, say(http.StatusNotFound, nil))
		c := client(t, true)
		var noted []network.Host
		c.secured = func(_ context.Context, h network.Host) { noted = append(noted, h) }
		ports := map[string]string{"443": closedPort(t), "80": plain.port}
		atPorts(c, ports)
		at := Target{Host: "pod.example.com"}
		if err := c.Hello(t.Context(), at, "us.example"); err != nil || len(noted) != 0 {
			t.Fatalf("%v, %q", err, noted)
		}
		moved.Store(true)
		ports["443"] = secure.port
		var e *StatusError
		if err := c.Hello(t.Context(), at, "us.example"); !errors.As(err, &e) || e.Status != http.StatusNotFound || !slices.Equal(noted, []network.Host{at.Host}) {
			t.Errorf("%v, %q", err, noted)
		}
		at.Secure = true
		if _ = c.Hello(t.Context(), at, "us.example"); len(noted) != 1 {
			t.Errorf("noted again: %q", noted)
		}
	})
	t.Run("the answer of http counts where https is not there", func(t *testing.T) {
		plain := plainServer(t, say(http.StatusBadRequest, []byte(`{"code":"invalid","message":"No."}`)))
		err := client(t, true).Hello(t.Context(), Target{Host: network.Host("127.0.0.1:" + plain.port)}, "us.example")
		var e *StatusError
		if !errors.As(err, &e) || e.Code != api.CodeInvalid {
			t.Error(err)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	c := New(Config{AllowHTTP: true, Log: slog.New(slog.DiscardHandler)})
	for i := range 3 * maxLearnt {
		c.learn(network.Host(strings.Repeat("x", 1+i%60)+"."+strings.Repeat("y", 1+i/60%60)+"."+strings.Repeat("z", 1+i/3600)), true)
		if len(c.learnt) > maxLearnt {
			t.Fatal(len(c.learnt))
		}
	}
}
