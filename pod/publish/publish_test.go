package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

var (
	anna      = accounts.Actor{Username: "anna", Role: api.RoleUser}
	bert      = accounts.Actor{Username: "bert", Role: api.RoleUser}
	moderator = accounts.Actor{Username: "mo", Role: api.RoleModerator}
	errRedis  = errors.New("dial unix redis.sock: connection refused")
)

func TestEditWhileBytesGoUp(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	path := w.create("anna", len(b), "name", "First")
	id := idOf(t, path)
	name, tags := " Second ", []string{"A", "a", "b"}
	got, err := w.pub.EditUpload(t.Context(), anna, id, api.VideoEdit{Name: &name, Tags: &tags})
	if err != nil || got.Name != "Second" || !slices.Equal(got.Tags, []string{"a", "b"}) {
		t.Fatalf("%+v, %v", got, err)
	}
	empty := " "
	if _, err := w.pub.EditUpload(t.Context(), anna, id, api.VideoEdit{Name: &empty}); !api.Is(err, api.CodeInvalid) {
		t.Errorf("an empty name: %v", err)
	}
	w.patch("anna", path, 0, b[:1000])
	w.restart()
	description := "From a moderator"
	if _, err := w.pub.EditUpload(t.Context(), moderator, id, api.VideoEdit{Description: &description}); err != nil {
		t.Fatal(err)
	}
	w.patch("anna", path, 1000, b[1000:])
	v, err := w.catalog.Get(t.Context(), id)
	if err != nil || v.Name != "Second" || v.Description != description || len(v.Tags) != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := w.pub.EditUpload(t.Context(), anna, id, api.VideoEdit{Name: &name}); !api.Is(err, api.CodeNotFound) {
		t.Errorf("a video is edited as an upload: %v", err)
	}
}

// TestEditRacesWithCompletion: an edit that was accepted is in the video, whenever
// it came; one that was not finds a video to edit.
func TestEditRacesWithCompletion(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	pictures := [][]byte{picture(t, 1), picture(t, 2)}
	for round := range 10 {
		path := w.create("anna", len(b), "name", "0")
		id := idOf(t, path)
		w.patch("anna", path, 0, b[:len(b)-10])
		var wg sync.WaitGroup
		var last string
		wg.Go(func() {
			for i := 1; ; i++ {
				name := fmt.Sprint(i)
				if _, err := w.pub.EditUpload(t.Context(), anna, id, api.VideoEdit{Name: &name}); err != nil {
					if !api.Is(err, api.CodeNotFound) {
						t.Error(err)
					}
					return
				}
				last = name
			}
		})
		wg.Go(func() {
			for i := range 6 {
				if err := w.pub.SetThumbnail(t.Context(), anna, id, pictures[i%2]); err != nil {
					t.Error(err)
				}
			}
		})
		time.Sleep(time.Duration(round) * time.Millisecond)
		if a := w.patch("anna", path, len(b)-10, b[len(b)-10:]); a.status != http.StatusNoContent {
			t.Fatalf("%d %+v", a.status, a.err)
		}
		wg.Wait()
		v, err := w.catalog.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" && v.Name != last {
			t.Errorf("round %d: name %q, want %q", round, v.Name, last)
		}
		want, err := w.files.PutThumbnail(pictures[1], id)
		if err != nil || v.Thumbnail != want || w.files.ThumbnailPath(want) == "" {
			t.Errorf("round %d: thumbnail %q, want %q, %v", round, v.Thumbnail, want, err)
		}
		first, _ := w.files.PutThumbnail(pictures[0], video.NewID("pod.example"))
		_ = w.files.RemoveThumbnail(first)
	}
	w.onlyThumbnailsInUse()
}

// onlyThumbnailsInUse fails where a picture on disk belongs to no video.
func (w *world) onlyThumbnailsInUse() {
	w.t.Helper()
	used := map[string]bool{}
	w.catalog.mu.Lock()
	for _, v := range w.catalog.videos {
		used[v.Thumbnail+".webp"] = true
	}
	w.catalog.mu.Unlock()
	dirs, err := os.ReadDir(w.dir + "/thumbnails")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range dirs {
		files, _ := os.ReadDir(w.dir + "/thumbnails/" + d.Name())
		for _, f := range files {
			if !used[f.Name()] {
				w.t.Errorf("a picture that nobody has: %s", f.Name())
			}
		}
	}
}

