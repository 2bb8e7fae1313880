// Package config is what an operator can set of a pod: one definition that gives
// the flags, the KINOPOD_* variables, the keys of the TOML file and their help.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"kinopod/shared/network"
)

// Config is the effective configuration of a pod. Each field's tags are its one
// definition: name is the flag, with "_" for "-" the key of the TOML file, and in
// upper case after KINOPOD_ the variable (see Keys).
type Config struct {
	Listen      string `name:"listen" default:":9090" placeholder:"ADDR" help:"Address on which viewers, uploaders and peers reach the pod."`
	AdminListen string `name:"admin-listen" default:"" placeholder:"ADDR" help:"Private address of /healthz, /readyz and /metrics. Empty: none."`
	RTCListen   string `name:"rtc-listen" default:":0" placeholder:"ADDR" help:"UDP and TCP address of the WebRTC seeder. Port 0 is any free one."`
	BTListen    string `name:"bt-listen" default:":0" placeholder:"ADDR" help:"TCP and uTP address of the BitTorrent seeder. Port 0 is any free one."`
	Host        string `name:"host" default:"" placeholder:"HOST" help:"The pod's name in the network, host or host:port without a scheme. It stands in links for good. Empty: localhost and the port of listen."`
	Data        string `name:"data" default:"./data" placeholder:"DIR" help:"Directory of everything that the pod keeps."`
	Name        string `name:"name" default:"Kinopod" placeholder:"TEXT" help:"What the pod's pages call it."`
	Redis       string `name:"redis" default:"" placeholder:"URL" help:"Redis to use (redis://, rediss://, unix://). Empty: a private redis-server in the data directory."`
	AllowHTTP   bool   `name:"allow-http" default:"false" help:"Reach pods by http, and call ourselves by http: for a local network or a test."`
	Scheme      string `name:"scheme" default:"auto" placeholder:"auto|https|http" help:"How this pod's own links lead to it. auto: https, unless allow_http is set or host is of this machine."`

	PublicAddresses []netip.Addr   `name:"public-addresses" default:"" placeholder:"IP,..." help:"Addresses at which peers reach this machine from outside, where it stands behind 1:1 NAT."`
	TrustedProxies  []netip.Prefix `name:"trusted-proxies" default:"127.0.0.0/8,::1/128" placeholder:"CIDR,..." help:"Proxies whose X-Forwarded-For is believed. Empty: none."`
	Friends         []string       `name:"friends" default:"" placeholder:"HOST,..." help:"Pods to make friends with."`

	MostScore    int    `name:"most-score" default:"1000" placeholder:"N" help:"Highest score that a friend can have."`
	TrackerOpen  bool   `name:"tracker-open" default:"false" help:"Track any info hash, as a public tracker does, not only those of the pod's own videos."`
	Registration string `name:"registration" default:"closed" placeholder:"closed|invite|open" help:"Who may make an account: nobody, who has an invitation, or everybody."`

	Viewing string `name:"viewing" default:"public" placeholder:"public|members" help:"Who may watch this pod's own videos: everybody, or its members, who are its users and those of the friends that it asked itself (friends, or kinopod friends join). Lists, names and pictures are for everybody in any case. With members, streams, .torrent files, tracker and WebRTC ask for a session or for a link that expires within 13 hours, which a member's pages have; BitTorrent over TCP and uTP is off, since whoever knows an info hash could fetch by it."`

	SwarmViewers int `name:"swarm-viewers" default:"2" placeholder:"N" help:"How many have to watch a film at the same time until their browsers connect to each other. With fewer each has it by HTTP alone. 1: they are ready for others from the first on."`

	Thumbnails string `name:"thumbnails" default:"eager" placeholder:"eager|lazy" help:"When the pictures of friends' videos are fetched: as the videos come, or when somebody looks at one for the first time."`

	Log    Log    `embed:"" prefix:"log-"`
	Limits Limits `embed:"" prefix:"limits-"`
}

// Log is how the pod logs.
type Log struct {
	Format string `name:"format" default:"text" placeholder:"text|json" help:"Form of log lines."`
	Level  string `name:"level" default:"info" placeholder:"debug|info|warn|error" help:"The least serious lines that are written."`
}

