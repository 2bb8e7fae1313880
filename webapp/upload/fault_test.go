//go:build !js

package upload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/webapp/upload/uploadtest"
)

// Whatever happens on the way, the file arrives as it is and at most 101 % of it
// is sent: the promise of this package. Bytes of a large file are counted at the relay,
// headers included; those of a small one by our own count, without headers, but with
// what never left this machine's buffers.
func TestFaults(t *testing.T) {
	t.Parallel()
	sizes := []int{64 << 20, 64 << 20, 64 << 20, 64 << 20, 24 << 20, 8 << 20, 8 << 20, 2 << 20, 1<<20 + 1}
	for seed, size := range sizes {
		t.Run(fmt.Sprintf("%d of %d", seed, size), func(t *testing.T) {
			t.Parallel()
			seed := uint64(seed)
			pod := newTestPod(t)
			line := uploadtest.NewRelay(t, pod.addr)
			line.SetRate(int64(size / 2))
			memory := NewMemory()
			cfg := Config{API: pod, Base: "http://" + line.Addr(), Memory: memory}
			q, closeTab := start(t, cfg)
			f, want := film("film.mp4", size, seed)
			q.Add(f)
			key, rnd := 1, rand.New(rand.NewPCG(seed, 7))
			kinds := []string{"cut", "reset", "restart", "offline", "reload", "pause", "refused"}
			var faults []string
			for n := range 6 {
				goal := int64(n+1) * int64(size) / 7
				it := until(t, q, key, "far enough", func(it Item) bool { return it.State == Done || it.State == Sending && it.Bytes > goal })
				if it.State == Done {
					break
				}
				kind := kinds[rnd.IntN(len(kinds))]
				faults = append(faults, kind)
				switch kind {
				case "cut":
					line.CutAfter(1 + rnd.Int64N(int64(size/64)))
				case "reset":
					line.Cut()
				case "restart":
					pod.stop()
					time.Sleep(time.Duration(rnd.IntN(900)) * time.Millisecond)
					pod.start()
				case "offline":
					line.SetDown(true)
					time.Sleep(time.Duration(rnd.IntN(900)) * time.Millisecond)
					line.SetDown(false)
					q.Wake()
				case "reload":
					closeTab()
					q, closeTab = start(t, cfg)
					again, _ := film("film.mp4", size, seed)
					again.modified = f.modified
					q.Add(again)
					key = 1
				case "pause":
					q.Pause(key)
					until(t, q, key, "paused", in(Paused))
					time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
					q.Resume(key)
				case "refused": // loses a part whole, see TestPartsLostWhole: once is enough
					kinds = kinds[:6]
					refuse(pod, []int{423, 429, 500, 502, 503}[rnd.IntN(5)], 1+rnd.IntN(3))
				}
			}
			it := until(t, q, key, "done", in(Done, Failed))
			if it.State != Done {
				t.Fatalf("after %v: %v", faults, it.Err)
			}
			if !bytes.Equal(pod.bytes(it.ID), want) {
				t.Fatalf("after %v the file arrived otherwise than it was sent", faults)
			}
			if pod.creates != 1 {
				t.Fatalf("after %v: %d uploads were created", faults, pod.creates)
			}
			t.Logf("%v: %.3f %% at the relay, %.3f %% by our own count", faults, 100*float64(line.Up())/float64(size), 100*float64(it.Sent)/float64(size))
			sent := it.Sent
			if size >= 64<<20 {
				sent = line.Up()
			}
			if sent > int64(size)*101/100 {
				t.Fatalf("after %v %d bytes were sent for %d", faults, sent, size)
			}
		})
	}
}

// refuse makes the pod answer the next n requests with status.
func refuse(pod *testPod, status, n int) {
	pod.set(func() {
		pod.refuse = func(*http.Request) int {
			if n--; n < 0 {
				return 0
			}
			return status
		}
	})
}

// The worst line loses each part whole, as a proxy does that buffers requests.
func TestPartsLostWhole(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	pod := newTestPod(t)
	q, _ := start(t, Config{API: pod, Base: "http://" + pod.addr})
	n := 0
	pod.set(func() {
		pod.refuse = func(r *http.Request) int {
			if r.Method == http.MethodPatch && r.ContentLength > probePart {
				if n++; n <= 4 {
					return http.StatusBadGateway
				}
			}
			return 0
		}
	})
	f, want := film("film.mp4", size, 3)
	q.Add(f)
	it := until(t, q, 1, "done", in(Done))
	if !bytes.Equal(pod.bytes(it.ID), want) {
		t.Fatal("the file arrived otherwise than it was sent")
	}
	if it.Sent <= size || it.Sent > size*101/100 {
		t.Fatalf("%d bytes were sent for %d", it.Sent, size)
	}
}

func TestStalledLine(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr(), Idle: 300 * time.Millisecond})
	line.SetRate(400 << 10)
	f, want := film("film.mp4", 1<<20, 1)
	q.Add(f)
	until(t, q, 1, "sending", func(it Item) bool { return it.State == Sending && it.Bytes > 0 })
	line.SetRate(1 << 10) // 16 s for each read of the relay
	it := until(t, q, 1, "retrying", in(Retrying))
	if !errors.Is(it.Err, errIdle) {
		t.Fatal(it.Err)
	}
	line.SetRate(0)
	line.Cut()
	it = until(t, q, 1, "done", in(Done))
	if !bytes.Equal(pod.bytes(it.ID), want) {
		t.Fatal("the file arrived otherwise than it was sent")
	}
}

// A file that changes on the disk while it goes up is told from a lost network.
func TestFileGone(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(2 << 20)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr()})
	f, _ := film("film.mp4", 2<<20, 1)
	shaky := &shakyFile{r: f.r}
	f.r = shaky
	q.Add(f)
	until(t, q, 1, "half", func(it Item) bool { return it.Bytes > 1<<20 })
	shaky.gone.Store(true)
	it := until(t, q, 1, "failed", in(Failed))
	if it.Err.Code != api.CodeInvalid || !strings.Contains(it.Err.Message, "Choose it again") {
		t.Fatal(it.Err)
	}
}

// shakyFile can no longer be read once it is gone.
type shakyFile struct {
	r    io.ReaderAt
	gone atomic.Bool
}

func (f *shakyFile) ReadAt(p []byte, off int64) (int, error) {
	if f.gone.Load() {
		return 0, errors.New("it is gone")
	}
	return f.r.ReadAt(p, off)
}
