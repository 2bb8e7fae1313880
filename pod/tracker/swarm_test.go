package tracker

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// Peers come, go and change in any order; the group stays in order.
func TestGroupKeepsItsOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var g group
	var in, out []*peer
	for range 50 {
		out = append(out, &peer{})
	}
	for step := range 20000 {
		switch rng.IntN(3) {
		case 0:
			if len(out) > 0 {
				i := rng.IntN(len(out))
				p := out[i]
				out = slices.Delete(out, i, i+1)
				p.seeder = rng.IntN(2) == 0
				g.add(p)
				in = append(in, p)
			}
		case 1:
			if len(in) > 0 {
				i := rng.IntN(len(in))
				g.remove(in[i])
				out = append(out, in[i])
				in = slices.Delete(in, i, i+1)
			}
		case 2:
			if len(in) > 0 {
				g.become(in[rng.IntN(len(in))], rng.IntN(2) == 0)
			}
		}
		if len(g.peers) != len(in) {
			t.Fatalf("step %d: %d peers, want %d", step, len(g.peers), len(in))
		}
		for i, p := range g.peers {
			if p.index != i || p.seeder != (i >= g.leechers) {
				t.Fatalf("step %d: peer %d of %d leechers: %+v", step, i, g.leechers, p)
			}
		}
	}
}

func TestPickIsFairAndNeverSelf(t *testing.T) {
	var g group
	var peers []*peer
	for i := range 20 {
		p := &peer{seeder: i%4 == 0}
		g.add(p)
		peers = append(peers, p)
	}
	for _, self := range []*peer{nil, peers[0], peers[1]} {
		seeder := self != nil && self.seeder
		hits := map[*peer]int{}
		const rounds = 20000
		for range rounds {
			chosen := g.pick(nil, self, seeder, 5)
			seen := map[*peer]bool{}
			for _, p := range chosen {
				if p == self || seen[p] || seeder && p.seeder {
					t.Fatalf("picked %+v for %+v", p, self)
				}
				seen[p] = true
				hits[p]++
			}
			if len(chosen) != 5 {
				t.Fatalf("picked %d", len(chosen))
			}
		}
		want := 5 * rounds / g.others(self, seeder)
		for p, n := range hits {
			if n < want*9/10 || n > want*11/10 {
				t.Errorf("%+v was picked %d times, want about %d", p, n, want)
			}
		}
		if len(hits) != g.others(self, seeder) {
			t.Errorf("%d of %d were picked", len(hits), g.others(self, seeder))
		}
		if all := g.pick(nil, self, seeder, 100); len(all) != g.others(self, seeder) {
			t.Errorf("picked %d of all", len(all))
		}
	}
}

func BenchmarkPick(b *testing.B) {
	var g group
	for i := range 10000 {
		p := &peer{}
		binary.BigEndian.PutUint32(p.id[:], uint32(i))
		g.add(p)
	}
	var chosen []*peer
	for b.Loop() {
		chosen = g.pick(chosen[:0], g.peers[5], false, 10)
	}
}

// Half of those whom a newcomer meets came last; nobody is met twice, nor after leaving.
func TestWhoCameLastIsMet(t *testing.T) {
	var s swarm
	var peers []*peer
	for i := range 30 {
		p := &peer{conn: &conn{}, seeder: i%5 == 0}
		binary.BigEndian.PutUint32(p.id[:], uint32(i))
		s.add(p)
		peers = append(peers, p)
	}
	self, left := peers[29], peers[28]
	s.remove(left)
	for range 1000 {
		met := s.meet(nil, self, 5)
		if len(met) != 5 || met[0] != peers[27] || met[1] != peers[26] || slices.Contains(met, self) || slices.Contains(met, left) {
			t.Fatalf("met %d: %v", len(met), met)
		}
		for i, p := range met {
			if slices.Contains(met[:i], p) {
				t.Fatal("met twice")
			}
		}
	}
	// Who came long ago meets by lot: else those who came last would meet all.
	hits := 0
	for range 1000 {
		if slices.Contains(s.meet(nil, peers[1], 5), peers[27]) {
			hits++
		}
	}
	if hits > 400 {
		t.Errorf("of 1000 meetings of one who came long ago, %d were with one who came last", hits)
	}
	seeder := peers[25]
	for _, p := range s.meet(nil, seeder, 40) {
		if p.seeder {
			t.Error("a seeder met a seeder")
		}
	}
	if n := len(s.meet(nil, self, 40)); n != 28 {
		t.Errorf("%d of 28 were met", n)
	}
}
