package seeder

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/pion/datachannel"
	"github.com/pion/dtls/v2"
	"github.com/pion/ice/v2"
	"github.com/pion/sctp"
)

// connection is one browser's: ICE, DTLS over it, SCTP over that. It is made of pion's
// parts and not of its PeerConnection, which puts a demultiplexer between ICE and DTLS
// and readers for media beside them: more goroutines a peer, and one more hand-over of
// each datagram that comes (go run ./build/bench seeder -only idle).
type connection struct {
	engine *rtcEngine
	remote *description
	agent  *ice.Agent

	mu     sync.Mutex
	closed bool
	close  func() // ends the upper layers, which end those below; nil before there are any
}

// newConnection begins to listen for the browser that made an offer. lost is called,
// perhaps more than once, when it is out of reach.
func (e *rtcEngine) newConnection(d *description, lost func()) (*connection, error) {
	agent, err := ice.NewAgent(e.agent())
	if err != nil {
		return nil, fmt.Errorf("make ICE agent: %w", err)
	}
	c := &connection{engine: e, remote: d, agent: agent}
	err = errors.Join(
		agent.OnConnectionStateChange(func(state ice.ConnectionState) {
			switch state {
			case ice.ConnectionStateDisconnected, ice.ConnectionStateFailed, ice.ConnectionStateClosed:
				lost()
			}
		}),
		c.gather(),
	)
	for _, candidate := range d.candidates {
		err = errors.Join(err, agent.AddRemoteCandidate(candidate))
	}
	if err != nil {
		return nil, errors.Join(err, agent.Close())
	}
	return c, nil
}

// gather takes the mux's connections. Nobody is asked: it is done when they are
// handed out, and a check that came before would be lost.
func (c *connection) gather() error {
	done := make(chan struct{})
	err := c.agent.OnCandidate(func(candidate ice.Candidate) {
		if candidate == nil {
			close(done)
		}
	})
	if err != nil {
		return err
	}
	if err := c.agent.GatherCandidates(); err != nil {
		return err
	}
	<-done
	return nil
}

// answer describes our end to the browser, whose messages have at most longest bytes.
func (c *connection) answer(longest int) (string, error) {
	ufrag, pwd, err := c.agent.GetLocalUserCredentials()
	if err != nil {
		return "", fmt.Errorf("name ICE agent: %w", err)
	}
	return c.engine.answer(c.remote, ufrag, pwd, longest), nil
}

// own has end close what was made; it is false where end has been called.
func (c *connection) own(closeIt func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		closeIt()
		return false
	}
	c.close = closeIt
	return true
}

// end closes the connection and waits for pion's goroutines.
func (c *connection) end() {
	c.mu.Lock()
	c.closed = true
	closeIt := c.close
	c.mu.Unlock()
	if closeIt != nil {
		closeIt()
	}
	_ = c.agent.GracefulClose()
}

// serve connects and hands each data channel that the browser opens to take. It
// returns when the connection has ended, with the reason.
func (c *connection) serve(ctx context.Context, take func(*datachannel.DataChannel)) error {
	var conn net.Conn
	conn, err := c.agent.Accept(ctx, c.remote.ufrag, c.remote.pwd)
	if err != nil {
		return fmt.Errorf("connect by ICE: %w", err)
	}
	secure, err := c.secure(ctx, conn)
	if err != nil {
		return fmt.Errorf("connect by DTLS: %w", err)
	}
	if !c.own(func() { _ = secure.Close() }) {
		return context.Cause(ctx)
	}
	association, err := sctp.Client(sctp.Config{NetConn: secure, MaxReceiveBufferSize: sctpReceiveBuffer, LoggerFactory: silence{}})
	if err != nil {
		return fmt.Errorf("connect by SCTP: %w", err)
	}
	if !c.own(func() { _ = association.Close() }) {
		return context.Cause(ctx)
	}
	for {
		channel, err := datachannel.Accept(association, &datachannel.Config{LoggerFactory: silence{}})
		if err != nil {
			return fmt.Errorf("wait for a data channel: %w", err)
		}
		take(channel)
	}
}

// secure shakes hands and makes sure that the other end is who made the offer.
func (c *connection) secure(ctx context.Context, conn net.Conn) (*secureConn, error) {
	begin := dtls.ClientWithContext
	if c.remote.passive {
		begin = dtls.ServerWithContext
	}
	below := &handshakeConn{Conn: conn}
	handshake, err := begin(ctx, below, c.engine.dtls)
	if err != nil {
		return nil, err
	}
	secure, err := c.trust(below, handshake)
	if err != nil {
		return nil, errors.Join(err, handshake.Close())
	}
	return secure, nil
}

func (c *connection) trust(below *handshakeConn, handshake *dtls.Conn) (*secureConn, error) {
	certificates := handshake.ConnectionState().PeerCertificates
	if len(certificates) == 0 {
		return nil, errors.New("no certificate")
	}
	certificate, err := x509.ParseCertificate(certificates[0])
	if err != nil {
		return nil, err
	}
	if !c.remote.vouchesFor(certificate) {
		return nil, errors.New("the offer names another certificate")
	}
	return secured(below, handshake, c.engine.lanes)
}

// reliable says whether a channel keeps everything, and its order.
func reliable(c *datachannel.DataChannel) bool {
	return c.Config.ChannelType == datachannel.ChannelTypeReliable
}
