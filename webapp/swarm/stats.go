package swarm

import (
	"math"
	"time"
)

// Source is where a piece came from.
type Source uint8

// The sources of a piece.
const (
	None    Source = iota
	WebSeed        // the pod's /stream, by HTTP
	Pod            // the pod's seeder, by WebRTC
	Viewer         // another viewer, by WebRTC
	Local          // this device had it
)

// Stats is the swarm as it is at one moment. It is a copy.
type Stats struct {
	Pieces      []PieceState
	PieceLength int64 // bytes
	Length      int64 // bytes of the file
	Peers       []Peer

	Down, Up                                    float64 // bytes a second
	FromWebSeed, FromPod, FromViewers, Uploaded int64   // bytes since the start
	Wasted                                      int64   // bytes that came and were not used
	Sent, Received                              int64   // bytes by WebRTC since the start, with what carries them (see traffic)
	Saved                                       int64   // bytes from viewers that the pod would have sent otherwise
	Others                                      int     // viewers that the tracker counts besides this one
	TooFew                                      bool    // and that they are too few for connections
	Playhead                                    float64 // 0..1 of the file
	Complete                                    bool
	WebSeedResting                              bool // the web seed gave wrong bytes or failed, and is left alone for now
	Refused                                     bool // each tracker that answers refuses the torrent: it may be gone from its pod
}

// PieceState is one piece.
type PieceState struct {
	Source   Source
	Have     bool
	Fetching bool
}

// Peer is one connection.
type Peer struct {
	ID             string // hexadecimal
	Pod            bool
	Down, Up       float64 // bytes a second
	Received, Sent int64   // bytes of blocks
	Progress       float64 // 0..1 of the pieces that the peer has
	State          string  // "connecting", "connected", "choked", "benched"
}

// meter measures a rate of bytes a second, smoothed over some two seconds.
type meter struct {
	total int64
	last  int64
	rate  float64
}

func (m *meter) add(n int) { m.total += int64(n) }

// tick is called once every d.
func (m *meter) tick(d time.Duration) {
	now := float64(m.total-m.last) / d.Seconds()
	m.last = m.total
	alpha := 1 - math.Exp(-d.Seconds()/2)
	if m.rate += alpha * (now - m.rate); m.rate < 1 {
		m.rate = 0
	}
}

func (e *Engine) stats() Stats {
	s := Stats{
		Pieces: make([]PieceState, e.t.Pieces()), PieceLength: e.t.PieceLength, Length: e.t.Length,
		Down: e.down.rate, Up: e.up.rate,
		FromWebSeed: e.from[WebSeed], FromPod: e.from[Pod], FromViewers: e.from[Viewer], Uploaded: e.up.total, Wasted: e.wasted,
		Others: e.others, TooFew: e.counted && !e.enough(),
		Playhead: e.playhead(), Complete: e.missing == 0, WebSeedResting: e.web.url != "" && !e.web.usable(e.now),
	}
	s.Sent, s.Received = e.carried()
	for _, tr := range e.trackers {
		if s.Refused = tr.refused; !s.Refused {
			break
		}
	}
	for i := range s.Pieces {
		_, fetching := e.busy[i]
		s.Pieces[i] = PieceState{Source: e.source[i], Have: e.have.Has(i), Fetching: fetching}
		if e.read && e.source[i] == Viewer {
			s.Saved += min(e.t.PieceSize(i), max(0, e.t.Offset(i)+e.t.PieceSize(i)-e.plain))
		}
	}
	for p := range e.peers {
		if p.known || p == e.pod.peer { // not offers that nobody took
			s.Peers = append(s.Peers, p.stat(e.now))
		}
	}
	return s
}
