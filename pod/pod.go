package pod

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/config"
	"kinopod/pod/federation"
	"kinopod/pod/filestore"
	"kinopod/pod/friends"
	"kinopod/pod/httpapi"
	"kinopod/pod/identity"
	"kinopod/pod/inbox"
	"kinopod/pod/indexer"
	"kinopod/pod/outbox"
	"kinopod/pod/podclient"
	"kinopod/pod/publish"
	"kinopod/pod/redisproc"
	"kinopod/pod/redisstore"
	"kinopod/pod/seeder"
	"kinopod/pod/tracker"
	"kinopod/pod/viewing"
	"kinopod/pod/views"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Options are what the command gives a pod besides its configuration.
type Options struct {
	Version string
	Log     *slog.Logger
	// Pages makes the handler of the web app.
	Pages func(Page) (http.Handler, error)

	// For tests, zero else.
	Speaks network.Versions                                          // of the protocol between pods: federation.Speaks
	Roots  *x509.CertPool                                            // who vouches for other pods: the system's
	Now    func() time.Time                                          // of federation: time.Now
	Views  time.Duration                                             // between two exchanges of views: outbox.DefaultViews
	Link   func(to string, c net.Conn) (through net.Conn, err error) // what a connection to another pod goes through
}

// Page is what the web app is given.
type Page struct {
	Name    string // of the pod
	Base    string // its address without a path
	Methods func(*http.Request) api.Methods
	Log     *slog.Logger
}

// Pod is one server with its parts. New makes it, Run runs it once; one that is
// not run after all has to be closed.
type Pod struct {
	cfg      config.Config
	log      *slog.Logger
	host     network.Host
	identity *identity.Identity
	redis    *redisproc.Process // nil where another one is configured
	db       *redisstore.DB
	index    *indexer.Index
	accounts *accounts.Accounts
	seeder   *seeder.Seeder
	uploads  *publish.Publisher
	friends  *friends.List
	outbox   *outbox.Outbox
	others   others
	server   *httpapi.Server

	public, admin, control net.Listener
	// parts are in the order in which they start, and end in the other one.
	parts []part
	// closers free what New took, in the order in which it was taken. Run leaves
	// to them what has no Run.
	closers []io.Closer
}

// part is something that runs. Its run returns when ctx ends.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// New opens the data directory and binds every address, so that a second pod, or a
// port in use, is an error now. ctx bounds the start of Redis.
func New(ctx context.Context, cfg config.Config, o Options) (_ *Pod, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Data, err = cfg.DataDir(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Speaks == (network.Versions{}) {
		o.Speaks = federation.Speaks
	}
	p := &Pod{cfg: cfg, log: o.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := p.takeData(); err != nil {
		return nil, err
	}
	if err := p.listen(); err != nil {
		return nil, err
	}
	// The key is made on the first run: from then on host and key are the pod.
	if p.identity, err = identity.Open(cfg.Data, p.host); err != nil {
		return nil, err
	}
	db, where, err := p.openRedis(ctx)
	if err != nil {
		return nil, err
	}
	return p, p.join(ctx, db, where, o)
}

// takeData makes the data directory and keeps other pods out of it.
func (p *Pod) takeData() error {
	if err := os.MkdirAll(p.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := lockDir(p.cfg.Data)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, lock)
	return nil
}

// listen binds the addresses for viewers and operators, and the control socket.
func (p *Pod) listen() (err error) {
	if p.public, err = p.bind("listen", p.cfg.Listen); err != nil {
		return err
	}
	p.host = p.cfg.HostAt(p.public.Addr())
	if p.cfg.AdminListen != "" {
		if p.admin, err = p.bind("admin_listen", p.cfg.AdminListen); err != nil {
			return err
		}
	}
	if p.control, err = listenControl(p.cfg.Data); err != nil {
		return err
	}
	p.closers = append(p.closers, p.control)
	return nil
}

func (p *Pod) bind(key, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program: choose another address (%s)", addr, key)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s (%s): %w", addr, key, err)
	}
	p.closers = append(p.closers, l)
	return l, nil
}

// openRedis connects to the configured Redis, or to a private one of the pod's, and
// says where that is.
func (p *Pod) openRedis(ctx context.Context) (db *redisstore.DB, where string, err error) {
	if where = p.cfg.Redis; where == "" {
		proc, err := redisproc.Start(ctx, filepath.Join(p.cfg.Data, "redis"), p.log)
		if err != nil {
			return nil, "", err
		}
		p.closers = append(p.closers, proc)
		p.redis, where = proc, proc.Addr()
	}
	if db, err = redisstore.Open(ctx, where, p.log); err != nil {
		return nil, "", err
	}
	p.closers = append(p.closers, db)
	return db, where, nil
}

