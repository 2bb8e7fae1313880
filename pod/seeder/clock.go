package seeder

import (
	"errors"
	"sync"
	"time"

	"kinopod/shared/wire"
)

// How long a peer may take. Every seat that is held for nothing is one that a
// viewer does not get.
const (
	handshakeWithin = 15 * time.Second
	silentFor       = 3 * time.Minute  // without a message; peers keep alive every one or two minutes
	uselessFor      = 10 * time.Minute // without a request; who wants something then offers again
	stalledFor      = time.Minute      // without taking a byte of what is sent
	keepAliveAfter  = 90 * time.Second
)

// Reasons for which check ends a session.
var (
	errNoHandshake = errors.New("no handshake in time")
	errSilent      = errors.New("silent for too long")
	errUseless     = errors.New("asked for nothing for too long")
	errStalled     = errors.New("takes nothing of what is sent")
)

// clock is what check knows of a session's past.
type clock struct {
	times     sync.Mutex
	born      time.Time
	shook     bool
	heardAt   time.Time // anything
	askedAt   time.Time // a request
	spokeAt   time.Time // by us
	written   int64     // bytes given to the channel
	drained   int64     // of those, sent on and acknowledged
	drainedAt time.Time
}

func newClock(now time.Time) clock {
	return clock{born: now, heardAt: now, askedAt: now, spokeAt: now, drainedAt: now}
}

func (c *clock) heard(now time.Time) {
	c.times.Lock()
	defer c.times.Unlock()
	c.heardAt = now
}

func (c *clock) asked(now time.Time) {
	c.times.Lock()
	defer c.times.Unlock()
	c.askedAt = now
}

func (c *clock) spoke(now time.Time, n int) {
	c.times.Lock()
	defer c.times.Unlock()
	c.spokeAt = now
	c.written += int64(n)
}

func (c *clock) shaken() {
	c.times.Lock()
	defer c.times.Unlock()
	c.shook = true
}

// drainedBytes is how much of what was written the peer has acknowledged.
func (s *session) drainedBytes() int64 {
	s.times.Lock()
	defer s.times.Unlock()
	return s.written - int64(s.channel.BufferedAmount())
}

// check gives the reason why the session should end by now, or nil; it keeps the
// connection alive where nothing else does.
func (s *session) check(now time.Time) error {
	drained := s.drainedBytes()
	s.times.Lock()
	if drained > s.drained || drained == s.written {
		s.drained, s.drainedAt = drained, now
	}
	var err error
	switch {
	case !s.shook && now.Sub(s.born) > handshakeWithin:
		err = errNoHandshake
	case now.Sub(s.drainedAt) > stalledFor:
		err = errStalled
	case now.Sub(s.heardAt) > silentFor:
		err = errSilent
	case now.Sub(s.askedAt) > uselessFor:
		err = errUseless
	}
	quiet := now.Sub(s.spokeAt) > keepAliveAfter
	if quiet {
		s.spokeAt = now // or about to
	}
	s.times.Unlock()
	if err == nil && quiet {
		s.keepAlive()
	}
	return err
}

// keepAlive sends an empty message, unless blocks are about to be sent. It does not wait
// for that, as a stream may have to.
func (s *session) keepAlive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.uploading {
		return
	}
	s.uploads.Go(func() {
		if err := s.send(wire.Message{Kind: wire.KeepAlive}.Append(nil)); err != nil {
			s.stop(err)
		}
	})
}
