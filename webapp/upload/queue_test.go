//go:build !js

package upload

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kinopod/build/leak"
	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/webapp/upload/uploadtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	// tusd keeps a goroutine for a while after a request was cut.
	if err := leak.Find(goleak.IgnoreTopFunction("github.com/tus/tusd/v2/pkg/handler.newDelayedContext.func1")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// film is a file that begins as an MP4 does; the rest is noise of seed.
func film(name string, size int, seed uint64) (*File, []byte) {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	copy(b, "\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2")
	return NewFile(name, int64(size), time.Now().Add(-time.Hour), bytes.NewReader(b)), b
}

func TestUpload(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	q, _ := start(t, Config{API: pod, Base: "http://" + pod.addr})
	f, want := film("A_day at sea.mp4", 3<<20, 1)
	q.Add(f)
	it := until(t, q, 1, "done", func(it Item) bool { return it.Video != nil })
	if !bytes.Equal(pod.bytes(it.ID), want) {
		t.Fatal("the file arrived otherwise than it was sent")
	}
	if it.Details.Name != "A day at sea" || it.SaveState != Saved {
		t.Fatalf("details %+v, state %d", it.Details, it.SaveState)
	}
	if it.Bytes != it.Size || it.Sent != it.Size || it.Fraction() != 1 || q.Busy() {
		t.Fatalf("%d of %d bytes, sent %d", it.Bytes, it.Size, it.Sent)
	}
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(128 << 10)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr()})
	for n := range 3 {
		f, _ := film(fmt.Sprintf("%d.mp4", n), 1<<20, uint64(n))
		q.Add(f)
		if n < 2 {
			until(t, q, n+1, "sending", in(Sending))
		}
	}
	until(t, q, 3, "waiting", in(Waiting))
	q.Pause(1) // makes room
	until(t, q, 3, "sending", in(Sending))
	line.SetRate(0)
	until(t, q, 3, "done", in(Done))
	if it := until(t, q, 1, "paused", in(Paused)); it.Bytes == it.Size {
		t.Fatal("a paused file went up")
	}
	q.Resume(1)
	until(t, q, 1, "done", in(Done))
}

func TestPauseLosesNothing(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(4 << 20)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr()})
	f, _ := film("film.mp4", 6<<20, 1)
	q.Add(f)
	for n := range int64(3) {
		until(t, q, 1, "sending", func(it Item) bool { return it.State == Sending && it.Bytes > n<<20 })
		q.Pause(1)
		at := until(t, q, 1, "paused", in(Paused)).Bytes
		time.Sleep(200 * time.Millisecond)
		if now := until(t, q, 1, "paused", in(Paused)).Bytes; now > at+128<<10 {
			t.Fatalf("%d bytes went up while paused", now-at)
		}
		q.Resume(1)
	}
	if it := until(t, q, 1, "done", in(Done)); it.Sent != it.Size {
		t.Fatalf("%d bytes were sent for %d", it.Sent, it.Size)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(1 << 20)
	memory := NewMemory()
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr(), Memory: memory})
	f, _ := film("film.mp4", 6<<20, 1)
	q.Add(f)
	it := until(t, q, 1, "sending", func(it Item) bool { return it.State == Sending && it.Bytes > 0 })
	q.Cancel(1)
	if len(q.Items()) != 0 {
		t.Fatal("a cancelled file is in the queue")
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if left, _ := pod.Uploads(context.Background()); len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pod still has %s", it.ID)
		}
	}
	if len(memory.records) != 0 || len(memory.held) != 0 {
		t.Fatalf("left behind: %v, %v", memory.records, memory.held)
	}
}

