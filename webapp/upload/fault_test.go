//go:build !js

package upload

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// relay stands between a queue and its pod: it counts what goes up, headers
// included, and cuts connections.
type relay struct {
	t      *testing.T
	addr   string
	target string
	up     atomic.Int64 // bytes taken from the client

	mu    sync.Mutex
	conns map[net.Conn]bool
	down  bool
	cutAt int64 // of up; 0 is never
	slow  func(n int)
	ln    net.Listener
}

func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, addr: ln.Addr().String(), target: target, conns: map[net.Conn]bool{}, ln: ln}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() { r.carry(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		r.setDown(true)
		group.Wait()
	})
	return r
}

func (r *relay) carry(client net.Conn) {
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
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(client, pod)
		client.Close()
	}()
	defer func() { pod.Close(); client.Close(); <-done }()
	b := make([]byte, 16<<10)
	for {
		n, err := client.Read(b)
		total := r.up.Add(int64(n))
		if n > 0 {
			r.mu.Lock()
			cut, slow := r.cutAt > 0 && total >= r.cutAt, r.slow
			if cut {
				r.cutAt = 0
			}
			r.mu.Unlock()
			if slow != nil {
				slow(n)
			}
			if _, err := pod.Write(b[:n]); err != nil {
				return
			}
			if cut {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *relay) keep(conns ...net.Conn) bool {
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

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// cut ends every connection at once, with a reset.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// cutAfter ends the connection that carries the n-th byte from now.
func (r *relay) cutAfter(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cutAt = r.up.Load() + n
}

// setDown refuses connections, or takes them again.
func (r *relay) setDown(down bool) {
	r.mu.Lock()
	r.down = down
	r.mu.Unlock()
	if down {
		r.cut()
	}
}

// setSlow calls f with the number of bytes before they go on; f may sleep.
func (r *relay) setSlow(f func(n int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow = f
}

// shakyFile can no longer be read once it is gone.
type shakyFile struct {
	r    io.ReaderAt
	gone atomic.Bool
}

func (f *shakyFile) ReadAt(p []byte, off int64) (int, error) {
	if f.gone.Load() {
		return 0, errors.New("it is gone")
	}
	return f.r.ReadAt(p, off)
}
