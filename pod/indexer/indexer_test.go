package indexer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinopod/build/leak"
	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/pod/redisproc"
	"kinopod/pod/redisstore"
	"kinopod/pod/search"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

const (
	us     = network.Host("pod.example")
	theirs = network.Host("friend.example")
)

// world is a Redis with a catalogue, and a directory for snapshots.
type world struct {
	*testing.T
	redis *redisproc.Process
	db    *redisstore.DB
	dir   string
}

func newWorld(t *testing.T) *world {
	dir, err := os.MkdirTemp("", "indexer") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, dir: dir}
	if w.redis, err = redisproc.Start(t.Context(), filepath.Join(dir, "redis"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if w.db, err = redisstore.Open(t.Context(), w.redis.Addr(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.db.Close(), w.redis.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return w
}

// process is one process of a pod, as far as searching goes.
type process struct {
	*world
	index *Index
	*catalog.Catalog
	log strings.Builder // read when it has ended
	end func()
}

// start runs an index with a snapshot of this name.
func (w *world) start(snapshot string) *process {
	p := &process{world: w, Catalog: catalog.New(w.db, us, 0)}
	p.index = New(filepath.Join(w.dir, snapshot), w.db, slog.New(slog.NewTextHandler(&p.log, nil)))
	p.SearchWith(p.index)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = p.index.Run(ctx) })
	p.end = sync.OnceFunc(func() {
		stop()
		running.Wait()
	})
	w.Cleanup(p.end)
	return p
}

func (p *process) add(n int, change func(*video.Video)) video.Video {
	p.Helper()
	v := catalogtest.NewVideo(n)
	change(&v)
	var err error
	if v.Origin == us {
		_, err = p.Add(p.Context(), v)
	} else {
		_, err = p.Take(p.Context(), v.Origin, []video.Video{v})
	}
	if err != nil {
		p.Fatal(err)
	}
	return v
}

func named(name string) func(*video.Video) { return func(v *video.Video) { v.Name = name } }

// finds waits until a search gives just these names, in any order.
func (p *process) finds(text string, want ...string) {
	p.Helper()
	slices.Sort(want)
	var names []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		names = nil
		for q := (api.SearchQuery{Text: text, Limit: 3}); ; {
			f, err := p.Search(p.Context(), q)
			if err != nil {
				p.Fatal(err)
			}
			for _, v := range f.Videos {
				names = append(names, v.Name)
			}
			if q.Cursor = f.Cursor; q.Cursor == "" {
				break
			}
		}
		slices.Sort(names)
		if slices.Equal(names, want) {
			return
		}
	}
	p.Fatalf("%q finds %q, want %q", text, names, want)
}

func (p *process) whole() {
	p.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, whole := p.index.Built(); whole {
			return
		}
	}
	p.Fatal("the index is never built")
}

