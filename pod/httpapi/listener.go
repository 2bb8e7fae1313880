package httpapi

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kinopod/pod/household"
)

const (
	// writeChunk must leave within writeTimeout, or the reader is too slow to be
	// worth a connection: 4 KiB a second.
	writeChunk   = 256 << 10
	writeTimeout = 60 * time.Second
	// lingerTime is how long a connection that ends with unread bytes is drained,
	// so that its answer is not lost to a reset.
	lingerTime = 3 * time.Second
	// acceptPause lets others close files when the process has too many open.
	acceptPause = 50 * time.Millisecond
)

// listener bounds how many connections are open, in all and from one address.
// Trusted proxies count in all only: behind them are many people.
type listener struct {
	net.Listener
	most, mostAddress int // 0 is none
	trusted           proxies
	log               *slog.Logger

	mu    sync.Mutex
	conns map[*conn]struct{}
	open  map[netip.Prefix]int
}

func newListener(l net.Listener, most, mostAddress int, trusted proxies, log *slog.Logger) *listener {
	return &listener{
		Listener: l, most: withinFiles(most, log), mostAddress: mostAddress, trusted: trusted, log: log,
		conns: map[*conn]struct{}{}, open: map[netip.Prefix]int{},
	}
}

// withinFiles lowers a limit of connections to what the process may have open: each may
// have a file sent over it, and a quarter is left for peers and Redis.
func withinFiles(most int, log *slog.Logger) int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		return most
	}
	fits := int(min(files.Cur, 1<<30) / 8 * 3)
	if most == 0 || most > fits {
		if most > fits {
			log.Info("fewer connections than configured: the process may not open more files", "configured", most, "connections", fits)
		}
		return fits
	}
	return most
}

// Accept gives the next connection within the limits and closes the others.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
			time.Sleep(acceptPause)
			continue
		}
		if err != nil {
			return nil, err
		}
		tcp, _ := c.(*net.TCPConn)
		wrapped := &conn{Conn: c, tcp: tcp, from: addrOf(c.RemoteAddr()), listener: l}
		if l.take(wrapped) {
			return wrapped, nil
		}
		_ = c.Close()
	}
}

func (l *listener) take(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most > 0 && len(l.conns) >= l.most {
		return false
	}
	if !l.trusted.has(c.from) {
		n := household.Of(c.from)
		if l.mostAddress > 0 && l.open[n] >= l.mostAddress {
			return false
		}
		l.open[n]++
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *listener) leave(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.conns[c]; !ok {
		return
	}
	delete(l.conns, c)
	if l.trusted.has(c.from) {
		return
	}
	n := household.Of(c.from)
	if l.open[n]--; l.open[n] == 0 {
		delete(l.open, n)
	}
}

// count is how many connections are open.
func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// closeAll ends the connections that are still open, hijacked ones too.
func (l *listener) closeAll() {
	l.mu.Lock()
	open := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, c := range open {
		c.linger.Store(false)
		_ = c.Close()
	}
}

// conn is a connection on which each chunk that is written has a deadline of its
// own, until somebody else sets one: who hijacks it owns its deadlines.
type conn struct {
	net.Conn
	tcp      *net.TCPConn // nil where Conn is something else
	from     netip.Addr
	listener *listener

	owned  atomic.Bool // somebody else sets the deadlines
	linger atomic.Bool
}

var _ io.ReaderFrom = (*conn)(nil)

// UnsafeConn gives the connection underneath to who hijacked this one (the name is
// fasthttp's) and takes it out of the listener's limits: it is theirs to limit and
// to close.
func (c *conn) UnsafeConn() net.Conn {
	c.listener.leave(c)
	return c.Conn
}

// Write sends p in chunks.
func (c *conn) Write(p []byte) (n int, err error) {
	for first := true; first || len(p) > 0; first = false {
		chunk := p[:min(len(p), writeChunk)]
		if err := c.extend(); err != nil {
			return n, err
		}
		k, err := c.Conn.Write(chunk)
		n += k
		if err != nil {
			return n, err
		}
		p = p[k:]
	}
	return n, nil
}

// ReadFrom sends what r holds, in chunks; the bytes of a fileBody do not pass
// through the process.
func (c *conn) ReadFrom(r io.Reader) (n int64, err error) {
	if body, ok := r.(*fileBody); ok && c.tcp != nil {
		return c.sendFile(body)
	}
	buf := make([]byte, 64<<10)
	return io.CopyBuffer(struct{ io.Writer }{c}, r, buf)
}

func (c *conn) sendFile(body *fileBody) (sent int64, err error) {
	for body.left > 0 {
		if err := c.extend(); err != nil {
			return sent, err
		}
		n, err := c.tcp.ReadFrom(&io.LimitedReader{R: body.file, N: min(body.left, writeChunk)})
		body.gone(n)
		sent += n
		if err != nil {
			return sent, err
		}
		if n == 0 {
			return sent, io.ErrUnexpectedEOF
		}
	}
	return sent, nil
}

func (c *conn) extend() error {
	if c.owned.Load() {
		return nil
	}
	return c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
}

// SetDeadline hands the deadlines over to the caller.
func (c *conn) SetDeadline(t time.Time) error {
	c.owned.Store(true)
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline hands the write deadline over to the caller.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.owned.Store(true)
	return c.Conn.SetWriteDeadline(t)
}

// Close ends the connection. Where the request was not read to its end it first
// waits a little for the other side to read the answer.
func (c *conn) Close() error {
	if c.linger.Load() && c.tcp != nil && c.tcp.CloseWrite() == nil {
		if c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.Copy(io.Discard, c.Conn)
		}
	}
	err := c.Conn.Close()
	c.listener.leave(c)
	return err
}

// streams bounds how many files are sent to one address at a time. Connections do not:
// those of many people come through one proxy.
type streams struct {
	most int // 0 is none

	mu   sync.Mutex
	open map[netip.Prefix]int // guarded by mu
}

// begin counts one more, until over is called; ok is false where there are enough.
func (s *streams) begin(from netip.Addr) (over func(), ok bool) {
	n := household.Of(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most > 0 && s.open[n] >= s.most {
		return nil, false
	}
	s.open[n]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[n]--; s.open[n] == 0 {
			delete(s.open, n)
		}
	}), true
}

// fileBody is the rest of a part of a file, and counts what left.
type fileBody struct {
	file *os.File
	left int64
	sent func(n int64)
	over func() // is called with Close
}

// Read implements io.Reader.
func (b *fileBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.file.Read(p[:min(int64(len(p)), b.left)])
	b.gone(int64(n))
	return n, err
}

func (b *fileBody) gone(n int64) {
	b.left -= n
	b.sent(n)
}

// Close closes the file.
func (b *fileBody) Close() error {
	b.over()
	return b.file.Close()
}
