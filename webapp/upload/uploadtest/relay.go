// Package uploadtest is the network between an uploader and a pod, for tests: it
// counts, slows and cuts.
package uploadtest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Relay carries connections to a pod.
type Relay struct {
	target string
	ln     net.Listener
	up     atomic.Int64
	rate   atomic.Int64 // bytes a second towards the pod; 0 is any
	group  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	down  bool
	cutAt int64 // of up; 0 is never
}

// NewRelay listens on a port of its own and ends with the test. Connections go on to
// target, which need not listen yet.
func NewRelay(t testing.TB, target string) *Relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{target: target, ln: ln, conns: map[net.Conn]bool{}}
	r.group.Go(r.accept)
	t.Cleanup(func() {
		ln.Close()
		r.SetDown(true)
		r.group.Wait()
	})
	return r
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.ln.Addr().String() }

// Up is how many bytes were taken from clients, headers included.
func (r *Relay) Up() int64 { return r.up.Load() }

// SetRate slows what goes to the pod to that many bytes a second on each connection;
// 0 is as fast as it goes.
func (r *Relay) SetRate(bytesPerSecond int64) { r.rate.Store(bytesPerSecond) }

// Cut ends every connection at once, with a reset.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// CutAfter ends the connection that carries the n-th byte from now.
func (r *Relay) CutAfter(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cutAt = r.up.Load() + n
}

// SetDown cuts, and refuses connections until it is called with false.
func (r *Relay) SetDown(down bool) {
	r.mu.Lock()
	r.down = down
	r.mu.Unlock()
	if down {
		r.Cut()
	}
}

func (r *Relay) accept() {
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.group.Go(func() { r.carry(c) })
	}
}

// carry joins a client with the pod until one of them ends.
func (r *Relay) carry(client net.Conn) {
	defer client.Close()
	pod, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer pod.Close()
	if !r.keep(client, pod) {
		return
	}
	defer r.forget(client, pod)
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(client, pod)
		client.Close()
	})
	r.send(pod, client)
	pod.Close()
	client.Close()
	answers.Wait()
}

func (r *Relay) send(pod, client net.Conn) {
	b := make([]byte, 16<<10)
	for {
		n, err := client.Read(b)
		last := r.count(n)
		r.pace(n)
		if _, werr := pod.Write(b[:n]); err != nil || werr != nil || last {
			return
		}
	}
}

// pace takes the time of n bytes; another rate counts at once for what is left of them.
func (r *Relay) pace(n int) {
	for left := int64(n); left > 0; {
		rate := r.rate.Load()
		if rate == 0 {
			return
		}
		part := min(left, max(1, rate/20))
		time.Sleep(time.Duration(part) * time.Second / time.Duration(rate))
		left -= part
	}
}

// count notes bytes; last says that the connection is to be cut after them.
func (r *Relay) count(n int) (last bool) {
	total := r.up.Add(int64(n))
	r.mu.Lock()
	defer r.mu.Unlock()
	last = r.cutAt > 0 && total >= r.cutAt
	if last {
		r.cutAt = 0
	}
	return last
}

func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return false
	}
	for _, c := range conns {
		r.conns[c] = true
	}
	return true
}

func (r *Relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}
