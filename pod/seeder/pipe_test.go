package seeder

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kinopod/shared/wire"
)

// pipe is a data channel in memory. What is written stays buffered until drain.
type pipe struct {
	in     chan []byte
	closed chan struct{}

	mu       sync.Mutex
	out      [][]byte
	eager    bool // drains by itself
	buffered uint64
	peak     uint64
	low      uint64
	onLow    func()
}

func newPipe() *pipe { return &pipe{in: make(chan []byte), closed: make(chan struct{})} }

func (p *pipe) Read(b []byte) (int, error) {
	select {
	case m := <-p.in:
		if len(m) > len(b) {
			return 0, io.ErrShortBuffer
		}
		return copy(b, m), nil
	case <-p.closed:
		return 0, io.EOF
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = append(p.out, bytes.Clone(b))
	if !p.eager {
		p.buffered += uint64(len(b))
		p.peak = max(p.peak, p.buffered)
	}
	return len(b), nil
}

func (p *pipe) BufferedAmount() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buffered
}

func (p *pipe) SetBufferedAmountLowThreshold(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.low = n
}

func (p *pipe) OnBufferedAmountLow(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onLow = f
}

// takeAll has the pipe drain by itself from now on.
func (p *pipe) takeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.eager = true
}

// drain takes up to n bytes off the buffer.
func (p *pipe) drain(n int) {
	p.mu.Lock()
	before := p.buffered
	p.buffered -= min(p.buffered, uint64(n))
	fell := before > p.low && p.buffered <= p.low
	f := p.onLow
	p.mu.Unlock()
	if fell {
		f()
	}
}

// taken is what was written since the last call.
func (p *pipe) taken() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.out
	p.out = nil
	return out
}

// talk is a session at one end of a pipe, and the test at the other.
type talk struct {
	*pipe
	t     testing.TB
	s     *session
	book  *book
	sent  atomic.Int64
	ended chan error
	stop  func()
	in    wire.Splitter
	hello *wire.Handshake
}

// startTalk runs a session; changes may be nil.
func startTalk(t testing.TB, b *book, changes func(*sessionConfig)) *talk {
	ctx, cancel := context.WithCancelCause(context.Background())
	k := &talk{pipe: newPipe(), t: t, book: b, ended: make(chan error, 1)}
	closing := sync.OnceFunc(func() { close(k.closed) })
	context.AfterFunc(ctx, closing)
	k.stop = func() { cancel(errOff) }
	c := sessionConfig{
		channel: k.pipe, torrent: b.torrent, self: wire.PeerID{1}, file: bytes.NewReader(b.data),
		buffers: &blockBuffers{size: longestSent}, sent: &k.sent, stop: cancel,
	}
	if changes != nil {
		changes(&c)
	}
	k.s = newSession(ctx, c)
	go func() {
		err := k.s.run()
		cancel(err)
		k.ended <- context.Cause(ctx)
	}()
	return k
}

// finish stops the session and lets the test's own goroutines notice.
func (k *talk) finish() {
	k.stop()
	time.Sleep(time.Second)
	synctest.Wait()
}

// say sends bytes as one message; false when the session has ended.
func (k *talk) say(b []byte) bool {
	select {
	case k.pipe.in <- b:
		return true
	case <-k.closed:
		return false
	}
}

func (k *talk) send(m wire.Message) bool { return k.say(m.Append(nil)) }

func (k *talk) handshake(fast bool) {
	k.say(wire.Handshake{InfoHash: k.book.torrent.InfoHash, PeerID: wire.PeerID{2}, Extension: true, Fast: fast}.Append(nil))
}

// ready makes the session ready for requests and forgets what it said so far.
func (k *talk) ready(fast bool) {
	k.handshake(fast)
	k.send(wire.Message{Kind: wire.Interested})
	synctest.Wait()
	k.messages()
	k.drain(1 << 30)
}

// messages parses what the session wrote since the last call.
func (k *talk) messages() []wire.Message {
	k.t.Helper()
	var out []wire.Message
	for _, b := range k.taken() {
		err := k.in.Feed(b, func(h wire.Handshake) error { k.hello = &h; return nil }, func(m wire.Message) error {
			m.Data = bytes.Clone(m.Data)
			out = append(out, m)
			return nil
		})
		if err != nil {
			k.t.Fatalf("the session writes %v", err)
		}
	}
	return out
}

// waiting is the number of jobs in the session's queue.
func (s *session) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// end is why the session ended.
func (k *talk) end() error {
	k.t.Helper()
	synctest.Wait()
	select {
	case err := <-k.ended:
		return err
	default:
		k.t.Fatal("the session goes on")
		return nil
	}
}

// bubble runs f in a bubble with a book of three pieces and a bit.
func bubble(t *testing.T, f func(t *testing.T, b *book)) {
	t.Helper()
	b := newBook(t, 3*64<<10+100)
	synctest.Test(t, func(t *testing.T) { f(t, b) })
}

func request(index, begin, length uint32) wire.Message {
	return wire.Message{Kind: wire.Request, Index: index, Begin: begin, Length: length}
}

func kinds(ms []wire.Message) (out []wire.Kind) {
	for _, m := range ms {
		out = append(out, m.Kind)
	}
	return out
}
