package podclient

import (
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"kinopod/shared/network"
)

func TestPublic(t *testing.T) {
	for in, want := range map[string]bool{
		"1.1.1.1":              true,
		"9.255.255.255":        true,
		"100.63.255.255":       true,
		"100.128.0.0":          true,
		"172.15.255.255":       true,
		"172.32.0.0":           true,
		"198.17.255.255":       true,
		"198.20.0.0":           true,
		"223.255.255.255":      true,
		"2a01:4f8::1":          true,
		"2606:4700::1111":      true,
		"::ffff:1.1.1.1":       true,
		"64:ff9b::1.1.1.1":     true,
		"0.0.0.0":              false,
		"0.1.2.3":              false,
		"10.0.0.1":             false,
		"10.255.255.255":       false,
		"100.64.0.1":           false,
		"100.127.255.255":      false,
		"127.0.0.1":            false,
		"127.255.255.255":      false,
		"169.254.169.254":      false, // metadata
		"172.16.0.1":           false,
		"172.31.255.255":       false,
		"192.0.0.8":            false,
		"192.0.2.1":            false,
		"192.88.99.1":          false,
		"192.168.1.1":          false,
		"198.18.0.1":           false,
		"198.19.255.255":       false,
		"198.51.100.1":         false,
		"203.0.113.1":          false,
		"224.0.0.1":            false,
		"239.255.255.255":      false,
		"240.0.0.1":            false,
		"255.255.255.255":      false,
		"::":                   false,
		"::1":                  false,
		"::7f00:1":             false, // 127.0.0.1, compatible
		"::1.1.1.1":            false,
		"::ffff:127.0.0.1":     false,
		"::ffff:169.254.1.1":   false,
		"::ffff:0:127.0.0.1":   false,
		"64:ff9b::10.0.0.1":    false,
		"64:ff9b::127.0.0.1":   false,
		"64:ff9b::a9fe:a9fe":   false,
		"64:ff9b:1::1.1.1.1":   false, // of a local network (RFC 8215)
		"100::1":               false,
		"2001::1":              false, // Teredo
		"2001:0:7f00:1::":      false,
		"2001:0:101:101::f00f": false,
		"2001:2::1":            false,
		"2001:20::1":           false,
		"2001:db8::1":          false,
		"2002:7f00:1::":        false, // 127.0.0.1, 6to4
		"2002:a00:1::1":        false,
		"2002:101:101::1":      false,
		"3fff::1":              false,
		"4000::1":              false,
		"fc00::1":              false,
		"fd12:3456::1":         false,
		"fe80::1":              false,
		"fe80::1%eth0":         false,
		"fec0::1":              false,
		"ff02::1":              false,
		"::ffff:10.0.0.1%eth0": false,
		"2a01:4f8::1%eth0":     true,
	} {
		if got := public(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s is public: %v", in, got)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// Nobody is asked at an address of this machine or its network, however it is written.
func TestGuard(t *testing.T) {
	plain, secure := plainServer(t, card), secureServer(t, card)
	for _, port := range []string{plain.port, secure.port} {
		for _, name := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "pod.example.com", "0.0.0.0", "[::]", "[::1]"} {
			c := client(t, false)
			_, _, err := c.Card(t.Context(), Target{Host: network.Host(name + ":" + port)})
			if !errors.Is(err, errNotPublic) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := plain.conns.Load() + secure.conns.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	c := client(t, true)
	for _, s := range []*server{plain, secure} {
		if _, _, err := c.Card(t.Context(), s.at()); err != nil {
			t.Errorf("where it is allowed: %v", err)
		}
	}
}

// The name means an address that may be asked once, and then one of this machine: with
// the next call, and with the next hop of the same call.
func TestRebinding(t *testing.T) {
	private := serve(t, "127.0.0.1:0", true, card)
	for name, first := range map[string]http.HandlerFunc{
		"the next call": card,
		"the next hop": func(w http.ResponseWriter, r *http.Request) {
			redirect("/other")(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			outside := serve(t, "127.0.0.2:"+private.port, true, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "close")
				first(w, r)
			})
			c := client(t, false)
			c.transport.DisableKeepAlives = true
			c.allowed = func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.2") || public(a) }
			var asked atomic.Int32
			c.dialer.Resolver = resolver(func() string {
				if asked.Add(1) == 1 {
					return "127.0.0.2"
				}
				return "127.0.0.1"
			})
			_, _, err := c.Card(t.Context(), private.at())
			if name == "the next call" {
				if err != nil {
					t.Fatal(err)
				}
				_, _, err = c.Card(t.Context(), private.at())
			}
			if !errors.Is(err, errNotPublic) || outside.calls.Load() != 1 || private.conns.Load() != 0 {
				t.Errorf("%v, after %d calls of the first address and %d connections to the second", err, outside.calls.Load(), private.conns.Load())
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	other := secureServer(t, card)
	plain := plainServer(t, card)
	for name, c := range map[string]struct {
		to  func(s *server) string
		hop int // up to which it goes on; then there is a card
		err error
	}{
		"to a path":       {func(*server) string { return "/other" }, 1, nil},
		"three times":     {func(*server) string { return "/other" }, 3, nil},
		"four times":      {func(*server) string { return "/other" }, 4, errRedirect},
		"in a circle":     {func(*server) string { return "/.well-known/kinopod" }, 1 << 30, errRedirect},
		"in upper case":   {func(s *server) string { return "https://POD.EXAMPLE.COM:" + s.port + "/other" }, 1, nil},
		"to a neighbour":  {func(s *server) string { return "https://other.example.com:" + s.port + "/" }, 1, errRedirect},
		"below":           {func(s *server) string { return "https://a.pod.example.com:" + s.port + "/" }, 1, errRedirect},
		"to a port":       {func(*server) string { return "https://pod.example.com:" + other.port + "/" }, 1, errRedirect},
		"to this machine": {func(*server) string { return "https://127.0.0.1:" + other.port + "/" }, 1, errRedirect},
		"to http":         {func(s *server) string { return "http://pod.example.com:" + s.port + "/" }, 1, errRedirect},
		"to http there":   {func(*server) string { return "http://pod.example.com:" + plain.port + "/" }, 1, errRedirect},
		"to a file":       {func(s *server) string { return "file://pod.example.com:" + s.port + "/etc/passwd" }, 1, errRedirect},
		"as somebody":     {func(s *server) string { return "https://me:secret@pod.example.com:" + s.port + "/" }, 1, errRedirect},
	} {
		for _, allowHTTP := range []bool{false, true} {
			t.Run(name+" "+strconv.FormatBool(allowHTTP), func(t *testing.T) {
				var hops atomic.Int32
				var s *server
				s = secureServer(t, func(w http.ResponseWriter, r *http.Request) {
					if int(hops.Add(1)) <= c.hop {
						redirect(c.to(s))(w, r)
						return
					}
					r.Host = "pod.example.com:" + s.port
					card(w, r)
				})
				_, secure, err := publicly(client(t, allowHTTP)).Card(t.Context(), s.at())
				if !errors.Is(err, c.err) || secure != (err == nil) {
					t.Errorf("%v, %v", secure, err)
				}
				if hops.Load() > 4 {
					t.Errorf("%d hops", hops.Load())
				}
			})
		}
	}
	if n := other.calls.Load() + plain.calls.Load(); n != 0 {
		t.Errorf("others were asked %d times", n)
	}
}

// What is posted is not sent anywhere else.
func TestRedirectOfPost(t *testing.T) {
	s := secureServer(t, redirect("/other"))
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			s.calls.Add(1)
			w.Header().Set("Location", "/other")
			w.WriteHeader(status)
		})
		s.calls.Store(0)
		_, err := client(t, true).Send(t.Context(), s.at(), "/federation/v1/events", []byte("sealed"))
		var e *StatusError
		if !errors.As(err, &e) || e.Status != status || s.calls.Load() != 1 {
			t.Errorf("%d: %v, %d calls", status, err, s.calls.Load())
		}
	}
}

// By http a pod may lead to its https, and then nothing less is used.
func TestRedirectToHTTPS(t *testing.T) {
	secure, plain := secureServer(t, card), plainServer(t, redirect("https://pod.example.com/.well-known/kinopod"))
	c := client(t, true)
	ports := map[string]string{"80": plain.port, "443": closedPort(t)}
	atPorts(c, ports)
	at := Target{Host: "pod.example.com"}
	if _, _, err := c.Card(t.Context(), at); err == nil {
		t.Fatal("a card from nowhere")
	}
	ports["443"] = secure.port
	c.learn(at.Host, false)
	if _, byHTTPS, err := c.Card(t.Context(), at); err != nil || !byHTTPS || plain.calls.Load() != 2 {
		t.Fatalf("%v, %v", byHTTPS, err)
	}
	asked := plain.calls.Load()
	ports["443"] = closedPort(t)
	c.Close()
	if _, _, err := c.Card(t.Context(), at); err == nil || strings.Contains(err.Error(), "http: ") || plain.calls.Load() != asked {
		t.Errorf("after https: %v, asked %d times by http", err, plain.calls.Load()-asked)
	}
}
