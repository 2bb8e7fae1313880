package inbox

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// film makes a video of any pod.
func film(origin network.Host, n int) video.Video {
	v := catalogtest.NewVideo(n)
	v.ID, v.Origin = video.NewID(origin), origin
	return v
}

func wire(v video.Video) *federation.Video {
	out := federation.VideoOf(v)
	return &out
}

// listed are the videos that are listed, with names, and "host state key" of each pod.
func (r *real) listed() map[string]bool {
	r.t.Helper()
	out := map[string]bool{}
	videos, _, err := r.db.Page(r.t.Context(), catalog.Listing{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, v := range videos {
		out[fmt.Sprintf("%s of %s: %s", v.ID, v.Origin, v.Name)] = true
	}
	all, err := r.db.Friends(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range all {
		out[fmt.Sprintf("%s %s %s", f.Host, f.State, f.Key)] = true
	}
	return out
}

// TestAuthority has each kind of event come from everybody: it acts on what is the
// sender's, and on nothing else.
func TestAuthority(t *testing.T) {
	r := realWorld(t)
	ctx := t.Context()
	theirs, ours, others := film(friendly, 1), film(us, 2), film(other, 3)
	reset := func(t *testing.T) {
		for _, f := range known() {
			if _, err := r.db.ChangeFriend(ctx, f.Host, func(g *friends.Friend) error { *g = f; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, h := range []network.Host{friendly, other, former, stranger, us} {
			for {
				n, err := r.db.DropSome(ctx, h, 100)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
			}
		}
		theirs, ours, others = film(friendly, 1), film(us, 2), film(other, 3) // a removed one never comes back
		if _, err := r.db.Add(ctx, ours); err != nil {
			t.Fatal(err)
		}
		for _, v := range []video.Video{theirs, others} {
			if _, err := r.db.Take(ctx, v); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.list.Leave(ctx, "nobody.example", true); err != nil { // nothing is remembered of before
			t.Fatal(err)
		}
	}
	edited := func(v video.Video) video.Video {
		v.Name, v.Revision = "Mine now", v.Revision+1_000_000
		return v
	}
	key := federation.Key{PublicKey: &keys()[stranger].PublicKey}
	line := func(v video.Video) string { return fmt.Sprintf("%s of %s: %s", v.ID, v.Origin, v.Name) }
	for name, c := range map[string]struct {
		events func() []federation.Event
		// effect is what of the world is not as before, where the event comes from the
		// friend whose video it is; everybody else's has none.
		gone, come func() []string
	}{
		"a change of a video": {
			func() []federation.Event {
				return []federation.Event{{Kind: federation.VideoPut, Video: wire(edited(theirs))}}
			},
			func() []string { return []string{line(theirs)} }, func() []string { return []string{line(edited(theirs))} },
		},
		"a removal": {
			func() []federation.Event { return []federation.Event{{Kind: federation.VideoRemove, ID: &theirs.ID}} },
			func() []string { return []string{line(theirs)} }, nil,
		},
		"our video": {
			func() []federation.Event {
				return []federation.Event{{Kind: federation.VideoPut, Video: wire(edited(ours))}, {Kind: federation.VideoRemove, ID: &ours.ID}}
			}, nil, nil,
		},
		"a video that nobody has": {
			func() []federation.Event {
				id := video.NewID(friendly)
				return []federation.Event{{Kind: federation.VideoRemove, ID: &id}}
			}, nil, nil,
		},
		"an older version": {
			func() []federation.Event {
				v := edited(theirs)
				v.Revision = theirs.Revision - 1
				return []federation.Event{{Kind: federation.VideoPut, Video: wire(v)}}
			}, nil, nil,
		},
		"something of tomorrow": {
			func() []federation.Event { return []federation.Event{{Kind: "pod.party"}} }, nil, nil,
		},
	} {
		for _, sender := range []network.Host{friendly, other, former, stranger} {
			t.Run(name+" by "+string(sender), func(t *testing.T) {
				r.t = t
				reset(t)
				want := r.listed()
				a := r.send(sender, federation.PathEvents, federation.Batch{Events: c.events()}, nil)
				if sender == friendly {
					if c.gone != nil {
						for _, l := range c.gone() {
							delete(want, l)
						}
					}
					if c.come != nil {
						for _, l := range c.come() {
							want[l] = true
						}
					}
				}
				if taken := a.status == http.StatusNoContent; taken != (sender == friendly || sender == other) {
					t.Errorf("%d %s", a.status, a.body)
				}
				if got := r.listed(); !maps.Equal(got, want) {
					t.Errorf("%q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
				}
			})
		}
	}
	// What a pod says of itself changes it alone.
	for name, c := range map[string]struct {
		event federation.Event
		state network.State
		key   string
	}{
		"a new key":  {federation.Event{Kind: federation.PodKey, Key: &key}, network.Friend, jwk(stranger)},
		"a farewell": {federation.Event{Kind: federation.PodLeave}, network.Left, jwk(other)},
	} {
		for _, sender := range []network.Host{other, former, stranger} {
			t.Run(name+" of "+string(sender), func(t *testing.T) {
				r.t = t
				reset(t)
				want := r.listed()
				r.send(sender, federation.PathEvents, federation.Batch{Events: []federation.Event{c.event}}, nil)
				if sender == other {
					delete(want, fmt.Sprintf("%s %s %s", other, network.Friend, jwk(other)))
					want[fmt.Sprintf("%s %s %s", other, c.state, c.key)] = true
					if c.state == network.Left {
						delete(want, line(others))
					}
				}
				if got := r.listed(); !maps.Equal(got, want) {
					t.Errorf("%q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
				}
			})
		}
	}
	t.Run("who left says no more", func(t *testing.T) {
		r.t = t
		reset(t)
		late := film(other, 9)
		batch := federation.Batch{Events: []federation.Event{{Kind: federation.PodLeave}, {Kind: federation.VideoPut, Video: wire(late)}, {Kind: federation.PodKey, Key: &key}}, Compare: true}
		r.send(other, federation.PathEvents, batch, nil)
		if _, err := r.db.Get(ctx, late.ID); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("a video of who is no friend is listed: %v", err)
		}
		if f, _, _ := r.list.Get(ctx, other); f.State != network.Left || f.ByUs || f.Key != jwk(other) {
			t.Errorf("%+v", f)
		}
		if a := r.send(other, federation.PathEvents, batch, nil); a.status != http.StatusNotFound {
			t.Errorf("who left is answered %d", a.status)
		}
	})
	t.Run("a new key that is not signed with the one on record", func(t *testing.T) {
		r.t = t
		reset(t)
		want := r.listed()
		batch := federation.Batch{Events: []federation.Event{{Kind: federation.PodKey, Key: &key}}}
		for _, signer := range []network.Host{stranger, friendly, former} { // the new key is stranger's
			if a := r.post(federation.PathEvents, seal(t, header(other, federation.PathEvents), keys()[signer], batch)); a.status != http.StatusNotFound {
				t.Errorf("signed by %s: %d", signer, a.status)
			}
		}
		if got := r.listed(); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
	t.Run("only the new key counts", func(t *testing.T) {
		r.t = t
		reset(t)
		if a := r.send(other, federation.PathEvents, federation.Batch{Events: []federation.Event{{Kind: federation.PodKey, Key: &key}}}, nil); a.status != http.StatusNoContent {
			t.Fatal(a.status)
		}
		if a := r.send(other, federation.PathEvents, federation.Batch{}, nil); a.status != http.StatusNotFound {
			t.Errorf("the former key: %d", a.status)
		}
		h := header(other, federation.PathEvents)
		if a := r.post(federation.PathEvents, seal(t, h, keys()[stranger], federation.Batch{})); a.status != http.StatusNoContent {
			t.Errorf("the new key: %d", a.status)
		}
	})
	t.Run("a removed video does not come back", func(t *testing.T) {
		r.t = t
		reset(t)
		for _, e := range []federation.Event{{Kind: federation.VideoRemove, ID: &theirs.ID}, {Kind: federation.VideoPut, Video: wire(edited(theirs))}, {Kind: federation.VideoRemove, ID: &theirs.ID}} {
			if a := r.send(friendly, federation.PathEvents, federation.Batch{Events: []federation.Event{e}}, nil); a.status != http.StatusNoContent {
				t.Errorf("%s: %d", e.Kind, a.status)
			}
		}
		if _, err := r.db.Get(ctx, theirs.ID); !errors.Is(err, catalog.ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("videos that are none are passed over", func(t *testing.T) {
		r.t = t
		reset(t)
		bad, good := wire(film(friendly, 7)), film(friendly, 8)
		bad.Renditions = nil
		late := wire(film(friendly, 7))
		late.Created = 1 << 62
		a := r.send(friendly, federation.PathEvents, federation.Batch{Events: []federation.Event{
			{Kind: federation.VideoPut, Video: bad}, {Kind: federation.VideoPut, Video: late}, {Kind: "of.tomorrow"}, {Kind: federation.VideoPut, Video: wire(good)},
		}}, nil)
		if _, err := r.db.Get(ctx, good.ID); a.status != http.StatusNoContent || err != nil {
			t.Errorf("%d, %v", a.status, err)
		}
		if n, _ := r.db.Count(ctx, friendly); n != 2 {
			t.Errorf("%d videos of the friend", n)
		}
	})
}

// TestPages reads a large catalogue through the door, page by page, while a part of it
// is removed.
func TestPages(t *testing.T) {
	const n = 1200
	r := realWorld(t)
	ctx := t.Context()
	want := map[video.ID]int64{}
	for i := range n {
		v := film(us, i)
		v.Description = strings.Repeat("界", video.MaxDescription*(i%3)/2)
		if _, err := r.db.Add(ctx, v); err != nil {
			t.Fatal(err)
		}
		want[v.ID] = v.Revision
	}
	foreign := film(other, 1)
	if _, err := r.db.Take(ctx, foreign); err != nil {
		t.Fatal(err)
	}
	var hashes federation.Hashes
	for id, revision := range want {
		hashes.Add(id, revision)
	}
	var d federation.Digest
	if a := r.send(friendly, federation.PathDigest, struct{}{}, &d); a.status != http.StatusOK || d.Count != n || d.Hashes != hashes {
		t.Errorf("the digest of %d videos: %d, %d", n, a.status, d.Count)
	}
	all := func(t *testing.T, first, last video.ID, between func(federation.Page)) map[video.ID]int64 {
		t.Helper()
		r.t = t
		got := map[video.ID]int64{}
		for pages := 0; ; pages++ {
			var p federation.Page
			if a := r.send(friendly, federation.PathVideos, federation.PageRequest{After: first, Last: last}, &p); a.status != http.StatusOK || pages > 100 {
				t.Fatalf("page %d: %d %s", pages, a.status, a.body)
			} else if len(a.body) > federation.MaxMessage {
				t.Errorf("a page of %d bytes", len(a.body))
			}
			if len(p.Videos) > federation.MaxPage || p.AsOf == 0 || p.Videos == nil {
				t.Errorf("%d videos as of %d", len(p.Videos), p.AsOf)
			}
			for _, v := range p.Videos {
				if bytes.Compare(v.ID[:], first[:]) <= 0 || bytes.Compare(v.ID[:], last[:]) > 0 {
					t.Errorf("%s is not after %s, up to %s", v.ID, first, last)
				}
				if v.Revision > p.AsOf+1000 {
					t.Errorf("revision %d as of %d", v.Revision, p.AsOf)
				}
				first, got[v.ID] = v.ID, v.Revision
			}
			if between != nil {
				between(p)
			}
			if !p.More {
				return got
			}
		}
	}
	end := video.ID(bytes.Repeat([]byte{0xff}, 16))
	t.Run("all", func(t *testing.T) {
		pages := 0
		if got := all(t, video.ID{}, end, func(federation.Page) { pages++ }); !maps.Equal(got, want) {
			t.Errorf("%d videos, want %d", len(got), len(want))
		}
		if pages < 10 {
			t.Errorf("only %d pages: they are not bounded by their bytes", pages)
		}
	})
	t.Run("a part", func(t *testing.T) {
		ids := slices.SortedFunc(maps.Keys(want), func(a, b video.ID) int { return bytes.Compare(a[:], b[:]) })
		got := all(t, ids[100], ids[200], nil)
		if _, first := got[ids[100]]; first || len(got) != 100 || got[ids[200]] == 0 {
			t.Errorf("%d videos", len(got))
		}
		if got := all(t, ids[100], ids[100], nil); len(got) != 0 {
			t.Errorf("of nothing: %d", len(got))
		}
		if got := all(t, end, video.ID{}, nil); len(got) != 0 {
			t.Errorf("the wrong way: %d", len(got))
		}
	})
	t.Run("while some go", func(t *testing.T) {
		left := maps.Clone(want)
		gone := 0
		named := map[video.ID]bool{}
		all(t, video.ID{}, end, func(p federation.Page) {
			for _, v := range p.Videos {
				named[v.ID] = true
			}
			if len(p.Videos) == 0 || gone > 10 {
				return
			}
			last := p.Videos[len(p.Videos)-1].ID // the next page begins after it
			for _, id := range append([]video.ID{last}, someAfter(left, last, 5)...) {
				if _, err := r.db.Withdraw(ctx, id, func(*video.Video) error { return nil }); err != nil {
					t.Fatal(err)
				}
				delete(left, id)
			}
			gone++
		})
		for id := range left {
			if !named[id] {
				t.Errorf("%s was on no page", id)
			}
		}
		var d federation.Digest
		if r.send(friendly, federation.PathDigest, struct{}{}, &d); d.Count != len(left) {
			t.Errorf("the digest is of %d videos, want %d", d.Count, len(left))
		}
		if got := all(t, video.ID{}, end, nil); !maps.Equal(got, left) {
			t.Errorf("then %d videos, want %d", len(got), len(left))
		}
	})
	t.Run("a page of which all are gone", func(t *testing.T) {
		stale := append([]catalog.Mark(nil), r.in.own.marks...)
		for _, m := range stale {
			if _, err := r.db.Withdraw(ctx, m.ID, func(*video.Video) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		last, err := r.db.LastChange(ctx)
		if err != nil {
			t.Fatal(err)
		}
		r.in.own.mu.Lock()
		r.in.own.at, r.in.own.marks = last, stale // as if they went just now
		r.in.own.mu.Unlock()
		r.t = t
		if a := r.send(friendly, federation.PathVideos, federation.PageRequest{Last: end}, nil); a.status != http.StatusServiceUnavailable {
			t.Errorf("%d", a.status)
		}
	})
}

// someAfter are up to n ids after another.
func someAfter(all map[video.ID]int64, after video.ID, n int) []video.ID {
	ids := slices.SortedFunc(maps.Keys(all), func(a, b video.ID) int { return bytes.Compare(a[:], b[:]) })
	i, found := slices.BinarySearchFunc(ids, after, func(a, b video.ID) int { return bytes.Compare(a[:], b[:]) })
	if found {
		i++
	}
	return ids[i:min(len(ids), i+n)]
}
