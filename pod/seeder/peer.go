package seeder

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/datachannel"
	"golang.org/x/time/rate"

	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// peerKey tells WebRTC peers apart. The address is part of it so that nobody can
// take the place of a peer whose id he has seen in the swarm.
type peerKey struct {
	hash magnet.InfoHash
	id   wire.PeerID
	from netip.Addr
}

// peer is one WebRTC connection, from its offer until stop.
type peer struct {
	lifetime
	seeder *Seeder
	key    peerKey
	born   time.Time

	mu         sync.Mutex
	ended      bool
	swarm      *swarm
	connection *connection
	session    *session       // nil until the data channel is open
	serving    sync.WaitGroup // the connection and the session
}

// lifetime is that of a peer.
type lifetime struct {
	ctx  context.Context
	stop context.CancelCauseFunc // ends the peer, at any time and from anywhere
	gone chan struct{}           // closed when nothing of the peer is left
}

func newLifetime(within context.Context) lifetime {
	ctx, stop := context.WithCancelCause(within)
	return lifetime{ctx, stop, make(chan struct{})}
}

// connectWithin is how long a browser may take from the answer to an open channel.
const connectWithin = 30 * time.Second

// Reasons for the end of a peer.
var (
	errOff       = errors.New("switched off")
	errReplaced  = errors.New("the peer offered again")
	errNeverOpen = errors.New("the data channel did not open in time")
	errLost      = errors.New("the connection is lost")
	errChannel   = errors.New("not one reliable, ordered data channel")
)

// admit takes a seat for a peer that is about to connect. From then on stop is
// what ends it.
func (s *Seeder) admit(key peerKey) (*peer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil || s.off {
		return nil, refuse(RefusedOff, nil)
	}
	before := s.peers[key]
	if before != nil && before.open() {
		return nil, refuse(RefusedDuplicate, nil)
	}
	if err := s.seats.take(key.from); err != nil {
		return nil, err
	}
	if before != nil {
		before.stop(errReplaced)
	}
	p := &peer{lifetime: newLifetime(s.life), seeder: s, key: key, born: time.Now()}
	s.peers[key] = p
	s.ended.Add(1)
	context.AfterFunc(p.ctx, p.end)
	return p, nil
}

func (p *peer) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session != nil
}

// connect answers the offer. It takes over the caller's hold on w.
func (p *peer) connect(w *swarm, offer *description) (string, error) {
	engine, err := p.join(w)
	if err != nil {
		return "", err
	}
	c, err := engine.newConnection(offer, func() { p.stop(errLost) })
	if err != nil {
		return "", err
	}
	answer, err := c.answer(longestMessage(w.meta))
	if err = errors.Join(err, p.own(c)); err != nil {
		return "", err
	}
	return answer, nil
}

// join makes the peer one of w's.
func (p *peer) join(w *swarm) (*rtcEngine, error) {
	s := p.seeder
	s.mu.Lock()
	defer s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || w.dropped || s.engine == nil {
		w.refs-- // as release does
		return nil, refuse(RefusedOff, context.Cause(p.ctx))
	}
	p.swarm = w
	w.browser[p] = struct{}{}
	return s.engine, nil
}

// own has the peer serve c, and close it when it ends.
func (p *peer) own(c *connection) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		c.end()
		return refuse(RefusedOff, context.Cause(p.ctx))
	}
	p.connection = c
	p.serving.Go(func() { p.stop(c.serve(p.ctx, p.channel)) })
	return nil
}

// channel takes a data channel that the browser made.
func (p *peer) channel(ch *datachannel.DataChannel) {
	if !reliable(ch) {
		p.stop(errChannel)
		return
	}
	if session := p.begin(ch); session != nil {
		go func() { // end waits for it
			defer p.serving.Done()
			p.stop(session.run())
		}()
	}
}

// begin makes the session of the first channel; nil says that there is none to be.
func (p *peer) begin(ch channel) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	if p.session != nil {
		p.stop(errChannel)
		return nil
	}
	s := p.seeder
	p.session = newSession(p.ctx, sessionConfig{
		channel: ch, torrent: p.swarm.meta, self: s.self, sent: &s.sent,
		file: blockFile{s, p.swarm}, pace: []*rate.Limiter{newLimiter(s.config.PeerBytesPerSecond), s.all},
		buffers: &s.buffers, stop: p.stop,
	})
	p.serving.Add(1)
	return p.session
}

// end closes the connection and gives back what the peer held. It runs once, in a
// goroutine of its own, when the peer's context ends.
func (p *peer) end() {
	p.mu.Lock()
	p.ended = true
	c, session, w := p.connection, p.session, p.swarm
	p.mu.Unlock()
	if c != nil {
		c.end()
	}
	p.serving.Wait()

	s := p.seeder
	s.log.Debug("peer gone", "infoHash", p.key.hash, "kind", "webrtc", "opened", session != nil, "err", context.Cause(p.ctx))
	s.mu.Lock()
	s.seats.leave(p.key.from)
	if s.peers[p.key] == p {
		delete(s.peers, p.key)
	}
	if w != nil {
		delete(w.browser, p)
	}
	s.mu.Unlock()
	if w != nil {
		s.release(w)
	}
	close(p.gone)
	s.ended.Done()
}

// check gives the reason why the peer should end now, or nil.
func (p *peer) check(now time.Time) error {
	p.mu.Lock()
	session := p.session
	p.mu.Unlock()
	if session != nil {
		return session.check(now)
	}
	if now.Sub(p.born) > connectWithin {
		return errNeverOpen
	}
	return nil
}

// blockFile is a swarm's file that has the torrent dropped when it cannot be read.
type blockFile struct {
	seeder *Seeder
	*swarm
}

func (f blockFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.swarm.ReadAt(b, off)
	if n < len(b) {
		f.seeder.fail(f.swarm, err)
		return n, err
	}
	return n, nil
}
