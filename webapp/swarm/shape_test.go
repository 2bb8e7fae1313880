package swarm

import (
	"sync"
	"time"

	"kinopod/webapp/piecestore"
)

// packet is how much of a message goes at once.
const packet = 1200

// uplink gives what several lines send the same share of a number of bytes a second,
// packet by packet: a short message waits for no long one of another line.
type uplink struct {
	rate  float64
	mu    sync.Mutex
	lines []*line            // those that have something to send, in turns
	queue map[*line][][]byte // guarded by mu
	gone  map[*line]int      // bytes of the first message of each; guarded by mu
	ready chan struct{}
}

func (w *world) uplink(bytesPerSecond float64) *uplink {
	u := &uplink{rate: bytesPerSecond, queue: map[*line][][]byte{}, gone: map[*line]int{}, ready: make(chan struct{}, 1)}
	stop := make(chan struct{})
	w.wait.Go(func() {
		for {
			l, n, b := u.next()
			if l == nil {
				select {
				case <-u.ready:
					continue
				case <-stop:
					return
				}
			}
			time.Sleep(time.Duration(float64(n) / u.rate * float64(time.Second)))
			if b == nil {
				continue
			}
			l.mu.Lock()
			was := l.unsent
			l.unsent -= len(b)
			low := was > sendLow && l.unsent <= sendLow && !l.closed
			l.mu.Unlock()
			l.deliver(b)
			if low {
				l.in.box.post(l.on.Low)
			}
		}
	})
	w.t.Cleanup(func() { close(stop) })
	return u
}

func (u *uplink) post(l *line, b []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.queue[l]) == 0 {
		u.lines = append(u.lines, l)
	}
	u.queue[l] = append(u.queue[l], b)
	select {
	case u.ready <- struct{}{}:
	default:
	}
}

// next gives whose turn it is, how many bytes go, and the message that they end; nil for
// none.
func (u *uplink) next() (l *line, n int, whole []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.lines) == 0 {
		return nil, 0, nil
	}
	l = u.lines[0]
	u.lines = u.lines[1:]
	first := u.queue[l][0]
	n = min(packet, len(first)-u.gone[l])
	if u.gone[l] += n; u.gone[l] < len(first) {
		u.lines = append(u.lines, l)
		return l, n, nil
	}
	u.gone[l] = 0
	if u.queue[l] = u.queue[l][1:]; len(u.queue[l]) > 0 {
		u.lines = append(u.lines, l)
	} else {
		delete(u.queue, l)
	}
	return l, n, first
}

// shared is a store that keeps which pieces it has; their bytes are the world's.
type shared struct {
	w    *world
	have map[int]bool
}

func (s *shared) Put(i int, _ piecestore.Chunk) { s.have[i] = true }

func (s *shared) Get(i int, done func(piecestore.Chunk, error)) {
	if !s.have[i] {
		done(piecestore.Chunk{}, piecestore.ErrAbsent)
		return
	}
	done(s.w.piece(i), nil)
}

func (s *shared) Drop(i int) { delete(s.have, i) }

func (s *shared) Close() {}
