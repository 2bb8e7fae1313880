package player

import (
	"os"
	"reflect"
	"testing"

	"kinopod/webapp/swarm"
)

var example = swarm.Stats{
	Pieces:      []swarm.PieceState{{Source: swarm.Viewer, Have: true}, {Fetching: true}, {}, {Source: swarm.Local, Have: true}},
	PieceLength: 16384, Length: 65000, Peers: []swarm.Peer{{ID: "2d4b50", Down: 1.5, Progress: 0.25, State: "connected"}},
	Down: 3.25, FromViewers: 16384, Playhead: 0.5,
}

func TestSharedStatistics(t *testing.T) {
	written, err := writeShared(example)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/shared.json") // what a tab with an earlier app says
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{written, golden} {
		if got, err := readShared(b); err != nil || !reflect.DeepEqual(got, example) {
			t.Errorf("%s: %+v, %v", b, got, err)
		}
	}
}

func FuzzShared(f *testing.F) {
	b, _ := writeShared(example)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readShared(b)
		if err != nil {
			return
		}
		again, err := writeShared(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readShared(again); err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("%+v, then %+v, %v", s, got, err)
		}
	})
}
