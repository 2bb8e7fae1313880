package tracker

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"kinopod/shared/announce"
)

// linger is how long a connection that we close may take to close at its end: 5 s.
func (l *loop) linger() time.Duration { return l.limits.Ping / 12 }

// probeTime is how long a connection may take to give a sign of life when somebody
// else comes with its peer id: 10 s.
func (l *loop) probeTime() time.Duration { return l.limits.Ping / 6 }

// How many bytes are collected within one turn of the loop before they are sent:
// for one connection, and for all. What a loaded tracker sends goes to many
// connections: where little is held for all, it goes out in many small writes
// (go run ./build/bench tracker -only cpu).
const (
	flushSize   = 32 << 10
	pendingSize = 8 << 20
)

// conn is one WebSocket connection. The loop owns it.
type conn struct {
	link    link
	visitor *visitor
	from    netip.Addr
	query   string // of the address that it came to, see Config.Admits

	peers []*peer // its memberships

	frames   frameReader
	out      []byte // frames to send
	sent     int    // bytes of out that the link took
	dirty    bool   // on the loop's list of connections to flush
	blocked  bool   // the link takes no more until it says so
	state    connState
	failures int            // since the last ping
	offered  []introduction // offers handed to it that it may answer
	bucket   int            // when it is visited
	slot     int            // where in its bucket
	heard    time.Duration  // when the last bytes came
	pinged   time.Duration  // when it was pinged last, 0 if not yet
	spoken   time.Duration  // when the last message came
	begun    time.Duration  // when the message began that is unfinished, 0 if none
	deadline time.Duration  // when it is looked at out of turn, 0 if never
}

// connState is how far a connection is closed.
type connState uint8

const (
	stateOpen    connState = iota
	stateClosing           // a close frame is on its way; what comes is passed over
	stateShut              // the close frame is out; the other end is to close
	stateGone
)

// introduction is an offer that went from a peer to a connection.
type introduction struct {
	from *peer
	id   announce.OfferID
	at   time.Duration
}

// mostIntroductions bounds the unanswered offers that are remembered of a
// connection; beyond it the oldest are forgotten.
const mostIntroductions = 128

// member gives the membership of c in s, nil if it has none. Clients that run
// several peers in one process share a connection: each torrent has its peer id.
func (c *conn) member(s *swarm) *peer {
	for _, p := range c.peers {
		if p.swarm == s {
			return p
		}
	}
	return nil
}

// attach takes over a connection whose handshake is done; early is what came
// behind it.
func (l *loop) attach(c *conn, early []byte) {
	if l.ended {
		c.link.close()
		l.visitors.disconnect(c.visitor)
		return
	}
	c.heard, c.spoken = l.now, l.now
	c.bucket = (l.tick + len(l.buckets) - 1) % len(l.buckets)
	c.slot = len(l.buckets[c.bucket])
	l.buckets[c.bucket] = append(l.buckets[c.bucket], c)
	l.count.connections.Add(1)
	if err := c.link.start(c); err != nil {
		l.log.Warn("take over a tracker connection", "err", err)
		l.drop(c)
		return
	}
	if len(early) > 0 {
		l.received(c, early)
	}
}

// received takes bytes that came over a connection, and may change them.
func (l *loop) received(c *conn, b []byte) {
	if c.state == stateGone {
		return
	}
	c.heard = l.now
	if c.state != stateOpen {
		return
	}
	err := c.frames.feed(b, l.limits.Message, func(op opcode, payload []byte) error { return l.frame(c, op, payload) })
	var why *closure
	if errors.As(err, &why) && c.state == stateOpen {
		l.count.refused[refusedFrame].Add(1)
		l.close(c, *why)
	}
	switch {
	case c.state != stateOpen:
		c.frames = frameReader{}
	case !c.frames.unfinished():
		c.begun = 0
	case c.begun == 0:
		c.begun = l.now
	}
	if l.pending >= pendingSize {
		l.flushAll()
	}
}

var errClosed = errors.New("closed")

// frame acts on a message, a control frame or a fragment.
func (l *loop) frame(c *conn, op opcode, payload []byte) error {
	spent := !c.visitor.take(l.wall)
	switch {
	case op == opText:
		l.message(c, payload, spent)
	case spent:
		l.strike(c, refusedRate)
	case op == opPing:
		l.send(c, opPong, payload)
	case op == opClose:
		l.close(c, closure{code: parseClose(payload)})
	}
	if c.state != stateOpen {
		return errClosed // what follows is passed over
	}
	return nil
}

// strike counts a failure; a connection with too many of them is closed.
func (l *loop) strike(c *conn, why reason) {
	l.count.refused[why].Add(1)
	if c.failures++; c.failures >= l.limits.Failures {
		l.close(c, closure{closePolicy, "too many failures"})
	}
}

// send queues a frame.
func (l *loop) send(c *conn, op opcode, payload []byte) {
	if out, ok := l.begin(c); ok {
		at := len(out)
		l.end(c, endFrame(append(beginFrame(out), payload...), at, op))
	}
}

