package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/pod/config"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func readAll(r io.Reader) string {
	b, _ := io.ReadAll(r) // a reset at the end is as good as one
	return string(b)
}

// dial opens a connection from one of the addresses of this machine.
func dial(t testing.TB, d *door, from string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// served asks for something on c and says whether an answer came.
func served(t testing.TB, c net.Conn) bool {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /api/v1/pod HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return false
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == 200
}

func TestConnectionsOfOneAddress(t *testing.T) {
	d := newDoor(t, func(c *config.Config) { c.Limits.ConnectionsPerAddress = 20 })
	var open []net.Conn
	for range 20 {
		open = append(open, dial(t, d, "127.0.0.1"))
	}
	if !served(t, open[19]) {
		t.Fatal("within the limit")
	}
	if served(t, dial(t, d, "127.0.0.1")) {
		t.Error("one more than the limit is served")
	}
	if !served(t, dial(t, d, "127.0.0.2")) {
		t.Error("another address is not served")
	}
	_ = open[0].Close()
	deadline := time.Now().Add(time.Minute)
	for !served(t, dial(t, d, "127.0.0.1")) {
		if time.Now().After(deadline) {
			t.Fatal("a connection that ended still counts")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestTenThousandSockets holds many sockets from one address: others are served,
// and the pod keeps a bounded number of them.
func TestTenThousandSockets(t *testing.T) {
	d := newDoor(t, func(c *config.Config) { c.Limits.ConnectionsPerAddress, c.Limits.Connections = 256, 2000 })
	for range 10_000 {
		c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	if !served(t, dial(t, d, "127.0.0.2")) {
		t.Error("another address is not served")
	}
	if n := d.openConnections(); n > 257 {
		t.Errorf("%v connections are open", n)
	}
}

func TestConnectionsInAll(t *testing.T) {
	d := newDoor(t, func(c *config.Config) { c.Limits.Connections, c.TrustedProxies = 5, loopback })
	for range 5 {
		if !served(t, dial(t, d, "127.0.0.1")) {
			t.Fatal("within the limit")
		}
	}
	if served(t, dial(t, d, "127.0.0.2")) {
		t.Error("one more than the limit is served")
	}
}

// TestSlowHeader sees a request that never ends given up.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	d := newDoor(t, nil)
	c := dial(t, d, "127.0.0.1")
	start := time.Now()
	ended := make(chan string, 1)
	go func() { ended <- readAll(c) }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n")
	for i := 0; ; i++ {
		select {
		case got := <-ended:
			if took := time.Since(start); took > headerTimeout+time.Minute {
				t.Errorf("given up after %v", took)
			}
			if got != "" && !strings.HasPrefix(got, "HTTP/1.1 408") {
				t.Errorf("%q", got)
			}
			return
		case <-time.After(500 * time.Millisecond):
			_, _ = fmt.Fprintf(c, "X-%d: y\r\n", i)
		}
	}
}

func TestEndlessHeader(t *testing.T) {
	d := newDoor(t, nil)
	c := dial(t, d, "127.0.0.1")
	go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n") }()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if got := readAll(c); got != "" && !strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Errorf("%.200q", got)
	}
}

func TestClientBehindProxies(t *testing.T) {
	trusted := proxies{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct{ peer, forwarded, want string }{
		{"192.0.2.9", "", "192.0.2.9"},
		{"192.0.2.9", "198.51.100.1", "192.0.2.9"}, // no proxy of ours
		{"127.0.0.1", "", "127.0.0.1"},
		{"127.0.0.1", "198.51.100.1", "198.51.100.1"},
		{"127.0.0.1", "203.0.113.5, 198.51.100.1", "198.51.100.1"}, // the first one is what the client says
		{"127.0.0.1", "198.51.100.1, 10.1.2.3", "198.51.100.1"},
		{"127.0.0.1", "10.1.2.3", "10.1.2.3"},
		{"127.0.0.1", "nonsense", "127.0.0.1"},
		{"127.0.0.1", "nonsense, 198.51.100.1", "198.51.100.1"},
		{"127.0.0.1", "2001:db8::7", "2001:db8::7"},
		{"127.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"},
	} {
		if got := trusted.client(netip.MustParseAddr(c.peer), c.forwarded); got.String() != c.want {
			t.Errorf("%s, %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

// A proxy that adds a line of its own is believed, and not the client's line before it.
func TestForwardedInTwoLines(t *testing.T) {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	from := From([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/32")}) // where fiber's tests come from
	app.Get("/", func(c *fiber.Ctx) error { return c.SendString(from(c).String()) })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["X-Forwarded-For"] = []string{"192.0.2.66", "198.51.100.7"}
	res, err := app.Test(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "198.51.100.7" {
		t.Errorf("%s, %v", b, err)
	}
}

// paced is a connection that notes when each write has to be done.
type paced struct {
	net.Conn
	deadlines []time.Time
	written   int
}

func (p *paced) SetWriteDeadline(t time.Time) error {
	p.deadlines = append(p.deadlines, t)
	return nil
}

func (p *paced) Write(b []byte) (int, error) {
	p.written += len(b)
	return len(b), nil
}

// TestSlowReader sees that each chunk has a deadline of its own, until somebody
// else takes the connection over.
func TestSlowReader(t *testing.T) {
	p := &paced{}
	c := &conn{Conn: p}
	if n, err := c.Write(make([]byte, 3*writeChunk+1)); err != nil || n != 3*writeChunk+1 || p.written != n {
		t.Fatalf("%d %v", n, err)
	}
	if len(p.deadlines) != 4 {
		t.Errorf("%d deadlines for 4 chunks", len(p.deadlines))
	}
	for _, d := range p.deadlines {
		if left := time.Until(d); left < writeTimeout/2 || left > writeTimeout {
			t.Errorf("a chunk has %v", left)
		}
	}
	if n, err := c.ReadFrom(io.LimitReader(&zeros{1 << 30}, 1<<20)); err != nil || n != 1<<20 || len(p.deadlines) < 8 {
		t.Errorf("%d %v with %d deadlines", n, err, len(p.deadlines))
	}
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	before := len(p.deadlines)
	if _, err := c.Write(make([]byte, writeChunk)); err != nil || len(p.deadlines) != before {
		t.Errorf("%v, and somebody else's deadline is changed", err)
	}
}
