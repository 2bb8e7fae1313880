package seeder

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"
)

// burstConn is a UDP socket that sends datagrams of one destination together.
type burstConn struct {
	*net.UDPConn
	seg segmenter

	mu      sync.Mutex
	pending map[netip.AddrPort]*burst
	order   []*burst
	wake    chan struct{}
	done    chan struct{}
	once    sync.Once

	addrs map[netip.AddrPort]*net.UDPAddr
}

type burst struct {
	to       netip.AddrPort
	sentAt   time.Time
	runs     []run
	queued   bool
}

// run is datagrams of equal length but for the last.
type run struct {
	buf     []byte
	size, n int
	closed  bool
}

var (
	burstMode = os.Getenv("BURST")
	burstCap  = func() int { n, _ := strconv.Atoi(os.Getenv("BURSTCAP")); if n == 0 { n = 64 << 10 }; return n }()
	burstTick = func() time.Duration { n, _ := time.ParseDuration(os.Getenv("BURSTTICK")); if n == 0 { n = 500 * time.Microsecond }; return n }()
	Calls, Datagrams int64
)

func newBurstConn(c *net.UDPConn) net.PacketConn {
	if burstMode == "" {
		return c
	}
	b := &burstConn{UDPConn: c, pending: map[netip.AddrPort]*burst{}, wake: make(chan struct{}, 1), done: make(chan struct{}), addrs: map[netip.AddrPort]*net.UDPAddr{}}
	go b.flusher()
	return b
}

func (c *burstConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	a := c.addrs[from]
	if a == nil {
		if len(c.addrs) > 4096 {
			clear(c.addrs)
		}
		a = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		c.addrs[from] = a
	}
	return n, a, nil
}

func (c *burstConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.UDPConn.Close()
}

func (c *burstConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to := addr.(*net.UDPAddr).AddrPort()
	now := time.Now()
	c.mu.Lock()
	p := c.pending[to]
	if p == nil {
		p = &burst{to: to}
		c.pending[to] = p
	}
	if len(p.runs) == 0 && (now.Sub(p.sentAt) > 2*time.Millisecond || len(b) < 1000) {
		p.sentAt = now
		c.mu.Unlock()
		return c.UDPConn.WriteToUDPAddrPort(b, to)
	}
	if l := len(p.runs); l == 0 || p.runs[l-1].closed || len(b) > p.runs[l-1].size || p.runs[l-1].n == 40 {
		p.runs = append(p.runs, run{buf: make([]byte, 0, 20<<10), size: len(b)})
	}
	r := &p.runs[len(p.runs)-1]
	r.buf = append(r.buf, b...)
	r.n++
	r.closed = len(b) < r.size
	if !p.queued {
		p.queued = true
		c.order = append(c.order, p)
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	c.mu.Unlock()
	return len(b), nil
}

func (c *burstConn) flusher() {
	for {
		select {
		case <-c.done:
			return
		case <-c.wake:
		}
		for {
			time.Sleep(burstTick)
			c.mu.Lock()
			order := c.order
			c.order = nil
			type out struct{ p *burst; rs []run }
			var outs []out
			now := time.Now()
			for _, p := range order {
				p.sentAt = now
				bytes, k := 0, 0
				for k < len(p.runs) && (k == 0 || bytes+len(p.runs[k].buf) <= burstCap) {
					bytes += len(p.runs[k].buf)
					k++
				}
				outs = append(outs, out{p, p.runs[:k:k]})
				p.runs = p.runs[k:]
				if len(p.runs) == 0 {
					p.runs = nil
					p.queued = false
				} else {
					c.order = append(c.order, p)
				}
			}
			more := len(c.order) > 0
			c.mu.Unlock()
			for _, o := range outs {
				for _, r := range o.rs {
					c.seg.send(c.UDPConn, r.buf, r.size, o.p.to)
					Calls++
					Datagrams += int64(r.n)
				}
			}
			if !more && len(order) == 0 {
				break
			}
		}
	}
}
