package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
)

// zeros is a body of so many bytes.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	z.left -= int64(n)
	return n, nil
}

// TestUploadMemory sends 1 GiB and sees that the pod does not hold it.
func TestUploadMemory(t *testing.T) {
	const size = 1 << 30
	d := newDoor(t, nil)
	var most uint64
	d.tus = func(w http.ResponseWriter, r *http.Request) {
		var got int64
		buf := make([]byte, 64<<10)
		var m runtime.MemStats
		for {
			n, err := r.Body.Read(buf)
			if got += int64(n); got%(64<<20) < int64(n) {
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse+m.StackInuse)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Errorf("after %d bytes: %v", got, err)
				break
			}
		}
		if got != size || r.ContentLength != size || r.Header.Get("Upload-Offset") != "0" {
			t.Errorf("%d bytes, Content-Length %d, headers %v", got, r.ContentLength, r.Header)
		}
		w.Header().Set("Upload-Offset", fmt.Sprint(got))
		w.WriteHeader(http.StatusNoContent)
	}
	req, err := http.NewRequest("PATCH", d.url+api.PathUploads+"/x", &zeros{size})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("Upload-Offset", "0")
	start := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 204 || res.Header.Get("Upload-Offset") != fmt.Sprint(size) || res.Close {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	t.Logf("%.0f MB/s, at most %d MiB of memory", size/1e6/time.Since(start).Seconds(), most>>20)
	if most > 64<<20 {
		t.Errorf("%d MiB in use while 1 GiB came", most>>20)
	}
}

func TestUploadCaller(t *testing.T) {
	d := newDoor(t, nil)
	d.tus = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, CallerOf(r.Context()).Actor.Username+" "+r.URL.Path+" "+r.Method)
	}
	for _, c := range []struct{ method, path, want string }{
		{"POST", api.PathUploads, "ann /api/v1/uploads POST"},
		{"PATCH", api.PathUploads + "/abc", "ann /api/v1/uploads/abc PATCH"},
		{"DELETE", api.PathUploads + "/abc", "ann /api/v1/uploads/abc DELETE"},
	} {
		if res, body := d.ask(t, c.method, c.path, "", "Authorization: Bearer good"); string(body) != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.path, res.StatusCode, body)
		}
	}
	if res, body := d.ask(t, "GET", api.PathUploads+"/abc", ""); res.StatusCode != 405 {
		t.Errorf("GET of an upload: %d %s", res.StatusCode, body)
	}
}

// TestUploadClientGone sees that a client that goes ends the request.
func TestUploadClientGone(t *testing.T) {
	d := newDoor(t, nil)
	ended := make(chan error, 1)
	d.tus = func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
		w.WriteHeader(http.StatusBadRequest)
	}
	c := dial(t, d, "127.0.0.1")
	if _, err := io.WriteString(c, "PATCH /api/v1/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 100<<10)); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("half a body is taken for a whole one")
		}
	case <-time.After(time.Minute):
		t.Error("the request goes on without its client")
	}
}

// TestUploadRefusedBeforeBytes sees an answer arrive although the client still has
// much to send, and the connection end.
func TestUploadRefusedBeforeBytes(t *testing.T) {
	d := newDoor(t, nil)
	d.tus = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, "wrong offset")
	}
	c := dial(t, d, "127.0.0.1")
	go func() {
		_, _ = io.WriteString(c, "PATCH /api/v1/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
		_, _ = io.Copy(c, &zeros{8 << 20})
	}()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if got := readAll(c); !strings.HasPrefix(got, "HTTP/1.1 409 ") || !strings.Contains(got, "Connection: close") || !strings.HasSuffix(got, "wrong offset") {
		t.Errorf("%q", got)
	}
}

// TestStopEndsUploads sees that a pod that stops does not wait for films.
func TestStopEndsUploads(t *testing.T) {
	d := newDoor(t, nil)
	reading, ended := make(chan struct{}), make(chan error, 1)
	d.tus = func(w http.ResponseWriter, r *http.Request) {
		close(reading)
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	}
	c := dial(t, d, "127.0.0.1")
	if _, err := io.WriteString(c, "PATCH /api/v1/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"+strings.Repeat("x", 100<<10)); err != nil {
		t.Fatal(err)
	}
	<-reading
	start := time.Now()
	d.stop()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("half a body is taken for a whole one")
		}
	case <-time.After(time.Minute):
		t.Fatal("the upload goes on")
	}
	if took := time.Since(start); took > bodyTimeout/2 {
		t.Errorf("ended after %v", took)
	}
}