func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	pod.limits.UploadBytes = 4 << 20
	pod.me = api.User{QuotaBytes: 5 << 20, UsedBytes: 2 << 20}
	q, _ := start(t, Config{API: pod, Base: "http://" + pod.addr})
	large, _ := film("large.mp4", 4<<20+1, 1)
	fits, _ := film("fits.mp4", 2<<20, 2)
	quota, _ := film("quota.mp4", 2<<20, 3)
	empty := NewFile("empty.mp4", 0, time.Now(), strings.NewReader(""))
	text := NewFile("letter.mp4", 5, time.Now(), strings.NewReader("Dear "))
	mkv := NewFile("film.mkv", 40, time.Now(), strings.NewReader("\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x23B\x82\x88matroska00000000000000000"))
	for n, c := range []struct {
		file *File
		code api.Code
		says string
	}{
		{large, api.CodeTooLarge, "large.mp4 is 4.0 MiB. This pod takes files of up to 4.0 MiB."},
		{fits, "", ""},
		{quota, api.CodeTooLarge, "only 1.0 MiB of your space is left"},
		{empty, api.CodeInvalid, "empty.mp4 is empty."},
		{text, api.CodeUnsupported, "letter.mp4 is not a video"},
		{mkv, api.CodeUnsupported, "a Matroska file"},
	} {
		q.Add(c.file)
		it := until(t, q, n+1, "decided", in(Failed, Done))
		if c.code == "" {
			pod.set(func() { pod.me.UsedBytes += it.Size })
			continue
		}
		if it.Err == nil || it.Err.Code != c.code || !strings.Contains(it.Err.Message, c.says) {
			t.Errorf("%s: %v", it.FileName, it.Err)
		}
	}
	if pod.creates != 1 {
		t.Fatalf("%d uploads were created", pod.creates)
	}
}

// What the pod refuses is told at once, in the pod's words.
func TestPodsWord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{413, `{"code":"too_large","message":"Your quota is used up."}`, "Your quota is used up."},
		{422, `{"code":"unsupported","message":"The file is cut off."}`, "The file is cut off."},
		{507, `{"code":"no_space","message":"The pod's disk is full."}`, "The pod's disk is full."},
		{401, ``, "You are no longer logged in."},
		{400, `<html>`, "The pod answered 400 (Bad Request)."},
	} {
		f := refused(response{status: c.status, header: noHeader, body: []byte(c.body)})
		if f.again() || f.err.Message != c.want {
			t.Errorf("%d: again %v, %q", c.status, f.again(), f.err.Message)
		}
	}
	for _, status := range []int{408, 409, 423, 425, 429, 460, 500, 502, 503, 504} {
		if !refused(response{status: status, header: noHeader}).again() {
			t.Errorf("%d is not tried again", status)
		}
	}
}

func TestFullDiskGoesOnLater(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	q, _ := start(t, Config{API: pod, Base: "http://" + pod.addr})
	full := true
	pod.set(func() {
		pod.refuse = func(r *http.Request) int {
			if full && r.Method == http.MethodPatch && r.Header.Get("Upload-Offset") > "1" {
				return http.StatusInsufficientStorage
			}
			return 0
		}
	})
	f, want := film("film.mp4", 3<<20, 1)
	q.Add(f)
	failed := until(t, q, 1, "failed", in(Failed))
	if failed.Bytes == 0 {
		t.Fatal("what went up before is forgotten")
	}
	pod.set(func() { full = false })
	q.Resume(1)
	it := until(t, q, 1, "done", in(Done))
	if it.ID != failed.ID || !bytes.Equal(pod.bytes(it.ID), want) {
		t.Fatal("it did not go on where it was")
	}
}

// An upload of another browser goes on from the pod's list, by name and size.
func TestContinue(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(2 << 20)
	cfg := Config{API: pod, Base: "http://" + line.Addr(), Memory: NewMemory()}
	q, closeTab := start(t, cfg)
	f, want := film("film.mp4", 3<<20, 1)
	q.Add(f)
	id := until(t, q, 1, "half", func(it Item) bool { return it.Bytes > 1<<20 }).ID
	closeTab()

	cfg.Memory = NewMemory() // of another browser
	q, _ = start(t, cfg)
	if err := q.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	list := q.Unfinished()
	if len(list) != 1 || list[0].ID != id {
		t.Fatalf("unfinished: %v", list)
	}
	other, _ := film("film.mp4", 2<<20, 1)
	if err := q.Continue(id, other); !api.Is(err, api.CodeInvalid) {
		t.Fatalf("another file: %v", err)
	}
	newer := *f
	newer.modified = time.Now().Add(time.Hour)
	if err := q.Continue(id, &newer); !api.Is(err, api.CodeInvalid) {
		t.Fatalf("a changed file: %v", err)
	}
	if err := q.Continue(id, f); err != nil {
		t.Fatal(err)
	}
	it := until(t, q, 1, "done", in(Done))
	if it.ID != id || it.Resumed == 0 || !bytes.Equal(pod.bytes(id), want) {
		t.Fatalf("%s resumed at %d, not %s", it.ID, it.Resumed, id)
	}
	if len(q.Unfinished()) != 0 {
		t.Fatal("a video is on the list of the unfinished")
	}
}

