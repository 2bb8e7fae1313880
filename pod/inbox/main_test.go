package inbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/hibiken/asynq"
	"go.uber.org/goleak"

	"kinopod/build/leak"
	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/pod/outbox"
	"kinopod/pod/redisproc"
	"kinopod/pod/redisstore"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

var quiet = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := leak.Find( // fasthttp's own end some seconds after a server, or never
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"), goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		return 1
	}
	return code
}

// The pods of the tests.
const (
	us       network.Host = "us.example"
	friendly network.Host = "friend.example"
	other    network.Host = "other.example" // a friend as well
	former   network.Host = "former.example"
	stranger network.Host = "stranger.example"
)

// keys are made once: that takes a while.
var keys = sync.OnceValue(func() map[network.Host]*rsa.PrivateKey {
	out := map[network.Host]*rsa.PrivateKey{}
	for _, h := range []network.Host{us, friendly, other, former, stranger} {
		out[h], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return out
})

func ourKeys() federation.Ring { return federation.Ring{keys()[us]} }

func jwk(h network.Host) string {
	b, _ := json.Marshal(federation.Key{PublicKey: &keys()[h].PublicKey})
	return string(b)
}

// world is one pod's inbox with what it needs.
type world struct {
	t     testing.TB
	in    *Inbox
	list  *friends.List
	url   string
	calls *calls
}

// calls notes whatever is written or asked for.
type calls struct {
	mu   sync.Mutex
	said []string
}

func (c *calls) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

func (c *calls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.said
	c.said = nil
	return out
}

// memory is a friends.Store that notes what is written.
type memory struct {
	*calls
	all map[network.Host]friends.Friend
}

func (m *memory) Friends(context.Context) (out []friends.Friend, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.all {
		out = append(out, f)
	}
	return out, nil
}

func (m *memory) ChangeFriend(_ context.Context, h network.Host, change func(*friends.Friend) error) (friends.Friend, error) {
	m.note("ChangeFriend %s", h)
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.all[h]
	if !ok {
		f.Host = h
	}
	if err := change(&f); err != nil {
		return f, err
	}
	m.all[h] = f
	return f, nil
}

// fakeOutbox notes what it is asked for; look and meet may be set.
type fakeOutbox struct {
	*calls
	look func(context.Context, network.Host) (friends.Card, error)
	meet func(network.Host) error
}

func (o *fakeOutbox) Look(ctx context.Context, h network.Host, _ bool) (friends.Card, error) {
	o.note("Look %s", h)
	return o.look(ctx, h)
}

func (o *fakeOutbox) Meet(_ context.Context, h network.Host, _ friends.Card) error {
	o.note("Meet %s", h)
	return o.meet(h)
}
func (o *fakeOutbox) Heard(_ context.Context, h network.Host)   { o.note("Heard %s", h) }
func (o *fakeOutbox) Compare(_ context.Context, h network.Host) { o.note("Compare %s", h) }

func (o *fakeOutbox) Take(_ context.Context, h network.Host, told []federation.Video) (int, error) {
	for _, v := range told {
		o.note("Take %s of %s", v.ID, h)
	}
	return len(told), nil
}

func (o *fakeOutbox) Gone(_ context.Context, h network.Host, byUs bool) error {
	o.note("Gone %s %v", h, byUs)
	return nil
}

// fakeStore is Catalog and Store.
type fakeStore struct {
	*calls
	seen map[string]bool
	fail error
}

func (s *fakeStore) Drop(_ context.Context, h network.Host, id video.ID) error {
	s.note("Drop %s of %s", id, h)
	return s.fail
}

func (s *fakeStore) Marks(context.Context, network.Host, func([]catalog.Mark) error) error {
	return s.fail
}
func (s *fakeStore) LastChange(context.Context) (string, error)                  { return "1-1", s.fail }
func (s *fakeStore) Versions(context.Context, []video.ID) ([]video.Video, error) { return nil, s.fail }
func (s *fakeStore) FirstMessage(_ context.Context, h network.Host, id string, until time.Time) (bool, error) {
	s.note("FirstMessage %s", h)
	if until.Before(time.Now().Add(federation.MaxAge)) {
		return false, errors.New("an id is forgotten while its message is still taken")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := !s.seen[id]
	s.seen[id] = true
	return fresh, s.fail
}

// known are pods in each state; every one has a key on record.
func known() []friends.Friend {
	var out []friends.Friend
	for h, s := range map[network.Host]network.State{friendly: network.Friend, other: network.Friend, former: network.Left} {
		out = append(out, friends.Friend{Host: h, State: s, Key: jwk(h), Score: network.StartScore, Protocol: federation.Speaks})
	}
	return out
}

// fakeWorld is a pod of which nothing is real but its door and its friends' keys.
func fakeWorld(t testing.TB, all []friends.Friend, change ...func(*Config)) (*world, *fakeOutbox, *fakeStore) {
	t.Helper()
	c := &calls{}
	m := &memory{calls: c, all: map[network.Host]friends.Friend{}}
	for _, f := range all {
		m.all[f.Host] = f
	}
	o := &fakeOutbox{
		calls: c, meet: func(network.Host) error { return nil },
		look: func(context.Context, network.Host) (friends.Card, error) { return friends.Card{Key: "key"}, nil },
	}
	s := &fakeStore{calls: c, seen: map[string]bool{}}
	w := &world{t: t, calls: c, list: friends.New(m, us, 0, time.Now)}
	w.serve(o, s, s, change...)
	return w, o, s
}

// serve opens the door.
func (w *world) serve(o Outbox, c Catalog, s Store, change ...func(*Config)) {
	w.t.Helper()
	cfg := Config{Host: us, Keys: ourKeys, Name: "We", Version: "1.2", Log: quiet}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if w.in, err = New(cfg, w.list, o, c, s); err != nil {
		w.t.Fatal(err)
	}
	// The settings that matter are those of httpapi.
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true, Immutable: true, StrictRouting: true, CaseSensitive: true, BodyLimit: 2 << 20,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			var fe *fiber.Error
			if errors.As(err, &fe) {
				return c.Status(fe.Code).JSON(api.Error{Code: api.CodeNotFound, Message: fe.Message})
			}
			e := api.AsError(err)
			return c.Status(e.Status()).JSON(e)
		},
	})
	w.in.Mount(app)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(l) }()
	w.url = "http://" + l.Addr().String()
	w.t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := errors.Join(app.Shutdown(), <-done); err != nil {
			w.t.Error(err)
		}
	})
}

