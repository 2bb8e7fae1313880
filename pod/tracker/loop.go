package tracker

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"kinopod/shared/announce"
	"kinopod/shared/magnet"
)

// loop is the goroutine that owns connections and swarms, and what they stand in.
type loop struct {
	// immutable
	log      *slog.Logger
	limits   Limits
	interval time.Duration
	serves   func(magnet.InfoHash) bool
	has      func(magnet.InfoHash) bool
	admits   func(h magnet.InfoHash, query string) bool
	open     bool
	seeder   Seeder
	visitors *visitors
	poller   poller
	start    time.Time
	count    counters
	seeding  chan struct{} // a place for each offer that the seeder works on

	// guarded by mu
	mu     sync.Mutex
	posted []func()
	closed bool // nothing is posted any more

	// owned by the loop
	ctx       context.Context // of Run
	now       time.Duration   // since start, at the beginning of this turn
	wall      time.Time       // the same
	ended     bool
	swarms    map[magnet.InfoHash]*swarm
	peers     queue // of all swarms
	dropped   map[magnet.InfoHash]*tombstone
	buckets   [][]*conn // every connection; one bucket is visited a tick
	tick      int       // the bucket that was visited last
	nextTick  time.Duration
	dirty     []*conn // with something to send
	pending   int     // bytes queued since everything was sent
	watched   []*conn // with a deadline
	free      [][]byte
	freeBytes int // capacity of free
	request   announce.Request
	chosen    []*peer
	waiting   int // offers that wait for the seeder, or are with it

	// tasks are the goroutines that the loop started.
	tasks sync.WaitGroup
}

// ticks is in how many parts the connections are visited.
const ticks = 60

// poller waits until something is to be done.
type poller interface {
	// wait blocks until a link is ready, wake was called, or the time has come.
	wait(until time.Time) error
	// dispatch reads what came over the links that are ready: it calls received,
	// writable and drop of the loop.
	dispatch(l *loop)
	// wake ends a wait, now or the next time. It may be called from any goroutine.
	wake()
	// adopt makes a link of a connection that the poller can wait for, and takes
	// it over; nil for others. It may be called from any goroutine.
	adopt(nc net.Conn) link
	close()
}

// link moves the bytes of a connection. The loop alone calls it, once started.
type link interface {
	// start begins to wait for bytes.
	start(c *conn) error
	// write takes a part of b without blocking, none if the link is full: then the
	// loop is told when it is not.
	write(b []byte) (int, error)
	// shut says that nothing more will be written.
	shut()
	// close ends the link. If it was not started, any goroutine may call it.
	close()
}

// run is the loop; it ends with ctx.
func (l *loop) run(ctx context.Context) error {
	l.ctx = ctx
	defer context.AfterFunc(ctx, l.poller.wake)()
	var err error
	for ctx.Err() == nil && err == nil {
		err = l.poller.wait(l.start.Add(l.nextTick))
		l.wall = time.Now()
		l.now = l.wall.Sub(l.start)
		// What was posted before a message was sent goes first: after Drop no
		// announce joins.
		l.runPosted()
		l.poller.dispatch(l)
		if l.now >= l.nextTick {
			l.nextTick = l.now + l.limits.Ping/ticks
			l.sweep()
		}
		l.flushAll()
	}
	l.finish()
	return err
}

// finish closes every connection and waits for what the loop started.
func (l *loop) finish() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.ended = true
	l.runPosted()
	for _, bucket := range l.buckets {
		for i := len(bucket) - 1; i >= 0; i-- {
			c := bucket[i]
			l.close(c, closure{closeGoingAway, "the pod is going away"})
			l.flush(c)
			l.drop(c)
		}
	}
	l.tasks.Wait()
	l.poller.close()
}

// post has f run on the loop, once. It returns false, and f does not run, if the
// loop has ended.
func (l *loop) post(f func()) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.posted = append(l.posted, f)
	first := len(l.posted) == 1
	l.mu.Unlock()
	if first {
		l.poller.wake()
	}
	return true
}

// do is post that waits until f has run.
func (l *loop) do(f func()) bool {
	done := make(chan struct{})
	if !l.post(func() { defer close(done); f() }) {
		return false
	}
	<-done
	return true
}

func (l *loop) runPosted() {
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range posted {
		f()
	}
}

// flushAll sends what was queued in this turn. One write carries all of it: system
// calls are most of what a tracker costs.
func (l *loop) flushAll() {
	for _, c := range l.dirty {
		c.dirty = false
		l.flush(c)
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	l.pending = 0
}

// sweep is done ticks times in limits.Ping: what is too old ends.
func (l *loop) sweep() {
	l.tick = (l.tick + 1) % len(l.buckets)
	bucket := l.buckets[l.tick]
	for i := len(bucket) - 1; i >= 0; i-- { // visit may take this one out
		l.visit(bucket[i])
	}
	l.overdue()
	for p := l.peers.oldest; p != nil && l.now-p.announced > l.expiry(); p = l.peers.oldest {
		l.leave(p)
	}
	l.sweepTombstones()
}

// intervalSeconds is how often peers are told to announce.
func (l *loop) intervalSeconds() int64 { return max(1, int64(l.interval/time.Second)) }

// expiry is how long after its last announce a peer is taken for gone.
func (l *loop) expiry() time.Duration { return 3 * l.interval }

// Buffers of idle connections go round: at most mostFree bytes, of at most freeSize
// each.
const (
	mostFree = 4 << 20
	freeSize = 32 << 10
)

func (l *loop) buffer() []byte {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		l.freeBytes -= cap(b)
		return b
	}
	return make([]byte, 0, 2<<10)
}

func (l *loop) release(b []byte) {
	if b != nil && cap(b) <= freeSize && l.freeBytes+cap(b) <= mostFree {
		l.free = append(l.free, b[:0])
		l.freeBytes += cap(b)
	}
}
