package seeder

import "maps"

// Stats is what the seeder does at a moment, and what it did since it was made.
type Stats struct {
	WebRTCPeers int // connections, those that are opening included
	NativePeers int
	Torrents    int   // open
	WebRTCBytes int64 // of blocks sent
	NativeBytes int64
	Refused     map[Refusal]int64 // offers and native connections
}

// Stats counts.
func (s *Seeder) Stats() Stats {
	s.mu.Lock()
	st := Stats{
		WebRTCPeers: len(s.peers), NativePeers: len(s.tcpPeers) + len(s.utpConns), Torrents: len(s.swarms),
		WebRTCBytes: s.sent.Load(), NativeBytes: s.tcpSent.Load() + s.utpSent, Refused: maps.Clone(s.refused),
	}
	var open []*nativeTorrent
	for _, w := range s.swarms {
		if w.native != nil {
			open = append(open, w.native)
		}
	}
	s.mu.Unlock()
	for _, t := range open {
		st.NativeBytes += t.sent()
	}
	return st
}