// real is a pod whose Redis, catalogue and outbox are real; it cannot call anybody.
type real struct {
	*world
	db      *redisstore.DB
	catalog *catalog.Catalog
	outbox  *outbox.Outbox
}

func realWorld(t testing.TB, change ...func(*Config)) *real {
	t.Helper()
	dir, err := os.MkdirTemp("", "inbox") // a socket's path is short
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
	r := &real{world: &world{t: t, list: friends.New(db, us, 0, time.Now)}, db: db, catalog: catalog.New(db, us, 0)}
	r.outbox = outbox.New(outbox.Config{Host: us, Keys: ourKeys, Log: quiet}, outbox.Parts{
		Friends: r.list, Log: db, Catalog: r.catalog, Pictures: noPictures{}, Redis: asynq.RedisClientOpt{Network: "unix", Addr: proc.Addr()},
	})
	t.Cleanup(func() {
		if err := errors.Join(r.outbox.Close(), db.Close(), proc.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	for _, f := range known() {
		if _, err := db.ChangeFriend(t.Context(), f.Host, func(g *friends.Friend) error { *g = f; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	r.serve(r.outbox, r.catalog, db, change...)
	return r
}

type noPictures struct{}

func (noPictures) FriendThumbnailPath(network.Host, string) string  { return "there" }
func (noPictures) KeepThumbnail(network.Host, []byte, string) error { return nil }

// answer is what the door said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (w *world) post(path string, body []byte, headers ...string) answer {
	w.t.Helper()
	a, err := w.try(path, body, headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) try(path string, body []byte, headers ...string) (answer, error) {
	r, err := http.NewRequest(http.MethodPost, w.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	res.Header.Del("Date")
	return answer{res.StatusCode, res.Header, b}, err
}

// header is one of a message to us.
func header(from network.Host, path string) federation.Header {
	return federation.Header{From: from, To: us, Path: path, Version: 1, Time: time.Now().UnixMilli(), ID: federation.NewMessageID()}
}

// seal makes a message of any body.
func seal(t testing.TB, h federation.Header, signer *rsa.PrivateKey, body any) []byte {
	t.Helper()
	b, ok := body.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	m, err := federation.Seal(h, signer, &keys()[us].PublicKey, b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// send posts a good message and opens the answer into out, where there is one.
func (w *world) send(from network.Host, path string, body, out any) answer {
	w.t.Helper()
	h := header(from, path)
	a := w.post(path, seal(w.t, h, keys()[from], body))
	if out == nil || a.status != http.StatusOK {
		return a
	}
	opener := federation.Opener{Host: from, Keys: federation.Ring{keys()[from]}, Versions: federation.Speaks, Now: time.Now}
	b, err := opener.OpenAnswer(a.body, h, &keys()[us].PublicKey)
	if err != nil {
		w.t.Fatalf("the answer of %s: %v", path, err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// refused are the counters that are not 0.
func (w *world) refused() map[federation.Reason]int64 {
	out := map[federation.Reason]int64{}
	for r, n := range w.in.Stats().Refused {
		if n > 0 {
			out[r] = n
		}
	}
	return out
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not in 2 minutes: %s", what)
}

func without(said []string, prefix string) []string {
	return slices.DeleteFunc(said, func(s string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix })
}