// Limits bound what others may ask of the pod; 0 is none.
type Limits struct {
	UploadBytes           Bytes `name:"upload-bytes" default:"20GiB" placeholder:"SIZE" help:"Largest file that may be uploaded."`
	QuotaBytes            Bytes `name:"quota-bytes" default:"100GiB" placeholder:"SIZE" help:"Videos and unfinished uploads of one account together."`
	RequestsPerSecond     int   `name:"requests-per-second" default:"50" placeholder:"N" help:"API requests a second from one address, and from one account."`
	LoginsPerMinute       int   `name:"logins-per-minute" default:"10" placeholder:"N" help:"Attempts to log in a minute, for one account and from one address."`
	Connections           int   `name:"connections" default:"0" placeholder:"N" help:"Open connections in all. 0: as many as the process may open files for."`
	ConnectionsPerAddress int   `name:"connections-per-address" default:"256" placeholder:"N" help:"Open connections of one address (an IPv6 /64); trusted proxies are exempt."`

	TrackerConnectionsPerAddress int `name:"tracker-connections-per-address" default:"64" placeholder:"N" help:"WebSockets of one address at the tracker."`
	TrackerMessagesPerSecond     int `name:"tracker-messages-per-second" default:"20" placeholder:"N" help:"Messages a second of one address at the tracker."`

	SeederBytesPerSecond     Bytes `name:"seeder-bytes-per-second" default:"0" placeholder:"SIZE" help:"What the seeder sends a second in all."`
	SeederPeerBytesPerSecond Bytes `name:"seeder-peer-bytes-per-second" default:"0" placeholder:"SIZE" help:"What the seeder sends a second to one peer."`
	SeederPeers              int   `name:"seeder-peers" default:"200" placeholder:"N" help:"WebRTC peers of the seeder at a time."`
	Friends                  int   `name:"friends" default:"2000" placeholder:"N" help:"Pods that are friends without this one having asked them."`
	FriendVideos             int   `name:"friend-videos" default:"500000" placeholder:"N" help:"Videos of one friend that are listed."`
	FriendMessagesPerMinute  int   `name:"friend-messages-per-minute" default:"600" placeholder:"N" help:"Messages a minute that are taken of one friend."`
	FriendViewsPerDay        int   `name:"friend-views-per-day" default:"100000" placeholder:"N" help:"Views a day that are counted of one friend's viewers, and that say where its videos stand in Trending; of one video a quarter of that."`
	FriendPictureBytes       Bytes `name:"friend-picture-bytes" default:"2GiB" placeholder:"SIZE" help:"Disk that the pictures of one friend's videos may take. Those that were used longest ago go first."`
	PictureBytes             Bytes `name:"picture-bytes" default:"10GiB" placeholder:"SIZE" help:"Disk that the pictures of all friends' videos may take. Those that were used longest ago go first; what somebody looks at is fetched again."`
	FriendCacheBytes         Bytes `name:"friend-cache-bytes" default:"512MiB" placeholder:"SIZE" help:"Disk for torrents and descriptions of all friends' videos that somebody looked at. Those that were used longest ago go first."`
	SeederPeersPerAddress    int   `name:"seeder-peers-per-address" default:"20" placeholder:"N" help:"WebRTC peers of one address at a time."`
}

// Error is a value that cannot stand, with a sentence that names its key.
type Error struct {
	Key     string // as in the TOML file: "limits.upload_bytes"
	Problem string
}

// Error gives the sentence.
func (e *Error) Error() string { return e.Key + ": " + e.Problem }

func wrong(key, format string, args ...any) error {
	return &Error{Key: key, Problem: fmt.Sprintf(format, args...)}
}

// maxName bounds Name, in runes.
const maxName = 60

// Validate says what cannot stand, one *Error at a time.
func (c Config) Validate() error {
	for _, check := range []func() error{c.checkAddresses, c.checkHosts, c.checkWords, c.Limits.check} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) checkAddresses() error {
	for _, a := range []struct {
		key, value string
		optional   bool
	}{
		{"listen", c.Listen, false},
		{"admin_listen", c.AdminListen, true},
		{"rtc_listen", c.RTCListen, false},
		{"bt_listen", c.BTListen, false},
	} {
		if a.value == "" && a.optional {
			continue
		}
		host, port, err := net.SplitHostPort(a.value)
		if err != nil {
			return wrong(a.key, "%q is not an address such as \":9090\" or \"127.0.0.1:9090\"", a.value)
		}
		if _, err := net.LookupPort("tcp", port); err != nil {
			return wrong(a.key, "%q is not a port", port)
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
			return wrong(a.key, "%q is not an IP address of this machine", host)
		}
	}
	return nil
}

