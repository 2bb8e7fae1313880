package tracker

import (
	"slices"
	"time"

	"kinopod/shared/announce"
	"kinopod/shared/magnet"
)

// served gives the swarm of h, a new one if it has no peer yet; nil if the tracker
// does not serve h.
func (l *loop) served(h magnet.InfoHash) *swarm {
	s := l.swarms[h]
	if s != nil && (s.own || l.now-s.looked < lookAgain) {
		return s // until Drop
	}
	serves := l.serves(h)
	if l.buried(h, serves) || !serves && !l.open {
		return nil
	}
	if s == nil {
		s = &swarm{hash: h}
	}
	s.own, s.looked = serves && l.seeder != nil && l.has(h), l.now
	return s
}

// lookAgain is for how long an open tracker believes that a torrent is not of this
// pod: whether its file is there is asked of the disk.
const lookAgain = time.Second

// scraped gives the counts of h; zeros if the tracker does not serve it to who asks.
func (l *loop) scraped(h magnet.InfoHash, query string) counts {
	if s := l.served(h); s != nil && l.admits(h, query) {
		return s.counts()
	}
	return counts{}
}

// join makes p a member of s.
func (l *loop) join(s *swarm, p *peer) {
	if s.empty() {
		l.swarms[s.hash] = s
		l.count.swarms.Add(1)
	}
	s.add(p)
	p.announced = l.now
	l.peers.push(p)
	l.count.peers.Add(1)
}

// touch notes that p announced.
func (l *loop) touch(p *peer) {
	p.announced = l.now
	l.peers.remove(p)
	l.peers.push(p)
}

// leave ends the membership of p.
func (l *loop) leave(p *peer) {
	s := p.swarm
	s.remove(p)
	l.peers.remove(p)
	l.count.peers.Add(-1)
	if s.empty() {
		delete(l.swarms, s.hash)
		l.count.swarms.Add(-1)
	}
	if c := p.conn; c != nil {
		i := slices.Index(c.peers, p)
		c.peers = slices.Delete(c.peers, i, i+1)
	}
}

// tombstone stands for a torrent that was dropped.
type tombstone struct {
	at   time.Duration // when it was
	gone bool          // its file was seen to be gone
}

// tombstoneTime is how long a dropped torrent is refused. It matters to an open
// tracker; others refuse what has no file anyhow.
const tombstoneTime = 24 * time.Hour

// bury ends the swarm of h and has later announces refused.
func (l *loop) bury(h magnet.InfoHash) {
	l.dropped[h] = &tombstone{at: l.now}
	s := l.swarms[h]
	if s == nil {
		return
	}
	for len(s.natives.peers) > 0 {
		l.leave(s.natives.peers[0])
	}
	for len(s.browsers.peers) > 0 {
		p := s.browsers.peers[0]
		l.leave(p)
		l.sendFailure(p.conn, announce.ActionAnnounce, announce.ID(h).AppendJSON(nil), "that torrent was removed")
	}
}

// buried says whether h was dropped and is to be refused; own says whether its file
// is there. A file that is there again after it was gone was put back.
func (l *loop) buried(h magnet.InfoHash, own bool) bool {
	t := l.dropped[h]
	if t == nil {
		return false
	}
	if t.gone = t.gone || !own; t.gone && own || l.now-t.at > tombstoneTime {
		delete(l.dropped, h)
		return false
	}
	return true
}

// sweepTombstones looks whether files of dropped torrents are gone.
func (l *loop) sweepTombstones() {
	for h, t := range l.dropped {
		if !t.gone || l.now-t.at > tombstoneTime {
			l.buried(h, l.serves(h))
		}
	}
}
