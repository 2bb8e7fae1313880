package tracker

import (
	"net/netip"

	"github.com/anacrolix/torrent/bencode"
	"github.com/gofiber/fiber/v2"

	"kinopod/shared/magnet"
)

// announceResponse is the answer to an announce (BEP 3), its peers in one of two
// forms.
type announceResponse struct {
	Complete    int    `bencode:"complete"`
	Downloaded  int    `bencode:"downloaded"`
	Incomplete  int    `bencode:"incomplete"`
	Interval    int64  `bencode:"interval"`         // seconds
	MinInterval int64  `bencode:"min interval"`     // seconds
	Peers       any    `bencode:"peers"`            // 6 bytes each (BEP 23), or []peerResponse
	Peers6      []byte `bencode:"peers6,omitempty"` // 18 bytes each (BEP 7)
}

type peerResponse struct {
	IP   string `bencode:"ip"`
	ID   []byte `bencode:"peer id,omitempty"`
	Port int    `bencode:"port"`
}

type scrapeResponse struct {
	Files map[string]scrapedFile `bencode:"files"`
}

type scrapedFile struct {
	Complete   int `bencode:"complete"`
	Downloaded int `bencode:"downloaded"`
	Incomplete int `bencode:"incomplete"`
}

type failureResponse struct {
	Reason string `bencode:"failure reason"`
	Retry  int    `bencode:"retry in,omitempty"` // minutes (BEP 31)
}

func (t *Tracker) announce(c *fiber.Ctx) error {
	from := t.clientAddr(c)
	if !t.loop.visitors.visit(from).take(c.Context().Time()) {
		return t.tooMany(c)
	}
	n, err := parseNative(string(c.Request().URI().QueryString()), from)
	if err != nil {
		t.loop.count.refused[refusedMessage].Add(1)
		return sendBencode(c, fiber.StatusBadRequest, failureResponse{Reason: err.Error()})
	}
	if !t.cfg.Admits(n.hash, string(c.Request().URI().QueryString())) {
		t.loop.count.refused[refusedPass].Add(1)
		return sendBencode(c, fiber.StatusOK, failureResponse{Reason: noPass})
	}
	var reply nativeReply
	var ok bool
	if !t.loop.do(func() { reply, ok = t.loop.announceNative(n) }) {
		return errEnded
	}
	if !ok {
		return sendBencode(c, fiber.StatusOK, failureResponse{Reason: "this pod does not have that torrent"})
	}
	peers := reply.peers
	if reply.own && !n.seeder && n.want > 0 && !n.stopped {
		peers = append(t.ownAddresses(c, n.hash, from), peers...)
	}
	interval := t.loop.intervalSeconds()
	r := announceResponse{
		Complete: reply.counts.complete, Downloaded: reply.counts.downloaded, Incomplete: reply.counts.incomplete,
		Interval: interval, MinInterval: interval/2 + 1,
	}
	if n.compact {
		r.Peers, r.Peers6 = compactPeers(peers)
	} else {
		r.Peers = listPeers(peers)
	}
	return sendBencode(c, fiber.StatusOK, r)
}

// ownAddresses is where the pod's seeder serves h to the client at from; none if it
// does not.
func (t *Tracker) ownAddresses(c *fiber.Ctx, h magnet.InfoHash, from netip.Addr) (own []nativePeer) {
	port, ok := t.loop.seeder.Wanted(h)
	if !ok {
		return nil
	}
	addrs := t.cfg.PublicAddresses
	if len(addrs) == 0 {
		// Behind a proxy the request came in at an address that is none for others.
		local := addrOf(c.Context().LocalAddr())
		if !local.IsValid() || local.IsLoopback() != from.IsLoopback() {
			return nil
		}
		addrs = []netip.Addr{local}
	}
	for _, a := range addrs {
		own = append(own, nativePeer{addr: netip.AddrPortFrom(a.Unmap(), port)})
	}
	return own
}

func (t *Tracker) scrape(c *fiber.Ctx) error {
	if !t.loop.visitors.visit(t.clientAddr(c)).take(c.Context().Time()) {
		return t.tooMany(c)
	}
	hashes, err := parseScrape(string(c.Request().URI().QueryString()), t.cfg.Limits.Scrape)
	if err != nil {
		t.loop.count.refused[refusedMessage].Add(1)
		return sendBencode(c, fiber.StatusBadRequest, failureResponse{Reason: err.Error()})
	}
	files, query := make(map[string]scrapedFile, len(hashes)), string(c.Request().URI().QueryString())
	ok := t.loop.do(func() {
		t.loop.count.scrapes.Add(1)
		for _, h := range hashes {
			n := t.loop.scraped(h, query)
			files[string(h[:])] = scrapedFile{n.complete, n.downloaded, n.incomplete}
		}
	})
	if !ok {
		return errEnded
	}
	return sendBencode(c, fiber.StatusOK, scrapeResponse{Files: files})
}

// errEnded is for who asks after Run has ended.
var errEnded = fiber.NewError(fiber.StatusServiceUnavailable, "the tracker has ended")

func (t *Tracker) tooMany(c *fiber.Ctx) error {
	t.loop.count.refused[refusedRate].Add(1)
	c.Set(fiber.HeaderRetryAfter, "60")
	return sendBencode(c, fiber.StatusTooManyRequests, failureResponse{Reason: "too many requests from your address", Retry: 1})
}

func sendBencode(c *fiber.Ctx, status int, v any) error {
	b, err := bencode.Marshal(v)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextPlain)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Status(status).Send(b)
}

// compactPeers writes addresses as BEP 23 and BEP 7 have them.
func compactPeers(peers []nativePeer) (v4, v6 []byte) {
	v4 = []byte{}
	for _, p := range peers {
		b, err := p.addr.MarshalBinary() // the port little endian
		if err != nil {
			continue
		}
		n := len(b) - 2
		b[n], b[n+1] = b[n+1], b[n]
		if p.addr.Addr().Is4() {
			v4 = append(v4, b...)
		} else {
			v6 = append(v6, b...)
		}
	}
	return v4, v6
}

func listPeers(peers []nativePeer) []peerResponse {
	list := []peerResponse{}
	for _, p := range peers {
		r := peerResponse{IP: p.addr.Addr().String(), Port: int(p.addr.Port())}
		if p.id != nil {
			r.ID = p.id[:]
		}
		list = append(list, r)
	}
	return list
}

// clientAddr is the address that a request comes from.
func (t *Tracker) clientAddr(c *fiber.Ctx) netip.Addr {
	var forwarded []string
	for _, h := range c.Request().Header.PeekAll(fiber.HeaderXForwardedFor) {
		forwarded = append(forwarded, string(h))
	}
	return clientAddr(c.Context().RemoteAddr(), forwarded, t.cfg.TrustedProxies)
}
