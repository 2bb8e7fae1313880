package seeder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/anacrolix/torrent/mse"
	"golang.org/x/time/rate"

	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// tcpPeer is one BitTorrent client over TCP, from its connection until stop.
type tcpPeer struct {
	lifetime
	seeder *Seeder
	conn   net.Conn
	from   netip.Addr

	// Guarded by Seeder.mu.
	swarm   *swarm
	session *session // nil until the client has said which torrent it wants
}

// Reasons for the end of a tcpPeer.
var errNotServed = errors.New("it wants a torrent that is not served")

// acceptAgain is the pause after a connection could not be accepted: usually the
// process has too many files open, and the next try would fail as well.
const acceptAgain = 100 * time.Millisecond

// acceptTCP takes connections until l is closed.
func (s *Seeder) acceptTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.Warn("accept BitTorrent connection", "err", err)
			time.Sleep(acceptAgain)
		default:
			if err := s.admitTCP(c); err != nil {
				_ = c.Close()
			}
		}
	}
}

// admitTCP takes a seat for an accepted connection, and serves it.
func (s *Seeder) admitTCP(c net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := addressOf(c.RemoteAddr())
	if err := s.seatNative(from); err != nil {
		return err
	}
	p := &tcpPeer{lifetime: newLifetime(s.life), seeder: s, conn: c, from: from}
	s.tcpPeers[p] = struct{}{}
	s.ended.Add(1)
	context.AfterFunc(p.ctx, func() { _ = c.Close() }) // lets go of who reads or writes
	go func() {
		p.stop(p.serve())
		p.end()
	}()
	return nil
}

// serve shakes hands and speaks the peer protocol until the connection ends.
func (p *tcpPeer) serve() error {
	if err := p.conn.SetDeadline(time.Now().Add(handshakeWithin)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	rw, err := p.seeder.uncover(patientWriter{p.conn})
	if err != nil {
		return err
	}
	hello := make([]byte, wire.HandshakeLength)
	if _, err := io.ReadFull(rw, hello); err != nil {
		return fmt.Errorf("read handshake: %w", err)
	}
	h, err := wire.ParseHandshake(hello)
	if err != nil {
		return err
	}
	if err := p.conn.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear deadline: %w", err)
	}
	session, err := p.begin(h.InfoHash, stream{io.MultiReader(bytes.NewReader(hello), rw), rw})
	if err != nil {
		return err
	}
	return session.run()
}

// uncover gives the stream below message stream encryption, where the client begins
// with that; otherwise rw. Of what the client offers, plain text costs least.
func (s *Seeder) uncover(rw io.ReadWriter) (io.ReadWriter, error) {
	first := make([]byte, len(wire.Protocol))
	if _, err := io.ReadFull(rw, first); err != nil {
		return nil, fmt.Errorf("read the first bytes: %w", err)
	}
	rw = readWriter{io.MultiReader(bytes.NewReader(first), rw), rw}
	if string(first) == wire.Protocol {
		return rw, nil
	}
	served := func(try func([]byte) bool) {
		for _, h := range s.servedNative() {
			if !try(h[:]) {
				return
			}
		}
	}
	plain, _, err := mse.ReceiveHandshake(context.Background(), rw, served, mse.DefaultCryptoSelector) // rw has a deadline
	if err != nil {
		return nil, fmt.Errorf("shake hands encrypted: %w", err)
	}
	return plain, nil
}

// servedNative lists the torrents that BitTorrent clients get.
func (s *Seeder) servedNative() []magnet.InfoHash {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hashes []magnet.InfoHash
	for h, w := range s.swarms {
		if w.native != nil {
			hashes = append(hashes, h)
		}
	}
	return hashes
}

// begin makes the peer one of h's, if that is served.
func (p *tcpPeer) begin(h magnet.InfoHash, c channel) (*session, error) {
	s := p.seeder
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.swarms[h]
	if w == nil || w.native == nil {
		return nil, errNotServed
	}
	w.refs++
	w.tcp[p] = struct{}{}
	p.swarm = w
	p.session = newSession(p.ctx, sessionConfig{
		channel: c, stream: true, torrent: w.meta, self: s.self, sent: &s.tcpSent, file: blockFile{s, w},
		pace: []*rate.Limiter{newLimiter(s.config.PeerBytesPerSecond), s.all}, buffers: &s.runBuffers, stop: p.stop,
	})
	return p.session, nil
}

// end gives back what the peer held.
func (p *tcpPeer) end() {
	s := p.seeder
	s.mu.Lock()
	w := p.swarm
	delete(s.tcpPeers, p)
	s.seats.leave(p.from)
	if w != nil {
		delete(w.tcp, p)
	}
	s.mu.Unlock()
	if w != nil {
		s.release(w)
		s.log.Debug("peer gone", "infoHash", w.hash, "kind", "tcp", "err", context.Cause(p.ctx))
	}
	close(p.gone)
	s.ended.Done()
}

// check gives the reason why the peer should end now, or nil.
func (p *tcpPeer) check(now time.Time) error {
	p.seeder.mu.Lock()
	session := p.session
	p.seeder.mu.Unlock()
	if session == nil {
		return nil // its connection has a deadline
	}
	return session.check(now)
}

// readWriter puts a Reader and a Writer together.
type readWriter struct {
	io.Reader
	io.Writer
}

// stream is a channel over TCP. It buffers nothing: Write waits for the client.
type stream readWriter

var _ channel = stream{}

// BufferedAmount implements channel.
func (stream) BufferedAmount() uint64 { return 0 }

// SetBufferedAmountLowThreshold implements channel.
func (stream) SetBufferedAmountLowThreshold(uint64) {}

// OnBufferedAmountLow implements channel.
func (stream) OnBufferedAmountLow(func()) {}

// patientWriter writes as long as the client takes a block within nativeWriteWithin. Of
// what is written together a slow line may carry less in that time.
type patientWriter struct{ net.Conn }

// Write implements io.Writer.
func (c patientWriter) Write(b []byte) (int, error) {
	written := 0
	for {
		if err := c.SetWriteDeadline(time.Now().Add(nativeWriteWithin)); err != nil {
			return written, fmt.Errorf("set deadline: %w", err)
		}
		n, err := c.Conn.Write(b[written:])
		if written += n; n < wire.MaxBlock || !errors.Is(err, os.ErrDeadlineExceeded) {
			return written, err
		}
	}
}
