package podtest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"kinopod/pod"
	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/pod/config"
	"kinopod/pod/redisstore"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// shelf is what a pod has in its catalogue, and how it changes its own videos: by the
// rules, as publish and the API do, without the files.
type shelf struct {
	*Pod
	t       *testing.T
	db      *redisstore.DB
	catalog *catalog.Catalog
	own     []video.ID
	n       int
}

func shelfOf(t *testing.T, p *Pod) *shelf {
	t.Helper()
	db, err := redisstore.Open(t.Context(), p.Redis().Addr(), Log(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &shelf{Pod: p, t: t, db: db, catalog: catalog.New(db, p.Host(), 0)}
}

// change makes n changes: of ten six are new videos, three are edits, one is a removal.
func (s *shelf) change(n int) {
	s.t.Helper()
	who := catalog.Editor{Moderator: true}
	for range n {
		s.n++
		var err error
		switch kind := s.n % 10; {
		case kind < 6 || len(s.own) == 0:
			v := catalogtest.NewVideo(s.n)
			v.ID, v.Origin, v.Thumbnail, v.Revision = video.NewID(s.Host()), s.Host(), "", 0
			s.own = append(s.own, v.ID)
			_, err = s.catalog.Add(s.t.Context(), v)
		case kind < 9:
			name, tags := fmt.Sprintf("Edit %d", s.n), []string{"edited"}
			_, err = s.catalog.Edit(s.t.Context(), who, s.own[s.n*7%len(s.own)], api.VideoEdit{Name: &name, Tags: &tags})
		default:
			i := s.n * 11 % len(s.own)
			_, err = s.catalog.Withdraw(s.t.Context(), who, s.own[i])
			s.own = slices.Delete(s.own, i, i+1)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// all is the whole catalogue, every field of every video, by id.
func (s *shelf) all() (out []video.Video) {
	s.t.Helper()
	for l := (catalog.Listing{Limit: 500}); ; {
		videos, next, err := s.db.Page(s.t.Context(), l)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, videos...)
		if l.After = next; next == nil {
			slices.SortFunc(out, func(a, b video.Video) int { return bytes.Compare(a.ID[:], b.ID[:]) })
			return out
		}
	}
}

// count is how many videos of another pod are here.
func (s *shelf) count(of *shelf) int {
	s.t.Helper()
	n, err := s.db.Count(s.t.Context(), of.Host())
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestPartition cuts one of three pods off, changes videos a thousand times on each
// side, and sees that the three catalogues are the same afterwards, to the last field.
func TestPartition(t *testing.T) {
	t.Parallel()
	links := &Links{}
	var pods []*shelf
	for i := range 3 {
		listen := FreePort(t)
		p := StartWith(t, pod.Options{Link: links.From(listen)}, func(c *config.Config) {
			c.Listen = listen
			for _, other := range pods[:i] {
				c.Friends = append(c.Friends, string(other.Host()))
			}
		})
		pods = append(pods, shelfOf(t, p))
	}
	a, b, c := pods[0], pods[1], pods[2]
	Eventually(t, "all are friends", func() bool {
		return len(friendsOf(t, a.Pod)) == 2 && len(friendsOf(t, b.Pod)) == 2 && len(friendsOf(t, c.Pod)) == 2
	})
	same := func() bool {
		want := a.all()
		return reflect.DeepEqual(b.all(), want) && reflect.DeepEqual(c.all(), want) && len(want) == len(a.own)+len(b.own)+len(c.own)
	}
	for _, p := range pods {
		p.change(100)
	}
	Eventually(t, "all have the same", same)
	before := len(a.own)

	links.Split([]*Pod{a.Pod}, []*Pod{b.Pod, c.Pod})
	began := time.Now()
	a.change(1000)
	for range 10 {
		b.change(50)
		c.change(50)
	}
	Eventually(t, "those of one side have heard of each other, and the one alone is not reached", func() bool {
		return c.count(b) == len(b.own) && b.count(c) == len(c.own) && !friendsOf(t, a.Pod)[b.Host()].Reachable && !friendsOf(t, c.Pod)[a.Host()].Reachable
	})
	if b.count(a) != before || c.count(a) != before || reflect.DeepEqual(a.all(), b.all()) {
		t.Fatal("the link is not cut")
	}
	t.Logf("1,000 changes on each side in %v", time.Since(began).Round(time.Millisecond))

	links.Delay(5 * time.Millisecond) // and slow it is for a while
	links.Split()
	began = time.Now()
	Eventually(t, "all have the same again", same)
	t.Logf("equal %v after it healed: %d videos", time.Since(began).Round(time.Millisecond), len(a.all()))
	Eventually(t, "nothing waits for anybody", func() bool {
		for _, p := range pods {
			for _, f := range friendsOf(t, p.Pod) {
				if f.Behind > 0 || !f.Reachable {
					return false
				}
			}
		}
		return true
	})
	if !same() {
		t.Error("and then not any more")
	}
}
