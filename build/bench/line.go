package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// line is a way to the pod that gives each connection a number of bytes a second
// towards the viewer, and counts them. It shapes HTTP and WebSockets; WebRTC does not
// go through it.
type line struct {
	l     net.Listener
	to    string
	most  int
	sent  atomic.Int64 // bytes towards viewers
	media atomic.Int64 // those of them that are bytes of a film
	ctx   context.Context
	stop  context.CancelFunc
	conns sync.WaitGroup
}

func newLine(to string, bytesPerSecond int) (*line, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	x := &line{l: l, to: to, most: bytesPerSecond, ctx: ctx, stop: stop}
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
	pod, err := net.Dial("tcp", x.to)
	if err != nil {
		_ = viewer.Close()
		return
	}
	end := sync.OnceFunc(func() { _ = viewer.Close(); _ = pod.Close() })
	defer context.AfterFunc(x.ctx, end)()
	var ask asked
	x.conns.Add(1)
	go func() {
		defer x.conns.Done()
		defer end()
		_, _ = io.Copy(io.MultiWriter(&ask, pod), viewer)
	}()
	defer end()
	limit := rate.NewLimiter(rate.Limit(x.most), 64<<10)
	buf := make([]byte, 16<<10)
	for {
		n, err := pod.Read(buf)
		if n > 0 {
			if limit.WaitN(x.ctx, n) != nil {
				return
			}
			x.sent.Add(int64(n))
			if ask.media.Load() {
				x.media.Add(int64(n))
			}
			if _, err := viewer.Write(buf[:n]); err != nil {
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

// asked reads what a viewer sends on one connection: whether the latest request was
// for a film. A browser sends the next one when it has the answer.
type asked struct{ media atomic.Bool }

func (a *asked) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("GET ")) || bytes.HasPrefix(b, []byte("POST ")) {
		a.media.Store(bytes.HasPrefix(b, []byte("GET /stream/")))
	}
	return len(b), nil
}
