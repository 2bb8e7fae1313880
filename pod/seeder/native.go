package seeder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	bt "github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
	"github.com/anacrolix/utp"
	"golang.org/x/time/rate"
)

// native serves BitTorrent clients: over TCP by sessions of our own (tcp.go), over uTP
// through anacrolix's client. That is fed with accepted connections: it dials nobody and
// asks no tracker, DHT or router for anything.
type native struct {
	port      uint16
	tcp       net.Listener
	utp       *utp.Socket
	accepting sync.WaitGroup // connections over TCP

	mu     sync.Mutex
	client *bt.Client // nil before start and after stop
}

// nativeTorrent is a torrent that is open to clients, over TCP too. It has one of its
// swarm's references.
type nativeTorrent struct{ torrent *bt.Torrent }

// listenNative binds TCP and uTP on one port.
func listenNative(address string) (*native, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	for try := 1; ; try++ {
		n, err := bindNative(host, port)
		if err == nil {
			return n, nil
		}
		if port != "0" || try == freePortTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

func bindNative(host, port string) (*native, error) {
	tcp, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listen on TCP: %w", err)
	}
	n := &native{tcp: tcp, port: uint16(tcp.Addr().(*net.TCPAddr).Port)}
	// Not bt.NewUtpSocket: with cgo that is libutp, from which transmission gets nothing.
	if n.utp, err = utp.NewSocket("udp", net.JoinHostPort(host, strconv.Itoa(int(n.port)))); err != nil {
		_ = tcp.Close()
		return nil, fmt.Errorf("listen on uTP: %w", err)
	}
	return n, nil
}

// close frees the port.
func (n *native) close() {
	_ = n.tcp.Close()
	_ = n.utp.CloseNow() // Close would wait for peers that never say goodbye
}

// start begins to take connections.
func (n *native) start(s *Seeder) error {
	config := bt.NewDefaultClientConfig()
	config.DisableTCP, config.DisableUTP = true, true // it gets our listeners
	config.NoDHT, config.DisablePEX, config.DisableTrackers = true, true, true
	config.DisableWebtorrent, config.DisableWebseeds, config.NoDefaultPortForwarding = true, true, true
	config.DialForPeerConns, config.AcceptPeerConnections = false, true
	config.Seed = true
	config.PeerID, config.ExtendedHandshakeClientVersion = string(s.self[:]), "Kinopod"
	config.EstablishedConnsPerTorrent = 1 << 16 // seats are counted before
	config.DefaultStorage = noStorage{}
	config.Slogger = slog.New(slog.DiscardHandler) // it logs addresses of peers
	client, err := bt.NewClient(config)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	n.mu.Lock()
	n.client = client
	n.mu.Unlock()
	n.accepting.Go(func() { s.acceptTCP(n.tcp) })
	client.AddListener(&guardedListener{n.utp, s.admitUTP})
	return nil
}

// stop closes every torrent and connection and frees the port.
func (n *native) stop(s *Seeder) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.swarms))
	s.mu.Unlock()
	for _, w := range all {
		n.drop(s, w)
	}
	n.client.Close() // before the listeners: then their end is not an error to it
	n.client = nil
	n.close()
	n.accepting.Wait()
	// Those that were still shaking hands belong to no torrent: nobody closed them.
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.utpConns))
	s.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

// serve opens w for BitTorrent clients, if it is not yet.
func (n *native) serve(s *Seeder, w *swarm) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.client == nil {
		return false
	}
	s.mu.Lock()
	open, dropped := w.native != nil, w.dropped
	s.mu.Unlock()
	if open || dropped {
		return open
	}
	t, _ := n.client.AddTorrentOpt(bt.AddTorrentOpts{
		InfoHash: metainfo.Hash(w.hash), InfoBytes: w.meta.Info, Storage: swarmStorage{blockFile{s, w}}, DisallowDataDownload: true,
	})
	s.mu.Lock()
	w.native = &nativeTorrent{t}
	w.refs++
	s.mu.Unlock()
	return true
}

// drop closes w to BitTorrent clients. n.mu is held: the client must not get a
// torrent anew before it has lost it.
func (n *native) drop(s *Seeder, w *swarm) {
	s.mu.Lock()
	t := w.native
	w.native = nil
	s.mu.Unlock()
	if t == nil {
		return
	}
	t.torrent.Drop()
	s.mu.Lock()
	s.utpSent += t.sent()
	s.mu.Unlock()
	s.release(w)
}