func TestThumbnailOfAVideo(t *testing.T) {
	w := newWorld(t)
	v := w.publish("anna", mp4(t))
	if err := w.pub.SetThumbnail(t.Context(), anna, v.ID, []byte("GIF89a")); !api.Is(err, api.CodeInvalid) {
		t.Errorf("a GIF: %v", err)
	}
	if err := w.pub.SetThumbnail(t.Context(), bert, v.ID, picture(t, 1)); err == nil {
		t.Error("another user's")
	}
	for i, who := range []accounts.Actor{anna, moderator, anna} {
		if err := w.pub.SetThumbnail(t.Context(), who, v.ID, picture(t, 10+i)); err != nil {
			t.Fatal(err)
		}
	}
	w.onlyThumbnailsInUse()
	if err := w.pub.SetThumbnail(t.Context(), anna, video.NewID("pod.example"), picture(t, 1)); !api.Is(err, api.CodeNotFound) {
		t.Errorf("no such video: %v", err)
	}
	// Of an upload that ends unfinished, it goes too.
	path := w.create("anna", 1000)
	if err := w.pub.SetThumbnail(t.Context(), anna, idOf(t, path), picture(t, 5)); err != nil {
		t.Fatal(err)
	}
	w.do("anna", http.MethodDelete, path, nil)
	w.onlyThumbnailsInUse()
}

// TestRedisAwayAtTheLastByte: the bytes are kept, and whoever comes first finishes.
func TestRedisAwayAtTheLastByte(t *testing.T) {
	b := mp4(t)
	for what, finish := range map[string]func(w *world, path string){
		"HEAD": func(w *world, path string) {
			if a := w.do("anna", http.MethodHead, path, nil); a.status != http.StatusOK || a.header.Get(api.HeaderVideoID) == "" {
				t.Errorf("HEAD: %d %v", a.status, a.header)
			}
		},
		"PATCH": func(w *world, path string) {
			if a := w.patch("anna", path, len(b), nil); a.status != http.StatusNoContent || a.header.Get(api.HeaderVideoID) == "" {
				t.Errorf("PATCH: %d %v", a.status, a.header)
			}
		},
		"the pod itself":           func(w *world, _ string) { w.run() },
		"the pod, after a restart": func(w *world, _ string) { w.restart(); w.run() },
	} {
		w := newWorld(t)
		path := w.create("anna", len(b), "name", "Film")
		w.catalog.fail(errRedis)
		a := w.patch("anna", path, 0, b)
		if a.status != http.StatusServiceUnavailable || a.err.Code != api.CodeUnavailable {
			t.Fatalf("%s: %d %+v", what, a.status, a.err)
		}
		// tus-js-client would send all again if this were anything else.
		if a := w.do("anna", http.MethodHead, path, nil); a.status != http.StatusLocked {
			t.Errorf("%s: HEAD while Redis is away: %d", what, a.status)
		}
		w.catalog.fail(nil)
		finish(w, path)
		eventually(t, what+" finishes", func() bool { _, err := w.catalog.Get(t.Context(), idOf(t, path)); return err == nil })
		v, _ := w.catalog.Get(t.Context(), idOf(t, path))
		w.whole(v, b)
		if w.catalog.added != 1 {
			t.Errorf("%s: listed %d times", what, w.catalog.added)
		}
	}
}

func TestRedisAwayAtCreationAndTermination(t *testing.T) {
	w := newWorld(t)
	w.quota.down = errRedis
	if a := w.do("anna", http.MethodPost, api.PathUploads, nil, "Upload-Length: 1000"); a.status != http.StatusServiceUnavailable {
		t.Errorf("create: %d %+v", a.status, a.err)
	}
	w.quota.down = nil
	w.clean("anna")
	path := w.create("anna", 1000)
	w.quota.down = errRedis
	if a := w.do("anna", http.MethodDelete, path, nil); a.status != http.StatusNoContent {
		t.Errorf("terminate: %d %+v", a.status, a.err)
	}
	if all, _ := w.pub.Uploads(t.Context(), "anna"); len(all) != 0 || w.offset("anna", path) != -1 {
		t.Errorf("still there: %+v", all)
	}
	w.quota.down = nil
	w.run()
	eventually(t, "it is cleared away", func() bool { return w.pub.upload(idOf(t, path)) == nil })
	w.clean("anna")
}

