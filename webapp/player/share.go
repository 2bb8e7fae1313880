package player

import (
	"encoding/json"
	"fmt"

	"kinopod/webapp/swarm"
)

// shared is the swarm as the tab with the engine tells other tabs of the same video: a
// byte a piece, the rest as it is.
type shared struct {
	swarm.Stats
	Pieces []byte
}

// Bits of a piece in shared: its source, and what is done with it.
const (
	sharedSource   = 0x0f
	sharedHave     = 0x10
	sharedFetching = 0x20
)

// writeShared encodes s.
func writeShared(s swarm.Stats) ([]byte, error) {
	out := shared{s, make([]byte, len(s.Pieces))}
	for i, p := range s.Pieces {
		b := byte(p.Source) & sharedSource
		if p.Have {
			b |= sharedHave
		}
		if p.Fetching {
			b |= sharedFetching
		}
		out.Pieces[i] = b
	}
	return json.Marshal(out)
}

// readShared decodes what writeShared made, there or in another version of the app.
func readShared(b []byte) (swarm.Stats, error) {
	var in shared
	if err := json.Unmarshal(b, &in); err != nil {
		return swarm.Stats{}, fmt.Errorf("read shared statistics: %w", err)
	}
	in.Stats.Pieces = make([]swarm.PieceState, len(in.Pieces))
	for i, b := range in.Pieces {
		source := swarm.Source(b & sharedSource)
		if source > swarm.Local {
			return swarm.Stats{}, fmt.Errorf("read shared statistics: source %d", source)
		}
		in.Stats.Pieces[i] = swarm.PieceState{Source: source, Have: b&sharedHave != 0, Fetching: b&sharedFetching != 0}
	}
	return in.Stats, nil
}
