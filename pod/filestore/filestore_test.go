package filestore

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// upload puts data into a new upload and gives the path and the torrent.
func upload(t *testing.T, s *Store, data []byte) (string, *torrent.Torrent) {
	t.Helper()
	id := video.NewID("pod.example")
	if err := s.CreateUpload(id, map[string][]byte{"record": []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	f, err := s.UploadFile(id, "data")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(data)
	tor, err := torrent.Build("a.mp4", int64(len(data)), 64<<10, sum[:], id.String())
	if err != nil {
		t.Fatal(err)
	}
	return s.UploadPath(id, "data"), tor
}

func TestVideoLife(t *testing.T) {
	s := open(t)
	data := []byte("not really a video")
	from, tor := upload(t, s, data)
	if s.Has(tor.InfoHash) {
		t.Fatal("has it before it is placed")
	}
	if _, err := s.Open(tor.InfoHash); !errors.Is(err, ErrNotFound) {
		t.Fatalf("opened: %v", err)
	}
	for range 2 { // placing again changes nothing
		if err := s.Place(tor.InfoHash, tor.Info, from); err != nil {
			t.Fatal(err)
		}
	}
	f, err := s.Open(tor.InfoHash)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, len(data))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) || f.Size() != int64(len(data)) || f.Torrent().InfoHash != tor.InfoHash {
		t.Errorf("%q, %v", got, err)
	}
	if f.Path() != s.VideoPath(tor.InfoHash) || !s.Has(tor.InfoHash) {
		t.Errorf("at %s", f.Path())
	}
	for range 2 {
		if err := s.Remove(tor.InfoHash); err != nil {
			t.Fatal(err)
		}
	}
	if s.Has(tor.InfoHash) {
		t.Error("still there")
	}
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Errorf("an open file went away: %v", err)
	}
	empty(t, s, trashDir)
}

// empty fails where anything is left below a directory of the store.
func empty(t *testing.T, s *Store, sub string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(s.dir, sub))
	if err != nil || len(left) > 0 {
		t.Errorf("%s has %v, %v", sub, left, err)
	}
}

// TestPlaceAfterKill leaves Place where a killed pod may have left it.
func TestPlaceAfterKill(t *testing.T) {
	for what, kill := range map[string]func(s *Store, from string, info []byte){
		"directory made": func(_ *Store, from string, _ []byte) {
			_ = os.Mkdir(filepath.Join(filepath.Dir(from), "placing"), 0o700)
		},
		"torrent written": func(_ *Store, from string, info []byte) {
			_ = os.Mkdir(filepath.Join(filepath.Dir(from), "placing"), 0o700)
			_ = os.WriteFile(filepath.Join(filepath.Dir(from), "placing", "info"), info[:10], 0o600)
		},
		"data moved": func(_ *Store, from string, info []byte) {
			_ = os.Mkdir(filepath.Join(filepath.Dir(from), "placing"), 0o700)
			_ = os.WriteFile(filepath.Join(filepath.Dir(from), "placing", "info"), info, 0o600)
			_ = os.Rename(from, filepath.Join(filepath.Dir(from), "placing", "data"))
		},
	} {
		s := open(t)
		from, tor := upload(t, s, []byte("some bytes"))
		kill(s, from, tor.Info)
		s, err := Open(s.dir, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Place(tor.InfoHash, tor.Info, from); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		f, err := s.Open(tor.InfoHash)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		f.Close()
	}
}

func TestOpenRefusesWhatIsNotTheTorrent(t *testing.T) {
	s := open(t)
	from, tor := upload(t, s, []byte("some bytes"))
	if err := s.Place(tor.InfoHash, tor.Info, from); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.VideoPath(tor.InfoHash), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(tor.InfoHash); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("a short file: %v", err)
	}
	other := magnet.InfoHash{1}
	if err := os.MkdirAll(s.videoDir(other), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.videoDir(other), "info"), tor.Info, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(other); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("another torrent's info: %v", err)
	}
}