// TestRedisLosesWhatItAcknowledged: a video that was listed is listed again.
func TestRedisLosesWhatItAcknowledged(t *testing.T) {
	w := newWorld(t)
	w.pub.settled = 300 * time.Millisecond
	b := mp4(t)
	v := w.publish("anna", b)
	w.catalog.mu.Lock()
	delete(w.catalog.videos, v.ID)
	w.catalog.mu.Unlock()
	w.run()
	eventually(t, "it is listed again", func() bool { _, err := w.catalog.Get(t.Context(), v.ID); return err == nil })
	w.whole(v, b)
	eventually(t, "the upload's directory goes", func() bool { ids, _ := w.files.Uploads(); return len(ids) == 0 })
}

// TestWithdraw: off the list, then from tracker and seeder, then from disk.
func TestWithdraw(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	v := w.publish("anna", b)
	if err := w.pub.SetThumbnail(t.Context(), anna, v.ID, picture(t, 1)); err != nil {
		t.Fatal(err)
	}
	if err := w.pub.Withdraw(t.Context(), bert, v.ID); err == nil {
		t.Fatal("another user withdrew it")
	}
	w.whole(v, b)
	h := v.Renditions[0].InfoHash
	w.drops.on = func(got magnet.InfoHash) {
		if _, err := w.catalog.Get(t.Context(), v.ID); !api.Is(err, api.CodeNotFound) || got != h {
			t.Errorf("dropped %s while it is listed: %v", got, err)
		}
		if !w.files.Has(h) {
			t.Error("the file went before its seeder")
		}
	}
	if err := w.pub.Withdraw(t.Context(), anna, v.ID); err != nil {
		t.Fatal(err)
	}
	if len(w.drops.got) == 0 || len(w.catalog.files) != 0 || len(w.catalog.unused) != 0 {
		t.Errorf("dropped %v, to delete %v %v", w.drops.got, w.catalog.files, w.catalog.unused)
	}
	w.clean("anna")
	if err := w.pub.Withdraw(t.Context(), anna, v.ID); !api.Is(err, api.CodeNotFound) {
		t.Errorf("again: %v", err)
	}
	if a := w.do("anna", http.MethodHead, api.UploadPath(v.ID), nil); a.status != http.StatusNotFound {
		t.Errorf("HEAD: %d", a.status)
	}
	w.drops.on = nil
	v = w.publish("anna", b)
	if err := w.pub.Withdraw(t.Context(), moderator, v.ID); err != nil {
		t.Errorf("a moderator: %v", err)
	}
	w.clean("anna")
}

func TestWithdrawAnUpload(t *testing.T) {
	b := mp4(t)
	t.Run("under way", func(t *testing.T) {
		w := newWorld(t)
		path := w.create("anna", len(b))
		w.patch("anna", path, 0, b[:1000])
		if err := w.pub.Withdraw(t.Context(), anna, idOf(t, path)); err != nil {
			t.Fatal(err)
		}
		w.clean("anna")
	})
	t.Run("complete, not listed", func(t *testing.T) {
		w := newWorld(t)
		path := w.create("anna", len(b))
		w.catalog.fail(errRedis)
		w.patch("anna", path, 0, b)
		if err := w.pub.Withdraw(t.Context(), anna, idOf(t, path)); !api.Is(err, api.CodeUnavailable) {
			t.Errorf("with Redis away: %v", err)
		}
		w.catalog.fail(nil)
		if err := w.pub.Withdraw(t.Context(), anna, idOf(t, path)); err != nil {
			t.Fatal(err)
		}
		w.clean("anna")
	})
}

