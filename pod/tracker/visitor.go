package tracker

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kinopod/pod/household"
)

// burst is how many seconds' worth of messages an address may send at once: a page
// that opens announces, and answers whatever it is offered.
const burst = 10

// visitor is what one address may still do. All of an IPv6 /64 is one address:
// whoever has one address of it has them all.
type visitor struct {
	budget      *rate.Limiter // messages; nil without a limit
	connections int           // guarded by visitors.mu
}

// take spends one message and says whether there was one left.
func (v *visitor) take(now time.Time) bool {
	return v.budget == nil || v.budget.AllowN(now, 1)
}

// visitors knows the addresses that were heard of lately.
type visitors struct {
	most  int // connections an address; 0 is no limit
	total int // connections in all; 0 is no limit
	rate  int // messages a second an address; 0 is no limit

	mu    sync.Mutex
	known map[netip.Prefix]*visitor
	open  int // connections in all
	next  int // size of known at which the quiet ones are forgotten
}

func newVisitors(most, total, perSecond int) *visitors {
	return &visitors{most: most, total: total, rate: perSecond, known: map[netip.Prefix]*visitor{}, next: 1024}
}

// visit gives the visitor at an address.
func (vs *visitors) visit(a netip.Addr) *visitor {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.at(household.Of(a), time.Now())
}

// at gives the visitor of a household; vs.mu is held.
func (vs *visitors) at(p netip.Prefix, now time.Time) *visitor {
	if v := vs.known[p]; v != nil {
		return v
	}
	if len(vs.known) >= vs.next {
		vs.forget(now)
	}
	v := &visitor{}
	if vs.rate > 0 {
		v.budget = rate.NewLimiter(rate.Limit(vs.rate), burst*vs.rate)
	}
	vs.known[p] = v
	return v
}

// forget drops who has no connection and a full budget again; vs.mu is held. It
// runs when the number has doubled since: in all it costs as much as the visits.
func (vs *visitors) forget(now time.Time) {
	for p, v := range vs.known {
		if v.connections == 0 && (v.budget == nil || v.budget.TokensAt(now) >= float64(v.budget.Burst())) {
			delete(vs.known, p)
		}
	}
	vs.next = max(1024, 2*len(vs.known))
}

// connect counts a new connection from an address, or says why it may not be: one
// of refusedConnections and refusedRate of the address, refusedFull of the tracker.
func (vs *visitors) connect(a netip.Addr) (*visitor, reason, bool) {
	now := time.Now()
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v := vs.at(household.Of(a), now)
	switch {
	case vs.total > 0 && vs.open >= vs.total:
		return nil, refusedFull, false
	case vs.most > 0 && v.connections >= vs.most:
		return nil, refusedConnections, false
	case !v.take(now):
		return nil, refusedRate, false
	}
	v.connections++
	vs.open++
	return v, 0, true
}

// disconnect undoes connect.
func (vs *visitors) disconnect(v *visitor) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v.connections--
	vs.open--
}

// clientAddr is the address that a request comes from: the other end's, or, where
// that is a trusted proxy, the last address in X-Forwarded-For (all headers of the
// name, in order) that is not a trusted proxy's.
func clientAddr(remote net.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	addr := addrOf(remote)
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0 && isTrusted(addr, trusted); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap().WithZone("")
	}
	return addr
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addrOf is the IP address of one end of a connection, the zero Addr if it has none.
func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
