package httpapi

import (
	"bytes"
	"net"
	"net/netip"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// proxies are the networks whose X-Forwarded-For is believed.
type proxies []netip.Prefix

func (p proxies) has(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// client is who stands behind a connection from peer: the last address in
// X-Forwarded-For that is not itself a trusted proxy.
func (p proxies) client(peer netip.Addr, forwarded string) netip.Addr {
	for p.has(peer) && forwarded != "" {
		i := strings.LastIndexByte(forwarded, ',')
		a, err := netip.ParseAddr(strings.TrimSpace(forwarded[i+1:]))
		if err != nil {
			break
		}
		peer, forwarded = a.Unmap().WithZone(""), forwarded[:max(i, 0)]
	}
	return peer
}

func (p proxies) of(c *fiber.Ctx) netip.Addr {
	// Some proxies add a line of their own behind the client's.
	lines := c.Request().Header.PeekAll(fiber.HeaderXForwardedFor)
	return p.client(addrOf(c.Context().RemoteAddr()), string(bytes.Join(lines, []byte{','})))
}

// From tells who sent a request, where the proxies in some networks are believed.
func From(trusted []netip.Prefix) func(*fiber.Ctx) netip.Addr { return proxies(trusted).of }

// addrOf is the IP address of a socket; zero where it has none.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
