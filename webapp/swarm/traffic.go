package swarm

import "time"

// What carries the bytes of a data channel. A full packet of a browser holds packetBytes of
// them; it adds the headers of IPv4 (20 bytes), UDP (8), DTLS (37 or less) and SCTP (28). One
// packet without any acknowledges two.
const (
	packetBytes   = 1152
	packetHeaders = 20 + 8 + 37 + 28
)

// onWire is what n bytes take that a peer gets, as the counters of a network interface
// see it where no packet is lost.
func onWire(n int64) float64 { return float64(n) * (1 + packetHeaders/float64(packetBytes)) }

// receipts is what those who get n bytes send back for them.
func receipts(n int64) float64 { return float64(n) / (2 * packetBytes) * packetHeaders }

// traffic is what a connection took of the line: what the platform counted last, and an
// estimate of what came since. Packets that are sent again are in the first only.
type traffic struct {
	up, down       int64 // as counted
	sent, received int64 // bytes of messages since then
	asked          time.Time
	quiet          bool // nothing came since the last time but one
}

func (t *traffic) sum() (up, down int64) {
	return t.up + int64(onWire(t.sent)+receipts(t.received)), t.down + int64(onWire(t.received)+receipts(t.sent))
}

// weighEvery is how often the platform is asked what it counted, of connections that are
// in use.
const weighEvery = 15 * time.Second

// weigh asks what a connection took of the line.
func (p *peer) weigh() {
	t := &p.line
	still := t.sent == 0 && t.received == 0
	if p.e.now.Sub(t.asked) < weighEvery || still && t.quiet {
		return
	}
	t.asked, t.quiet = p.e.now, still
	p.conn.Carried(func(up, down int64) {
		p.e.box.post(func() {
			if !p.closed {
				t.up, t.down, t.sent, t.received = up, down, 0, 0
			}
		})
	})
}

// carried is what all connections took of the line so far.
func (e *Engine) carried() (up, down int64) {
	up, down = e.gone.up, e.gone.down
	for p := range e.peers {
		u, d := p.line.sum()
		up, down = up+u, down+d
	}
	return up, down
}