// TestWithdrawAfterKill: what a killed pod left of a removal goes, and the video
// does not come back.
func TestWithdrawAfterKill(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	v := w.publish("anna", b)
	if err := w.pub.SetThumbnail(t.Context(), anna, v.ID, picture(t, 1)); err != nil {
		t.Fatal(err)
	}
	// Killed right after the catalogue's transaction.
	if _, err := w.catalog.Withdraw(t.Context(), editor(anna), v.ID); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.quota.old = true
	w.run()
	eventually(t, "everything of it goes", func() bool {
		ids, _ := w.files.Uploads()
		return len(ids) == 0 && !w.files.Has(v.Renditions[0].InfoHash) && w.quota.of("anna") == 0
	})
	if _, err := w.catalog.Get(t.Context(), v.ID); !api.Is(err, api.CodeNotFound) {
		t.Errorf("it came back: %v", err)
	}
	eventually(t, "the lists are empty", func() bool {
		files, _ := w.catalog.Withdrawn(context.Background())
		unused, _ := w.catalog.UnusedThumbnails(context.Background())
		return len(files)+len(unused) == 0
	})
	w.clean("anna")
}

// TestFinishAfterKill leaves a complete upload where a killed pod may have left it.
func TestFinishAfterKill(t *testing.T) {
	b := large(t, 1<<20+5)
	for what, kill := range map[string]func(w *world, u *upload){
		"all bytes":         func(*world, *upload) {},
		"last piece hashed": func(w *world, u *upload) { _, _ = u.pieceHashes() },
		"sealed":            func(w *world, u *upload) { _ = w.pub.sealUpload(u) },
		"placed": func(w *world, u *upload) {
			w.catalog.fail(errRedis)
			_ = w.pub.finish(context.Background(), u)
			w.catalog.fail(nil)
		},
		"listed": func(w *world, u *upload) { _ = w.pub.finish(context.Background(), u) },
	} {
		w := newWorld(t)
		path := w.create("anna", len(b))
		id := idOf(t, path)
		w.patch("anna", path, 0, b[:len(b)-1000])
		f, err := w.files.UploadFile(id, dataFile)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b[len(b)-1000:], int64(len(b)-1000)); err != nil {
			t.Fatal(err)
		}
		f.Close()
		w.restart()
		kill(w, w.pub.upload(id))
		w.restart()
		w.run()
		eventually(t, what+": it is listed", func() bool { _, err := w.catalog.Get(t.Context(), id); return err == nil })
		v, _ := w.catalog.Get(t.Context(), id)
		w.whole(v, b)
		if w.catalog.added != 1 {
			t.Errorf("%s: listed %d times", what, w.catalog.added)
		}
		if a := w.do("anna", http.MethodHead, path, nil); a.header.Get(api.HeaderVideoID) != id.String() {
			t.Errorf("%s: HEAD %d %v", what, a.status, a.header)
		}
	}
}

// TestRemovalAfterKill leaves a fresh video, whose upload is still on disk, where a pod
// killed in its removal may have left it.
func TestRemovalAfterKill(t *testing.T) {
	for what, kill := range map[string]func(w *world, v video.Video, u *upload){
		"not listed": func(*world, video.Video, *upload) {},
		"noted":      func(_ *world, _ video.Video, u *upload) { _ = u.noteDropped() },
		"deleted": func(w *world, v video.Video, u *upload) {
			_ = u.noteDropped()
			_ = w.pub.deleteFile(context.Background(), v.Renditions[0].InfoHash)
		},
		"quota given back": func(w *world, v video.Video, u *upload) {
			_ = u.noteDropped()
			_ = w.pub.deleteFile(context.Background(), v.Renditions[0].InfoHash)
			_ = w.quota.Release(context.Background(), "anna", v.ID)
		},
	} {
		w := newWorld(t)
		w.pub.settled = time.Hour // the directory stays
		v := w.publish("anna", mp4(t))
		u := w.pub.upload(v.ID)
		if u == nil {
			t.Fatalf("%s: the upload is gone", what)
		}
		if _, err := w.catalog.Withdraw(t.Context(), editor(anna), v.ID); err != nil {
			t.Fatal(err)
		}
		kill(w, v, u)
		w.restart()
		w.run()
		eventually(t, what+": everything of it goes", func() bool {
			ids, _ := w.files.Uploads()
			trash, _ := os.ReadDir(filepath.Join(w.dir, "trash"))
			return len(ids)+len(trash) == 0 && !w.files.Has(v.Renditions[0].InfoHash) && w.quota.of("anna") == 0
		})
		w.clean("anna")
	}
}

