package seeder

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// rtcListener holds the sockets of WebRTC: one UDP socket an address, because an
// answer must leave from the address that was asked, and TCP, all on one port.
type rtcListener struct {
	udp        []*net.UDPConn
	tcp        net.Listener
	port       uint16
	ips        []netip.Addr // bound, one for each of udp
	candidates []string     // "candidate:...", the best first
}

// maxAddresses bounds the addresses that are bound where all are asked for: each
// costs every peer some memory and two lines in its answer.
const maxAddresses = 8

// Connections over TCP, those that have not said yet which peer they belong to
// included. A browser opens several for one peer.
const (
	tcpConnections           = 4096
	tcpConnectionsPerAddress = 64
)

// freePortTries is how often a free port is looked for that UDP and TCP both have.
const freePortTries = 20

// listenRTC binds address ("host:port", see Config.RTCListen).
func listenRTC(address string, public []netip.Addr) (*rtcListener, error) {
	want, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	host := want.AddrPort().Addr().Unmap()
	ips := []netip.Addr{host}
	wildcard := !host.IsValid() || host.IsUnspecified()
	if wildcard {
		if ips, err = machineAddresses(host, len(public) == 0); err != nil {
			return nil, err
		}
	}
	tcpHost := ""
	if !wildcard {
		tcpHost = host.String()
	}
	for try := 1; ; try++ {
		l, err := bindRTC(ips, tcpHost, want.Port)
		if err == nil {
			l.candidates = candidateLines(public, l.ips, l.port)
			return l, nil
		}
		if want.Port != 0 || try == freePortTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

// machineAddresses lists this machine's addresses of the family of the wildcard
// host (both, where it is invalid or "::"), those of the outside first.
func machineAddresses(host netip.Addr, loopback bool) ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses of this machine: %w", err)
	}
	var ips, local []netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := p.Addr().Unmap()
		switch {
		case ip.IsLinkLocalUnicast() || host.Is4() && !ip.Is4():
		case ip.IsLoopback():
			if ip.Is4() { // browsers ask 127.0.0.1 for localhost too
				local = append(local, ip)
			}
		default:
			ips = append(ips, ip)
		}
	}
	ips = ips[:min(len(ips), maxAddresses-1)]
	if loopback || len(ips) == 0 {
		ips = append(ips, local...)
	}
	if len(ips) == 0 {
		return nil, errors.New("this machine has no address")
	}
	return ips[:min(len(ips), maxAddresses)], nil
}

// bindRTC binds every address at port, or at one free port where it is 0. An
// address that is gone again, as those of IPv6 come and go, is passed over.
func bindRTC(ips []netip.Addr, tcpHost string, port int) (*rtcListener, error) {
	l := &rtcListener{}
	for _, ip := range ips {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip.AsSlice(), Zone: ip.Zone(), Port: port})
		if errors.Is(err, syscall.EADDRNOTAVAIL) && len(ips) > 1 {
			continue
		}
		if err != nil {
			l.close()
			return nil, fmt.Errorf("listen on UDP: %w", err)
		}
		port = c.LocalAddr().(*net.UDPAddr).Port
		l.udp = append(l.udp, c)
		l.ips = append(l.ips, ip)
	}
	if len(l.udp) == 0 {
		return nil, errors.New("no address could be bound")
	}
	tcp, err := net.Listen("tcp", net.JoinHostPort(tcpHost, strconv.Itoa(port)))
	if err != nil {
		l.close()
		return nil, fmt.Errorf("listen on TCP: %w", err)
	}
	l.tcp, l.port = newTCPListener(tcp), uint16(port)
	return l, nil
}

// close frees the sockets; those that are closed already stay so.
func (l *rtcListener) close() {
	for _, c := range l.udp {
		_ = c.Close()
	}
	if l.tcp != nil {
		_ = l.tcp.Close()
	}
}

// has says whether ip is bound.
func (l *rtcListener) has(ip net.IP) bool {
	a, _ := netip.AddrFromSlice(ip)
	return slices.Contains(l.ips, a.Unmap())
}

// candidateLines are the candidates of an answer (RFC 8839, RFC 6544): UDP before
// TCP, public addresses before those that are bound. A browser sends to public ones
// and a router passes it on, so that our agent sees only bound ones.
func candidateLines(public, bound []netip.Addr, port uint16) []string {
	var ips []netip.Addr
	for _, ip := range slices.Concat(public, bound) {
		if ip = ip.Unmap(); !slices.Contains(ips, ip) {
			ips = append(ips, ip)
		}
	}
	const host, component = 126 << 24, 256 - 1
	var udp, tcp []string
	for i, ip := range ips {
		preference := (1<<15 - 1 - i) << 8
		udp = append(udp, fmt.Sprintf("candidate:%d 1 udp %d %s %d typ host", 2*i+1, host+1<<23+preference+component, ip, port))
		tcp = append(tcp, fmt.Sprintf("candidate:%d 1 tcp %d %s %d typ host tcptype passive", 2*i+2, host+preference+component, ip, port))
	}
	return append(udp, tcp...)
}

// guardedListener takes connections as long as the door lets them in.
type guardedListener struct {
	net.Listener
	admit func(net.Conn) (net.Conn, error)
}

// Accept closes the connections that are not admitted.
func (l *guardedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, err := l.admit(c)
		if err == nil {
			return admitted, nil
		}
		_ = c.Close()
	}
}

// tcpListener is the guarded listener of WebRTC over TCP. It counts connections by
// address, and its end is theirs: pion's mux waits for each to say whose it is.
type tcpListener struct {
	guardedListener

	mu    sync.Mutex
	seats seats
	open  map[*tcpConn]struct{}
}

func newTCPListener(l net.Listener) *tcpListener {
	t := &tcpListener{seats: newSeats(tcpConnections, tcpConnectionsPerAddress), open: map[*tcpConn]struct{}{}}
	t.guardedListener = guardedListener{l, t.take}
	return t
}

// take takes a seat that the connection gives back when it is closed.
func (l *tcpListener) take(c net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := addressOf(c.RemoteAddr())
	if err := l.seats.take(from); err != nil {
		return nil, err
	}
	t := &tcpConn{Conn: c, listener: l, from: from}
	l.open[t] = struct{}{}
	return t, nil
}

// Close closes the listener and its connections.
func (l *tcpListener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
	return err
}

// tcpConn is one of tcpListener's connections.
type tcpConn struct {
	net.Conn
	listener *tcpListener
	from     netip.Addr
}

// Close gives the seat back, once.
func (c *tcpConn) Close() error {
	l := c.listener
	l.mu.Lock()
	if _, open := l.open[c]; open {
		delete(l.open, c)
		l.seats.leave(c.from)
	}
	l.mu.Unlock()
	return c.Conn.Close()
}

// addressOf is the IP address of a TCP or UDP address.
func addressOf(a net.Addr) netip.Addr {
	p, _ := netip.ParseAddrPort(a.String())
	return p.Addr().Unmap()
}
