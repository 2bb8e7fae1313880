package tracker

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// epoll waits for plain TCP sockets. Their descriptors are its own: Go's poller
// knows nothing of them, so an idle connection costs what conn takes. Go's poller
// does know the epoll instance: waiting for it blocks a goroutine, not a thread.
type epoll struct {
	file   *os.File
	raw    syscall.RawConn // of file
	bell   int             // the eventfd that wakes it
	links  map[int32]*conn
	events []unix.EpollEvent
	ready  int // events of the last wait
	input  []byte
}

// Sizes of one turn: more events a turn means fewer, larger writes.
const (
	epollEvents = 4096
	epollRead   = 64 << 10
)

// newPoller makes the poller of this system.
func newPoller(log *slog.Logger) poller {
	e, err := newEpoll()
	if err != nil {
		log.Warn("no epoll: each tracker connection gets goroutines", "err", err)
		return newBell()
	}
	return e
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // what os.NewFile asks for
		unix.Close(fd)
		return nil, fmt.Errorf("set epoll non-blocking: %w", err)
	}
	e := &epoll{
		file: os.NewFile(uintptr(fd), "epoll"), bell: -1, links: map[int32]*conn{},
		events: make([]unix.EpollEvent, epollEvents), input: make([]byte, epollRead),
	}
	if e.raw, err = e.file.SyscallConn(); err == nil {
		e.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err == nil {
		// Edge-triggered: each wake is an event, and nothing has to be read.
		err = e.control(unix.EPOLL_CTL_ADD, e.bell, unix.EPOLLIN|unix.EPOLLET)
	}
	if err == nil {
		err = e.file.SetReadDeadline(time.Time{}) // fails where Go cannot wait for it
	}
	if err != nil {
		e.close()
		return nil, fmt.Errorf("set up epoll: %w", err)
	}
	return e, nil
}

func (e *epoll) control(op, fd int, events uint32) (err error) {
	outer := e.raw.Control(func(epfd uintptr) {
		err = unix.EpollCtl(int(epfd), op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	})
	return errors.Join(outer, err)
}

func (e *epoll) wait(until time.Time) error {
	e.ready = 0
	if err := e.file.SetReadDeadline(until); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	var err error
	outer := e.raw.Read(func(epfd uintptr) bool {
		e.ready, err = unix.EpollWait(int(epfd), e.events, 0)
		return e.ready != 0
	})
	if err == unix.EINTR || errors.Is(outer, os.ErrDeadlineExceeded) {
		err, outer = nil, nil
	}
	e.ready = max(0, e.ready)
	if err = errors.Join(outer, err); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (e *epoll) dispatch(l *loop) {
	for _, event := range e.events[:e.ready] {
		// The bell is not in links, nor is what was dropped in this turn.
		if c := e.links[event.Fd]; c != nil {
			e.serve(l, c, event.Events)
		}
	}
}

// serve reads once from a connection, so that none keeps the others waiting.
func (e *epoll) serve(l *loop, c *conn, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		l.writable(c)
	}
	if events&^unix.EPOLLOUT == 0 || c.state == stateGone {
		return
	}
	switch n, err := c.link.(*socket).read(e.input); {
	case err != nil:
		l.drop(c)
	case n > 0:
		l.received(c, e.input[:n])
	}
}

func (e *epoll) wake() {
	unix.Write(e.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (e *epoll) close() {
	if e.bell >= 0 {
		unix.Close(e.bell)
	}
	e.file.Close()
}

// notSent bounds what the kernel holds for a reader that does not read, in bytes:
// the queue that is limited is ours.
const notSent = 64 << 10

func (e *epoll) adopt(nc net.Conn) link {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	fd := -1
	raw.Control(func(old uintptr) {
		if fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			fd = -1
		}
	})
	if fd < 0 {
		return nil
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
	// Go's poller lets go of the socket; the descriptor of ours keeps it open.
	tcp.Close()
	return &socket{epoll: e, fd: fd}
}

// socket is the link of a plain TCP connection.
type socket struct {
	epoll   *epoll
	fd      int
	started bool
	waiting bool // for room to write
}

const readable = unix.EPOLLIN | unix.EPOLLRDHUP

func (s *socket) start(c *conn) error {
	if err := s.epoll.control(unix.EPOLL_CTL_ADD, s.fd, readable); err != nil {
		return fmt.Errorf("wait for a socket: %w", err)
	}
	s.epoll.links[int32(s.fd)] = c
	s.started = true
	return nil
}

// read takes what is there; 0 if nothing is.
func (s *socket) read(b []byte) (int, error) {
	n, err := unix.Read(s.fd, b)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (s *socket) write(b []byte) (int, error) {
	n, err := unix.Write(s.fd, b)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, s.wait(true)
	case err != nil:
		return 0, err
	}
	return n, s.wait(false)
}

// wait asks to be told, or not, when there is room to write.
func (s *socket) wait(yes bool) error {
	if s.waiting == yes {
		return nil
	}
	s.waiting = yes
	events := uint32(readable)
	if yes {
		events |= unix.EPOLLOUT
	}
	return s.epoll.control(unix.EPOLL_CTL_MOD, s.fd, events)
}

func (s *socket) shut() { unix.Shutdown(s.fd, unix.SHUT_WR) }

func (s *socket) close() {
	if s.started {
		delete(s.epoll.links, int32(s.fd))
	}
	unix.Close(s.fd)
}
