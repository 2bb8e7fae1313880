package tracker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/shared/announce"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// Seeder is the pod's own peer. Its methods are called from many goroutines.
type Seeder interface {
	// PeerID is what the seeder calls itself in every swarm.
	PeerID() wire.PeerID
	// Answer answers the WebRTC offer of a peer at an address. It may take its time,
	// until ctx ends.
	Answer(ctx context.Context, h magnet.InfoHash, peer wire.PeerID, from netip.Addr, offerSDP string) (answerSDP string, err error)
	// Knows says whether the peer is connected to the seeder, or about to be. It does
	// not block.
	Knows(h magnet.InfoHash, peer wire.PeerID, from netip.Addr) bool
	// Wanted says that a BitTorrent client wants a torrent: the seeder opens it and
	// gives the port at which it serves it over TCP and uTP. ok is false if it does
	// not.
	Wanted(h magnet.InfoHash) (port uint16, ok bool)
}

// DefaultInterval is how often peers announce.
const DefaultInterval = 2 * time.Minute

// Config is what a tracker is made of.
type Config struct {
	Open bool // a public tracker: any info hash, not just those of Serves

	// Serves says whether a torrent has a swarm here, and Has whether the pod has its file,
	// so that its seeder is one of the swarm; nil: as Serves. Both are asked often, by the
	// loop: they must not wait for others.
	Serves, Has func(magnet.InfoHash) bool

	// Admits says whether who came with this query (of the tracker's address) may take part
	// in a swarm that is served; nil: everybody may. It must not wait for others.
	Admits func(h magnet.InfoHash, query string) bool

	Interval time.Duration // how often peers are to announce; 0 is DefaultInterval

	ConnectionsPerAddress int // WebSockets of an IPv4 address or IPv6 /64; 0 is no limit
	MessagesPerSecond     int // messages and requests of one; ten seconds' worth may come at once; 0 is no limit

	PublicAddresses []netip.Addr   // of the pod, for BitTorrent clients; none: the one that a client asked at
	TrustedProxies  []netip.Prefix // whose X-Forwarded-For is believed

	// Goroutines has every connection read by a goroutine of its own, as where there is no
	// epoll: in a time of testing/synctest, which stands still in a system call.
	Goroutines bool

	Limits Limits
	Log    *slog.Logger
}

// Limits bound what a peer may ask for. A field that is 0 has its default.
type Limits struct {
	Message       int           // bytes of a message; 64 KiB
	Offers        int           // handed on of one announce; 10
	Scrape        int           // info hashes of a scrape that are answered; 100
	SDP           int           // bytes of a session description; 8 KiB
	Torrents      int           // of one connection; 32
	Queue         int           // bytes that wait for a reader; a slower one is closed; 256 KiB
	Failures      int           // of a connection between two pings, then it is closed; 10
	Connections   int           // in all; 50,000
	Peers         int           // addresses in an answer to a BitTorrent client; 100
	PortsPerSwarm int           // BitTorrent clients of one address in one swarm; 8
	SmallSwarm    int           // with fewer other viewers the pod's seeder takes an offer; 4
	SeederOffers  int           // that the seeder works on at a time; as many again may wait; 64
	SeederTime    time.Duration // that an answer of the seeder may take, and an offer by HTTP to come; 10 s
	Answer        time.Duration // in which an offer may be answered; 60 s
	Ping          time.Duration // between two pings of a connection; 60 s
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.Message, announce.MaxMessage},
		{&l.Offers, announce.MaxOffers},
		{&l.Scrape, announce.MaxScrape},
		{&l.SDP, announce.MaxSDP},
		{&l.Torrents, 32},
		{&l.Queue, 256 << 10},
		{&l.Failures, 10},
		{&l.Connections, 50_000},
		{&l.Peers, 100},
		{&l.PortsPerSwarm, 8},
		{&l.SmallSwarm, 4},
		{&l.SeederOffers, 64},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{{&l.SeederTime, 10 * time.Second}, {&l.Answer, time.Minute}, {&l.Ping, time.Minute}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return l
}

// Tracker introduces the peers of swarms to each other.
type Tracker struct {
	cfg  Config
	loop *loop
}

// New makes a tracker; it works while Run does.
func New(cfg Config, seeder Seeder) *Tracker {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Serves == nil {
		cfg.Serves = func(magnet.InfoHash) bool { return false }
	}
	if cfg.Has == nil {
		cfg.Has = cfg.Serves
	}
	if cfg.Admits == nil {
		cfg.Admits = func(magnet.InfoHash, string) bool { return true }
	}
	var p poller
	if cfg.Goroutines {
		p = newBell()
	} else {
		p = newPoller(cfg.Log)
	}
	return &Tracker{cfg: cfg, loop: &loop{
		log: cfg.Log, limits: cfg.Limits, interval: cfg.Interval, serves: cfg.Serves, has: cfg.Has, admits: cfg.Admits, open: cfg.Open,
		seeder: seeder, poller: p, start: time.Now(),
		visitors: newVisitors(cfg.ConnectionsPerAddress, cfg.Limits.Connections, cfg.MessagesPerSecond),
		seeding:  make(chan struct{}, cfg.Limits.SeederOffers),
		swarms:   map[magnet.InfoHash]*swarm{}, dropped: map[magnet.InfoHash]*tombstone{},
		buckets: make([][]*conn, ticks),
	}}
}

// Run serves until ctx ends, then closes every connection. A Tracker runs once.
func (t *Tracker) Run(ctx context.Context) error {
	if err := t.loop.run(ctx); err != nil {
		return fmt.Errorf("tracker: %w", err)
	}
	return nil
}

// Mount adds the tracker's paths to app, whose ReadTimeout bounds handshakes. It
// takes WebSocket connections over from the HTTP server: other handlers of app that
// hijack must close theirs themselves.
func (t *Tracker) Mount(app *fiber.App) {
	app.Server().KeepHijackedConns = true
	app.Get(api.PathTrackerSocket, t.socket)
	app.Get(api.PathAnnounce, t.announce)
	app.Get(api.PathScrape, t.scrape)
	app.Post(api.PathOffer, t.offer)
	app.Options(api.PathOffer, t.offerPreflight)
}

// Drop ends the swarm of h: its peers are told, and announces that are sent after
// Drop returned are refused, until Serves has said no, and yes again: the file was
// put back. A file that stays withdrawn is remembered for a day. Drop does not wait
// for Run.
func (t *Tracker) Drop(h magnet.InfoHash) {
	t.loop.post(func() { t.loop.bury(h) })
}

// Stats says what the tracker does.
func (t *Tracker) Stats() Stats { return t.loop.count.stats() }
