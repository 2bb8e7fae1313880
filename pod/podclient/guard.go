package podclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// errNotPublic is an address that no pod of the Internet has.
var errNotPublic = errors.New("not a public address")

// control looks at each address right before it is dialled: what a name meant earlier,
// or means to somebody else, does not count.
func (c *Client) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	if !c.allowed(a.Addr()) {
		return fmt.Errorf("%w: %s", errNotPublic, a.Addr())
	}
	return nil
}

var (
	// unicast6 is what of IPv6 is given out for the Internet.
	unicast6 = netip.MustParsePrefix("2000::/3")
	// nat64 has IPv4 addresses in its last 32 bits (RFC 6052).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// reserved is what is not for the Internet (RFC 6890 and the IANA's registries of
	// special-purpose addresses), in unicast6 where it is IPv6.
	reserved = prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23" /* protocols, Teredo */, "2001:db8::/32", "2002::/16" /* 6to4 */, "3fff::/20",
	)
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// public says whether an address is of the Internet. Forms of IPv6 that stand for an
// address of IPv4 are judged by that one, or are not taken at all.
func public(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.Is4() && !unicast6.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}

// errRedirect is a redirect that is not followed.
var errRedirect = errors.New("a redirect is refused")

// follow is the CheckRedirect of http.Client. Who answers is the pod that was asked, so
// only its scheme, path and query may change, and https stays. What is posted is not
// posted twice.
func follow(req *http.Request, via []*http.Request) error {
	from, to := via[len(via)-1].URL, req.URL
	switch {
	case via[0].Method != http.MethodGet:
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: there were three", errRedirect)
	case to.User != nil:
		return fmt.Errorf("%w: it has credentials", errRedirect)
	case !strings.EqualFold(to.Hostname(), from.Hostname()) || to.Port() != from.Port():
		return fmt.Errorf("%w: to another pod", errRedirect)
	case to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https"):
		return fmt.Errorf("%w: away from https", errRedirect)
	}
	return nil
}
