package swarm

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	mrand "math/rand/v2"
	"time"

	"kinopod/shared/announce"
	"kinopod/shared/wire"
)

// Times and bounds of a tracker.
const (
	wantPeers       = 10
	offersAtOnce    = 3
	offersReady     = 2 * time.Second // the announce waits no longer for descriptions
	answerTime      = 50 * time.Second
	recount         = 3 * time.Second // until we ask again how many there are, where an offer says that there are more
	defaultInterval = 2 * time.Minute
	lonelyInterval  = 20 * time.Second // between announces while we have too few peers
	alone           = 6 * time.Second  // and while we have none, or one of several, or none that has what comes next
	fewPeers        = 2                // below it each viewer that the tracker counts gets an offer: one we have may get it
	firstRetry      = time.Second
	lastRetry       = time.Minute
	lastRedial      = 18 * time.Second // a tracker that is back sees us within 30 s
	dialTime        = 8 * time.Second  // until a connection is open
	responseTime    = 8 * time.Second  // until an announce is answered
)

// tracker is one tracker by WebSocket. It introduces viewers to each other.
type tracker struct {
	e       *Engine
	url     string
	socket  Socket // nil while there is none
	open    bool
	dialAt  time.Time // the next one, or the one under way
	retries int
	serial  int // tells late callbacks of an earlier socket

	refused    bool // it does not serve this torrent, or not now
	others     int  // viewers that it counts besides us
	lacking    int  // of them and us, those who have not all
	interval   time.Duration
	announced  time.Time // at last
	unanswered time.Time // the first announce since an answer; zero for none
	announceAt time.Time // sooner than wait says; zero for not
	event      string    // to be sent with the next announce
	pending    map[announce.OfferID]*peer
	gathering  *round
	bare       bool // the latest announce had no offers, for want of viewers
}

// round is an announce whose offers are being made.
type round struct {
	offers []announce.Offer
	owner  []*peer
	want   int
	due    time.Time
}

func (e *Engine) startTrackers() {
	for _, url := range e.cfg.Trackers {
		tr := &tracker{e: e, url: url, interval: defaultInterval, pending: map[announce.OfferID]*peer{}}
		e.trackers = append(e.trackers, tr)
		tr.dial()
	}
}

func (tr *tracker) dial() {
	tr.serial++
	tr.dialAt = tr.e.now
	serial := tr.serial
	post := func(f func()) {
		tr.e.box.post(func() {
			if tr.serial == serial {
				f()
			}
		})
	}
	tr.event = announce.Started
	tr.socket = tr.e.cfg.Network.Dial(tr.url, SocketEvents{
		Open:    func() { post(tr.opened) },
		Message: func(b []byte) { post(func() { tr.message(b) }) },
		Closed:  func(err error) { post(func() { tr.lost(err) }) },
	})
}

func (tr *tracker) opened() {
	tr.open = true
	tr.beginRound()
}

// giveUp leaves the connection that there is, without a word that would not arrive.
func (tr *tracker) giveUp(err error) {
	tr.socket.Close()
	tr.lost(err)
}

// lost tries again later, and later with each failure; the connections to other
// viewers go on without the tracker.
func (tr *tracker) lost(err error) {
	tr.e.log.Debug("tracker lost", "err", err)
	tr.serial++
	wait := min(lastRedial, firstRetry<<min(tr.retries, 10))
	tr.retries++
	since := tr.e.now // it failed, which shows late where it does without a word
	switch {
	case !tr.unanswered.IsZero():
		since = tr.unanswered
	case !tr.open:
		since = tr.dialAt
	}
	tr.dialAt = since.Add(wait/2 + mrand.N(wait))
	tr.socket, tr.open, tr.gathering, tr.unanswered = nil, false, nil, time.Time{}
	for id, p := range tr.pending {
		delete(tr.pending, id)
		p.close(err)
	}
}

