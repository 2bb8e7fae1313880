package publish

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/build/leak"
	"kinopod/pod/accounts"
	"kinopod/pod/filestore"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Of all tests of a run: files made by ffmpeg, and a Redis of our own. It begins
// when a test first asks for it: a fuzzing run, whose workers would pass their
// pipes on to it, never does.
var (
	mediaDir  string
	redis     *exec.Cmd
	redisOnce sync.Once
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		runChild()
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "publish")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	mediaDir = dir
	defer stopRedis()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	time.Sleep(graceTime + 500*time.Millisecond) // tusd's own goroutines stay that long after a request
	if err := leak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		return 1
	}
	return code
}

func redisOpt() asynq.RedisClientOpt {
	socket := filepath.Join(mediaDir, "redis.sock")
	redisOnce.Do(func() {
		redis = exec.Command("redis-server", "--unixsocket", socket, "--port", "0", "--save", "", "--dir", mediaDir)
		if err := redis.Start(); err != nil {
			panic(fmt.Sprint("redis-server (install it: apt-get install redis-server): ", err))
		}
		for range 4000 {
			if c, err := net.Dial("unix", socket); err == nil {
				c.Close()
				break
			}
			time.Sleep(25 * time.Millisecond)
		}
	})
	return asynq.RedisClientOpt{Network: "unix", Addr: socket}
}

func stopRedis() {
	if redis != nil {
		_ = redis.Process.Kill()
		_ = redis.Wait()
	}
}

// made keeps media files that were made in this run.
var made sync.Map

// media makes a file of some seconds by ffmpeg, once a run, and reads it.
func media(t testing.TB, name string, seconds int, args ...string) []byte {
	t.Helper()
	once, _ := made.LoadOrStore(name, sync.OnceValues(func() ([]byte, error) {
		path := filepath.Join(mediaDir, name)
		all := []string{
			"-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
			"-f", "lavfi", "-i", "sine=frequency=440", "-t", strconv.Itoa(seconds),
		}
		all = append(append(all, args...), path)
		if out, err := exec.Command("ffmpeg", all...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ffmpeg (install it: apt-get install ffmpeg): %w\n%s", err, out)
		}
		return os.ReadFile(path)
	}))
	b, err := once.(func() ([]byte, error))()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mp4(t testing.TB) []byte {
	return media(t, "end.mp4", 10, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
}

func webm(t testing.TB) []byte {
	return media(t, "vp9.webm", 10, "-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-c:a", "libopus")
}

// large is an MP4 of size bytes with its index first: a film with filler after it,
// in a box that players pass over.
func large(t testing.TB, size int) []byte {
	t.Helper()
	b := bytes.Clone(media(t, "fast.mp4", 10, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-movflags", "+faststart"))
	n := size - len(b)
	b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n), 'f', 'r', 'e', 'e')
	for x := uint64(1); len(b) < size; {
		x = x*6364136223846793005 + 1442695040888963407
		b = append(b, byte(x>>56))
	}
	return b
}

// world is one pod's publisher with what it needs.
type world struct {
	t       testing.TB
	cfg     Config
	dir     string
	files   *testFiles
	catalog *fakeCatalog
	quota   *fakeQuota
	drops   *drops
	pub     *Publisher
	server  *httptest.Server
	stop    func()

	noDeadlines bool // the server cannot set any, as some bridges to net/http
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), catalog: newFakeCatalog(), quota: &fakeQuota{used: map[string]map[video.ID]int64{}}, drops: &drops{}, stop: func() {}}
	w.cfg = Config{Host: "pod.example", Log: slog.New(slog.NewTextHandler(io.Discard, nil)), SpareBytes: 1, FFmpeg: "none", Droppers: []Dropper{w.drops}}
	for _, f := range change {
		f(&w.cfg)
	}
	w.start()
	t.Cleanup(w.kill)
	return w
}

// start begins a pod on what is on disk, without Run.
func (w *world) start() {
	w.t.Helper()
	store, err := filestore.Open(w.dir, filestore.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.files = &testFiles{Store: store}
	if w.pub, err = New(w.cfg, w.files, w.catalog, w.quota, redisOpt()); err != nil {
		w.t.Fatal(err)
	}
	h := w.pub.Handler()
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if user := r.Header.Get("X-User"); user != "" {
			r = r.WithContext(WithActor(r.Context(), accounts.Actor{Username: user, Role: api.RoleUser}))
		}
		if w.noDeadlines {
			rw = struct{ http.ResponseWriter }{rw}
		}
		h.ServeHTTP(rw, r)
	}))
}

