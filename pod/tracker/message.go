package tracker

import (
	"slices"
	"strconv"

	"kinopod/shared/announce"
)

// message acts on one message of a peer. spent says that its address has sent too
// many.
func (l *loop) message(c *conn, b []byte, spent bool) {
	l.count.messages.Add(1)
	c.spoken = l.now
	r := &l.request
	err := r.Scan(b, announce.Limits{Offers: l.limits.Offers, Scrape: l.limits.Scrape, SDP: l.limits.SDP})
	switch {
	case spent:
		l.fail(c, refusedRate, "too many messages from your address: slow down")
	case err != nil:
		l.fail(c, refusedMessage, err.Error())
	case r.Action == announce.ActionScrape:
		l.scrape(c)
	case r.IsAnswer:
		l.answer(c)
	default:
		l.announce(c)
	}
}

// fail answers l.request with a failure. A client that cannot tell what failed
// drops the connection, so it says as much of the message as could be read.
func (l *loop) fail(c *conn, why reason, text string) {
	l.sendFailure(c, l.request.Action, l.request.RawInfoHash, text)
	l.strike(c, why)
}

// sendFailure sends a failure; hash is JSON, or nil. The text is of our own words.
func (l *loop) sendFailure(c *conn, action string, hash []byte, text string) {
	out, ok := l.begin(c)
	if !ok {
		return
	}
	at := len(out)
	out = append(append(beginFrame(out), `{"failure reason":"`...), text...)
	if action != "" {
		out = append(append(out, `","action":"`...), action...)
	}
	out = append(out, '"')
	if hash != nil {
		out = append(append(out, `,"info_hash":`...), hash...)
	}
	l.end(c, endFrame(append(out, '}'), at, opText))
}

// announce acts on l.request, an announce.
func (l *loop) announce(c *conn) {
	r := &l.request
	s := l.served(r.InfoHashes[0])
	if s == nil {
		l.fail(c, refusedInfoHash, "this pod does not have that torrent")
		return
	}
	if !l.admits(s.hash, c.query) {
		l.fail(c, refusedPass, noPass)
		return
	}
	p := c.member(s)
	holder := s.byID[r.PeerID]
	switch {
	case p != nil && p.id != r.PeerID:
		l.fail(c, refusedPeerID, "this connection has another peer_id in that torrent")
		return
	case holder != p:
		l.probe(holder.conn) // if that is a ghost, the next announce succeeds
		l.fail(c, refusedPeerID, "another connection has that peer_id")
		return
	case s.own && r.PeerID == l.seeder.PeerID():
		l.fail(c, refusedPeerID, "that peer_id is the pod's")
		return
	case r.Event == announce.Stopped:
		if p != nil {
			l.leave(p)
		}
		l.respond(c, s)
		l.count.announces.Add(1)
		return
	case p == nil && len(c.peers) >= l.limits.Torrents:
		l.fail(c, refusedTorrents, "too many torrents on one connection")
		return
	}
	seeder := r.Seeder || r.Event == announce.Completed
	if r.Event == announce.Completed && (p == nil || !p.seeder) {
		s.downloaded++
	}
	if p == nil {
		p = &peer{conn: c, id: r.PeerID, seeder: seeder}
		l.join(s, p)
		c.peers = append(c.peers, p)
	} else {
		s.browsers.become(p, seeder)
		l.touch(p)
	}
	l.count.announces.Add(1)
	l.count.refused[refusedOffer].Add(int64(r.BrokenOffers))
	l.respond(c, s)
	l.introduce(p)
}

// noPass is told to who may not take part.
const noPass = "this video is for members, and the link to it is not good, or not any more"

// respond tells a connection of a swarm. A response has no peer_id: a client would
// take it for an introduction.
func (l *loop) respond(c *conn, s *swarm) {
	out, ok := l.begin(c)
	if !ok {
		return
	}
	at, n := len(out), s.counts()
	out = append(beginFrame(out), `{"action":"announce","interval":`...)
	out = strconv.AppendInt(out, l.intervalSeconds(), 10)
	out = append(append(out, `,"info_hash":`...), l.request.RawInfoHash...)
	out = strconv.AppendInt(append(out, `,"complete":`...), int64(n.complete), 10)
	out = strconv.AppendInt(append(out, `,"incomplete":`...), int64(n.incomplete), 10)
	l.end(c, endFrame(append(out, '}'), at, opText))
}

