package swarm

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/wire"
)

// podLink is the way to the pod's own seeder: our offer goes to it in a request of
// its own and at once, without ICE candidates, since it learns our address from what
// we send.
type podLink struct {
	peer    *peer
	retryAt time.Time
	retries int
}

func (e *Engine) startPod() {
	e.pod.peer = e.newPeer(true, e.offerToPod, func(on ConnEvents) Conn { return e.cfg.Network.Offer(false, on) })
	e.pod.peer.pod = true
}

func (e *Engine) offerToPod(p *peer, sdp string) {
	body, err := json.Marshal(api.SeederOffer{InfoHash: e.t.InfoHash, PeerID: hex.EncodeToString(e.id[:]), SDP: sdp})
	if err != nil {
		p.close(err)
		return
	}
	e.cfg.Network.Post(e.cfg.OfferURL, body, func(status int, answer []byte, err error) {
		e.box.post(func() {
			if p.closed {
				return
			}
			id, sdp, err := podAnswer(status, answer, err)
			if err != nil {
				p.close(err)
				return
			}
			e.podID = id
			p.conn.Accept(sdp)
		})
	})
}

func podAnswer(status int, body []byte, err error) (id wire.PeerID, sdp string, _ error) {
	if err != nil {
		return id, "", err
	}
	if status != 200 {
		return id, "", fmt.Errorf("the pod's seeder answered %d", status)
	}
	var a api.SeederAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return id, "", fmt.Errorf("the pod's seeder: %w", err)
	}
	if len(a.PeerID) != 2*len(id) {
		return id, "", errors.New("the pod's seeder has no peer id")
	}
	if _, err := hex.Decode(id[:], []byte(a.PeerID)); err != nil {
		return id, "", fmt.Errorf("the pod's seeder: %w", err)
	}
	return id, a.SDP, nil
}

// lost tries again later, and later with each failure.
func (l *podLink) lost(now time.Time) {
	l.peer = nil
	l.retryAt = now.Add(min(lastRetry, 2*firstRetry<<min(l.retries, 10)))
	l.retries++
}

// wantsPod says whether a connection to the pod's seeder is wanted: where the web seed fails.
// It opens within a moment, and what it costs a device that starts would come first.
func (e *Engine) wantsPod() bool {
	return e.cfg.OfferURL != "" && e.missing > 0 && e.terms.Company == Together && !e.web.usable(e.now)
}

// knowsPod says whether its seeder came through the tracker.
func (e *Engine) knowsPod() bool {
	for p := range e.peers {
		if p.pod && p.known {
			return true
		}
	}
	return false
}

// tickPod connects where that is wanted, and again where the connection was lost.
func (e *Engine) tickPod() {
	switch {
	case e.pod.peer != nil && e.pod.peer.known:
		e.pod.retries = 0
	case e.pod.peer == nil && e.wantsPod() && !e.knowsPod() && !e.banned[e.podID] && !e.now.Before(e.pod.retryAt):
		e.startPod()
	}
}
