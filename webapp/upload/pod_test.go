//go:build !js

package upload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd/v2/pkg/filestore"
	"github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/exp/slog"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// testPod is a tusd on a file store with as much of a pod's API as a queue asks
// for. It can be stopped and started again at the same address.
type testPod struct {
	api.Methods // what is not below is not asked for
	t           *testing.T
	dir, addr   string

	mu       sync.Mutex
	server   *http.Server
	refuse   func(r *http.Request) int // a status instead of an answer; 0 is none
	limits   api.PodLimits
	me       api.User
	names    map[video.ID]string
	edits    []api.VideoEdit
	pictures [][]byte
	editErr  error
	done     map[video.ID]bool
	creates  int
}

func newTestPod(t *testing.T) *testPod {
	p := &testPod{t: t, dir: t.TempDir(), names: map[video.ID]string{}, done: map[video.ID]bool{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	p.serve(ln)
	t.Cleanup(p.stop)
	return p
}

func (p *testPod) start() {
	p.t.Helper()
	ln, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.serve(ln)
}

// stop closes everything at once, requests under way too.
func (p *testPod) stop() {
	p.mu.Lock()
	s := p.server
	p.server = nil
	p.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

func (p *testPod) serve(ln net.Listener) {
	p.t.Helper()
	composer := handler.NewStoreComposer()
	filestore.New(p.dir).UseIn(composer)
	composer.UseLocker(&turns{held: map[string]*turn{}})
	h, err := handler.NewUnroutedHandler(handler.Config{
		StoreComposer: composer, BasePath: api.PathUploads,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		PreUploadCreateCallback: func(e handler.HookEvent) (handler.HTTPResponse, handler.FileInfoChanges, error) {
			id := video.NewID("pod.example")
			p.mu.Lock()
			p.names[id] = e.Upload.MetaData[api.MetaFileName]
			p.creates++
			p.mu.Unlock()
			return handler.HTTPResponse{}, handler.FileInfoChanges{ID: id.String()}, nil
		},
		PreFinishResponseCallback: func(e handler.HookEvent) (handler.HTTPResponse, error) {
			id, err := video.ParseID(e.Upload.ID)
			p.mu.Lock()
			p.done[id] = err == nil
			p.mu.Unlock()
			return handler.HTTPResponse{Header: handler.HTTPHeader{api.HeaderVideoID: e.Upload.ID}}, err
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	tus := http.StripPrefix(api.PathUploads, h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := p.refusal(r); status != 0 {
			w.WriteHeader(status)
			return
		}
		switch r.Method {
		case http.MethodPost:
			h.PostFile(w, r)
		case http.MethodHead:
			if id := filepath.Base(r.URL.Path); p.isDone(id) {
				w.Header().Set(api.HeaderVideoID, id)
			}
			h.HeadFile(w, r)
		case http.MethodPatch:
			h.PatchFile(w, r)
		case http.MethodDelete:
			h.DelFile(w, r)
		}
	})))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tus.ServeHTTP(w, interruptible(w, r)) })}
	p.mu.Lock()
	p.server = s
	p.mu.Unlock()
	go s.Serve(ln) // ends with stop
}

func (p *testPod) refusal(r *http.Request) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse == nil {
		return 0
	}
	return p.refuse(r)
}

func (p *testPod) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *testPod) isDone(s string) bool {
	id, err := video.ParseID(s)
	p.mu.Lock()
	defer p.mu.Unlock()
	return err == nil && p.done[id]
}

func (p *testPod) path(id video.ID) string { return filepath.Join(p.dir, id.String()) }

func (p *testPod) bytes(id video.ID) []byte {
	p.t.Helper()
	b, err := os.ReadFile(p.path(id))
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

var errOffline = &api.Error{Code: api.CodeOffline, Message: "The pod cannot be reached."}

func (p *testPod) Me(context.Context) (api.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return api.User{}, errOffline
	}
	return p.me, nil
}

func (p *testPod) Pod(context.Context) (api.Pod, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return api.Pod{Limits: p.limits}, nil
}

func (p *testPod) Uploads(context.Context) ([]api.Upload, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []api.Upload
	for id, name := range p.names {
		data, err := os.Stat(p.path(id))
		info, ierr := os.ReadFile(p.path(id) + ".info")
		if err != nil || ierr != nil || p.done[id] {
			continue
		}
		_, size, _ := strings.Cut(string(info), `"Size":`)
		out = append(out, api.Upload{ID: id, FileName: name, Name: "A name", Offset: data.Size(), Size: number(size), Created: time.Now()})
	}
	return out, nil
}

