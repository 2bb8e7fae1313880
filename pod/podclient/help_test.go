package podclient

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"kinopod/build/leak"
	"kinopod/pod/federation"
	"kinopod/shared/network"
)

func TestMain(m *testing.M) {
	// A client that asked them would reach nobody.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		_ = os.Setenv(name, "http://127.0.0.1:1")
	}
	os.Exit(leak.Run(m))
}

// key is made once: that takes a while.
var key = sync.OnceValue(func() federation.Key {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return federation.Key{PublicKey: &k.PublicKey}
})

func cardOf(h network.Host) federation.Card {
	return federation.Card{Host: h, Name: "A pod", Software: "kinopod", Version: "1.0", Key: key(), Protocol: network.Versions{Min: 1, Max: 1}}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// server is a pod's HTTP server on 127.0.0.1; its certificate is for *.example.com.
type server struct {
	*httptest.Server
	port  string
	calls atomic.Int32 // requests that came
	conns atomic.Int32 // connections that came
}

// serve starts a server at an address until the test ends.
func serve(t *testing.T, address string, secure bool, h http.HandlerFunc) *server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	s.Server = &httptest.Server{Listener: l, EnableHTTP2: true, Config: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.calls.Add(1)
			h(w, r)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.conns.Add(1)
			}
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	return s
}

func secureServer(t *testing.T, h http.HandlerFunc) *server { return serve(t, "127.0.0.1:0", true, h) }

func plainServer(t *testing.T, h http.HandlerFunc) *server { return serve(t, "127.0.0.1:0", false, h) }

// at is the server by a name that nothing says is of this machine.
func (s *server) at() Target { return Target{Host: network.Host("pod.example.com:" + s.port)} }

// client is a Client that trusts the certificate of secureServer, and to which every
// name means 127.0.0.1.
func client(t *testing.T, allowHTTP bool) *Client {
	t.Helper()
	c := New(Config{AllowHTTP: allowHTTP, Software: "Kinopod/1.2", Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(c.Close)
	c.transport.TLSClientConfig.RootCAs = authority()
	c.dialer.Resolver = resolver(func() string { return "127.0.0.1" })
	return c
}

// publicly makes 127.0.0.1 an address like any of the Internet for a Client that is not
// allowed http.
func publicly(c *Client) *Client {
	c.allowed = func(a netip.Addr) bool { return a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || public(a) }
	return c
}

var authority = sync.OnceValue(func() *x509.CertPool {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
})

// atPorts makes a Client take other ports for those of URLs.
func atPorts(c *Client, ports map[string]string) {
	c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, _ := net.SplitHostPort(address)
		return c.dialer.DialContext(ctx, network, net.JoinHostPort(host, ports[port]))
	}
}

// closedPort is a port where each connection ends at once. One where nobody listens
// could be somebody else's in the next moment.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// resolver is one to which every name means the IPv4 address that means gives when it
// is asked. It speaks the DNS's own messages (RFC 1035, 4), as over TCP.
func resolver(means func() string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			var length [2]byte
			if _, err := io.ReadFull(theirs, length[:]); err != nil {
				return
			}
			q := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(theirs, q); err != nil {
				return
			}
			end := 12 // of the question
			for q[end] != 0 {
				end += 1 + int(q[end])
			}
			kind := q[end+2]
			end += 5
			out := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
			if kind == 1 { // A
				ip := netip.MustParseAddr(means()).As4()
				out[7] = 1
				out = append(append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
			}
			_, _ = theirs.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
		}()
		return ours, nil
	}}
}

// redirect answers with a redirect to an address.
func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// say answers with a status and a body.
func say(status int, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

// card answers with the card of the pod that was asked.
func card(w http.ResponseWriter, r *http.Request) {
	b, _ := json.Marshal(cardOf(network.Host(r.Host)))
	_, _ = w.Write(b)
}
