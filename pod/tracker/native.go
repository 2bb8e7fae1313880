package tracker

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"

	"kinopod/shared/announce"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// defaultWant is how many addresses a client gets that does not say.
const defaultWant = 50

// native is what a BitTorrent client says over HTTP (BEP 3).
type native struct {
	hash      magnet.InfoHash
	id        wire.PeerID
	addr      netip.AddrPort
	stopped   bool
	completed bool
	seeder    bool
	want      int  // addresses
	compact   bool // BEP 23
}

// parseNative reads the query of an announce. The port is in addr; the address is
// the one that the request comes from, whatever the query says.
func parseNative(query string, from netip.Addr) (n native, err error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return n, errors.New("the query cannot be read")
	}
	hash, err := id20(q.Get("info_hash"), "info_hash")
	if err != nil {
		return n, err
	}
	peer, err := id20(q.Get("peer_id"), "peer_id")
	if err != nil {
		return n, err
	}
	n = native{hash: magnet.InfoHash(hash), id: wire.PeerID(peer), want: defaultWant, compact: q.Get("compact") != "0"}
	port, err := strconv.ParseUint(q.Get("port"), 10, 16)
	if err != nil || port == 0 {
		return n, errors.New("port is not a number of 1..65535")
	}
	n.addr = netip.AddrPortFrom(from, uint16(port))
	switch event := q.Get("event"); event {
	case "", "empty", announce.Started, announce.Update, "paused": // BEP 21
	case announce.Stopped:
		n.stopped = true
	case announce.Completed:
		n.completed = true
	default:
		return n, errors.New("unknown event")
	}
	if left := q.Get("left"); left != "" {
		v, err := strconv.ParseInt(left, 10, 64)
		if err != nil {
			return n, errors.New("left is not a number of bytes")
		}
		n.seeder = v == 0
	}
	n.seeder = n.seeder || n.completed
	if want := q.Get("numwant"); want != "" {
		v, err := strconv.Atoi(want)
		if err != nil {
			return n, errors.New("numwant is not a number")
		}
		if v >= 0 { // -1 is no wish
			n.want = v
		}
	}
	return n, nil
}

// parseScrape reads the query of a scrape (BEP 48); info hashes beyond most are
// passed over.
func parseScrape(query string, most int) ([]magnet.InfoHash, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the query cannot be read")
	}
	texts := q["info_hash"]
	if len(texts) == 0 {
		return nil, errors.New("no info_hash: this tracker does not list what it has")
	}
	var hashes []magnet.InfoHash
	for _, text := range texts[:min(len(texts), most)] {
		id, err := id20(text, "info_hash")
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, magnet.InfoHash(id))
	}
	return hashes, nil
}

func id20(s, name string) (id [20]byte, err error) {
	if len(s) != len(id) {
		return id, fmt.Errorf("%s is not 20 bytes", name)
	}
	return [20]byte([]byte(s)), nil
}

// nativeReply is what a BitTorrent client is told.
type nativeReply struct {
	counts counts
	own    bool // the pod has the file
	peers  []nativePeer
}

type nativePeer struct {
	addr netip.AddrPort
	id   *wire.PeerID // nil if it is not known
}

// announceNative takes an announce over HTTP; ok is false if the tracker does not
// serve the torrent.
func (l *loop) announceNative(n native) (reply nativeReply, ok bool) {
	s := l.served(n.hash)
	if s == nil {
		l.count.refused[refusedInfoHash].Add(1)
		return reply, false
	}
	l.count.announces.Add(1)
	p := s.byAddr[n.addr]
	if n.completed && (p == nil || !p.seeder) {
		s.downloaded++
	}
	switch {
	case n.stopped:
		if p != nil {
			l.leave(p)
		}
		p, n.want = nil, 0
	case p != nil:
		s.natives.become(p, n.seeder)
		p.id = n.id
		l.touch(p)
	case s.ports(n.addr.Addr()) < l.limits.PortsPerSwarm:
		p = &peer{addr: n.addr, id: n.id, seeder: n.seeder}
		l.join(s, p)
	}
	l.chosen = s.natives.pick(l.chosen[:0], p, n.seeder, min(n.want, l.limits.Peers))
	for _, q := range l.chosen {
		id := q.id
		reply.peers = append(reply.peers, nativePeer{q.addr, &id})
	}
	clear(l.chosen)
	reply.counts, reply.own = s.counts(), s.own
	return reply, true
}