func (c Config) checkHosts() error {
	if c.Host != "" {
		if _, err := network.ParseHost(c.Host); err != nil {
			return wrong("host", "%q is not a host or host:port; it has no scheme and no path", c.Host)
		}
	}
	for _, f := range c.Friends {
		if _, err := network.ParseHost(f); err != nil {
			return wrong("friends", "%q is not a host or host:port; it has no scheme and no path", f)
		}
	}
	if c.Redis == "" {
		return nil
	}
	u, err := url.Parse(c.Redis)
	if err != nil || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) {
		return wrong("redis", "not a URL such as redis://HOST:6379/0, rediss://HOST:6379/0 or unix:///PATH")
	}
	return nil
}

func (c Config) checkWords() error {
	for _, w := range []struct {
		key, value string
		words      []string
	}{
		{"scheme", c.Scheme, []string{"auto", "https", "http"}},
		{"registration", c.Registration, []string{"closed", "invite", "open"}},
		{"viewing", c.Viewing, []string{"public", "members"}},
		{"thumbnails", c.Thumbnails, []string{"eager", "lazy"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
	} {
		if !slices.Contains(w.words, w.value) {
			return wrong(w.key, "%q is none of %s", w.value, strings.Join(w.words, ", "))
		}
	}
	if c.SwarmViewers < 1 {
		return wrong("swarm_viewers", "%d is less than 1", c.SwarmViewers)
	}
	switch n := len([]rune(c.Name)); {
	case strings.TrimSpace(c.Name) == "":
		return wrong("name", "it may not be empty")
	case n > maxName:
		return wrong("name", "it has %d characters, %d are allowed", n, maxName)
	case c.Data == "":
		return wrong("data", "it may not be empty")
	}
	return nil
}

func (l Limits) check() error {
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"upload_bytes", int64(l.UploadBytes)},
		{"quota_bytes", int64(l.QuotaBytes)},
		{"requests_per_second", int64(l.RequestsPerSecond)},
		{"logins_per_minute", int64(l.LoginsPerMinute)},
		{"connections", int64(l.Connections)},
		{"connections_per_address", int64(l.ConnectionsPerAddress)},
		{"tracker_connections_per_address", int64(l.TrackerConnectionsPerAddress)},
		{"tracker_messages_per_second", int64(l.TrackerMessagesPerSecond)},
		{"seeder_bytes_per_second", int64(l.SeederBytesPerSecond)},
		{"seeder_peer_bytes_per_second", int64(l.SeederPeerBytesPerSecond)},
		{"seeder_peers", int64(l.SeederPeers)},
		{"seeder_peers_per_address", int64(l.SeederPeersPerAddress)},
		{"friends", int64(l.Friends)},
		{"friend_videos", int64(l.FriendVideos)},
		{"friend_messages_per_minute", int64(l.FriendMessagesPerMinute)},
		{"friend_views_per_day", int64(l.FriendViewsPerDay)},
		{"friend_picture_bytes", int64(l.FriendPictureBytes)},
		{"picture_bytes", int64(l.PictureBytes)},
		{"friend_cache_bytes", int64(l.FriendCacheBytes)},
	} {
		if n.value < 0 {
			return wrong("limits."+n.key, "%d is less than 0; 0 is no limit", n.value)
		}
	}
	return nil
}

// HostAt is the pod's host: Host, or where that is empty what reaches the address
// that the pod listens on.
func (c Config) HostAt(listening net.Addr) network.Host {
	if c.Host != "" {
		return network.Host(strings.ToLower(c.Host))
	}
	a, err := netip.ParseAddrPort(listening.String())
	if err != nil || a.Addr().IsUnspecified() {
		_, port, _ := net.SplitHostPort(listening.String())
		return network.Host("localhost:" + port)
	}
	return network.Host(a.String())
}

// Secure says whether the pod's own links are https: what Scheme says, and where that
// leaves it open they are, unless its host is of this machine or http is allowed.
func (c Config) Secure() bool {
	return c.Scheme == "https" || c.Scheme != "http" && !c.AllowHTTP && !Local(c.Host)
}

// Local says whether a host is this machine. It holds for "" too: HostAt makes a host
// of this machine of it, or the
// address that was asked for, which has no certificate.
func Local(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if a, err := netip.ParseAddr(name); err == nil {
		return a.IsLoopback()
	}
	return name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// DataDir is Data as an absolute path.
func (c Config) DataDir() (string, error) {
	dir, err := filepath.Abs(c.Data)
	if err != nil {
		return "", fmt.Errorf("find the data directory %s: %w", c.Data, err)
	}
	return dir, nil
}