// dropIdle closes those of ws to which no client is connected; the others are in
// demand now.
func (n *native) dropIdle(s *Seeder, ws []*swarm, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range ws {
		s.mu.Lock()
		t, tcp := w.native, len(w.tcp)
		s.mu.Unlock()
		switch {
		case t == nil:
		case tcp == 0 && t.idle():
			n.drop(s, w)
		default:
			s.mu.Lock()
			w.asked = now
			s.mu.Unlock()
		}
	}
}

// idle says that no client is connected over uTP.
func (t *nativeTorrent) idle() bool { return len(t.torrent.PeerConns()) == 0 }

// sent is how many bytes of blocks went to clients over uTP.
func (t *nativeTorrent) sent() int64 {
	stats := t.torrent.Stats()
	return stats.BytesWrittenData.Int64()
}

// nativeWriteWithin is how long a client may take to accept a block.
const nativeWriteWithin = time.Minute

// seatNative takes a seat for a client. mu is held.
func (s *Seeder) seatNative(from netip.Addr) error {
	err := refuse(RefusedOff, nil)
	if s.engine != nil {
		err = s.seats.take(from)
	}
	if err != nil {
		s.refused[err.(*refusal).reason]++
	}
	return err
}

// admitUTP takes a seat for an accepted connection.
func (s *Seeder) admitUTP(c net.Conn) (net.Conn, error) {
	from := addressOf(c.RemoteAddr())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.seatNative(from); err != nil {
		return nil, err
	}
	n := &utpConn{Conn: c, seeder: s, from: from, pace: []*rate.Limiter{newLimiter(s.config.PeerBytesPerSecond), s.all}, life: s.life}
	s.utpConns[n] = struct{}{}
	return n, nil
}

// utpConn is a connection with its seat and its budgets. They are kept to here:
// anacrolix's client v1.61.0 with an UploadRateLimiter stops to send for good once that
// was empty.
type utpConn struct {
	net.Conn
	seeder *Seeder
	from   netip.Addr
	pace   []*rate.Limiter // nil is none
	life   context.Context
}

func (c *utpConn) Write(b []byte) (int, error) {
	for _, pace := range c.pace {
		for n := len(b); pace != nil && n > 0; n -= pace.Burst() {
			if err := pace.WaitN(c.life, min(n, pace.Burst())); err != nil {
				return 0, fmt.Errorf("wait for budget: %w", err)
			}
		}
	}
	if err := c.SetWriteDeadline(time.Now().Add(nativeWriteWithin)); err != nil {
		return 0, fmt.Errorf("set deadline: %w", err)
	}
	return c.Conn.Write(b)
}

// Close gives the seat back, once.
func (c *utpConn) Close() error {
	s := c.seeder
	s.mu.Lock()
	if _, open := s.utpConns[c]; open {
		delete(s.utpConns, c)
		s.seats.leave(c.from)
	}
	s.mu.Unlock()
	return c.Conn.Close()
}

// noStorage is the client's default: every torrent brings its own.
type noStorage struct{}

func (noStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, errors.New("a torrent without storage")
}

// swarmStorage reads a swarm's file for anacrolix's client. Every piece is complete:
// it was hashed when it was uploaded.
type swarmStorage struct{ file blockFile }

var _ storage.ClientImpl = swarmStorage{}

// OpenTorrent implements storage.ClientImpl.
func (st swarmStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl {
			return pieceStorage{io.NewSectionReader(st.file, p.Offset(), p.Length())}
		},
		Close: func() error { return nil }, // drop gives the file back
	}, nil
}

// pieceStorage is one piece.
type pieceStorage struct{ *io.SectionReader }

// ReadAt never fails: anacrolix's client v1.61.0 panics where a read fails of a torrent
// that was dropped meanwhile, and that ends the pod. What cannot be read has its torrent
// dropped (blockFile), and its connections closed; the zeros that may still go out match
// no hash.
func (p pieceStorage) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.SectionReader.ReadAt(b, off)
	if err != nil && !(errors.Is(err, io.EOF) && off+int64(n) == p.Size()) {
		clear(b[n:])
		return len(b), nil
	}
	return n, err
}

func (pieceStorage) WriteAt([]byte, int64) (int, error) {
	return 0, errors.New("a seeder takes no pieces")
}
func (pieceStorage) MarkComplete() error    { return nil }
func (pieceStorage) MarkNotComplete() error { return nil }
func (pieceStorage) Completion() storage.Completion {
	return storage.Completion{Ok: true, Complete: true}
}
