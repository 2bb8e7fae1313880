package seeder

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kinopod/shared/wire"
)

// How much may be buffered for a peer, in bytes. A block that is buffered cannot be
// cancelled: a viewer who seeks waits for all of it. So it is what the peer takes in
// windowTime, and no more than the line between needs.
const (
	minWindow   = 128 << 10
	maxWindow   = 1<<20 - 2*wire.MaxBlock
	windowTime  = 750 * time.Millisecond // some round trips of the longest line
	measureTime = 200 * time.Millisecond
	// maxBuffered is where we stop reading from a peer. Small messages may come on
	// top of a full window.
	maxBuffered = 1 << 20
)

// enqueue adds a job, unless most of them wait already, and sees to it that
// somebody sends it.
func (s *session) enqueue(j job, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.queue) >= most {
		return false
	}
	s.queue = append(s.queue, j)
	s.asked(time.Now())
	if !s.uploading {
		s.uploading = true
		s.uploads.Go(s.upload)
	}
	return true
}

// dequeue takes a waiting job out.
func (s *session) dequeue(j job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, j)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// next takes the first job. Where there is none, the uploading goroutine is to end.
func (s *session) next() (job, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.queue) == 0 {
		s.uploading = false
		return job{}, false
	}
	return s.pop(), true
}

// another takes the first job, if there is one.
func (s *session) another() (job, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.queue) == 0 {
		return job{}, false
	}
	return s.pop(), true
}

// pop takes the first job of a queue that has one. mu is held.
func (s *session) pop() job {
	j := s.queue[0]
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = nil // an idle peer holds no memory for requests
	}
	return j
}

// first is the length of what next will give, in bytes.
func (s *session) first() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.queue[0].metadata {
		return wire.MaxBlock
	}
	return int(s.queue[0].length)
}

// Lengths of what is written at once, in bytes.
const (
	// longestSent is the longest message.
	longestSent = wire.PieceHeader + wire.MaxBlock + 256
	// longestRun are the messages that go to a client over TCP together. Each client that
	// takes slowly holds as much memory.
	longestRun = 8 * longestSent
)

// blockBuffers hold messages while they are made: a channel copies what is written.
type blockBuffers struct {
	size int // of each
	pool sync.Pool
}

func (p *blockBuffers) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, p.size)
	return &b
}

func (p *blockBuffers) put(b *[]byte) { p.pool.Put(b) }

// lowMark is the buffered amount at which a window is filled up again.
func lowMark(window int) uint64 { return uint64(window) * 3 / 4 }

// upload sends what is queued, until nothing is. It waits first and chooses then,
// so that what is cancelled meanwhile costs nothing.
func (s *session) upload() {
	s.window.restart(time.Now(), s.drainedBytes())
	buf := s.buffers.get()
	defer s.buffers.put(buf)
	for {
		if !s.waitBelow(s.window.size) || s.afford(s.first()) != nil {
			return // it is closed, and so is the queue
		}
		j, ok := s.next()
		if !ok {
			return
		}
		b, blocks, err := s.gather((*buf)[:0], j)
		if err == nil {
			err = s.send(b)
		}
		if err != nil {
			s.stop(err)
			return
		}
		s.sent.Add(int64(blocks))
		if size := s.window.measure(time.Now(), s.drainedBytes()); size != 0 {
			s.channel.SetBufferedAmountLowThreshold(lowMark(size))
		}
	}
}

// waitBelow waits until less than size bytes are buffered. It is false when the
// session is closed.
func (s *session) waitBelow(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && s.channel.BufferedAmount() >= uint64(size) {
		s.changed.Wait()
	}
	return !s.closed
}

// gather writes the message that j asks for to b, and to a stream those that wait
// behind it, as far as there is room and the budgets have bytes left: who would have to
// wait for them takes turns with others, block by block. It counts the bytes of blocks.
func (s *session) gather(b []byte, j job) (_ []byte, blocks int, err error) {
	for ok := true; ok; j, ok = s.another() {
		before := len(b)
		if b, err = s.make(b, j); err != nil {
			return nil, 0, err
		}
		s.credit -= len(b) - before
		if !j.metadata {
			blocks += int(j.length)
		}
		if !s.stream || cap(b)-len(b) < longestSent || !s.spare(s.first()) {
			break
		}
	}
	return b, blocks, nil
}

// afford waits until the budgets have n bytes.
func (s *session) afford(n int) error {
	for _, l := range s.pace {
		if l == nil || n <= s.credit {
			continue
		}
		if err := l.WaitN(s.ctx, n-s.credit); err != nil {
			return context.Cause(s.ctx)
		}
	}
	s.credit = max(s.credit, n)
	return nil
}

// spare is afford where that would not wait; otherwise it is false.
func (s *session) spare(n int) bool {
	now := time.Now()
	var taken []*rate.Reservation
	for _, l := range s.pace {
		if l == nil || n <= s.credit {
			continue
		}
		r := l.ReserveN(now, n-s.credit)
		taken = append(taken, r)
		if !r.OK() || r.DelayFrom(now) > 0 {
			for _, r := range taken {
				r.CancelAt(now)
			}
			return false
		}
	}
	s.credit = max(s.credit, n)
	return true
}

// make adds the message that j asks for to b, which has room for it.
func (s *session) make(b []byte, j job) ([]byte, error) {
	if j.metadata {
		piece, _ := wire.MetadataPieceOf(s.torrent.Info, int(j.index))
		return wire.MetadataMessage{
			Kind: wire.MetadataData, Piece: int(j.index), TotalSize: int64(len(s.torrent.Info)), Data: piece,
		}.Message(int(j.begin)).Append(b), nil
	}
	b = wire.AppendPieceHeader(b, j.index, j.begin, int(j.length))
	block := b[len(b) : len(b)+int(j.length)]
	_, err := s.file.ReadAt(block, s.torrent.Offset(int(j.index))+int64(j.begin))
	return b[:len(b)+len(block)], err
}

// window follows what a peer takes.
type window struct {
	size    int
	at      time.Time // of the last measurement
	drained int64
}

// restart begins to measure after a pause: what a peer took before it still is the
// best guess.
func (w *window) restart(now time.Time, drained int64) { w.at, w.drained = now, drained }

// measure takes the bytes drained so far and gives a new size, or 0 where it stays.
func (w *window) measure(now time.Time, drained int64) int {
	took := now.Sub(w.at)
	if took < measureTime {
		return 0
	}
	bytes := float64(drained-w.drained) * float64(windowTime) / float64(took)
	w.at, w.drained = now, drained
	size := int(min(max(bytes, minWindow), maxWindow))
	if size == w.size {
		return 0
	}
	w.size = size
	return size
}
