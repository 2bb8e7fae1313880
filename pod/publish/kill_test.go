package publish

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/rpc"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"kinopod/pod/filestore"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// slowBody gives bytes at about 60 MB/s and counts them.
type slowBody struct {
	rest []byte
	sent *atomic.Int64
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 16<<10)], b.rest)
	b.rest = b.rest[n:]
	b.sent.Add(int64(n))
	time.Sleep(250 * time.Microsecond)
	return n, nil
}

// killing is one upload to a pod that is killed again and again.
type killing struct {
	t      *testing.T
	cfg    childConfig
	child  *exec.Cmd
	addr   string
	client *http.Client
	sent   atomic.Int64
	kills  int
}

func (k *killing) start() {
	k.t.Helper()
	var err error
	if k.child, k.addr, err = startChild(k.cfg); err != nil {
		k.t.Fatal(err)
	}
}

// kill is kill -9.
func (k *killing) kill() {
	_ = k.child.Process.Kill()
	_ = k.child.Wait()
	k.client.CloseIdleConnections()
}

// do sends a request; any error is the kill's.
func (k *killing) do(method, path string, body io.Reader, headers ...string) (*http.Response, error) {
	r, err := http.NewRequest(method, "http://"+k.addr+path, body)
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := k.client.Do(r)
	if err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	return res, err
}

// attempt goes on with the upload on the pod that runs, which is killed after a
// while or not. It says whether the video is there.
func (k *killing) attempt(path string, b []byte, killAfter time.Duration) bool {
	k.t.Helper()
	timer := time.AfterFunc(killAfter, func() { _ = k.child.Process.Kill() })
	defer timer.Stop()
	res, err := k.do(http.MethodHead, path, nil)
	if err != nil {
		return false
	}
	if res.StatusCode != http.StatusOK {
		k.t.Fatalf("HEAD after %d kills: %s", k.kills, res.Status)
	}
	if res.Header.Get(api.HeaderVideoID) != "" {
		return true
	}
	at, err := strconv.Atoi(res.Header.Get("Upload-Offset"))
	if err != nil {
		k.t.Fatal(err)
	}
	res, err = k.do(http.MethodPatch, path, &slowBody{b[at:], &k.sent}, "Upload-Offset", strconv.Itoa(at), "Content-Type", "application/offset+octet-stream")
	return err == nil && res.StatusCode == http.StatusNoContent && res.Header.Get(api.HeaderVideoID) != ""
}

// TestKill kills pods at random points of uploads, and again around the last byte.
// Each upload becomes one video, byte by byte, with at most 1 % sent twice.
func TestKill(t *testing.T) {
	const limit = 20 * time.Second
	dir := t.TempDir()
	cat, quota := newFakeCatalog(), &fakeQuota{used: map[string]map[video.ID]int64{}}
	l := serveParent(t, filepath.Join(dir, "parent"), cat, quota)
	b := large(t, 48<<20)
	store, err := filestore.Open(filepath.Join(dir, "data"), filestore.Limits{}) // before any child: it empties the trash
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, files: &testFiles{Store: store}}
	k := &killing{t: t, cfg: childConfig{Dir: filepath.Join(dir, "data"), Redis: redisOpt().Addr, Parent: l}}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetWriteBuffer(clientBuffer)
		}
		return c, err
	}}
	k.client = &http.Client{Transport: transport}
	k.start()
	defer func() { k.kill() }()
	rounds, all := 0, 0
	for begin := time.Now(); rounds < 2 || time.Since(begin) < limit && rounds < 12; rounds++ {
		v := k.round(b, cat)
		w.whole(v, b)
		_ = quota.Release(t.Context(), "anna", v.ID)
		all += k.kills
	}
	if cat.added != rounds {
		t.Errorf("%d uploads were listed %d times", rounds, cat.added)
	}
	eventually(t, "directories of uploads go", func() bool { ids, _ := store.Uploads(); return len(ids) == 0 })
	t.Logf("%d uploads of %d MiB, %d kills", rounds, len(b)>>20, all)
}

// round uploads a file while pods die.
func (k *killing) round(b []byte, cat *fakeCatalog) video.Video {
	k.t.Helper()
	k.kills = 0
	k.sent.Store(0)
	res, err := k.do(http.MethodPost, api.PathUploads, nil, "Upload-Length", strconv.Itoa(len(b)), "Upload-Metadata", metadataHeader("name", "Film"))
	if err != nil || res.StatusCode != http.StatusCreated {
		k.t.Fatalf("create: %v, %v", res, err)
	}
	path := res.Header.Get("Location")
	// Three kills while bytes go up, then at any time at all; most of those are
	// around the last byte, since not much is left.
	for done := false; !done; {
		after := time.Duration(rand.IntN(300)) * time.Millisecond
		switch {
		case k.kills >= 6:
			after = time.Minute
		case k.kills >= 3:
			at, err := k.do(http.MethodHead, path, nil)
			if err == nil {
				offset, _ := strconv.Atoi(at.Header.Get("Upload-Offset"))
				left := time.Duration(len(b)-offset) * 25 * time.Nanosecond
				after = left + time.Duration(rand.IntN(60)-20)*time.Millisecond
			}
		}
		if done = k.attempt(path, b, max(after, 0)); !done {
			k.kill()
			k.kills++
			k.start()
		}
	}
	k.kill() // also right after it became a video
	k.kills++
	k.start()
	if sent := k.sent.Load(); sent > int64(len(b))*101/100 {
		k.t.Errorf("%d kills: %d bytes were sent for a file of %d", k.kills, sent, len(b))
	}
	v, err := cat.Get(k.t.Context(), idOf(k.t, path))
	if err != nil {
		k.t.Fatal(err)
	}
	return v
}

func serveParent(t *testing.T, socket string, cat *fakeCatalog, quota *fakeQuota) string {
	t.Helper()
	server := rpc.NewServer()
	if err := server.Register(&Parent{catalog: cat, quota: quota}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return socket
}