// Another account sees nothing of what goes up, and the pod keeps it for the first.
func TestClear(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(2 << 20)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr()})
	f, want := film("film.mp4", 2<<20, 1)
	q.Add(f)
	it := until(t, q, 1, "half", func(it Item) bool { return it.Bytes > 1<<20 })
	q.Clear()
	if _, _, ok := q.Account(); ok || len(q.Items())+len(q.Unfinished()) != 0 || q.Busy() {
		t.Fatal("something is left to see")
	}
	q.Add(f) // its owner is back
	again := until(t, q, 2, "done", in(Done))
	if again.ID != it.ID || again.Resumed == 0 || !bytes.Equal(pod.bytes(it.ID), want) {
		t.Fatalf("%s resumed at %d, not %s", again.ID, again.Resumed, it.ID)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	c := client{base: "http://" + pod.addr, idle: time.Second}
	if _, err := c.create(context.Background(), 100, map[string]string{api.MetaFileName: "a.mp4"}); err != nil {
		t.Fatal(err)
	}
	q, _ := start(t, Config{API: pod, Base: c.base})
	if err := q.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := q.Discard(context.Background(), q.Unfinished()[0].ID); err != nil {
		t.Fatal(err)
	}
	if left, _ := pod.Uploads(context.Background()); len(left)+len(q.Unfinished()) != 0 {
		t.Fatalf("left: %v, %v", left, q.Unfinished())
	}
}

// A remembered upload that the pod no longer has begins anew.
func TestExpired(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	memory := NewMemory()
	f, want := film("film.mp4", 1<<20, 1)
	b, _ := head(context.Background(), f)
	memory.put(fingerprint(f, b), record{ID: video.NewID("pod.example"), Sent: 500_000, At: time.Now()})
	q, _ := start(t, Config{API: pod, Base: "http://" + pod.addr, Memory: memory})
	q.Add(f)
	it := until(t, q, 1, "done", in(Done))
	if !bytes.Equal(pod.bytes(it.ID), want) || it.Sent != it.Size || it.Resumed != 0 {
		t.Fatalf("sent %d, resumed %d", it.Sent, it.Resumed)
	}
}

// One that is removed while it goes up says so, and begins anew when asked to.
func TestRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(2 << 20)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr()})
	f, want := film("film.mp4", 2<<20, 1)
	q.Add(f)
	old := until(t, q, 1, "half", func(it Item) bool { return it.Bytes > 1<<20 })
	q.Pause(1)
	time.Sleep(100 * time.Millisecond)
	c := client{base: "http://" + pod.addr, idle: time.Second}
	if err := c.terminate(context.Background(), old.ID); err != nil {
		t.Fatal(err)
	}
	q.Resume(1)
	it := until(t, q, 1, "failed", in(Failed, Done))
	if it.State == Done {
		it = until(t, q, 1, "done", in(Done))
	}
	if it.State == Failed {
		if it.Err.Code != api.CodeNotFound {
			t.Fatalf("failed with %v", it.Err)
		}
		q.Resume(1)
		it = until(t, q, 1, "done", in(Done))
	}
	if it.ID == old.ID || !bytes.Equal(pod.bytes(it.ID), want) {
		t.Fatal("it did not begin anew")
	}
}

// A created upload whose answer was lost is found on the pod's list.
func TestCreatedUnheard(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	q, _ := start(t, Config{API: pod, Base: "http://" + pod.addr})
	lost := true
	pod.set(func() {
		pod.refuse = func(r *http.Request) int {
			if r.Method != http.MethodPost || !lost {
				return 0
			}
			lost = false
			id := video.NewID("pod.example")
			pod.names[id] = "film.mp4"
			writeUpload(t, pod, id, 1<<20)
			return http.StatusBadGateway
		}
	})
	f, want := film("film.mp4", 1<<20, 1)
	q.Add(f)
	it := until(t, q, 1, "done", in(Done))
	if pod.creates != 0 || !bytes.Equal(pod.bytes(it.ID), want) {
		t.Fatalf("%d more uploads were created", pod.creates)
	}
}

// Choosing a file twice sends it once.
func TestTwice(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(2 << 20)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr()})
	f, _ := film("film.mp4", 1<<20, 1)
	q.Add(f)
	until(t, q, 1, "sending", in(Sending))
	q.Add(f)
	if it := until(t, q, 2, "refused", in(Failed)); it.Err.Code != api.CodeConflict {
		t.Fatal(it.Err)
	}
	until(t, q, 1, "done", in(Done))
}

func noHeader(string) string { return "" }