func (tr *tracker) tick() {
	e := tr.e
	if tr.socket == nil {
		if !e.now.Before(tr.dialAt) {
			tr.dial()
		}
		return
	}
	// What is lost on its way is lost without a word.
	switch {
	case !tr.open && e.now.Sub(tr.dialAt) > e.patience(dialTime):
		tr.giveUp(errors.New("no connection in time"))
		return
	case !tr.open:
		return
	case !tr.unanswered.IsZero() && e.now.Sub(tr.unanswered) > e.patience(responseTime):
		tr.giveUp(errors.New("no answer in time"))
		return
	}
	for id, p := range tr.pending {
		if p.closed || e.now.Sub(p.since) > answerTime {
			delete(tr.pending, id)
			p.close(errSelf)
		}
	}
	switch {
	case tr.gathering != nil:
		// A device that has much to do is late with all of them, and without one nobody
		// can answer.
		late := e.now.Sub(tr.gathering.due)
		if late >= 0 && (len(tr.gathering.offers) > 0 || late > 4*offersReady) {
			tr.announce()
		}
	case !e.now.Before(tr.announced.Add(tr.wait())), !tr.announceAt.IsZero() && !e.now.Before(tr.announceAt):
		tr.beginRound()
	}
}

// beginRound makes offers where we want more peers, and announces when they are
// described.
func (tr *tracker) beginRound() {
	e := tr.e
	n := 0
	if room := min(wantPeers-e.viewers(), maxPeers-len(e.peers), maxPending-len(tr.pending)); room > 0 {
		n = min(offersAtOnce, room)
	}
	if tr.bare = !e.enough(); tr.bare {
		n = 0 // the tracker tells how many there are
	} else if e.counted {
		// Each offer costs a connection, also where nobody is there to take it.
		have := e.viewers()
		if have < fewPeers {
			have = 0
		}
		n = min(n, max(1, e.others-have))
	}
	r := &round{want: n, due: e.now.Add(offersReady)}
	tr.gathering = r
	for range n {
		p := e.newPeer(true, func(p *peer, sdp string) { tr.described(r, p, sdp) }, func(on ConnEvents) Conn { return e.cfg.Network.Offer(true, on) })
		r.owner = append(r.owner, p)
	}
	if n == 0 {
		tr.announce()
	}
}

func (tr *tracker) described(r *round, p *peer, sdp string) {
	if tr.gathering != r {
		p.close(errSelf) // the announce went without it
		return
	}
	var id announce.OfferID
	_, _ = rand.Read(id[:])
	p.offer = id
	r.offers = append(r.offers, announce.Offer{Offer: announce.Description{Type: "offer", SDP: sdp}, OfferID: id})
	tr.pending[id] = p
	if len(r.offers) == r.want {
		tr.announce()
	}
}

// announce tells the tracker of us, with the offers that are ready.
func (tr *tracker) announce() {
	e := tr.e
	var offers []announce.Offer
	if tr.gathering != nil {
		offers = tr.gathering.offers
	}
	tr.gathering = nil
	tr.send(announce.Announce{
		InfoHash: e.t.InfoHash, PeerID: e.id, Event: tr.event, Left: e.left(), Uploaded: e.up.total, Downloaded: e.down.total,
		NumWant: len(offers), Offers: offers,
	})
	tr.event = ""
	tr.announced, tr.announceAt = e.now, time.Time{}
	if tr.unanswered.IsZero() {
		tr.unanswered = e.now
	}
}

// wait is how long after an announce the next one comes.
func (tr *tracker) wait() time.Duration {
	others := tr.e.others
	if tr.e.missing == 0 {
		others = min(others, tr.lacking) // two who have all do not meet
	}
	switch n := tr.e.viewers(); {
	case tr.refused:
	case n < min(fewPeers, others) && tr.e.enough(), n < min(wantPeers, others) && tr.e.unserved():
		return min(tr.interval, alone)
	case n < others && n < wantPeers/2, others > 0 && tr.e.unserved(): // there may be more by now
		return min(tr.interval, lonelyInterval)
	}
	return tr.interval
}

// unserved says whether no viewer has what the player needs next. Who plays ahead may be
// one that we did not meet.
func (e *Engine) unserved() bool {
	i := e.firstMissing()
	return i < e.t.Pieces() && e.avail[i] == 0
}

