package seeder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
	"kinopod/shared/wire"
)

// Files is where videos are kept.
type Files interface {
	// Open gives the file of a torrent. Where there is none the error wraps
	// fs.ErrNotExist or is an *api.Error with CodeNotFound.
	Open(h magnet.InfoHash) (File, error)
}

// File is the file of one torrent. ReadAt is called concurrently.
type File interface {
	io.ReaderAt
	io.Closer
	Torrent() *torrent.Torrent
}

// Config is what an operator decides. A limit of 0 is none.
type Config struct {
	// RTCListen is the address of WebRTC, over UDP and TCP: "host:port", where host
	// is an IP address or empty for every address of the machine, and port 0 is any
	// free one. Empty: 127.0.0.1 is among the addresses unless PublicAddresses is set.
	RTCListen string
	// BTListen is the address of BitTorrent over TCP and uTP, in the same form.
	// Empty is none: then Wanted says no.
	BTListen string
	// PublicAddresses are told to browsers before the addresses we listen on: those
	// of a router or a cloud that passes RTCListen's port on to us unchanged.
	PublicAddresses []netip.Addr

	BytesPerSecond     int64 // sent to all peers
	PeerBytesPerSecond int64 // sent to one peer
	Peers              int   // connections, WebRTC and native
	PeersPerAddress    int   // connections from one IPv4 address or IPv6 /64

	Idle time.Duration // a file nobody asks for is closed after it; 0 is DefaultIdle
	Log  *slog.Logger  // nil is silent
}

// DefaultIdle is Config.Idle where that is 0.
const DefaultIdle = 2 * time.Minute

// Seeder serves the torrents of one store.
type Seeder struct {
	config Config
	files  Files
	log    *slog.Logger
	self   wire.PeerID
	all    *rate.Limiter // bytes to all peers; nil is no limit
	rtc    *rtcListener
	bt     *native // nil where BTListen is empty

	buffers    blockBuffers         // for data channels
	runBuffers blockBuffers         // for TCP
	sent       atomic.Int64         // bytes of blocks sent over WebRTC
	tcpSent    atomic.Int64         // and over TCP
	broken     chan magnet.InfoHash // files that could not be read, for Run to drop
	ended      sync.WaitGroup       // peers

	mu       sync.Mutex
	engine   *rtcEngine // set while Run runs
	life     context.Context
	off      bool
	swarms   map[magnet.InfoHash]*swarm
	peers    map[peerKey]*peer
	seats    seats
	refused  map[Refusal]int64
	tcpPeers map[*tcpPeer]struct{}
	// utpSent is what was sent over uTP of torrents that are closed now.
	utpSent  int64
	utpConns map[*utpConn]struct{}
}

// New binds the addresses of c. Nothing is served before Run; a seeder that is not
// run after all has to be closed.
func New(c Config, files Files) (*Seeder, error) {
	s := newSeeder(c, files)
	var err error
	if s.rtc, err = listenRTC(c.RTCListen, c.PublicAddresses); err != nil {
		return nil, fmt.Errorf("listen for WebRTC on %q: %w", c.RTCListen, err)
	}
	if c.BTListen == "" {
		return s, nil
	}
	if s.bt, err = listenNative(c.BTListen); err != nil {
		s.rtc.close()
		return nil, fmt.Errorf("listen for BitTorrent on %q: %w", c.BTListen, err)
	}
	return s, nil
}

// newSeeder makes a seeder that listens nowhere yet.
func newSeeder(c Config, files Files) *Seeder {
	if c.Idle == 0 {
		c.Idle = DefaultIdle
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Seeder{
		config: c, files: files, log: c.Log, self: newPeerID(), all: newLimiter(c.BytesPerSecond),
		buffers: blockBuffers{size: longestSent}, runBuffers: blockBuffers{size: longestRun},
		broken:   make(chan magnet.InfoHash, 16),
		swarms:   map[magnet.InfoHash]*swarm{},
		peers:    map[peerKey]*peer{},
		seats:    newSeats(c.Peers, c.PeersPerAddress),
		refused:  map[Refusal]int64{},
		tcpPeers: map[*tcpPeer]struct{}{},
		utpConns: map[*utpConn]struct{}{},
	}
}

// Close frees the addresses of a seeder that was never run.
func (s *Seeder) Close() {
	s.rtc.close()
	if s.bt != nil {
		s.bt.close()
	}
}

// newPeerID is wire.SeederID and twelve random bytes.
func newPeerID() wire.PeerID {
	var id wire.PeerID
	_, _ = rand.Read(id[copy(id[:], wire.SeederID):])
	return id
}

// newLimiter lets through bytes a second, and what a short pause left over.
func newLimiter(bytes int64) *rate.Limiter {
	if bytes <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytes), int(max(4*wire.MaxBlock, bytes/8)))
}

// PeerID is how the seeder names itself to peers and to the tracker.
func (s *Seeder) PeerID() wire.PeerID { return s.self }

// Ports are the ports bound for WebRTC and for BitTorrent; 0 for the latter where
// that is not served.
func (s *Seeder) Ports() (rtc, bt uint16) {
	if s.bt != nil {
		bt = s.bt.port
	}
	return s.rtc.port, bt
}

// sweepEvery is how often Run looks after time.
const sweepEvery = time.Second

