package tracker

import (
	"bytes"
	"net"
	"time"
)

// bell is the poller where there is nothing to wait for but wake: every connection
// has goroutines of its own.
type bell struct {
	rung  chan struct{}
	timer *time.Timer
}

func newBell() *bell {
	return &bell{rung: make(chan struct{}, 1), timer: time.NewTimer(0)}
}

func (b *bell) wait(until time.Time) error {
	b.timer.Reset(time.Until(until))
	select {
	case <-b.rung:
	case <-b.timer.C:
	}
	return nil
}

func (b *bell) dispatch(*loop) {}

func (b *bell) wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

func (b *bell) adopt(net.Conn) link { return nil }

func (b *bell) close() { b.timer.Stop() }

// Sizes of a stream's buffers, in bytes.
const (
	streamRead  = 4 << 10
	streamWrite = 64 << 10
)

// stream is the link of a connection that no poller can wait for: TLS, or a system
// without epoll. One goroutine reads; another one writes while there is something.
type stream struct {
	loop *loop
	nc   net.Conn
	c    *conn
	buf  []byte        // what is being written
	done chan struct{} // closed when it is written; nil if nothing ever was
	busy bool          // a write is under way
}

func newStream(l *loop, nc net.Conn) *stream { return &stream{loop: l, nc: nc} }

func (s *stream) start(c *conn) error {
	s.c = c
	s.loop.tasks.Go(s.read)
	return nil
}

// read hands what comes to the loop, and waits until it is done with it: a peer
// that sends faster than the loop works waits too.
func (s *stream) read() {
	buf := make([]byte, streamRead)
	for {
		n, err := s.nc.Read(buf)
		if n > 0 && !s.loop.do(func() { s.loop.received(s.c, buf[:n]) }) {
			return
		}
		if err != nil {
			s.loop.post(func() { s.loop.drop(s.c) })
			return
		}
	}
}

func (s *stream) write(b []byte) (int, error) {
	if s.busy {
		return 0, nil
	}
	n := min(len(b), streamWrite)
	s.buf = append(s.buf[:0], b[:n]...)
	done := make(chan struct{})
	s.busy, s.done = true, done
	s.loop.tasks.Go(func() {
		_, err := s.nc.Write(s.buf)
		close(done)
		s.loop.post(func() { s.wrote(err) })
	})
	return n, nil
}

func (s *stream) wrote(err error) {
	s.busy = false
	if err != nil {
		s.loop.drop(s.c)
		return
	}
	if s.c.out == nil { // nothing waits: an idle connection keeps no buffer
		s.buf = nil
	}
	s.loop.writable(s.c)
}

// shut and close may write (TLS says goodbye), so they leave the loop.

func (s *stream) shut() {
	half, ok := s.nc.(interface{ CloseWrite() error })
	if !ok { // the close frame has to do
		s.loop.post(func() { s.loop.drop(s.c) })
		return
	}
	done := s.done
	s.loop.tasks.Go(func() {
		await(done)
		half.CloseWrite()
	})
}

func (s *stream) close() {
	if s.c == nil {
		s.nc.Close()
		return
	}
	s.nc.SetWriteDeadline(time.Now().Add(time.Second))
	var last []byte
	if s.loop.ended { // nobody is told any more that a write is over: the rest goes now
		last = bytes.Clone(s.c.out[s.c.sent:])
	}
	done := s.done
	s.loop.tasks.Go(func() {
		await(done)
		if len(last) > 0 {
			s.nc.Write(last)
		}
		s.nc.Close()
	})
}

func await(done chan struct{}) {
	if done != nil {
		<-done
	}
}