// run begins Run.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.pub.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
		w.stop = func() {}
	}
}

// kill ends the pod.
func (w *world) kill() {
	w.stop()
	w.server.CloseClientConnections()
	w.server.Close()
	if err := w.pub.Close(); err != nil {
		w.t.Errorf("Close: %v", err)
	}
}

// restart is another pod on the same data.
func (w *world) restart() {
	w.t.Helper()
	w.kill()
	w.start()
}

// answer is what a request came to.
type answer struct {
	status int
	header http.Header
	err    api.Error
}

// do sends one request of a user with tus's headers and these, "Name: value".
func (w *world) do(user, method, path string, body io.Reader, headers ...string) answer {
	w.t.Helper()
	res, err := w.send(user, method, path, body, headers...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res
}

func (w *world) send(user, method, path string, body io.Reader, headers ...string) (answer, error) {
	r, err := http.NewRequest(method, w.server.URL+path, body)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	r.Header.Set("X-User", user)
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, header: res.Header}
	if res.StatusCode >= 400 && method != http.MethodHead {
		if err := jsonError(b, &a.err); err != nil {
			return a, fmt.Errorf("answer %d %q: %w", res.StatusCode, b, err)
		}
	}
	return a, nil
}

func jsonError(b []byte, e *api.Error) error {
	return errors.Join(json.Unmarshal(b, e), func() error {
		if e.Code == "" || len(e.Message) < 5 || strings.Contains(e.Message, "ERR_") {
			return fmt.Errorf("not an error of the API: %+v", e)
		}
		return nil
	}())
}

// metadataHeader makes Upload-Metadata of keys and values.
func metadataHeader(pairs ...string) string {
	var out []string
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(out, ",")
}

// create begins an upload and gives its path.
func (w *world) create(user string, size int, meta ...string) string {
	w.t.Helper()
	a := w.do(user, http.MethodPost, api.PathUploads, nil, "Upload-Length: "+strconv.Itoa(size), "Upload-Metadata: "+metadataHeader(meta...))
	if a.status != http.StatusCreated {
		w.t.Fatalf("create: %d %+v", a.status, a.err)
	}
	return a.header.Get("Location")
}

// patch sends bytes at an offset.
func (w *world) patch(user, path string, offset int, b []byte, headers ...string) answer {
	w.t.Helper()
	return w.do(user, http.MethodPatch, path, bytes.NewReader(b), append(headers, "Upload-Offset: "+strconv.Itoa(offset))...)
}

// offset asks how far an upload is, -1 where there is none.
func (w *world) offset(user, path string) int {
	w.t.Helper()
	a := w.do(user, http.MethodHead, path, nil)
	if a.status != http.StatusOK {
		return -1
	}
	n, err := strconv.Atoi(a.header.Get("Upload-Offset"))
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func idOf(t testing.TB, path string) video.ID {
	t.Helper()
	id, err := video.ParseID(strings.TrimPrefix(path, api.PathUploads+"/"))
	if err != nil {
		t.Fatalf("%q: %v", path, err)
	}
	return id
}

// publish sends a whole file and gives its video.
func (w *world) publish(user string, b []byte, meta ...string) video.Video {
	w.t.Helper()
	path := w.create(user, len(b), meta...)
	if a := w.patch(user, path, 0, b); a.status != http.StatusNoContent {
		w.t.Fatalf("upload: %d %+v", a.status, a.err)
	}
	v, err := w.catalog.Get(w.t.Context(), idOf(w.t, path))
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// clean fails where anything is left of uploads that ended.
func (w *world) clean(user string) {
	w.t.Helper()
	if ids, err := w.files.Uploads(); err != nil || len(ids) > 0 {
		w.t.Errorf("uploads on disk: %v, %v", ids, err)
	}
	for _, sub := range []string{"videos", "thumbnails", "trash"} {
		err := filepath.WalkDir(filepath.Join(w.dir, sub), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				w.t.Errorf("left on disk: %s", path)
			}
			return err
		})
		if err != nil {
			w.t.Error(err)
		}
	}
	if n := w.quota.of(user); n != 0 {
		w.t.Errorf("%d bytes of quota are booked", n)
	}
	if all, _ := w.pub.Uploads(w.t.Context(), user); len(all) != 0 {
		w.t.Errorf("listed as uploads: %+v", all)
	}
}

// eventually waits for something to hold.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not in 2 minutes: %s", what)
}
