package outbox

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// have is what is listed of a friend.
func (w *world) have(h network.Host) map[video.ID]int64 {
	w.t.Helper()
	out := map[video.ID]int64{}
	if err := w.db.Marks(w.t.Context(), h, func(marks []catalog.Mark) error {
		for _, m := range marks {
			out[m.ID] = m.Revision
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (p *peer) has() map[video.ID]int64 {
	out := map[video.ID]int64{}
	for id, v := range p.videos {
		out[id] = v.Revision
	}
	return out
}

func (w *world) mustRepair(h network.Host) {
	w.t.Helper()
	if err := w.repair(w.t.Context(), h); err != nil {
		w.t.Fatal(err)
	}
}

// TestRepair: what we have of a friend's videos becomes what it has, over many buckets
// and pages, and another time nothing is asked but the digest.
func TestRepair(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	all := films(them, 600)
	for i := range all[:40] { // one bucket has several pages
		all[i].ID[0] = 7
	}
	all[40].ID[0], all[41].ID[0] = 0, 255
	p := w.befriend(them, all...)
	stay := films(third, 5)
	for _, v := range stay {
		if _, err := w.db.Take(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	ours := w.add(1)
	same := func(what string) {
		t.Helper()
		if got := w.have(them); !maps.Equal(got, p.has()) {
			t.Errorf("%s: %d videos, want %d", what, len(got), len(p.videos))
		}
		if len(w.have(third)) != len(stay) || len(w.have(us)) != 1 {
			t.Errorf("%s: others' videos changed", what)
		}
	}
	w.mustRepair(them)
	same("all are new")
	if f := w.friend(them); !f.Repaired.Equal(w.clock.now()) {
		t.Errorf("repaired at %v", f.Repaired)
	}
	clear(p.asked)
	w.mustRepair(them)
	if same("nothing changed"); p.asked[federation.PathVideos] != 0 || p.asked[federation.PathDigest] != 1 {
		t.Errorf("asked for %v", p.asked)
	}
	// One is missing, one is older, one is newer than it is there, one is gone there.
	if err := w.db.Drop(ctx, them, all[0].ID, false); err != nil {
		t.Fatal(err)
	}
	changed := all[1]
	changed.Revision, changed.Name = changed.Revision+5, "Edited"
	p.videos[changed.ID] = changed
	delete(p.videos, all[2].ID)
	clear(p.asked)
	w.mustRepair(them)
	same("after some changed")
	if got, err := w.db.Get(ctx, changed.ID); err != nil || got.Name != "Edited" {
		t.Errorf("%+v, %v", got, err)
	}
	if n := p.asked[federation.PathVideos]; n > 8 { // of one bucket
		t.Errorf("%d pages for one bucket", n)
	}
	// What it forgot it may have again, what it removed not.
	p.videos[all[2].ID] = all[2]
	w.mustRepair(them)
	same("it has it again")
	// It lost everything: so do we. The whole again comes in one go.
	before := maps.Clone(p.videos)
	clear(p.videos)
	w.mustRepair(them)
	same("it has nothing")
	p.videos = before
	w.mustRepair(them)
	same("it has all again")
	if _, err := w.db.Get(ctx, ours.ID); err != nil {
		t.Error(err)
	}
}

// TestRepairKeepsWhatIsNew: what came after the page was made may be missing in it.
func TestRepairKeepsWhatIsNew(t *testing.T) {
	w := newWorld(t)
	asOf := time.Now().UnixMilli()
	old, edge, recent := film(them, 1), film(them, 2), film(them, 3)
	old.Revision, edge.Revision, recent.Revision = asOf-1, asOf, asOf+1
	p := w.befriend(them)
	for _, v := range []video.Video{old, edge, recent} {
		if _, err := w.db.Take(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	p.send = func(_ context.Context, path string, body []byte) (any, bool, error) {
		answer, unknown, err := w.peers.answer(p, path, body)
		if page, ok := answer.(federation.Page); ok {
			page.AsOf = asOf
			answer = page
		}
		return answer, unknown, err
	}
	w.mustRepair(them)
	if got := w.have(them); len(got) != 1 || got[recent.ID] != recent.Revision {
		t.Errorf("%v, want %s", got, recent.ID)
	}
}

// TestLies: what a friend answers costs bounded work, and touches its own videos only.
func TestLies(t *testing.T) {
	page := func(more bool, videos ...video.Video) federation.Page {
		p := federation.Page{Videos: []federation.Video{}, More: more, AsOf: time.Now().UnixMilli()}
		for _, v := range videos {
			p.Videos = append(p.Videos, federation.VideoOf(v))
		}
		return p
	}
	low, high, foreign := film(them, 1), film(them, 2), film(third, 3)
	low.ID[0], high.ID[0], foreign.ID[0] = 1, 200, 100
	next := func(after video.ID, step byte) video.Video {
		v := film(them, 1)
		id := v.ID // of this origin, and greater than after
		copy(v.ID[:8], after[:8])
		for i := 7; i >= 0; i-- {
			if v.ID[i] += step; v.ID[i] >= step {
				break
			}
		}
		copy(v.ID[8:], id[8:])
		return v
	}
	for name, c := range map[string]struct {
		digest any // nil for one that differs everywhere
		page   func(q federation.PageRequest) any
		err    bool
		taken  int
		asked  int // pages at most
	}{
		"out of order":           {page: func(federation.PageRequest) any { return page(false, high, low) }, err: true, asked: 1},
		"the same twice":         {page: func(federation.PageRequest) any { return page(false, low, low) }, err: true, asked: 1},
		"an empty page and more": {page: func(federation.PageRequest) any { return page(true) }, err: true, asked: 1},
		"the same page for ever": {page: func(federation.PageRequest) any { return page(true, low) }, err: true, taken: 1, asked: 2},
		"beyond the end":         {digest: onlyBucket(0), page: func(federation.PageRequest) any { return page(false, high) }, err: true, asked: 1},
		"endless":                {page: func(q federation.PageRequest) any { return page(true, next(q.After, 1)) }, err: true, asked: 10*federation.MaxPage/leastPage + 1, taken: -1},
		"ids of others":          {page: func(federation.PageRequest) any { return page(false, low, foreign, high) }, taken: 2, asked: 1},
		"no digest":              {digest: "nothing", err: true},
		"nothing at all":         {digest: nothing{}, err: true},
		"no page":                {page: func(federation.PageRequest) any { return []int{1} }, err: true, asked: 1},
		"a count beyond all":     {digest: federation.Digest{Count: 1<<63 - 1, Hashes: all256()}, page: func(federation.PageRequest) any { return page(false) }, asked: 1},
		"a count below nothing":  {digest: federation.Digest{Count: -1 << 63, Hashes: all256()}, page: func(federation.PageRequest) any { return page(false, low) }, asked: 1, taken: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.befriend(them)
			theirs, ours := film(third, 9), w.add(1)
			if _, err := w.db.Take(t.Context(), theirs); err != nil {
				t.Fatal(err)
			}
			p.send = func(_ context.Context, path string, body []byte) (any, bool, error) {
				if path == federation.PathDigest {
					if c.digest == (nothing{}) {
						return nil, false, nil
					}
					if c.digest != nil {
						return c.digest, false, nil
					}
					return federation.Digest{Hashes: all256()}, false, nil
				}
				q, err := federation.ParsePageRequest(body)
				if err != nil {
					t.Error(err)
				}
				return c.page(q), false, nil
			}
			err := w.repair(t.Context(), them)
			var a *again
			if c.err && (!errors.As(err, &a) || a.after <= 0 || a.after > time.Minute) || !c.err && err != nil {
				t.Errorf("%v", err)
			}
			if n := p.asked[federation.PathVideos]; n > c.asked {
				t.Errorf("%d pages are asked for, want %d at most", n, c.asked)
			}
			if got := len(w.have(them)); got != c.taken && c.taken >= 0 {
				t.Errorf("%d videos are taken, want %d", got, c.taken)
			}
			for _, v := range []video.Video{theirs, ours} {
				if _, err := w.db.Get(t.Context(), v.ID); err != nil {
					t.Errorf("%s of %s: %v", v.ID, v.Origin, err)
				}
			}
			if f := w.friend(them); f.Score != 100 || f.Attempts != 0 || c.err != f.Repaired.IsZero() {
				t.Errorf("%+v", f)
			}
		})
	}
}

// nothing is an answer that is none.
type nothing struct{}

// all256 are hashes that no catalogue has.
func all256() (h federation.Hashes) {
	for i := range h {
		h[i] = 1
	}
	return h
}

func onlyBucket(n int) federation.Digest {
	var d federation.Digest
	d.Hashes[n] = 1
	return d
}

// TestWrongRevisions: a page that says something else than the digest, or than is known.
func TestWrongRevisions(t *testing.T) {
	w := newWorld(t)
	v := film(them, 1)
	p := w.befriend(them, v)
	w.mustRepair(them)
	older := v
	older.Revision, older.Name = v.Revision-1, "as it was"
	p.videos[v.ID] = older
	w.mustRepair(them)
	if got, err := w.db.Get(t.Context(), v.ID); err != nil || got.Name != v.Name {
		t.Errorf("%q, %v", got.Name, err)
	}
	bad := v
	bad.Revision, bad.Renditions = v.Revision+1, nil
	p.videos[v.ID] = bad
	w.mustRepair(them)
	if got, err := w.db.Get(t.Context(), v.ID); err != nil || len(got.Renditions) == 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestRepairFails: it is tried again, and costs the friend nothing.
func TestRepairFails(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them, films(them, 100)...)
	n := 0
	p.send = func(_ context.Context, path string, body []byte) (any, bool, error) {
		if n++; n%5 == 0 {
			return nil, false, errDown
		}
		return w.peers.answer(p, path, body)
	}
	failed := 0
	for w.repair(t.Context(), them) != nil {
		if failed++; failed > 100 {
			t.Fatal("it never ends")
		}
	}
	if !maps.Equal(w.have(them), p.has()) || failed == 0 {
		t.Errorf("%d videos after %d failures", len(w.have(them)), failed)
	}
	if f := w.friend(them); f.Score != 100 || f.Attempts != 0 {
		t.Errorf("%+v", f)
	}
}

// TestRepairsAreFew: friends that are compared leave workers to deliveries.
func TestRepairsAreFew(t *testing.T) {
	w := newWorld(t)
	p := w.befriend(them, films(them, 3)...)
	for range repairsAtOnce {
		w.repairs <- struct{}{}
	}
	var later *again
	if err := w.repair(t.Context(), them); !errors.As(err, &later) || later.after != repairTurn {
		t.Errorf("%v", err)
	}
	<-w.repairs
	if err := w.repair(t.Context(), them); err != nil || !maps.Equal(w.have(them), p.has()) {
		t.Errorf("then: %v", err)
	}
	if len(w.repairs) != repairsAtOnce-1 {
		t.Errorf("%d places are taken", len(w.repairs))
	}
}

func TestLastOf(t *testing.T) {
	for _, bucket := range []int{0, 1, 254, 255} {
		id := lastOf(bucket)
		if id[0] != byte(bucket) || !bytes.Equal(id[1:], bytes.Repeat([]byte{0xff}, 15)) {
			t.Errorf("%x is the last of %d", id, bucket)
		}
	}
}
