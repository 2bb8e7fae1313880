package publish

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kinopod/pod/filestore"
	"kinopod/shared/api"
)

// TestNewerRequestWins: a client that lost its connection does not wait for the
// pod to notice.
func TestNewerRequestWins(t *testing.T) {
	t.Run("deadlines", func(t *testing.T) { newerRequestWins(t, newWorld(t)) })
	t.Run("no deadlines", func(t *testing.T) {
		w := newWorld(t)
		w.noDeadlines = true
		newerRequestWins(t, w)
	})
}

func newerRequestWins(t *testing.T, w *world) {
	t.Helper()
	b := large(t, 2<<20)
	path := w.create("anna", len(b))
	for i := range 5 {
		at := w.offset("anna", path)
		r, send := io.Pipe()
		old := make(chan answer, 1)
		go func() {
			a, _ := w.send("anna", http.MethodPatch, path, r, "Upload-Offset: "+strconv.Itoa(at))
			old <- a
		}()
		if _, err := send.Write(b[at : at+100_000]); err != nil {
			t.Fatal(err)
		}
		u := w.pub.upload(idOf(t, path))
		eventually(t, "the bytes arrive", func() bool { offset, _, _, _ := u.state(); return int(offset) == at+100_000 })
		// The old one has not ended: nothing but this request ends it.
		if got := w.offset("anna", path); got != at+100_000 {
			t.Fatalf("round %d: offset %d, want %d", i, got, at+100_000)
		}
		send.CloseWithError(io.ErrUnexpectedEOF)
		if a := <-old; a.status != 0 && a.status != http.StatusLocked {
			t.Errorf("round %d: the old request was answered %d %+v", i, a.status, a.err)
		}
		if got := w.offset("anna", path); got != at+100_000 {
			t.Fatalf("round %d: offset %d after the old request ended", i, got)
		}
	}
	// Two at the same time: one after another, never both.
	at := w.offset("anna", path)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, _ = w.send("anna", http.MethodPatch, path, bytes.NewReader(b[at:]), "Upload-Offset: "+strconv.Itoa(at))
		})
	}
	wg.Wait()
	if at = w.offset("anna", path); at < len(b) {
		w.patch("anna", path, at, b[at:])
	}
	v, err := w.catalog.Get(t.Context(), idOf(t, path))
	if err != nil {
		t.Fatal(err)
	}
	w.whole(v, b)
}

// TestSilentConnectionEnds: an endless request keeps what it brought and no more.
func TestSilentConnectionEnds(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Idle = 2 * time.Second })
	b := large(t, 1<<20)
	path := w.create("anna", len(b))
	r, send := io.Pipe()
	done := make(chan answer, 1)
	go func() {
		a, _ := w.send("anna", http.MethodPatch, path, r, "Upload-Offset: 0")
		done <- a
	}()
	// Slow, in all longer than the idle time, but never silent.
	for at := 0; at < 60_000; at += 10_000 {
		if _, err := send.Write(b[at : at+10_000]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(400 * time.Millisecond)
	}
	a := <-done
	send.CloseWithError(io.ErrClosedPipe)
	if a.status != 0 && a.status < 500 {
		t.Errorf("%d %+v", a.status, a.err)
	}
	if got := w.offset("anna", path); got != 60_000 {
		t.Errorf("offset %d, want 60000", got)
	}
}

func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	b := large(t, 1<<20)
	path := w.create("anna", len(b))
	w.patch("anna", path, 0, b[:300_000])
	w.files.set(func(f *testFiles) { f.full = true })
	a := w.patch("anna", path, 300_000, b[300_000:])
	if a.status != 507 || a.err.Code != api.CodeNoSpace || !strings.Contains(a.err.Message, "disk is full") {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	if got := w.offset("anna", path); got != 300_000 {
		t.Fatalf("offset %d", got)
	}
	w.files.set(func(f *testFiles) { f.full = false })
	if a := w.patch("anna", path, 300_000, b[300_000:]); a.status != http.StatusNoContent {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	v, err := w.catalog.Get(t.Context(), idOf(t, path))
	if err != nil {
		t.Fatal(err)
	}
	w.whole(v, b)
}

func TestNoRoomForAnotherUpload(t *testing.T) {
	w := newWorld(t)
	w.files.set(func(f *testFiles) { f.free = 10_000 })
	w.create("anna", 6000)
	a := w.do("anna", http.MethodPost, api.PathUploads, nil, "Upload-Length: 6000") // the first one will take 6000 yet
	if a.status != 507 || a.err.Code != api.CodeNoSpace {
		t.Errorf("%d %+v", a.status, a.err)
	}
	if ids, _ := w.files.Uploads(); len(ids) != 1 || w.quota.of("anna") != 6000 {
		t.Errorf("%v, %d bytes booked", ids, w.quota.of("anna"))
	}
}

// TestRestartHashesOnePieceAtMost damages whole pieces on disk behind the pod's
// back: were they read again, the torrent would say so.
func TestRestartHashesOnePieceAtMost(t *testing.T) {
	w := newWorld(t)
	b := large(t, 1<<20)
	path := w.create("anna", len(b))
	const at = 5*64<<10 + 1000
	w.patch("anna", path, 0, b[:at])
	w.restart()
	disk, err := os.OpenFile(w.files.UploadPath(idOf(t, path), dataFile), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if _, err := disk.WriteAt(make([]byte, 4*64<<10), 64<<10); err != nil {
		t.Fatal(err)
	}
	if got := w.offset("anna", path); got != at {
		t.Fatalf("offset %d after a restart", got)
	}
	if a := w.patch("anna", path, at, b[at:]); a.status != http.StatusNoContent {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	v, err := w.catalog.Get(t.Context(), idOf(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.WriteAt(b[64<<10:5*64<<10], 64<<10); err != nil { // the same file, under its new name
		t.Fatal(err)
	}
	w.whole(v, b)
}

func TestCorruptUploadOnDiskStopsNobody(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	path := w.create("anna", len(b))
	if err := w.files.WriteUpload(idOf(t, path), recordFile, []byte("{")); err != nil {
		t.Fatal(err)
	}
	w.restart()
	if got := w.offset("anna", path); got != -1 {
		t.Errorf("offset %d", got)
	}
	w.publish("anna", b)
}

var _ Files = (*filestore.Store)(nil)