// left is the number of bytes that are missing, roughly.
func (e *Engine) left() *int64 {
	n := int64(e.missing) * e.t.PieceLength
	return &n
}

func (tr *tracker) send(m any) {
	b, err := json.Marshal(m)
	if err != nil {
		tr.e.log.Error("encode tracker message", "err", err)
		return
	}
	tr.socket.Send(b)
}

// completed tells that we have everything.
func (tr *tracker) completed() {
	if tr.open {
		tr.send(announce.Announce{InfoHash: tr.e.t.InfoHash, PeerID: tr.e.id, Event: announce.Completed, Left: tr.e.left(), Uploaded: tr.e.up.total, Downloaded: tr.e.down.total})
	}
}

// stop takes leave.
func (tr *tracker) stop() {
	if tr.open {
		tr.send(announce.Announce{InfoHash: tr.e.t.InfoHash, PeerID: tr.e.id, Event: announce.Stopped, Left: tr.e.left(), Uploaded: tr.e.up.total, Downloaded: tr.e.down.total})
	}
	if tr.socket != nil {
		tr.serial++
		tr.socket.Close()
	}
}

func (tr *tracker) message(b []byte) {
	e := tr.e
	r, err := announce.ParseReceived(b)
	switch {
	case err != nil:
		e.log.Debug("tracker message", "err", err)
	case r.Failure != "":
		e.log.Warn("the tracker refused", "reason", r.Failure)
		tr.answered()
		tr.refused, e.changed = true, true
	case r.Action != announce.ActionAnnounce || r.InfoHash != announce.ID(e.t.InfoHash):
	case r.Offer != nil:
		tr.offered(r)
	case r.Answer != nil:
		if p := tr.pending[*r.OfferID]; p != nil {
			delete(tr.pending, *r.OfferID)
			p.since, p.answered = e.now, true
			p.conn.Accept(r.Answer.SDP)
		}
	default:
		if r.Interval > 0 {
			tr.interval = time.Duration(min(max(r.Interval, 10), 3600)) * time.Second
		}
		tr.answered()
		e.counted = true
		tr.refused = false
		tr.others, tr.lacking = max(0, r.Complete+r.Incomplete-1), r.Incomplete
		if tr == e.trackers[0] && (e.cfg.OfferURL != "" || e.podID != (wire.PeerID{})) {
			tr.others = max(0, tr.others-1) // the pod's seeder counts as one
		}
		e.others = 0
		for _, t := range e.trackers {
			e.others = max(e.others, t.others)
		}
		e.changed = true
		if tr.bare && e.enough() && tr.gathering == nil {
			tr.beginRound()
		}
	}
}

// answered notes that the tracker is well.
func (tr *tracker) answered() { tr.unanswered, tr.retries = time.Time{}, 0 }

// offered answers another peer's offer.
func (tr *tracker) offered(r announce.Received) {
	e := tr.e
	from := wire.PeerID(*r.PeerID)
	if e.banned[from] || len(e.peers) >= maxPeers || from == e.id {
		return
	}
	if e.cfg.LeastViewers > max(e.others, 1)+1 { // who offers is one more than we knew of
		if tr.announceAt.IsZero() {
			tr.announceAt = e.now.Add(recount)
		}
		return
	}
	for p := range e.peers {
		if p.known && p.id == from {
			return
		}
	}
	offerID, serial := *r.OfferID, tr.serial
	p := e.newPeer(false, func(p *peer, sdp string) {
		if tr.serial != serial || !tr.open {
			p.close(errSelf)
			return
		}
		tr.send(announce.Answer{
			InfoHash: e.t.InfoHash, PeerID: e.id, ToPeerID: from, OfferID: offerID,
			Answer: announce.Description{Type: "answer", SDP: sdp},
		})
	}, func(on ConnEvents) Conn { return e.cfg.Network.Answer(r.Offer.SDP, on) })
	p.offer, p.answered = offerID, true
}

// tryAgain has new offers made: a connection that both sides wanted does not open.
func (e *Engine) tryAgain() {
	for _, tr := range e.trackers {
		if tr.gathering == nil {
			tr.announceAt = e.now
		}
	}
}