// scrape acts on l.request, a scrape. One without info hashes is of the torrents
// that the peer is in: nobody is told all that a pod has.
func (l *loop) scrape(c *conn) {
	hashes := l.request.InfoHashes
	if len(hashes) == 0 {
		for _, p := range c.peers {
			hashes = append(hashes, p.swarm.hash)
		}
		l.request.InfoHashes = hashes // the memory is used again
	}
	if len(hashes) == 0 {
		l.fail(c, refusedMessage, "a scrape names torrents, or comes from a peer")
		return
	}
	out, ok := l.begin(c)
	if !ok {
		return
	}
	l.count.scrapes.Add(1)
	at := len(out)
	out = append(beginFrame(out), `{"action":"scrape","files":{`...)
	for i, h := range hashes {
		if i > 0 {
			out = append(out, ',')
		}
		n := l.scraped(h, c.query)
		out = append(announce.ID(h).AppendJSON(out), `:{"complete":`...)
		out = strconv.AppendInt(out, int64(n.complete), 10)
		out = strconv.AppendInt(append(out, `,"incomplete":`...), int64(n.incomplete), 10)
		out = strconv.AppendInt(append(out, `,"downloaded":`...), int64(n.downloaded), 10)
		out = append(out, '}')
	}
	l.end(c, endFrame(append(out, '}', '}'), at, opText))
}

// introduce hands the offers of l.request, an announce of p, to other peers: one to
// each, and to the pod's seeder where there are few and it does not know p already, by
// an offer of its own.
func (l *loop) introduce(p *peer) {
	r, s := &l.request, p.swarm
	if s == nil { // the response did not fit its queue
		return
	}
	offers := r.Offers
	if r.NumWant >= 0 && r.NumWant < len(offers) {
		offers = offers[:r.NumWant]
	}
	others := s.browsers.others(p, p.seeder)
	if s.own && !p.seeder && others < len(offers) && others < l.limits.SmallSwarm && !l.seeder.Knows(s.hash, p.id, p.conn.from) {
		l.askSeeder(p, &offers[others])
	}
	l.chosen = s.meet(l.chosen[:0], p, len(offers))
	for i, q := range l.chosen {
		l.relayOffer(p, q, &offers[i])
	}
	clear(l.chosen)
}

// relayOffer hands an offer of p to q.
func (l *loop) relayOffer(p, q *peer, o *announce.RawOffer) {
	c := q.conn
	out, ok := l.begin(c)
	if !ok {
		return
	}
	if len(c.offered) == mostIntroductions {
		c.offered = slices.Delete(c.offered, 0, 1)
	}
	c.offered = append(c.offered, introduction{from: p, id: o.OfferID, at: l.now})
	l.count.offers.Add(1)
	at := len(out)
	out = append(beginFrame(out), `{"action":"announce","info_hash":`...)
	out = append(out, l.request.RawInfoHash...)
	out = append(append(out, `,"peer_id":`...), l.request.RawPeerID...)
	out = append(append(out, `,"offer":`...), o.Description...)
	out = append(append(out, `,"offer_id":`...), o.RawOfferID...)
	l.end(c, endFrame(append(out, '}'), at, opText))
}

// answer acts on l.request, an answer: it is handed on if the offer went from that
// peer to this one, lately, and was not answered yet. Otherwise it is passed over:
// a peer that left meanwhile is nobody's fault.
func (l *loop) answer(c *conn) {
	r := &l.request
	from := l.takeOffer(c)
	if from == nil {
		l.count.refused[refusedAnswer].Add(1)
		return
	}
	out, ok := l.begin(from.conn)
	if !ok {
		return
	}
	l.count.answers.Add(1)
	at := len(out)
	out = append(beginFrame(out), `{"action":"announce","info_hash":`...)
	out = append(out, r.RawInfoHash...)
	out = append(append(out, `,"peer_id":`...), r.RawPeerID...)
	out = append(append(out, `,"answer":`...), r.Answer.Description...)
	out = append(append(out, `,"offer_id":`...), r.Answer.RawOfferID...)
	l.end(from.conn, endFrame(append(out, '}'), at, opText))
}

// takeOffer gives the peer whose offer l.request answers, nil if it answers none.
func (l *loop) takeOffer(c *conn) *peer {
	r := &l.request
	s := l.swarms[r.InfoHashes[0]]
	if s == nil {
		return nil
	}
	if p := c.member(s); p == nil || p.id != r.PeerID {
		return nil
	}
	for i, o := range c.offered {
		if o.id == r.Answer.OfferID && o.from.swarm == s && o.from.id == r.ToPeerID && l.now-o.at <= l.limits.Answer {
			if c.offered = slices.Delete(c.offered, i, i+1); len(c.offered) == 0 {
				c.offered = nil // an idle connection keeps no memory
			}
			return o.from
		}
	}
	return nil
}