// join makes the parts and hands each what it asks for.
func (p *Pod) join(ctx context.Context, db *redisstore.DB, where string, o Options) error {
	cfg, limits := p.cfg, p.cfg.Limits
	jobs, err := jobsAt(where)
	if err != nil {
		return err
	}
	files, err := filestore.Open(cfg.Data, filestore.Limits{FriendPictures: int64(limits.FriendPictureBytes), Pictures: int64(limits.PictureBytes), Cache: int64(limits.FriendCacheBytes)})
	if err != nil {
		return err
	}
	p.accounts = accounts.New(db, accounts.Policy{
		Registration: accounts.Registration(cfg.Registration), QuotaBytes: int64(limits.QuotaBytes), LoginsPerMinute: limits.LoginsPerMinute,
	}, time.Now)
	videos := catalog.New(db, p.host, limits.FriendVideos)
	p.db, p.index = db, indexer.New(snapshotPath(cfg.Data), db, p.log)
	videos.SearchWith(p.index)
	gate := viewing.New(cfg.Viewing, passKey(p.keys), time.Now)
	if gate.Closed() { // whoever knows an info hash could fetch by it
		cfg.BTListen = ""
	}
	p.seeder, err = seeder.New(seeder.Config{
		RTCListen: cfg.RTCListen, BTListen: cfg.BTListen, PublicAddresses: cfg.PublicAddresses,
		BytesPerSecond: int64(limits.SeederBytesPerSecond), PeerBytesPerSecond: int64(limits.SeederPeerBytesPerSecond),
		Peers: limits.SeederPeers, PeersPerAddress: limits.SeederPeersPerAddress, Log: p.log,
	}, seederFiles{files})
	if err != nil {
		return err
	}
	p.closers = append(p.closers, closer(p.seeder.Close))
	policy, err := newPolicies(ctx, db)
	if err != nil {
		return err
	}
	known := newSwarms(files, videos, policy.closed)
	track := tracker.New(tracker.Config{
		Open: cfg.TrackerOpen, Serves: known.serves, Has: files.Has,
		Admits:          func(h magnet.InfoHash, query string) bool { return gate.Admits(h, query) || !files.Has(h) },
		PublicAddresses: cfg.PublicAddresses, TrustedProxies: cfg.TrustedProxies,
		ConnectionsPerAddress: limits.TrackerConnectionsPerAddress, MessagesPerSecond: limits.TrackerMessagesPerSecond, Log: p.log,
	}, p.seeder)
	pub, err := publish.New(publish.Config{
		Host: p.host, UploadBytes: int64(limits.UploadBytes), Droppers: []publish.Dropper{track, p.seeder}, Log: p.log,
	}, files, videos, p.accounts, jobs)
	if err != nil {
		return err
	}
	p.uploads, p.closers = pub, append(p.closers, pub)
	in, err := p.federate(db, videos, files, jobs, gate, o)
	if err != nil {
		return err
	}
	p.server, err = httpapi.New(httpapi.Config{Config: cfg, Host: p.host, STUN: p.stun(), Version: o.Version, Log: p.log}, httpapi.Parts{
		Accounts: invites{p.accounts, p.baseURL()}, Catalog: videos, Views: views.New(db, p.host, o.Now), Publisher: pub, Files: streamFiles{files},
		Uploads: uploads(pub.Handler()), Mounts: []httpapi.Mounter{track, in}, Ready: db.Ping,
		Friends: p.others, Viewing: gate,
		Foreign: &foreignFiles{
			host: p.host, files: files, videos: videos, outbox: p.outbox, swarms: known, policy: policy,
			failed: map[string]time.Time{}, passes: map[video.ID]api.Pass{}, asking: map[asked]*rate.Limiter{},
		},
		Metrics: slices.Concat(metrics(p.seeder, track), heard(in), searched(p.index)),
		Pages: func(methods func(*http.Request) api.Methods) (http.Handler, error) {
			return o.Pages(Page{Name: cfg.Name, Base: p.baseURL(), Methods: methods, Log: p.log})
		},
	})
	if err != nil {
		return err
	}
	// They end in the other order: first nobody comes in any more; then friends are not
	// told, viewers not introduced, nor fed; then what is being published stops where it is and
	// writes that down, and nobody searches any more. Redis, which all of them write to, closes
	// after that.
	p.parts = []part{
		{"memory", trimMemory},
		{"search", p.index.Run},
		{"publish", pub.Run},
		{"seeder", p.seeder.Run},
		{"swarms", known.run},
		{"tracker", track.Run},
		{"keys", p.forgetKeys},
		{"outbox", p.outbox.Run},
		{"control", p.serveControl},
		{"server", func(ctx context.Context) error { return p.server.Run(ctx, p.public, p.admin) }},
	}
	return nil
}