func number(s string) (n int64) {
	for _, c := range s {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func (p *testPod) Video(_ context.Context, id video.ID) (api.Video, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done[id] {
		return api.Video{}, &api.Error{Code: api.CodeNotFound, Message: "There is no such video."}
	}
	return api.Video{ID: id, Name: "A name", Magnet: "magnet:?xt=urn:btih:0"}, nil
}

func (p *testPod) EditVideo(_ context.Context, id video.ID, in api.VideoEdit) (api.Video, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.editErr != nil {
		return api.Video{}, p.editErr
	}
	p.edits = append(p.edits, in)
	return api.Video{ID: id}, nil
}

func (p *testPod) SetThumbnail(_ context.Context, _ video.ID, webp []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pictures = append(p.pictures, webp)
	return nil
}

// start runs a queue until the test ends, or until the returned function is called,
// which is what closing a tab is.
func start(t *testing.T, cfg Config) (*Queue, func()) {
	t.Helper()
	if cfg.Memory == nil {
		cfg.Memory = NewMemory()
	}
	q := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return q, stop
}

// until waits for the item with that key to be as cond wants it.
func until(t *testing.T, q *Queue, key int, what string, cond func(Item) bool) Item {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		var last Item
		for _, it := range q.Items() {
			if it.Key == key {
				last = it
			}
		}
		if last.Key != 0 && cond(last) {
			return last
		}
		if time.Now().After(deadline) {
			t.Fatalf("never %s: %+v, %v", what, last, last.Err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func in(states ...State) func(Item) bool {
	return func(it Item) bool { return bytes.IndexByte(toBytes(states), byte(it.State)) >= 0 }
}

func toBytes(states []State) []byte {
	b := make([]byte, len(states))
	for i, s := range states {
		b[i] = byte(s)
	}
	return b
}

// writeUpload makes an upload as tusd would, without a request.
func writeUpload(t *testing.T, p *testPod, id video.ID, size int64) {
	t.Helper()
	_, err := filestore.New(p.dir).NewUpload(context.Background(), handler.FileInfo{ID: id.String(), Size: size})
	if err != nil {
		t.Error(err)
	}
}

// turns lets one request at a time work on an upload; a later one ends the earlier.
// tusd's own locker does the same, but its way to end a request is a data race.
type turns struct {
	mu   sync.Mutex
	held map[string]*turn
}

type turn struct {
	t    *turns
	id   string
	end  func()        // the request that holds it
	free chan struct{} // closed when it does not any more
}

func (t *turns) NewLock(id string) (handler.Lock, error) { return &turn{t: t, id: id}, nil }

func (l *turn) Lock(ctx context.Context, _ func()) error {
	for {
		l.t.mu.Lock()
		other := l.t.held[l.id]
		if other == nil {
			l.free, l.end = make(chan struct{}), func() {}
			if b, ok := ctx.Value(bodyKey{}).(*endableBody); ok {
				l.end = b.end
			}
			l.t.held[l.id] = l
			l.t.mu.Unlock()
			return nil
		}
		l.t.mu.Unlock()
		other.end()
		select {
		case <-other.free:
		case <-ctx.Done():
			return handler.ErrLockTimeout
		}
	}
}

func (l *turn) Unlock() error {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	delete(l.t.held, l.id)
	close(l.free)
	return nil
}

type bodyKey struct{}

// endableBody is a request's body that somebody else can end.
type endableBody struct {
	io.ReadCloser
	ended atomic.Bool
	wake  func()
}

// interruptible gives r a body that turns can end.
func interruptible(w http.ResponseWriter, r *http.Request) *http.Request {
	control := http.NewResponseController(w)
	b := &endableBody{ReadCloser: r.Body, wake: func() { _ = control.SetReadDeadline(time.Unix(1, 0)) }}
	r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, b))
	r.Body = b
	return r
}

func (b *endableBody) end() {
	b.ended.Store(true)
	b.wake()
}

func (b *endableBody) Read(p []byte) (int, error) {
	if b.ended.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	return b.ReadCloser.Read(p)
}