func TestOpenFinishesDeletions(t *testing.T) {
	s := open(t)
	if err := os.MkdirAll(filepath.Join(s.dir, trashDir, "x", "y"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, Limits{}); err != nil {
		t.Fatal(err)
	}
	empty(t, s, trashDir)
}

func TestUploads(t *testing.T) {
	s := open(t)
	id := video.NewID("pod.example")
	if err := s.CreateUpload(id, map[string][]byte{"a": []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateUpload(id, nil); err == nil {
		t.Error("created twice")
	}
	if err := os.Mkdir(filepath.Join(s.dir, uploadsDir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	ids, err := s.Uploads()
	if err != nil || len(ids) != 1 || ids[0] != id {
		t.Fatalf("%v, %v", ids, err)
	}
	if err := s.WriteUpload(id, "a", []byte("22")); err != nil {
		t.Fatal(err)
	}
	if b, err := s.ReadUpload(id, "a"); err != nil || string(b) != "22" {
		t.Errorf("%q, %v", b, err)
	}
	for range 2 {
		if err := s.DeleteUploadFile(id, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.ReadUpload(id, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := s.ReadUpload(video.NewID("pod.example"), "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for range 2 {
		if err := s.RemoveUpload(id); err != nil {
			t.Fatal(err)
		}
	}
	if ids, _ := s.Uploads(); len(ids) != 0 {
		t.Errorf("left %v", ids)
	}
	empty(t, s, trashDir)
	if n, err := s.Free(); err != nil || n <= 0 {
		t.Errorf("free: %d, %v", n, err)
	}
}

// picture makes a WebP by ffmpeg.
func picture(t testing.TB, size, pixels string, args ...string) []byte {
	t.Helper()
	all := append([]string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=" + size, "-frames:v", "1", "-pix_fmt", pixels, "-c:v", "libwebp"}, args...)
	out, err := exec.Command("ffmpeg", append(all, "-f", "image2pipe", "-")...).Output()
	if err != nil {
		t.Fatalf("ffmpeg (install it: apt-get install ffmpeg): %v", err)
	}
	return out
}

// decode gives width, height and pixels of a WebP as ffmpeg sees them.
func decode(t *testing.T, path string) []byte {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgba", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestThumbnail(t *testing.T) {
	s := open(t)
	a, b := video.NewID("pod.example"), video.NewID("pod.example")
	for what, pic := range map[string][]byte{
		"lossy": picture(t, "640x360", "yuv420p"), "lossless": picture(t, "640x360", "bgra", "-lossless", "1"),
		"transparent": picture(t, "640x360", "yuva420p"), "odd size": picture(t, "333x201", "yuv420p"),
	} {
		hash, err := s.PutThumbnail(pic, a)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		again, err := s.PutThumbnail(pic, a)
		other, err2 := s.PutThumbnail(pic, b)
		if err != nil || err2 != nil || again != hash || other == hash {
			t.Errorf("%s: %s, again %s, of another video %s", what, hash, again, other)
		}
		plain := filepath.Join(t.TempDir(), "a.webp")
		if err := os.WriteFile(plain, pic, 0o600); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(decode(t, plain), decode(t, s.ThumbnailPath(hash))) {
			t.Errorf("%s: other pixels than the uploader's", what)
		}
		for range 2 {
			if err := s.RemoveThumbnail(hash); err != nil {
				t.Fatal(err)
			}
		}
		if s.ThumbnailPath(hash) != "" || s.ThumbnailPath(other) == "" {
			t.Errorf("%s: removing one took the wrong one", what)
		}
	}
	for _, bad := range []string{"", "../../etc/passwd", "AB", string(bytes.Repeat([]byte("Z"), 64))} {
		if s.ThumbnailPath(bad) != "" || s.RemoveThumbnail(bad) != nil {
			t.Errorf("%q is taken for a hash", bad)
		}
	}
}

func TestThumbnailRefuses(t *testing.T) {
	s := open(t)
	good := picture(t, "640x360", "yuv420p")
	for what, c := range map[string]struct {
		pic  []byte
		code api.Code
	}{
		"nothing":   {nil, api.CodeInvalid},
		"text":      {[]byte("Hello"), api.CodeInvalid},
		"PNG":       {[]byte("\x89PNG\r\n\x1a\n00000000000000000"), api.CodeInvalid},
		"cut":       {good[:len(good)/2], api.CodeInvalid},
		"large":     {append(bytes.Clone(good), make([]byte, api.MaxThumbnail)...), api.CodeTooLarge},
		"tiny":      {picture(t, "8x8", "yuv420p"), api.CodeInvalid},
		"wide":      {picture(t, "2050x16", "yuv420p"), api.CodeInvalid},
		"animation": {animation(t), api.CodeInvalid},
	} {
		if _, err := s.PutThumbnail(c.pic, video.NewID("pod.example")); !api.Is(err, c.code) {
			t.Errorf("%s: %v, want %s", what, err, c.code)
		}
	}
	empty(t, s, thumbnailsDir)
	empty(t, s, trashDir)
}

func animation(t *testing.T) []byte {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "5", "-c:v", "libwebp_anim", "-f", "image2pipe", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func FuzzWebP(f *testing.F) {
	f.Add(picture(f, "32x32", "yuv420p"))
	f.Add(picture(f, "32x32", "bgra", "-lossless", "1"))
	f.Add(picture(f, "32x32", "yuva420p"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseWebP(b)
		if err != nil {
			return
		}
		again, err := parseWebP(p.encode("x"))
		if err != nil || again.width != p.width || again.height != p.height || again.hasAlpha != p.hasAlpha || !bytes.Equal(again.pixels, p.pixels) || !bytes.Equal(again.alpha, p.alpha) {
			t.Fatalf("%v: %dx%d became %dx%d", err, p.width, p.height, again.width, again.height)
		}
	})
}

func BenchmarkHas(b *testing.B) {
	s, err := Open(b.TempDir(), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.Has(magnet.InfoHash{1})
	}
}