// TestMoreThanDeclaredAtCreation: nobody learns the address of what was begun.
func TestMoreThanDeclaredAtCreation(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	for name, body := range map[string]io.Reader{
		"of a length": bytes.NewReader(append(slices.Clone(b), 1, 2)),
		"in chunks":   io.MultiReader(bytes.NewReader(b), bytes.NewReader([]byte{1, 2})),
	} {
		a := w.do("anna", http.MethodPost, api.PathUploads, body, "Upload-Length: "+strconv.Itoa(len(b)), "Content-Type: application/offset+octet-stream")
		if a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %+v", name, a.status, a.err)
		}
		w.clean("anna")
	}
}

func TestUnfinishedUploadsAreCounted(t *testing.T) {
	w := newWorld(t)
	for range maxUnfinished {
		w.create("anna", 1000)
	}
	if a := w.do("anna", http.MethodPost, api.PathUploads, nil, "Upload-Length: 1000"); a.status != http.StatusForbidden {
		t.Errorf("one more: %d %+v", a.status, a.err)
	}
	w.create("bob", 1000)
	all, _ := w.pub.Uploads(t.Context(), "anna")
	if a := w.do("anna", http.MethodDelete, api.PathUploads+"/"+all[0].ID.String(), nil); a.status != http.StatusNoContent {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	w.create("anna", 1000)
}

// TestNewIsWhatWasPublishedLast: an upload that took a night does not come below what
// was sent meanwhile.
func TestNewIsWhatWasPublishedLast(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	slow := w.create("anna", len(b))
	quick := w.publish("anna", b)
	time.Sleep(5 * time.Millisecond)
	w.patch("anna", slow, 0, b)
	v, err := w.catalog.Get(t.Context(), idOf(t, slow))
	if err != nil || !v.Created.After(quick.Created) {
		t.Errorf("created %v, the other one %v; %v", v.Created, quick.Created, err)
	}
}

// TestOrphans: pictures that nobody names go, when they are old enough for that.
func TestOrphans(t *testing.T) {
	w := newWorld(t)
	put := func(n int) string {
		hash, err := w.files.PutThumbnail(picture(t, n), video.NewID("pod.example"))
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	orphan, recent := put(1), put(2)
	v := w.publish("anna", mp4(t))
	if err := w.pub.SetThumbnail(t.Context(), anna, v.ID, picture(t, 3)); err != nil {
		t.Fatal(err)
	}
	path := w.create("anna", 1000)
	if err := w.pub.SetThumbnail(t.Context(), anna, idOf(t, path), picture(t, 4)); err != nil {
		t.Fatal(err)
	}
	listed, _ := w.catalog.Get(t.Context(), v.ID)
	old := time.Now().Add(-orphanAge - time.Minute)
	of := w.pub.upload(idOf(t, path)).details.Thumbnail
	for _, hash := range []string{orphan, listed.Thumbnail, of} {
		if err := os.Chtimes(w.files.ThumbnailPath(hash), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.pub.removeOrphans(t.Context()); err != nil {
		t.Fatal(err)
	}
	for hash, there := range map[string]bool{orphan: false, recent: true, listed.Thumbnail: true, of: true} {
		if got := w.files.ThumbnailPath(hash) != ""; got != there {
			t.Errorf("%s is there: %v, want %v", hash, got, there)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(metadataHeader("filename", "a.mp4", "filetype", "video/mp4", "name", "A", "description", "B\nC", "tags", "x,y"))
	f.Add("filename YQ==,,name")
	f.Add("name ###")
	f.Fuzz(func(t *testing.T, header string) {
		m, err := parseMetadata(header)
		if err != nil {
			if e := api.AsError(err); e.Code != api.CodeInvalid || e.Message == "" {
				t.Fatalf("%+v", err)
			}
			return
		}
		v := video.Video{
			ID: video.ID{1}, Origin: "p.example", Name: m.details.Name, Description: m.details.Description, Uploader: "a", Tags: m.details.Tags, Created: time.Unix(1, 0),
			Renditions: []video.Rendition{{Size: 1, MIME: video.MP4, FileName: video.FileName(m.fileName, video.MP4)}},
		}
		if err := v.Validate(); err != nil {
			t.Fatalf("%q gives a video that is none: %v", header, err)
		}
	})
}
