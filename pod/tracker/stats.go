package tracker

import "sync/atomic"

// Stats is what the tracker does, for metrics. Numbers that are not of now only grow.
type Stats struct {
	Connections   int64            // WebSockets open now
	Swarms        int64            // with a peer now
	Peers         int64            // in swarms now: browsers and BitTorrent clients, without the pod
	Messages      int64            // from WebSockets
	Announces     int64            // taken, by WebSocket and HTTP
	Scrapes       int64            // taken, by WebSocket and HTTP
	Offers        int64            // handed from peer to peer
	Answers       int64            // handed from peer to peer
	SeederAnswers int64            // of the pod's seeder
	Refused       map[string]int64 // by reason
}

// reason is why something was refused.
type reason uint8

const (
	refusedMessage     reason = iota // not of the right form
	refusedInfoHash                  // not of this pod
	refusedPeerID                    // somebody else's, or not the one said before
	refusedTorrents                  // too many on one connection
	refusedRate                      // too many messages from an address
	refusedConnections               // too many connections from an address
	refusedFull                      // too many connections in all
	refusedOffer                     // broken offers, dropped from an announce
	refusedAnswer                    // to no offer, or too late
	refusedFrame                     // not the WebSocket protocol, or too long
	refusedQueue                     // a reader too slow
	refusedQuiet                     // no sign of life, or no end of a message
	refusedSeeder                    // the seeder would not answer an offer, or was busy
	refusedPass                      // not a member
	reasons
)

var reasonNames = [reasons]string{
	"message", "info_hash", "peer_id", "torrents", "rate", "connections", "full", "offer", "answer", "frame", "queue", "quiet", "seeder", "pass",
}

// counters are what Stats is made of.
type counters struct {
	connections, swarms, peers, messages, announces, scrapes, offers, answers, seederAnswers atomic.Int64
	refused                                                                                  [reasons]atomic.Int64
}

func (c *counters) stats() Stats {
	s := Stats{
		Connections: c.connections.Load(), Swarms: c.swarms.Load(), Peers: c.peers.Load(), Messages: c.messages.Load(),
		Announces: c.announces.Load(), Scrapes: c.scrapes.Load(), Offers: c.offers.Load(), Answers: c.answers.Load(),
		SeederAnswers: c.seederAnswers.Load(), Refused: make(map[string]int64, reasons),
	}
	for i, name := range reasonNames {
		s.Refused[name] = c.refused[i].Load()
	}
	return s
}
