package podtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"kinopod/shared/api"
)

// slowly gives bytes at a pace, so that something can happen while they go.
type slowly struct {
	io.Reader
	pause time.Duration
}

func (s slowly) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.Reader.Read(p[:min(len(p), 16<<10)])
}

// some gives so many bytes, says so, and gives no more until ctx ends.
type some struct {
	io.Reader
	ctx   context.Context
	left  int64
	given func()
}

func (s *some) Read(p []byte) (int, error) {
	if s.left == 0 {
		s.given()
		<-s.ctx.Done()
		return 0, s.ctx.Err()
	}
	n, err := s.Reader.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

// send sends what the pod lacks of an upload, until it is whole or the connection
// breaks, and says how many bytes it gave away.
func (c *Client) send(ctx context.Context, upload string, film []byte, pause time.Duration) (sent int64, done bool) {
	return c.sendBy(ctx, upload, film, func(rest io.Reader) io.Reader { return slowly{rest, pause} })
}

// sendBy is send, in which what is left of the film is read by way of through.
func (c *Client) sendBy(ctx context.Context, upload string, film []byte, through func(rest io.Reader) io.Reader) (sent int64, done bool) {
	a, err := c.ask(ctx, http.MethodHead, upload, nil, "Tus-Resumable: 1.0.0")
	if err != nil {
		return 0, false
	}
	if a.Header.Get(api.HeaderVideoID) != "" {
		return 0, true
	}
	offset, err := strconv.ParseInt(a.Header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		return 0, false
	}
	rest := bytes.NewReader(film[offset:])
	a, err = c.ask(ctx, http.MethodPatch, upload, through(rest),
		"Tus-Resumable: 1.0.0", fmt.Sprintf("Upload-Offset: %d", offset), "Content-Type: application/offset+octet-stream")
	return int64(len(film)) - offset - int64(rest.Len()), err == nil && a.Header.Get(api.HeaderVideoID) != ""
}

// TestKilledPod kills the pod (kill -9) at many points of upload and publishing:
// each time the upload goes on, and in the end the video is listed, once.
func TestKilledPod(t *testing.T) {
	t.Parallel()
	film, err := os.ReadFile(MP4.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	p := Exec(t)
	ann := p.User(t, "ann")
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 5 {
		upload := ann.CreateUpload(t, int64(len(film)), api.MetaFileName, fmt.Sprintf("film %d.mp4", round))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			ann.send(ctx, upload, film, 2*time.Millisecond)
		}()
		time.Sleep(time.Duration(random.IntN(250)) * time.Millisecond)
		p.Kill()
		cancel()
		<-ended
		p.Start(t)
		Eventually(t, "the upload goes on to its end", func() bool {
			_, done := ann.send(t.Context(), upload, film, 0)
			return done
		})
		page, err := ann.Videos(t.Context(), api.VideosQuery{})
		if err != nil || len(page.Videos) != round+1 {
			t.Fatalf("round %d: %d videos are listed (%v)", round, len(page.Videos), err)
		}
		if got := get(t, page.Videos[0].StreamURL); got != string(film) {
			t.Errorf("round %d: the film is another one", round)
		}
	}
}

// TestKilledRedis kills the private redis-server while bytes go up: nothing that
// was answered is lost, and the upload ends as it should.
func TestKilledRedis(t *testing.T) {
	t.Parallel()
	p := Start(t)
	ann := p.User(t, "ann", api.RoleUser)
	film, err := os.ReadFile(MP4.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		upload := ann.CreateUpload(t, int64(len(film)), api.MetaFileName, "film.mp4")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			ann.send(t.Context(), upload, film, 2*time.Millisecond)
		}()
		time.Sleep(time.Duration(20+60*round) * time.Millisecond)
		process, err := os.FindProcess(p.Redis().PID())
		if err != nil {
			t.Fatal(err)
		}
		_ = process.Kill()
		<-ended
		Eventually(t, "the upload ends", func() bool {
			_, done := ann.send(t.Context(), upload, film, 0)
			return done
		})
		page, err := ann.Videos(t.Context(), api.VideosQuery{})
		if err != nil || len(page.Videos) != round+1 {
			t.Fatalf("round %d: %d videos are listed (%v)", round, len(page.Videos), err)
		}
	}
}

// TestBytesSent breaks the connection again and again: in all at most 1 % of the
// film is sent twice.
func TestBytesSent(t *testing.T) {
	t.Parallel()
	film, err := os.ReadFile(Sample{MP4.MIME, 20 * time.Second, 640, 360, 4_000_000}.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	p := Start(t)
	ann := p.User(t, "ann", api.RoleUser)
	upload := ann.CreateUpload(t, int64(len(film)), api.MetaFileName, "film.mp4")
	stored := func() (n int64) { // at the pod, which has no other file
		for _, f := range filesIn(t, p.Config.Data) {
			if info, err := os.Stat(f); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	var total int64
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		const part = 1 << 20
		var from int64
		given, ended := make(chan struct{}), make(chan int64, 1)
		go func() {
			sent, _ := ann.sendBy(ctx, upload, film, func(rest io.Reader) io.Reader {
				from = int64(len(film) - rest.(*bytes.Reader).Len())
				return &some{rest, ctx, part, sync.OnceFunc(func() { close(given) })}
			})
			ended <- sent
		}()
		select {
		case <-given:
		case sent := <-ended:
			t.Fatalf("%d bytes were taken, and no more", sent)
		}
		// What lies in buffers when a connection breaks is lost; how much that is, on a busy
		// machine, is not this pod's doing.
		Eventually(t, "the pod has what was sent", func() bool { return stored() >= from+part-16<<10 })
		cancel()
		total += <-ended
	}
	sent, done := ann.send(t.Context(), upload, film, 0)
	total += sent
	if !done || sent == int64(len(film)) || total > int64(len(film))*101/100 {
		t.Errorf("%d bytes were sent of %d, in the end %d; done %v", total, len(film), sent, done)
	}
}
