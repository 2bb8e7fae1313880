package outbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/build/leak"
	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/pod/redisproc"
	"kinopod/pod/redisstore"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

var quiet = slog.New(slog.DiscardHandler)

// The pods of the tests.
const us, them, third network.Host = "us.example", "them.example", "third.example"

// key is everybody's but ours: drawing one takes a while.
var ourKey, key = sync.OnceValue(newKey), sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// clock is everybody's time.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// peers is a Caller: other pods, as the test wants them.
type peers struct {
	Caller
	now func() time.Time
	mu  sync.Mutex
	all map[network.Host]*peer
}

// peer is another pod.
type peer struct {
	host   network.Host
	videos map[video.ID]video.Video
	list   []network.Host // its friends

	// Where not nil, they take the place of a pod that does what it should.
	send   func(ctx context.Context, path string, body []byte) (answer any, unknown bool, err error)
	hello  func() (refused bool, err error)
	look   func() (federation.Card, error)
	silent bool // it does not say who its friends are

	ours   *rsa.PublicKey   // the key of ours on its record
	speaks network.Versions // federation.Speaks

	batches []federation.Batch
	asked   map[string]int // paths
	hellos  int
	version int // of the last message
}

var errDown = errors.New("connection refused")

func (c *peers) get(h network.Host) (*peer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.all[h]; p != nil {
		return p, nil
	}
	return nil, errDown
}

