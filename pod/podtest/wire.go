package podtest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Wire stands between a client and a server, TCP or unix sockets, and passes on what
// they say. A Trap springs where something is said.
type Wire struct {
	Addr string

	network, server string
	trap            atomic.Pointer[Trap]
}

// Trap does something, once, when a client says what Match looks for. Then that
// connection ends, and what was held back is never heard.
type Trap struct {
	Match  func(said []byte) bool
	At     Moment
	Do     func()
	Sprung chan struct{} // closed when Do has returned
}

// Moment is when a trap springs.
type Moment int

// The moments.
const (
	Before   Moment = iota // the server has heard nothing of it
	Half                   // the server has heard the first half
	Heard                  // the server has heard it
	Answered               // the server has answered, and the client has not heard that
)

// NewWire listens at addr ("" is any of the network) for what is to go to server.
func NewWire(t testing.TB, network, addr, server string) *Wire {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{Addr: l.Addr().String(), network: network, server: server}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{} // guarded by mu; nil after the end
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if open == nil {
				_ = c.Close()
			} else {
				open[c] = true
				all.Go(func() {
					w.carry(c)
					mu.Lock()
					defer mu.Unlock()
					delete(open, c)
				})
			}
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		open = nil
		mu.Unlock()
		all.Wait()
	})
	return w
}

// Set sets a trap in the place of the one before.
func (w *Wire) Set(trap Trap) <-chan struct{} {
	trap.Sprung = make(chan struct{})
	w.trap.Store(&trap)
	return trap.Sprung
}

// Clear takes the trap away.
func (w *Wire) Clear() { w.trap.Store(nil) }

// spring says whether said springs the trap.
func (w *Wire) spring(said []byte) *Trap {
	if t := w.trap.Load(); t != nil && t.Match(said) && w.trap.CompareAndSwap(t, nil) {
		return t
	}
	return nil
}

func (t *Trap) do() {
	t.Do()
	close(t.Sprung)
}

// carry carries one connection until either end closes it.
func (w *Wire) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(w.network, w.server)
	if err != nil {
		return
	}
	var waiting atomic.Pointer[Trap] // for an answer
	var back sync.WaitGroup
	back.Go(func() {
		defer client.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := server.Read(b)
			if t := waiting.Swap(nil); t != nil {
				t.do()
				return
			}
			if err != nil {
				return
			}
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
		}
	})
	defer back.Wait()
	defer server.Close()
	b := make([]byte, 256<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		said, t := b[:n], w.spring(b[:n])
		if t != nil {
			switch t.At {
			case Before:
				t.do()
				return
			case Half:
				said = said[:n/2]
			case Answered:
				waiting.Store(t)
			}
		}
		if _, err := server.Write(said); err != nil {
			return
		}
		if t != nil && t.At != Answered {
			t.do()
			return
		}
	}
}
