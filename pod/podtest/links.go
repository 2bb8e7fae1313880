package podtest

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Links are the ways between pods, which a test can cut and delay. A pod is known by
// its address.
type Links struct {
	mu    sync.Mutex
	slow  time.Duration     // guarded by mu: what each write takes
	sides []map[string]bool // guarded by mu: who reaches each other; nil is everybody
	conns map[*linked]bool  // guarded by mu
}

// errCut is what a cut link answers.
var errCut = errors.New("the link is cut")

// From gives the links of the pod that listens at an address, for its Options.
func (l *Links) From(from string) func(to string, c net.Conn) (net.Conn, error) {
	return func(to string, c net.Conn) (net.Conn, error) {
		x := &linked{Conn: c, links: l, from: from, to: to}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.cut(x) {
			return nil, errors.Join(errCut, c.Close())
		}
		if l.conns == nil {
			l.conns = map[*linked]bool{}
		}
		l.conns[x] = true
		return x, nil
	}
}

// Split has only those reach each other who are on the same side; without sides
// everybody does again.
func (l *Links) Split(sides ...[]*Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sides = nil
	for _, side := range sides {
		of := map[string]bool{}
		for _, p := range side {
			of[string(p.Host())] = true
		}
		l.sides = append(l.sides, of)
	}
	for c := range l.conns {
		if l.cut(c) {
			_ = c.Conn.Close()
		}
	}
}

// Delay has each write take so long.
func (l *Links) Delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = d
}

// cut is for who holds mu.
func (l *Links) cut(c *linked) bool {
	if len(l.sides) == 0 {
		return false
	}
	for _, side := range l.sides {
		if side[c.from] && side[c.to] {
			return false
		}
	}
	return true
}

// linked is a connection over a link.
type linked struct {
	net.Conn
	links    *Links
	from, to string
}

// Write sends late where the link is slow.
func (c *linked) Write(b []byte) (int, error) {
	c.links.mu.Lock()
	slow := c.links.slow
	c.links.mu.Unlock()
	time.Sleep(slow)
	return c.Conn.Write(b)
}

// Close closes it.
func (c *linked) Close() error {
	c.links.mu.Lock()
	defer c.links.mu.Unlock()
	delete(c.links.conns, c)
	return c.Conn.Close()
}
