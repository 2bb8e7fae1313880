package podtest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kinopod/pod/config"
	"kinopod/shared/api"
)

// A real disk is full in the middle of an upload, for the files and for Redis: the
// upload fails with the reason, what was there stays, and it goes on when there is
// room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512m"); err != nil {
		t.Skipf("a disk of its own needs root: %v", err)
	}
	t.Cleanup(func() {
		// Answers that are still under way may have a file of it open for a moment.
		Eventually(t, "nobody has a file of the disk open", func() bool { return syscall.Unmount(dir, 0) == nil })
	})
	p := Start(t, func(c *config.Config) { c.Data = filepath.Join(dir, "data") })
	ann := p.User(t, "ann", api.RoleUser)
	kept, keptBytes := ann.Film(t, WebM)

	film, err := os.ReadFile(MP4.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	upload := ann.CreateUpload(t, int64(len(film)), api.MetaFileName, "film.mp4")
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	a := ann.Patch(t, upload, 0, film)
	if a.StatusCode != http.StatusInsufficientStorage || !strings.Contains(a.Text, "disk is full") {
		t.Fatalf("on a full disk: %s %s", a.Status, a.Text)
	}
	if v, err := ann.Video(t.Context(), kept.ID); err != nil || get(t, v.StreamURL) != string(keptBytes) {
		t.Errorf("the other video: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the upload to go on", func() bool {
		_, done := ann.send(t.Context(), upload, film, 0)
		return done
	})
	page, err := ann.Videos(t.Context(), api.VideosQuery{})
	if err != nil || len(page.Videos) != 2 || get(t, page.Videos[0].StreamURL) != string(film) {
		t.Fatalf("%d videos, %v", len(page.Videos), err)
	}
}

// fill writes a file until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
}