// Run serves until ctx ends. When it returns, every connection and file is closed
// and every goroutine has ended. It runs once.
func (s *Seeder) Run(ctx context.Context) error {
	defer s.Close()
	life, end := context.WithCancel(context.Background())
	defer end()
	engine, err := newEngine(s.rtc)
	if err != nil {
		return fmt.Errorf("start WebRTC: %w", err)
	}
	if s.bt != nil {
		if err := s.bt.start(s); err != nil {
			engine.close()
			return fmt.Errorf("start BitTorrent: %w", err)
		}
	}
	s.mu.Lock()
	s.engine, s.life = engine, life
	s.mu.Unlock()
	rtc, bt := s.Ports()
	s.log.Info("seeder listens", "webrtc", rtc, "bittorrent", bt)

	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-tick.C:
			s.sweep(now)
		case h := <-s.broken:
			s.Drop(h)
		}
	}

	s.mu.Lock()
	s.engine = nil // no new peers
	s.mu.Unlock()
	end() // every peer's context
	s.ended.Wait()
	if s.bt != nil {
		s.bt.stop(s)
	}
	engine.close()
	s.closeSwarms()
	return nil
}

// Answer answers a browser's offer for torrent h with a description that holds all
// candidates. peer is the offerer's name in the swarm, from the address it asks
// from. The same peer asking again replaces a connection that never opened and is
// refused beside one that did. Nothing is waited for. Errors are *api.Error.
func (s *Seeder) Answer(_ context.Context, h magnet.InfoHash, peer wire.PeerID, from netip.Addr, offerSDP string) (string, error) {
	answer, err := s.answer(peerKey{h, peer, from.Unmap()}, offerSDP)
	if err != nil {
		var r *refusal
		reason := RefusedInternal
		if errors.As(err, &r) {
			reason = r.reason
		}
		s.mu.Lock()
		s.refused[reason]++
		s.mu.Unlock()
		return "", api.AsError(err)
	}
	return answer, nil
}

func (s *Seeder) answer(key peerKey, offerSDP string) (string, error) {
	offer, err := parseOffer(offerSDP)
	if err != nil {
		return "", refuse(RefusedInvalid, err)
	}
	p, err := s.admit(key)
	if err != nil {
		return "", err
	}
	var answer string
	w, err := s.open(key.hash)
	if err == nil {
		answer, err = p.connect(w, offer)
	}
	if err != nil {
		p.stop(err)
		<-p.gone // who is refused holds no seat
		return "", err
	}
	return answer, nil
}

// Knows says whether a WebRTC peer at an address is connected for torrent h, or about
// to be: another offer of it would be refused, or end what it began.
func (s *Seeder) Knows(h magnet.InfoHash, peer wire.PeerID, from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[peerKey{h, peer, from.Unmap()}] != nil
}

// Wanted opens torrent h for BitTorrent clients, who are about to connect, and
// tells the port of TCP and uTP. ok is false where h is not ours or BitTorrent is
// not served.
func (s *Seeder) Wanted(h magnet.InfoHash) (port uint16, ok bool) {
	s.mu.Lock()
	running := s.engine != nil
	s.mu.Unlock()
	if s.bt == nil || !running {
		return 0, false
	}
	w, err := s.open(h)
	if err != nil {
		return 0, false
	}
	defer s.release(w)
	return s.bt.port, s.bt.serve(s, w)
}

// Drop ends serving h: its peers are closed and its file is not read any more when
// Drop returns. The store is asked anew when somebody asks for h again.
func (s *Seeder) Drop(h magnet.InfoHash) {
	w, peers := s.forget(h)
	if w == nil {
		return
	}
	for _, p := range peers {
		p.stop(errDropped)
	}
	<-w.opened
	w.shut(s.log)
	for _, p := range peers {
		<-p.gone
	}
}

// forget takes h out of what is served and gives the peers that are left.
func (s *Seeder) forget(h magnet.InfoHash) (*swarm, []lifetime) {
	if s.bt != nil {
		s.bt.mu.Lock()
		defer s.bt.mu.Unlock()
	}
	s.mu.Lock()
	w := s.swarms[h]
	if w == nil {
		s.mu.Unlock()
		return nil, nil
	}
	delete(s.swarms, h)
	w.dropped = true
	peers := w.members()
	s.mu.Unlock()
	if s.bt != nil {
		s.bt.drop(s, w)
	}
	return w, peers
}

// SetOff is a switch for tests: while off, offers are refused, and WebRTC peers
// have been closed when it returns.
func (s *Seeder) SetOff(off bool) {
	s.mu.Lock()
	s.off = off
	var peers []*peer
	if off {
		for _, p := range s.peers {
			peers = append(peers, p)
		}
	}
	s.mu.Unlock()
	for _, p := range peers {
		p.stop(errOff)
	}
	for _, p := range peers {
		<-p.gone
	}
}

// sweep closes peers that are past a limit of time and files that nobody asks for.
func (s *Seeder) sweep(now time.Time) {
	s.mu.Lock()
	peers, tcp := slices.Collect(maps.Values(s.peers)), slices.Collect(maps.Keys(s.tcpPeers))
	s.mu.Unlock()
	for _, p := range peers {
		if err := p.check(now); err != nil {
			p.stop(err)
		}
	}
	for _, p := range tcp {
		if err := p.check(now); err != nil {
			p.stop(err)
		}
	}
	s.closeIdle(now)
}
