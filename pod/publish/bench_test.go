package publish

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd/v2/pkg/filestore"
	"github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/exp/slog"

	"kinopod/shared/api"
)

const benchBytes = 1 << 30

// gigabyte is an MP4 of benchBytes: a film, and filler in a box that players pass over.
func gigabyte(b *testing.B) io.Reader {
	b.Helper()
	film := bytes.Clone(media(b, "fast.mp4", 10, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-movflags", "+faststart"))
	film = append(binary.BigEndian.AppendUint32(film, uint32(benchBytes-len(film))), "free"...)
	block := make([]byte, 1<<20)
	for i := 0; i < len(block); i += 8 {
		binary.LittleEndian.PutUint64(block[i:], rand.Uint64())
	}
	parts := []io.Reader{bytes.NewReader(film)}
	for range benchBytes >> 20 {
		parts = append(parts, bytes.NewReader(block))
	}
	return io.LimitReader(io.MultiReader(parts...), benchBytes)
}

// BenchmarkUpload sends 1 GiB in one request on loopback: to this package, which
// hashes pieces and has every byte on disk before it answers, and to tusd's own
// store, which does neither. "last" is the time from the last byte to the answer.
func BenchmarkUpload(b *testing.B) {
	b.Run("publish", func(b *testing.B) {
		for b.Loop() {
			w := newWorld(b)
			w.quota.unlimited = true
			bench(b, w.server.URL)
			w.kill()
			w.start()
			if err := os.RemoveAll(w.dir + "/videos"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tusd filestore", func(b *testing.B) {
		for b.Loop() {
			dir := b.TempDir()
			composer := handler.NewStoreComposer()
			filestore.New(dir).UseIn(composer)
			h, err := handler.NewHandler(handler.Config{StoreComposer: composer, BasePath: api.PathUploads + "/", Logger: slog.New(silent{}), GracefulRequestCompletionTimeout: graceTime})
			if err != nil {
				b.Fatal(err)
			}
			server := httptest.NewServer(http.StripPrefix(api.PathUploads, h))
			bench(b, server.URL)
			server.Close()
			if err := os.RemoveAll(dir); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func bench(b *testing.B, base string) {
	b.Helper()
	b.SetBytes(benchBytes)
	request := func(method, url string, body io.Reader, length int64, headers ...string) *http.Response {
		r, err := http.NewRequest(method, url, body)
		if err != nil {
			b.Fatal(err)
		}
		r.ContentLength = length
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		r.Header.Set("Tus-Resumable", "1.0.0")
		r.Header.Set("X-User", "anna")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); res.StatusCode >= 300 {
			b.Fatalf("%s: %s", res.Status, text)
		}
		return res
	}
	res := request(http.MethodPost, base+api.PathUploads+"/", nil, 0, "Upload-Length", strconv.Itoa(benchBytes))
	at, err := res.Location()
	if err != nil {
		b.Fatal(err)
	}
	var last time.Time
	body := &stamped{Reader: gigabyte(b), last: &last}
	request(http.MethodPatch, at.String(), body, benchBytes, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	b.ReportMetric(float64(time.Since(last).Milliseconds()), "ms-last")
}

// stamped notes when its last byte was read.
type stamped struct {
	io.Reader
	last *time.Time
}

func (s *stamped) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if n > 0 {
		*s.last = time.Now()
	}
	return n, err
}