// federate makes what speaks with other pods.
func (p *Pod) federate(db *redisstore.DB, videos *catalog.Catalog, files *filestore.Store, jobs asynq.RedisConnOpt, gate *viewing.Gate, o Options) (*inbox.Inbox, error) {
	p.friends = friends.New(db, p.host, network.Score(p.cfg.MostScore), o.Now)
	calls := podclient.New(podclient.Config{
		AllowHTTP: p.cfg.AllowHTTP, Software: "Kinopod/" + o.Version, Roots: o.Roots, Link: o.Link, Log: p.log,
		Secured: func(ctx context.Context, h network.Host) {
			if err := p.friends.Secured(ctx, h); err != nil {
				p.log.Warn("it could not be noted that https works", "friend", h, "err", err)
			}
		},
	})
	p.closers = append(p.closers, closer(calls.Close))
	var join []network.Host
	for _, f := range p.cfg.Friends {
		h, err := network.ParseHost(f)
		if err != nil {
			return nil, err // Validate saw it
		}
		join = append(join, h)
	}
	parts := outbox.Parts{Caller: caller{calls}, Friends: p.friends, Log: db, Catalog: videos, Pictures: files, Views: db, Redis: jobs}
	if p.redis != nil {
		parts.Alone = db
	}
	p.outbox = outbox.New(outbox.Config{
		Host: p.host, Keys: p.keys, Name: p.cfg.Name, Secure: p.cfg.Secure(), Speaks: o.Speaks, Join: join,
		Views: o.Views, MostViews: p.cfg.Limits.FriendViewsPerDay, Eager: p.cfg.Thumbnails == "eager", Log: p.log, Now: o.Now,
	}, parts)
	p.closers = append(p.closers, p.outbox)
	p.others = others{p.friends, p.outbox, videos, db, o.Speaks, o.Now}
	return inbox.New(inbox.Config{
		Host: p.host, Keys: p.keys, Name: p.cfg.Name, Version: o.Version, Speaks: o.Speaks, Friends: p.cfg.Limits.Friends, Messages: p.cfg.Limits.FriendMessagesPerMinute,
		From: httpapi.From(p.cfg.TrustedProxies), Details: ownDetails(p.host, videos, p.accounts, gate, p.friends),
		Views: ownViews(p.host, db, p.cfg.Limits.FriendViewsPerDay), Log: p.log, Now: o.Now,
	}, p.friends, p.outbox, videos, db)
}

// Run serves until ctx ends or a part fails, and then ends the parts one after the
// other. What failed is the error.
func (p *Pod) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	type running struct {
		stop context.CancelFunc
		done chan struct{}
	}
	var started []running
	for _, part := range p.parts {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := running{stop, make(chan struct{})}
		started = append(started, r)
		g.Go(func() error {
			defer close(r.done)
			err := part.run(own)
			if own.Err() == nil && err == nil {
				err = errors.New("ended by itself")
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", part.name, err)
			}
			return nil
		})
	}
	p.log.Info("pod runs", "host", string(p.host), "addr", p.public.Addr().String())
	<-gctx.Done()
	p.log.Info("pod stops")
	for _, r := range slices.Backward(started) {
		r.stop()
		<-r.done
	}
	err := errors.Join(g.Wait(), p.Close())
	p.log.Info("pod stopped")
	return err
}

// Close frees what New took, where Run did not; the last taken first. It may be
// called again.
func (p *Pod) Close() error {
	var errs []error
	for _, c := range slices.Backward(p.closers) {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	p.closers = nil
	return errors.Join(errs...)
}

type closer func()

func (c closer) Close() error {
	c()
	return nil
}

// Host is the pod's name in the network.
func (p *Pod) Host() network.Host { return p.host }

// AdminAddr is where operators reach the pod; nil where that is nowhere.
func (p *Pod) AdminAddr() net.Addr {
	if p.admin == nil {
		return nil
	}
	return p.admin.Addr()
}

// Redis is the private redis-server; nil where another one is configured.
func (p *Pod) Redis() *redisproc.Process { return p.redis }

// Server is the door for viewers, with its switch for tests.
func (p *Pod) Server() *httpapi.Server { return p.server }

// Seeder is the pod's seeder, with its switch for tests.
func (p *Pod) Seeder() *seeder.Seeder { return p.seeder }

// Accounts are the pod's accounts.
func (p *Pod) Accounts() *accounts.Accounts { return p.accounts }

// baseURL is where viewers find the pod.
func (p *Pod) baseURL() string { return api.Base(p.host, p.cfg.Secure()) }

// stun is where browsers ask for their own address. A pod of this machine has none:
// nobody is behind a router there.
func (p *Pod) stun() string {
	if config.Local(string(p.host)) {
		return ""
	}
	name := string(p.host)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	port, _ := p.seeder.Ports()
	return "stun:" + net.JoinHostPort(strings.Trim(name, "[]"), strconv.Itoa(int(port)))
}

// Welcome says where to go after the start.
type Welcome struct {
	URL      string `json:"url"`
	SetupURL string `json:"setupUrl,omitempty"` // makes the first account, once; "" when there is one
}

// Welcome makes a new first-run link where there is no account; older ones end.
func (p *Pod) Welcome(ctx context.Context) (Welcome, error) {
	w := Welcome{URL: p.baseURL()}
	token, needed, err := p.accounts.Setup(ctx)
	if err != nil {
		return w, fmt.Errorf("look for accounts: %w", err)
	}
	if needed {
		w.SetupURL = w.URL + "/login?setup=" + token
	}
	return w, nil
}
