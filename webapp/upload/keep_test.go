//go:build !js

package upload

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/webapp/upload/uploadtest"
)

// What is typed while bytes go up reaches the pod by itself, once.
func TestDetailsAreSaved(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(1 << 20)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr()})
	f, _ := film("film.mp4", 3<<20, 1)
	q.Add(f)
	until(t, q, 1, "sending", in(Sending))
	for _, name := range []string{"M", "My", "My film"} {
		q.Describe(1, Details{Name: name, Tags: "sea"})
	}
	if it := until(t, q, 1, "unsaved", func(it Item) bool { return it.SaveState == Unsaved }); !q.Busy() || !it.Typed {
		t.Fatal("leaving the page would lose what was typed")
	}
	until(t, q, 1, "saved", func(it Item) bool { return it.SaveState == Saved })
	pod.set(func() {
		if len(pod.edits) != 1 || *pod.edits[0].Name != "My film" || !slices.Equal(*pod.edits[0].Tags, []string{"sea"}) || pod.edits[0].Description != nil {
			t.Errorf("edits: %+v", pod.edits)
		}
		pod.editErr = &api.Error{Code: api.CodeUnavailable, Message: "Soon."}
	})
	q.Describe(1, Details{Name: "", Tags: "sea"})
	until(t, q, 1, "refused", func(it Item) bool { return it.SaveState == SaveFailed && it.SaveErr.Code == api.CodeInvalid })
	q.Describe(1, Details{Name: "My film", Description: "About it"})
	until(t, q, 1, "failed to save", func(it Item) bool { return it.SaveState == SaveFailed && it.SaveErr.Message == "Soon." })
	until(t, q, 1, "done", in(Done))
	pod.set(func() { pod.editErr = nil })
	q.Save(1) // what was not saved is saved of the video
	until(t, q, 1, "saved", func(it Item) bool { return it.SaveState == Saved })
	pod.set(func() {
		if last := pod.edits[len(pod.edits)-1]; *last.Description != "About it" || last.Name != nil || *last.Tags == nil {
			t.Errorf("edits: %+v", last)
		}
	})
}

// What is wrong is held back, and nothing else.
func TestWrongDetailsHoldNothingElseBack(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(1 << 20)
	q, _ := start(t, Config{API: pod, Base: "http://" + line.Addr()})
	f, _ := film("film.mp4", 3<<20, 1)
	q.Add(f)
	until(t, q, 1, "sending", in(Sending))
	q.Describe(1, Details{Name: "My film", Description: "About it", Tags: "sea, " + strings.Repeat("x", 40)})
	it := until(t, q, 1, "partly saved", func(it Item) bool { return it.SaveState == SaveFailed })
	if want := "The tags are not saved: one has 40 characters; 30 are allowed. Put commas between tags."; it.SaveErr.Message != want {
		t.Errorf("it says %q", it.SaveErr.Message)
	}
	pod.set(func() {
		if len(pod.edits) != 1 || *pod.edits[0].Name != "My film" || *pod.edits[0].Description != "About it" || pod.edits[0].Tags != nil {
			t.Errorf("edits: %+v", pod.edits)
		}
	})
	q.Describe(1, Details{Name: "My film", Description: "About it", Tags: "sea"})
	until(t, q, 1, "saved", func(it Item) bool { return it.SaveState == Saved })
	pod.set(func() {
		if last := pod.edits[len(pod.edits)-1]; last.Name != nil || !slices.Equal(*last.Tags, []string{"sea"}) {
			t.Errorf("edits: %+v", pod.edits)
		}
	})
}

// What is typed before the upload exists goes with its creation.
func TestDetailsAtCreation(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	pod.stop()
	q, _ := start(t, Config{API: pod, Base: "http://" + pod.addr})
	f, _ := film("film.mp4", 1<<20, 1)
	q.Add(f)
	until(t, q, 1, "retrying", in(Retrying))
	q.Describe(1, Details{Name: "Typed early"})
	pod.start()
	q.Wake()
	until(t, q, 1, "done and saved", func(it Item) bool { return it.State == Done && it.SaveState == Saved })
	if len(pod.edits) != 0 {
		t.Fatalf("edits: %+v", pod.edits)
	}
}

func TestThumbnail(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	line := uploadtest.NewRelay(t, pod.addr)
	line.SetRate(1 << 20)
	released := make(chan struct{})
	look := func(context.Context, *File) (Preview, error) {
		return Preview{
			Width: 640, Height: 360, Duration: 12, Release: func() { close(released) },
			Pictures: []Picture{{WebP: []byte("black")}, {WebP: []byte("good"), Contrast: 0.1}, {WebP: []byte("other"), Contrast: 0.2}},
		}, nil
	}
	memory := NewMemory()
	cfg := Config{API: pod, Base: "http://" + line.Addr(), Preview: look, Memory: memory}
	q, closeTab := start(t, cfg)
	f, _ := film("film.mp4", 3<<20, 1)
	q.Add(f)
	if it := until(t, q, 1, "looked at", func(it Item) bool { return !it.Looking }); it.Chosen != 1 {
		t.Fatalf("picture %d is chosen", it.Chosen)
	}
	got := func(want ...string) func(Item) bool {
		return func(Item) (ok bool) {
			pod.set(func() {
				ok = slices.EqualFunc(pod.pictures, want, func(a []byte, b string) bool { return string(a) == b })
			})
			return ok
		}
	}
	until(t, q, 1, "with its picture at the pod", got("good"))
	q.Choose(1, 2)
	until(t, q, 1, "with the other picture", got("good", "other"))
	closeTab()
	released = make(chan struct{})
	q, _ = start(t, cfg) // the choice outlives the page, and is not sent again
	q.Add(f)
	if it := until(t, q, 1, "looked at again", func(it Item) bool { return !it.Looking }); it.Chosen != 2 {
		t.Fatalf("picture %d is chosen after a reload", it.Chosen)
	}
	q.Choose(1, 7) // there is none
	until(t, q, 1, "done", in(Done))
	until(t, q, 1, "with two pictures sent in all", got("good", "other"))
	q.Cancel(1)
	select {
	case <-released:
	case <-time.After(5 * time.Second):
		t.Fatal("the pictures are kept")
	}
}

// What this device went on giving is stopped with the file.
func TestSeeds(t *testing.T) {
	t.Parallel()
	pod := newTestPod(t)
	s := &seeder{stopped: make(chan struct{})}
	q, _ := start(t, Config{API: pod, Base: "http://" + pod.addr, Seeder: s})
	f, _ := film("film.mp4", 1<<20, 1)
	q.Add(f)
	it := until(t, q, 1, "seeding", func(it Item) bool { return it.Seeding })
	if s.video.ID != it.ID || s.file != f {
		t.Fatalf("%v is given on, not %v", s.video.ID, it.ID)
	}
	q.Cancel(1)
	<-s.stopped

	s.err = errors.New("no swarm")
	other, _ := film("other.mp4", 1<<20, 2)
	q.Add(other)
	if it := until(t, q, 2, "done", func(it Item) bool { return it.Video != nil }); it.Seeding || it.State != Done {
		t.Fatalf("%+v", it)
	}
}

type seeder struct {
	video   api.Video
	file    *File
	err     error
	stopped chan struct{}
}

func (s *seeder) SeedFile(v api.Video, f *File) (func(), error) {
	s.video, s.file = v, f
	return func() { close(s.stopped) }, s.err
}