// TestFollow sees what happens to videos in two processes that share a Redis.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	one := a.add(1, named("A walk in Kyoto"))
	two := b.add(2, func(v *video.Video) {
		v.ID, v.Origin, v.Name, v.Tags = video.NewID(theirs), theirs, "Bread from Kyoto", []string{"Rye & More"}
	})
	for _, p := range []*process{a, b} {
		p.finds("kyoto ", one.Name, two.Name)
	}
	name := "A walk in Nara"
	if _, err := b.Edit(t.Context(), catalog.Editor{Moderator: true}, one.ID, api.VideoEdit{Name: &name}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*process{a, b} {
		p.finds("kyoto ", two.Name)
		p.finds("nara ", name)
	}
	if f, err := a.ByTag(t.Context(), "rye & MORE", "", 10); err != nil || len(f.Videos) != 1 || f.Videos[0].ID != two.ID {
		t.Errorf("by tag: %+v, %v", f, err)
	}
	words, videos, err := b.Suggest(t.Context(), "bre")
	if err != nil || !slices.Equal(words, []string{"bread"}) || len(videos) != 1 || videos[0].ID != two.ID {
		t.Errorf("suggestions: %q, %d, %v", words, len(videos), err)
	}
	if err := a.ForgetAll(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*process{a, b} {
		p.finds("kyoto ")
		p.finds("nara ", name)
	}
	if _, err := a.Search(t.Context(), api.SearchQuery{Text: "nara", Cursor: "nonsense"}); !api.Is(err, api.CodeInvalid) {
		t.Errorf("a cursor that is none: %v", err)
	}
}

// TestLists: lists by origin and by tag have at once what was put on them, page by page,
// whoever answers.
func TestLists(t *testing.T) {
	w := newWorld(t)
	p := w.start("a")
	p.whole()
	var want []video.ID
	for i := range 25 {
		v := p.add(i, func(v *video.Video) { v.Tags = []string{"list"} })
		want = append([]video.ID{v.ID}, want...)
		p.add(i, func(v *video.Video) { v.ID, v.Origin = video.NewID(theirs), theirs })
		pages := map[string]func(cursor string) (catalog.Found, error){
			"by tag":      func(cursor string) (catalog.Found, error) { return p.ByTag(t.Context(), "list", cursor, 10) },
			"by origin":   func(cursor string) (catalog.Found, error) { return p.ByOrigin(t.Context(), us, "", cursor, 10) },
			"by uploader": func(cursor string) (catalog.Found, error) { return p.ByOrigin(t.Context(), us, "Anna", cursor, 10) },
			"uploader by the store": func(cursor string) (catalog.Found, error) {
				return catalog.New(w.db, us, 0).ByOrigin(t.Context(), us, "ANNA", cursor, 10)
			},
			"newest of": func(cursor string) (catalog.Found, error) {
				videos, next, err := p.Newest(t.Context(), api.VideosQuery{Origin: us, Cursor: cursor, Limit: 10})
				return catalog.Found{Videos: videos, Cursor: next}, err
			},
			"by the store": func(cursor string) (catalog.Found, error) {
				return catalog.New(w.db, us, 0).ByOrigin(t.Context(), us, "", cursor, 10)
			},
		}
		for name, page := range pages {
			var got []video.ID
			for cursor := ""; ; {
				f, err := page(cursor)
				if err != nil {
					t.Fatal(name, err)
				}
				for _, v := range f.Videos {
					got = append(got, v.ID)
				}
				if cursor = f.Cursor; cursor == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %d of %d videos, or in another order", name, len(got), len(want))
			}
		}
	}
	// A name that differs by an accent is another's.
	other := p.add(99, func(v *video.Video) { v.Uploader = "Änna" })
	for name, n := range map[string]int{"anna": 25, "änna": 1, "nobody": 0, " ": 0} {
		videos, _, err := p.Newest(t.Context(), api.VideosQuery{Uploader: name, Limit: 100})
		if err != nil || len(videos) != n || n == 1 && videos[0].ID != other.ID {
			t.Errorf("%q: %d videos, %v", name, len(videos), err)
		}
	}
	if _, err := p.Withdraw(t.Context(), catalog.Editor{Moderator: true}, other.ID); err != nil {
		t.Fatal(err)
	}
	// A page that the store began is gone on with by the store.
	_, cursor, err := catalog.New(w.db, us, 0).Newest(t.Context(), api.VideosQuery{Origin: us, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := p.ByOrigin(t.Context(), us, "", cursor, 100); err != nil || len(f.Videos) != 15 || f.Videos[0].ID != want[10] {
		t.Errorf("%d videos, %v", len(f.Videos), err)
	}
}

// TestRestart: what happened while nobody followed is found after a start, by the
// snapshot or without.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	p := w.start("a")
	one, two := p.add(1, named("first film")), p.add(2, named("second film"))
	p.finds("film ", one.Name, two.Name)
	p.end()
	if strings.Contains(p.log.String(), "level=WARN") {
		t.Errorf("%s", &p.log)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "a")); err != nil {
		t.Fatal(err)
	}
	rest := func(name string) {
		t.Helper()
		if _, err := p.Withdraw(t.Context(), catalog.Editor{Moderator: true}, one.ID); err != nil {
			t.Fatal(err)
		}
		one = p.add(3, named(name))
	}

	rest("third film")
	p = w.start("a")
	p.finds("film ", two.Name, "third film")
	p.end()
	if !strings.Contains(p.log.String(), "search index loaded") {
		t.Errorf("it was not loaded: %s", &p.log)
	}

	for name, spoil := range map[string]func(){
		"no snapshot": func() { _ = os.Remove(filepath.Join(w.dir, "a")) },
		"broken":      func() { _ = os.WriteFile(filepath.Join(w.dir, "a"), []byte("kinopodx and more"), 0o600) },
		"another catalogue's": func() {
			other := newWorld(t)
			o := other.start("a")
			o.add(1, named("film of another pod"))
			o.finds("film ", "film of another pod")
			o.end()
			b, err := os.ReadFile(filepath.Join(other.dir, "a"))
			if err = errors.Join(err, os.WriteFile(filepath.Join(w.dir, "a"), b, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		rest(name + " film")
		spoil()
		p = w.start("a")
		p.finds("film ", two.Name, name+" film")
		p.end()
		if !strings.Contains(p.log.String(), "search index built") {
			t.Errorf("%s: it was not built: %s", name, &p.log)
		}
	}
}

// TestCheck: an index that has other videos than the catalogue is found out, and mended.
func TestCheck(t *testing.T) {
	w := newWorld(t)
	p := w.start("a")
	var seqs []uint32
	for i := range 5 {
		p.add(i, named("film"))
		seqs = append(seqs, uint32(i+1))
	}
	p.finds("film ", "film", "film", "film", "film", "film")
	check := func(repair bool, found int) {
		t.Helper()
		problems, err := p.index.Check(t.Context(), seqs, repair)
		if err != nil || len(problems) != found {
			t.Errorf("%q, %v; want %d", problems, err, found)
		}
	}
	check(false, 0)
	p.index.now().Remove(3)
	p.index.now().Put(search.Document{ID: 77, Name: "nobody's film"})
	check(false, 2)
	check(true, 2)
	check(false, 0)
	p.finds("film ", "film", "film", "film", "film", "film")
	p.end()
	if err := os.WriteFile(filepath.Join(w.dir, "a"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	p = w.start("a")
	check(false, 1)
	check(false, 0)
}

// TestRedisIsKilled: the index goes on where it was when Redis is back.
func TestRedisIsKilled(t *testing.T) {
	w := newWorld(t)
	p := w.start("a")
	var names []string
	for i := range 5 {
		v := p.add(i, named(fmt.Sprintf("film %d", i)))
		names = append(names, v.Name)
		p.finds("film ", names...)
		process, err := os.FindProcess(w.redis.PID())
		if err == nil {
			err = process.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p.finds("film ", names...)
}

// TestBuildWhileItChanges builds an index of videos that are added, changed and removed
// meanwhile, and finds just what there is at the end.
func TestBuildWhileItChanges(t *testing.T) {
	w := newWorld(t)
	writer := &process{world: w, Catalog: catalog.New(w.db, us, 0)}
	var videos []video.Video
	for i := range 3000 {
		v := catalogtest.NewVideo(i)
		v.ID, v.Origin, v.Name = video.NewID(theirs), theirs, "old film"
		videos = append(videos, v)
	}
	if _, err := writer.Take(t.Context(), theirs, videos); err != nil {
		t.Fatal(err)
	}
	p := w.start("a")
	left := 0
	for i := range videos[:600] {
		var err error
		if videos[i].Name, videos[i].Revision = "new film", videos[i].Revision+1; i%2 == 0 {
			_, err = writer.Take(t.Context(), theirs, videos[i:i+1])
			left++
		} else {
			err = writer.Drop(t.Context(), theirs, videos[i].ID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p.whole()
	p.index.catchUp(t.Context())
	count := func(text string) (n int) {
		for q := (api.SearchQuery{Text: text, Limit: 100}); ; {
			f, err := p.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			n += len(f.Videos)
			if q.Cursor = f.Cursor; q.Cursor == "" {
				return n
			}
		}
	}
	for end := time.Now().Add(20 * time.Second); count("new film ") != left || count("old film ") != 2400; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d new ones, want %d; %d old ones, want 2400", count("new film "), left, count("old film "))
		}
	}
	if n := p.index.Stats().Videos; n != 2400+left {
		t.Errorf("%d videos in the index, want %d", n, 2400+left)
	}
}
