package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// shape is how a line towards a viewer is: its zero value is none.
type shape struct {
	each int           // bytes/s of each connection; 0 is no limit
	all  int           // bytes/s of all connections together; 0 is no limit
	trip time.Duration // round trip; a connection takes one until it carries something
}

// line is a TCP relay in front of a server that has a shape, and counts what it sends.
// HTTP and WebSockets go through it; WebRTC does not.
type line struct {
	l     net.Listener
	to    string
	shape shape
	all   *rate.Limiter // nil for no limit
	sent  atomic.Int64  // bytes towards viewers
	media atomic.Int64  // those of them that are bytes of a film
	ctx   context.Context
	stop  context.CancelFunc
	conns sync.WaitGroup

	mu    sync.Mutex
	asked []*asked // guarded by mu
}

// burst is what a line passes at once, in bytes.
const burst = 16 << 10

func newLine(to string, s shape) (*line, error) { return newLineAt("127.0.0.1", to, s) }

// newLineAt is newLine with the address of this machine at which viewers reach it.
func newLineAt(at, to string, s shape) (*line, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	x := &line{l: l, to: to, shape: s, ctx: ctx, stop: stop}
	if s.all > 0 {
		x.all = rate.NewLimiter(rate.Limit(s.all), burst)
	}
	x.conns.Add(1)
	go x.accept()
	return x, nil
}

func (x *line) addr() string { return x.l.Addr().String() }

func (x *line) accept() {
	defer x.conns.Done()
	for {
		c, err := x.l.Accept()
		if err != nil {
			return
		}
		x.conns.Add(1)
		go x.carry(c)
	}
}

func (x *line) carry(viewer net.Conn) {
	defer x.conns.Done()
	time.Sleep(x.shape.trip) // TCP's handshake
	pod, err := net.Dial("tcp", x.to)
	if err != nil {
		_ = viewer.Close()
		return
	}
	end := sync.OnceFunc(func() { _ = viewer.Close(); _ = pod.Close() })
	defer context.AfterFunc(x.ctx, end)()
	defer end()
	up, down := &lag{to: pod, by: x.shape.trip / 2}, &lag{to: viewer, by: x.shape.trip / 2}
	ask := &requests{line: x}
	x.conns.Add(1)
	go func() {
		defer x.conns.Done()
		defer end()
		_, _ = io.Copy(io.MultiWriter(ask, up), viewer)
		up.close()
	}()
	defer down.close()
	var each *rate.Limiter
	if x.shape.each > 0 {
		each = rate.NewLimiter(rate.Limit(x.shape.each), 4*burst)
	}
	buf := make([]byte, burst)
	for {
		n, err := pod.Read(buf)
		for _, limit := range []*rate.Limiter{each, x.all} {
			if limit != nil && n > 0 && limit.WaitN(x.ctx, n) != nil {
				return
			}
		}
		if n > 0 {
			x.sent.Add(int64(n))
			ask.answered(n)
			if _, err := down.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (x *line) close() {
	_ = x.l.Close()
	x.stop()
	x.conns.Wait()
}

// lag writes each write some time later.
type lag struct {
	to net.Conn
	by time.Duration

	once  sync.Once
	queue chan late
	done  chan struct{}
	fails atomic.Pointer[error]
}

type late struct {
	at time.Time
	b  []byte
}

func (l *lag) Write(b []byte) (int, error) {
	if l.by == 0 {
		return l.to.Write(b)
	}
	l.once.Do(func() {
		l.queue, l.done = make(chan late, 256), make(chan struct{})
		go func() {
			defer close(l.done)
			for x := range l.queue {
				time.Sleep(time.Until(x.at))
				if _, err := l.to.Write(x.b); err != nil {
					l.fails.Store(&err)
				}
			}
		}()
	})
	if err := l.fails.Load(); err != nil {
		return 0, *err
	}
	l.queue <- late{time.Now().Add(l.by), bytes.Clone(b)}
	return len(b), nil
}

// close waits until all is written.
func (l *lag) close() {
	if l.queue != nil {
		close(l.queue)
		<-l.done
	}
}

// asked is one request that went through a line.
type asked struct {
	what        string // method, path and range
	media       bool
	at          time.Time
	first, last time.Time // bytes of the answer
	parts       []part
	bytes       int64
}

// part is how much of an answer was sent by a time.
type part struct {
	at    time.Time
	bytes int64
}

// requests reads what a viewer sends on one connection: what the latest request was
// for. A browser sends the next one when it has the answer.
type requests struct {
	line *line
	now  atomic.Pointer[asked]
}

func (r *requests) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("GET ")) || bytes.HasPrefix(b, []byte("POST ")) {
		head, _, _ := strings.Cut(string(b), "\r\n\r\n")
		what, rest, _ := strings.Cut(head, " HTTP/")
		for _, h := range strings.Split(rest, "\r\n") {
			if name, value, _ := strings.Cut(h, ": "); strings.EqualFold(name, "Range") {
				what += " " + value
			}
		}
		a := &asked{what: what, at: time.Now(), media: strings.HasPrefix(what, "GET /stream/") || strings.HasPrefix(what, "GET /film/")}
		r.now.Store(a)
		r.line.mu.Lock()
		r.line.asked = append(r.line.asked, a)
		r.line.mu.Unlock()
	}
	return len(b), nil
}

// answered notes n bytes of an answer.
func (r *requests) answered(n int) {
	a := r.now.Load()
	if a == nil {
		return
	}
	if a.media {
		r.line.media.Add(int64(n))
	}
	r.line.mu.Lock()
	defer r.line.mu.Unlock()
	a.bytes += int64(n)
	a.last = time.Now().Add(r.line.shape.trip / 2)
	if a.first.IsZero() {
		a.first = a.last
	}
	a.parts = append(a.parts, part{a.last, a.bytes})
}

// since gives copies of the requests that came after a time.
func (x *line) since(t time.Time) (all []asked) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, a := range x.asked {
		if a.at.After(t) {
			c := *a
			c.parts = append([]part(nil), a.parts...)
			all = append(all, c)
		}
	}
	return all
}