func (c *peers) add(h network.Host, videos ...video.Video) *peer {
	p := &peer{host: h, videos: map[video.ID]video.Video{}, asked: map[string]int{}, ours: &ourKey().PublicKey, speaks: federation.Speaks}
	for _, v := range videos {
		p.videos[v.ID] = v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[h] = p
	return p
}

func (c *peers) Card(_ context.Context, h network.Host, _ bool) (federation.Card, bool, error) {
	p, err := c.get(h)
	if err != nil {
		return federation.Card{}, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.look != nil {
		card, err := p.look()
		return card, true, err
	}
	return federation.Card{Host: h, Name: "A pod", Key: federation.Key{PublicKey: &key().PublicKey}, Protocol: p.speaks}, true, nil
}

func (c *peers) Friends(_ context.Context, h network.Host, _ bool) ([]network.Host, error) {
	p, err := c.get(h)
	if err != nil || p.silent {
		return nil, errDown
	}
	return p.list, nil
}

func (c *peers) Hello(_ context.Context, h network.Host, _ bool, _ network.Host) (bool, error) {
	p, err := c.get(h)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.hellos++
	if p.hello != nil {
		return p.hello()
	}
	return false, nil
}

func (c *peers) Send(ctx context.Context, h network.Host, _ bool, path string, message []byte) ([]byte, bool, error) {
	p, err := c.get(h)
	if err != nil {
		return nil, false, err
	}
	opener := federation.Opener{
		Host: h, Keys: federation.Ring{key()}, Versions: p.speaks, Now: c.now,
		Sender: func(context.Context, network.Host) (*rsa.PublicKey, error) { return p.ours, nil },
		First:  func(context.Context, network.Host, federation.MessageID, time.Time) (bool, error) { return true, nil },
	}
	head, body, err := opener.Open(ctx, message, path)
	if err != nil {
		return nil, true, err
	}
	c.mu.Lock()
	p.version = head.Version
	send := p.send
	p.asked[path]++
	c.mu.Unlock()
	if send == nil {
		send = func(_ context.Context, path string, body []byte) (any, bool, error) { return c.answer(p, path, body) }
	}
	answer, unknown, err := send(ctx, path, body)
	if unknown || err != nil {
		return nil, unknown, errors.Join(err, errors.New("404"))
	}
	if answer == nil {
		return nil, false, nil
	}
	plain, err := json.Marshal(answer)
	if err != nil {
		return nil, false, err
	}
	head.From, head.To = head.To, head.From
	sealed, err := federation.Seal(head, key(), p.ours, plain)
	return sealed, false, err
}

// answer is what a pod says that does what it should; its pages are small.
func (c *peers) answer(p *peer, path string, body []byte) (any, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch path {
	case federation.PathEvents:
		b, err := federation.ParseBatch(body)
		p.batches = append(p.batches, b)
		for _, e := range b.Events {
			if e.Kind == federation.PodKey {
				p.ours = e.Key.PublicKey
			}
		}
		return nil, false, err
	case federation.PathDigest:
		d := federation.Digest{Count: len(p.videos)}
		for _, v := range p.videos {
			d.Hashes.Add(v.ID, v.Revision)
		}
		return d, false, nil
	}
	q, err := federation.ParsePageRequest(body)
	page := federation.Page{Videos: []federation.Video{}, AsOf: time.Now().UnixMilli()}
	for _, id := range slices.SortedFunc(maps.Keys(p.videos), func(a, b video.ID) int { return bytes.Compare(a[:], b[:]) }) {
		if bytes.Compare(id[:], q.After[:]) <= 0 || bytes.Compare(id[:], q.Last[:]) > 0 {
			continue
		}
		if page.More = len(page.Videos) == 7; page.More {
			break
		}
		page.Videos = append(page.Videos, federation.VideoOf(p.videos[id]))
	}
	return page, false, err
}

// took are the batches that a pod got since the last time.
func (c *peers) took(p *peer) []federation.Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := p.batches
	p.batches = nil
	return out
}

// failing is a Catalog that may be told to fail.
type failing struct {
	*catalog.Catalog
	forgetAll atomic.Pointer[error]
}

func (f *failing) ForgetAll(ctx context.Context, h network.Host) error {
	if err := f.forgetAll.Swap(nil); err != nil {
		return *err
	}
	return f.Catalog.ForgetAll(ctx, h)
}

type pictures struct{}

func (pictures) FriendThumbnailPath(network.Host, string) string  { return "there" }
func (pictures) KeepThumbnail(network.Host, []byte, string) error { return nil }

// world is one pod's outbox, whose Redis and catalogue are real.
type world struct {
	*Outbox
	t       testing.TB
	clock   *clock
	db      *redisstore.DB
	catalog *failing
	list    *friends.List
	peers   *peers
	redis   string // its socket
	keys    federation.Ring
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "outbox") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	proc, err := redisproc.Start(t.Context(), dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	db, err := redisstore.Open(t.Context(), proc.Addr(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, clock: &clock{}, db: db, redis: proc.Addr()}
	w.clock.ms.Store(time.Now().UnixMilli())
	w.peers = &peers{now: w.clock.now, all: map[network.Host]*peer{}}
	w.list = friends.New(db, us, 0, w.clock.now)
	w.catalog = &failing{Catalog: catalog.New(db, us, 0)}
	w.keys = federation.Ring{ourKey()}
	cfg := Config{Host: us, Keys: func() federation.Ring { return w.keys }, Log: quiet, Now: w.clock.now}
	for _, f := range change {
		f(&cfg)
	}
	w.Outbox = New(cfg, Parts{
		Caller: w.peers, Friends: w.list, Log: db, Catalog: w.catalog, Pictures: pictures{}, Redis: asynq.RedisClientOpt{Network: "unix", Addr: proc.Addr()},
	})
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), db.Close(), proc.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return w
}

// befriend makes a friend of a pod that answers.
func (w *world) befriend(h network.Host, videos ...video.Video) *peer {
	w.t.Helper()
	p := w.peers.add(h, videos...)
	card, err := w.Look(w.t.Context(), h, false)
	if err == nil {
		err = w.Meet(w.t.Context(), h, card)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) friend(h network.Host) friends.Friend {
	w.t.Helper()
	f, _, err := w.list.Get(w.t.Context(), h)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) count(h network.Host) int {
	w.t.Helper()
	n, err := w.db.Count(w.t.Context(), h)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// add lists a video of ours.
func (w *world) add(n int) video.Video {
	w.t.Helper()
	v := film(us, n)
	if _, err := w.db.Add(w.t.Context(), v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// mustFlush is a flush that has to succeed.
func (w *world) mustFlush(h network.Host) {
	w.t.Helper()
	if err := w.flush(w.t.Context(), h); err != nil {
		w.t.Fatal(err)
	}
}

// waits is a flush that has to fail, and how long to wait then.
func (w *world) waits(h network.Host) time.Duration {
	w.t.Helper()
	var a *again
	if err := w.flush(w.t.Context(), h); !errors.As(err, &a) {
		w.t.Fatalf("%v is no attempt to repeat", err)
	}
	return a.after
}

// task is the state of a task, "" for none.
func (w *world) task(kind string, h network.Host) string {
	info, err := w.jobs.GetTaskInfo(queue, task{kind, h}.id())
	if err != nil {
		return ""
	}
	return info.State.String()
}

func film(origin network.Host, n int) video.Video {
	v := catalogtest.NewVideo(n)
	v.ID, v.Origin = video.NewID(origin), origin
	return v
}

func films(origin network.Host, n int) (out []video.Video) {
	for i := range n {
		out = append(out, film(origin, i))
	}
	return out
}

// kinds says what batches are, in short: "put" and "remove" with names or ids.
func kinds(batches []federation.Batch) (out []string) {
	for _, b := range batches {
		if b.Compare {
			out = append(out, "compare")
		}
		if !b.Compare && len(b.Events) == 0 {
			out = append(out, "greeting")
		}
		for _, e := range b.Events {
			switch e.Kind {
			case federation.VideoPut:
				out = append(out, "put "+e.Video.Name)
			case federation.VideoRemove:
				out = append(out, "remove "+e.ID.String())
			default:
				out = append(out, string(e.Kind))
			}
		}
	}
	return out
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not in 2 minutes: %s", what)
}

var errLater = &api.Error{Code: api.CodeUnavailable, Message: "Later."}

func name(n int) string { return fmt.Sprintf("Video %d", n) }