// begin gives the queue of an open connection to append frames to; end takes it
// back.
func (l *loop) begin(c *conn) ([]byte, bool) {
	if c.state != stateOpen {
		return nil, false
	}
	if c.out == nil {
		c.out = l.buffer()
	}
	return c.out, true
}

func (l *loop) end(c *conn, out []byte) {
	l.pending += len(out) - len(c.out)
	c.out = out
	if !c.dirty {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
	if len(c.out)-c.sent >= flushSize {
		l.flush(c)
	}
	if len(c.out)-c.sent > l.limits.Queue {
		l.count.refused[refusedQueue].Add(1)
		l.drop(c)
	}
}

// flush sends what is queued, as far as the link takes it.
func (l *loop) flush(c *conn) {
	for c.sent < len(c.out) && !c.blocked && c.state != stateGone {
		n, err := c.link.write(c.out[c.sent:])
		if err != nil {
			l.drop(c)
			return
		}
		c.sent += n
		c.blocked = n == 0
	}
	if c.state == stateGone {
		return
	}
	if c.sent < len(c.out) {
		if c.sent > len(c.out)/2 { // the front is not needed any more
			c.out = c.out[:copy(c.out, c.out[c.sent:])]
			c.sent = 0
		}
		return
	}
	l.release(c.out)
	c.out, c.sent = nil, 0
	if c.state == stateClosing {
		c.state = stateShut
		c.link.shut()
	}
}

// writable says that the link takes bytes again.
func (l *loop) writable(c *conn) {
	c.blocked = false
	l.flush(c)
}

// close ends a connection in order: a close frame, then the other end has a while
// to close. Its memberships end now.
func (l *loop) close(c *conn, why closure) {
	if c.state != stateOpen {
		return
	}
	l.leaveAll(c)
	if out, ok := l.begin(c); ok {
		l.end(c, appendClose(out, why))
	}
	if c.state == stateOpen { // not dropped for the length of its queue
		c.state = stateClosing
		l.watch(c, l.now+l.linger())
	}
}

// drop ends a connection at once.
func (l *loop) drop(c *conn) {
	if c.state == stateGone {
		return
	}
	l.leaveAll(c)
	c.state = stateGone
	c.link.close()
	l.visitors.disconnect(c.visitor)
	l.count.connections.Add(-1)
	l.release(c.out)
	c.out, c.sent, c.frames, c.offered = nil, 0, frameReader{}, nil
	bucket := l.buckets[c.bucket]
	last := len(bucket) - 1
	bucket[c.slot] = bucket[last]
	bucket[c.slot].slot = c.slot
	bucket[last] = nil
	l.buckets[c.bucket] = bucket[:last]
}

// leaveAll ends the memberships of a connection.
func (l *loop) leaveAll(c *conn) {
	for len(c.peers) > 0 {
		l.leave(c.peers[len(c.peers)-1])
	}
}

// watch has a connection looked at out of turn.
func (l *loop) watch(c *conn, at time.Duration) {
	if c.deadline == 0 {
		l.watched = append(l.watched, c)
	}
	c.deadline = at
}

// probe asks a connection for a sign of life.
func (l *loop) probe(c *conn) {
	if c.state == stateOpen && c.deadline == 0 {
		l.send(c, opPing, nil)
		l.watch(c, l.now+l.probeTime())
	}
}

// overdue looks at the watched connections.
func (l *loop) overdue() {
	rest := l.watched[:0]
	for _, c := range l.watched {
		switch {
		case c.state == stateGone:
		case l.now < c.deadline:
			rest = append(rest, c)
		case c.state == stateOpen && c.heard > c.deadline-l.probeTime():
			c.deadline = 0
		default:
			if c.state == stateOpen {
				l.count.refused[refusedQuiet].Add(1)
			}
			l.drop(c)
		}
	}
	clear(l.watched[len(rest):])
	l.watched = rest
}

// visit is done with each connection once in limits.Ping: it is pinged, or ended if
// it gave no sign of life since the last time.
func (l *loop) visit(c *conn) {
	if c.state != stateOpen {
		return
	}
	switch {
	case c.pinged > 0 && c.heard < c.pinged:
		l.count.refused[refusedQuiet].Add(1)
		l.drop(c)
		return
	case c.begun > 0 && l.now-c.begun > l.limits.Ping:
		l.count.refused[refusedQuiet].Add(1)
		l.close(c, closure{closePolicy, "message not finished in time"})
		return
	case len(c.peers) == 0 && l.now-c.spoken > l.expiry():
		l.close(c, closure{closeGoingAway, "no announce for long"})
		return
	}
	c.failures, c.pinged = 0, l.now
	c.forgetOffers(l.now - l.limits.Answer)
	l.send(c, opPing, nil)
}

// forgetOffers forgets what was offered before a time.
func (c *conn) forgetOffers(before time.Duration) {
	n := 0
	for n < len(c.offered) && c.offered[n].at < before {
		n++
	}
	if c.offered = slices.Delete(c.offered, 0, n); len(c.offered) == 0 {
		c.offered = nil
	}
}
