package tracker

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"kinopod/pod/household"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// swarm is the peers of one torrent. It exists while it has one.
type swarm struct {
	hash       magnet.InfoHash
	own        bool          // the pod has the file, and counts as one seeder
	looked     time.Duration // when that was looked for
	browsers   group
	natives    group
	byID       map[wire.PeerID]*peer    // browsers
	byAddr     map[netip.AddrPort]*peer // natives
	downloaded int                      // peers that completed
	latest     [8]*peer                 // browsers that came last, the newest first; nil for one that left
}

// peer is a member of one swarm: a browser by its connection, or a native client
// by its address.
type peer struct {
	swarm        *swarm // nil once it has left
	conn         *conn  // of a browser
	addr         netip.AddrPort
	id           wire.PeerID
	seeder       bool
	index        int           // in its group
	announced    time.Duration // when it last did, on the loop's clock
	older, newer *peer         // in the loop's queue
}

// group is peers of one kind, the leechers before the seeders.
type group struct {
	peers    []*peer
	leechers int
}

func (g *group) swap(i, j int) {
	g.peers[i], g.peers[j] = g.peers[j], g.peers[i]
	g.peers[i].index, g.peers[j].index = i, j
}

func (g *group) add(p *peer) {
	p.index = len(g.peers)
	g.peers = append(g.peers, p)
	if !p.seeder {
		g.swap(p.index, g.leechers)
		g.leechers++
	}
}

func (g *group) remove(p *peer) {
	if !p.seeder {
		g.leechers--
		g.swap(p.index, g.leechers)
	}
	last := len(g.peers) - 1
	g.swap(p.index, last)
	g.peers[last] = nil
	g.peers = g.peers[:last]
}

// become says that p is a seeder, or a leecher, from now on.
func (g *group) become(p *peer, seeder bool) {
	if p.seeder == seeder {
		return
	}
	g.remove(p)
	p.seeder = seeder
	g.add(p)
}

// others gives how many peers p can be introduced to: two seeders have nothing to
// tell each other. p is nil for one who is not in the group.
func (g *group) others(p *peer, seeder bool) int {
	n := len(g.peers)
	if seeder {
		n = g.leechers
	}
	if p != nil && p.index < n {
		n--
	}
	return n
}

// pick appends to chosen n different random peers that p can be introduced to, or
// all if there are fewer. It costs n^2 however many there are (Floyd's algorithm).
func (g *group) pick(chosen []*peer, p *peer, seeder bool, n int) []*peer {
	all := g.others(p, seeder)
	first := len(chosen)
	for i := max(0, all-n); i < all; i++ {
		q := g.other(rand.IntN(i+1), p)
		for _, before := range chosen[first:] {
			if before == q {
				q = g.other(i, p)
				break
			}
		}
		chosen = append(chosen, q)
	}
	return chosen
}

// meet appends to chosen n different browsers for p to meet, or all if there are fewer.
// Where p came lately, half of them did so too: they play nearest ahead of it, and have
// what it needs next. Those by lot keep the swarm in one piece.
func (s *swarm) meet(chosen []*peer, p *peer, n int) []*peer {
	lately := slices.Contains(s.latest[:], p)
	for _, q := range s.latest {
		if lately && len(chosen) < (n+1)/2 && q != nil && q != p && !(p.seeder && q.seeder) {
			chosen = append(chosen, q)
		}
	}
	near := len(chosen)
	chosen = s.browsers.pick(chosen, p, p.seeder, n)
	met := chosen[:near]
	for _, q := range chosen[near:] {
		if len(met) < n && !slices.Contains(met[:near], q) {
			met = append(met, q)
		}
	}
	return met
}

// other is the i-th peer that is not p.
func (g *group) other(i int, p *peer) *peer {
	if p != nil && i >= p.index {
		i++
	}
	return g.peers[i]
}

func (s *swarm) groupOf(p *peer) *group {
	if p.conn != nil {
		return &s.browsers
	}
	return &s.natives
}

func (s *swarm) add(p *peer) {
	p.swarm = s
	s.groupOf(p).add(p)
	if p.conn == nil {
		if s.byAddr == nil {
			s.byAddr = map[netip.AddrPort]*peer{}
		}
		s.byAddr[p.addr] = p
		return
	}
	if s.byID == nil {
		s.byID = map[wire.PeerID]*peer{}
	}
	s.byID[p.id] = p
	copy(s.latest[1:], s.latest[:])
	s.latest[0] = p
}

func (s *swarm) remove(p *peer) {
	s.groupOf(p).remove(p)
	if p.conn == nil {
		delete(s.byAddr, p.addr)
	} else {
		delete(s.byID, p.id)
		if i := slices.Index(s.latest[:], p); i >= 0 {
			s.latest[i] = nil
		}
	}
	p.swarm = nil
}

// ports counts the native clients of the household of a.
func (s *swarm) ports(a netip.Addr) (n int) {
	at := household.Of(a)
	for _, p := range s.natives.peers {
		if at.Contains(p.addr.Addr()) {
			n++
		}
	}
	return n
}

func (s *swarm) empty() bool { return len(s.browsers.peers)+len(s.natives.peers) == 0 }

// counts are the peers of a swarm, the pod among them.
type counts struct{ complete, incomplete, downloaded int }

func (s *swarm) counts() counts {
	c := counts{incomplete: s.browsers.leechers + s.natives.leechers, downloaded: s.downloaded}
	c.complete = len(s.browsers.peers) + len(s.natives.peers) - c.incomplete
	if s.own {
		c.complete++
	}
	return c
}

// queue holds the peers of all swarms, by when they announced last.
type queue struct{ oldest, newest *peer }

func (q *queue) push(p *peer) {
	p.older, p.newer = q.newest, nil
	if q.newest != nil {
		q.newest.newer = p
	} else {
		q.oldest = p
	}
	q.newest = p
}

func (q *queue) remove(p *peer) {
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		q.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		q.newest = p.older
	}
	p.older, p.newer = nil, nil
}
