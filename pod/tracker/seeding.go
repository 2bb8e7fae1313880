package tracker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"kinopod/shared/announce"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// errBusy is what asking the seeder returns when it has enough to do.
var errBusy = errors.New("the seeder is busy")

// askSeeder gives an offer of p to the pod's seeder, whose answer goes back to p
// like any peer's. An offer beyond what the seeder keeps up with is passed over: p
// offers again with its next announce.
func (l *loop) askSeeder(p *peer, o *announce.RawOffer) {
	if !l.queueForSeeder() {
		return
	}
	h, id, from := p.swarm.hash, p.id, p.conn.from
	offer, offerID := bytes.Clone(o.Description), o.OfferID
	l.tasks.Go(func() {
		answer, err := l.answerOf(h, id, from, offer)
		l.post(func() {
			l.waiting--
			if err == nil {
				l.relaySeeder(p, h, offerID, answer)
			}
		})
	})
}

// queueForSeeder takes a place among those who ask the seeder, if there is one. It
// is given back by l.waiting--.
func (l *loop) queueForSeeder() bool {
	if l.waiting >= 2*cap(l.seeding) {
		l.count.refused[refusedSeeder].Add(1)
		return false
	}
	l.waiting++
	return true
}

// answerOf has the seeder answer the JSON of an offer, in JSON.
func (l *loop) answerOf(h magnet.InfoHash, id wire.PeerID, from netip.Addr, offer []byte) ([]byte, error) {
	var d announce.Description
	if err := json.Unmarshal(offer, &d); err != nil {
		return nil, fmt.Errorf("read an offer: %w", err)
	}
	sdp, err := l.seed(h, id, from, d.SDP)
	if err != nil {
		return nil, err
	}
	return json.Marshal(announce.Description{Type: "answer", SDP: sdp})
}

// seed has the seeder answer an offer, for one who has a place in the queue: it
// waits until few enough are at work.
func (l *loop) seed(h magnet.InfoHash, id wire.PeerID, from netip.Addr, sdp string) (string, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.limits.SeederTime)
	defer cancel()
	select {
	case l.seeding <- struct{}{}:
		defer func() { <-l.seeding }()
	case <-ctx.Done():
		l.count.refused[refusedSeeder].Add(1)
		return "", errBusy
	}
	answer, err := l.seeder.Answer(ctx, h, id, from, sdp)
	if err != nil {
		l.count.refused[refusedSeeder].Add(1)
		return "", fmt.Errorf("answer an offer: %w", err)
	}
	l.count.seederAnswers.Add(1)
	return answer, nil
}

// relaySeeder hands the seeder's answer to p, if it is still there.
func (l *loop) relaySeeder(p *peer, h magnet.InfoHash, id announce.OfferID, answer []byte) {
	if p.swarm == nil {
		return
	}
	out, ok := l.begin(p.conn)
	if !ok {
		return
	}
	at := len(out)
	out = append(beginFrame(out), `{"action":"announce","info_hash":`...)
	out = announce.ID(h).AppendJSON(out)
	out = announce.ID(l.seeder.PeerID()).AppendJSON(append(out, `,"peer_id":`...))
	out = append(append(out, `,"answer":`...), answer...)
	out = id.AppendJSON(append(out, `,"offer_id":`...))
	l.end(p.conn, endFrame(append(out, '}'), at, opText))
}
