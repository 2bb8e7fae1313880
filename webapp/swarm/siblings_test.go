package swarm

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// house is the engines of one viewer.
type house struct {
	mu      sync.Mutex
	members map[*member]bool // guarded by mu
}

// member is one of them. It hears nothing, and nobody hears it, once crashed.
type member struct {
	house   *house
	heard   func([]byte)
	crashed atomic.Bool
}

func (h *house) join(heard func([]byte)) *member {
	m := &member{house: h, heard: heard}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.members == nil {
		h.members = map[*member]bool{}
	}
	h.members[m] = true
	return m
}

func (m *member) Say(text []byte) {
	m.house.mu.Lock()
	defer m.house.mu.Unlock()
	for o := range m.house.members {
		if o != m && !m.crashed.Load() && !o.crashed.Load() {
			o.heard(text)
		}
	}
}

func (m *member) Close() {
	m.house.mu.Lock()
	defer m.house.mu.Unlock()
	delete(m.house.members, m)
}

// Engines of one viewer have one cap: who gives nothing leaves it to the others, who give
// have parts, and of one that crashed the others have all.
func TestUploadCapOfAFamily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 60)
		const rate = 2e6 / 8
		var h house
		var members [3]*member
		var engines [3]*Engine
		for i := range engines {
			engines[i] = w.engine(func(c *Config) {
				c.Complete, c.Trackers, c.Terms.UploadRate = true, nil, rate
				c.Siblings = func(heard func([]byte)) Siblings { members[i] = h.join(heard); return members[i] }
			})
		}
		time.Sleep(10 * time.Second)
		var all atomic.Int64
		check := func(what string, least float64) {
			t.Helper()
			if share := takes(&all, rate, capWindow); share < least || share > 1.05 {
				t.Errorf("%s: %.1f %% of the cap", what, 100*share)
			}
		}
		w.hungry(engines[0], 1, &all)
		check("one of three", 0.97)
		w.hungry(engines[1], 2, &all)
		check("two of three", 0.97)
		w.hungry(engines[2], 3, &all)
		check("three", 0.97)
		parts := [3]int64{}
		for i, e := range engines {
			parts[i] = -statsOf(t, e).Uploaded
		}
		time.Sleep(capWindow)
		for i, e := range engines {
			parts[i] += statsOf(t, e).Uploaded
		}
		if slices.Min(parts[:])*10 < slices.Max(parts[:])*9 {
			t.Errorf("three who need the same had %v", parts)
		}

		members[2].crashed.Store(true)
		engines[2].SetTerms(Terms{NoUpload: true, UploadRate: rate})
		time.Sleep(siblingTime + tick)
		check("the third crashed", 0.97)
		for _, e := range engines[:2] {
			e.SetTerms(Terms{UploadRate: 2 * rate})
		}
		if share := takes(&all, 2*rate, capWindow); share < 0.97 || share > 1.05 {
			t.Errorf("twice the cap: %.1f %%", 100*share)
		}
	})
}

// A little need is met before a great one has the rest.
func TestParts(t *testing.T) {
	for _, c := range []struct {
		own    float64
		others []float64
		want   float64
	}{
		{100, nil, 100},
		{30, nil, 30},
		{0, []float64{100}, 0},
		{100, []float64{100}, 50},
		{100, []float64{20}, 80},
		{20, []float64{100}, 20},
		{100, []float64{0, 0, 0}, 100},
		{100, []float64{100, 10}, 45},
		{60, []float64{40}, 60},
		{100, []float64{1e300}, 50},
	} {
		if got := part(100, c.own, c.others); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v beside %v: %v instead of %v", c.own, c.others, got, c.want)
		}
	}
	for range 1000 {
		needs := make([]float64, 1+rand.IntN(5))
		sum, given := 0.0, 0.0
		for i := range needs {
			needs[i] = rand.Float64() * 100
			sum += needs[i]
		}
		for i := range needs {
			given += part(100, needs[i], slices.Delete(slices.Clone(needs), i, i+1))
		}
		if want := min(100, sum); math.Abs(given-want) > 1e-6 {
			t.Fatalf("needs %v: %v in all instead of %v", needs, given, want)
		}
	}
}

// What another version of the app says does no harm.
func FuzzSibling(f *testing.F) {
	f.Add([]byte(`{"id":"6b70","need":1000}`))
	f.Add([]byte(`{"id":"a","need":-1e308}`))
	f.Add([]byte(`null`))
	w := newWorld(f, 4*mib, piece)
	f.Fuzz(func(t *testing.T, text []byte) {
		e := New(Config{Torrent: w.torrent, Terms: Terms{UploadRate: 1000}, Log: slog.New(slog.DiscardHandler)})
		e.home.others = map[string]sibling{}
		e.home.need = 1000
		e.heardSibling(text)
		if got := e.uploadRate(); got < 500 || got > 1000 {
			t.Errorf("%q leaves %v of 1000", text, got)
		}
	})
}
