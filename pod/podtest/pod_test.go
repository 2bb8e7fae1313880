package podtest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// TestUploadToStream walks the chain once: upload, list, torrent, bytes, picture,
// removal.
func TestUploadToStream(t *testing.T) {
	p := Start(t)
	ann := p.User(t, "ann", api.RoleUser)
	for _, s := range []Sample{MP4, WebM} {
		v, want := ann.Film(t, s)
		if v.Renditions[0].MIME != s.MIME || v.Renditions[0].Width != s.Width || v.Duration < 9 || v.Duration > 11 || !v.Mine || v.Uploader != "ann" {
			t.Errorf("%+v", v)
		}
		page, err := ann.Videos(t.Context(), api.VideosQuery{})
		if err != nil || len(page.Videos) != 1 || page.Videos[0].ID != v.ID {
			t.Errorf("list: %+v %v", page, err)
		}
		if got := get(t, v.StreamURL); got != string(want) {
			t.Errorf("%s has %d bytes, want %d", v.StreamURL, len(got), len(want))
		}
		film, err := torrent.Parse([]byte(get(t, v.TorrentURL)))
		if err != nil || film.InfoHash != v.Renditions[0].InfoHash {
			t.Fatal(err)
		}
		for i := range film.Pieces() {
			if !film.Verify(i, want[film.Offset(i):film.Offset(i)+film.PieceSize(i)]) {
				t.Errorf("piece %d is not of the file", i)
			}
		}
		Eventually(t, "a thumbnail", func() bool {
			v, err = ann.Video(t.Context(), v.ID)
			return err == nil && v.ThumbnailURL != ""
		})
		if got := get(t, v.ThumbnailURL); http.DetectContentType([]byte(got)) != "image/webp" {
			t.Errorf("the thumbnail is %q", http.DetectContentType([]byte(got)))
		}
		remove(t, p, ann, v)
	}
}

func remove(t *testing.T, p *Pod, c *Client, v api.Video) {
	t.Helper()
	if err := c.RemoveVideo(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{v.StreamURL, v.TorrentURL, p.URL + api.VideoPath(v.ID)} {
		if res := status(t, u); res != http.StatusNotFound {
			t.Errorf("%s after the removal: %d", u, res)
		}
	}
	Eventually(t, "the files are gone", func() bool { return len(filesIn(t, p.Config.Data)) == 0 })
	if me, err := c.Me(t.Context()); err != nil || me.UsedBytes != 0 {
		t.Errorf("after the removal %d bytes are used (%v)", me.UsedBytes, err)
	}
}

// filesIn are the files of videos, uploads and pictures below a data directory.
func filesIn(t testing.TB, dir string) (files []string) {
	t.Helper()
	for _, sub := range []string{"videos", "uploads", "thumbnails", "trash"} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return nil // what goes while we look is no error
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func get(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{URL: u.Scheme + "://" + u.Host}
	a := c.Ask(t, http.MethodGet, u.RequestURI(), nil)
	if a.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %.200s", address, a.Status, a.Text)
	}
	return a.Text
}

func status(t testing.TB, address string) int {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// TestBadUploads sees each refused with a fitting status, and nothing left behind.
func TestBadUploads(t *testing.T) {
	film, err := os.ReadFile(MP4.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(film))
	p := Start(t, func(c *config.Config) {
		c.Limits.UploadBytes = config.Bytes(10 * size)
		c.Limits.QuotaBytes = config.Bytes(2*size + 100)
	})
	ann, bob, nobody := p.User(t, "ann", api.RoleUser), p.User(t, "bob", api.RoleUser), &Client{URL: p.URL}

	create := func(c *Client, length string, pairs ...string) Answer {
		return c.Ask(t, "POST", api.PathUploads, nil, "Tus-Resumable: 1.0.0", "Upload-Length: "+length, "Upload-Metadata: "+Metadata(pairs...))
	}
	for what, c := range map[string]struct {
		client *Client
		length string
		name   string
		status int
	}{
		"nobody":         {nobody, "1000", "x", 401},
		"over the limit": {ann, fmt.Sprint(10*size + 1), "x", 413},
		"over the quota": {ann, fmt.Sprint(3 * size), "x", 413},
		"no length":      {ann, "", "x", 400},
		"negative":       {ann, "-1", "x", 400},
		"10,000 runes":   {ann, "1000", strings.Repeat("x", 10_000), 400},
	} {
		if a := create(c.client, c.length, api.MetaFileName, "x.mp4", api.MetaName, c.name); a.StatusCode != c.status || !strings.Contains(a.Text, `"code"`) {
			t.Errorf("%s: %s %s", what, a.Status, a.Text)
		}
	}
	if left := filesIn(t, p.Config.Data); len(left) > 0 {
		t.Errorf("refused, but left: %q", left)
	}

	for what, body := range map[string][]byte{
		"text":      []byte(strings.Repeat("This is no video. ", 5000)),
		"truncated": film[:size/2],
		"corrupt":   append(append([]byte{}, film[:200]...), bytes.Repeat([]byte{0xff}, int(size-200))...),
		"empty mp4": film[:32],
	} {
		up := ann.CreateUpload(t, int64(len(body)), api.MetaFileName, what+".mp4")
		if a := ann.Patch(t, up, 0, body); a.StatusCode != 422 || !strings.Contains(a.Text, `"code":"unsupported"`) {
			t.Errorf("%s: %s %s", what, a.Status, a.Text)
		}
	}

	up := ann.CreateUpload(t, size, api.MetaFileName, "a.mp4")
	if a := ann.Patch(t, up, 5, film[5:]); a.StatusCode != 409 {
		t.Errorf("wrong offset: %s %s", a.Status, a.Text)
	}
	if a := ann.Patch(t, up, 0, append(film[:size:size], 1)); a.StatusCode != 409 && a.StatusCode != 413 {
		t.Errorf("more bytes than declared: %s %s", a.Status, a.Text)
	}
	for _, method := range []string{"PATCH", "HEAD", "DELETE"} {
		a := bob.Ask(t, method, up, nil, "Tus-Resumable: 1.0.0", "Upload-Offset: 0", "Content-Type: application/offset+octet-stream")
		if a.StatusCode != 403 && a.StatusCode != 404 {
			t.Errorf("%s of another's upload: %s", method, a.Status)
		}
	}
	if a := ann.Ask(t, "DELETE", up, nil, "Tus-Resumable: 1.0.0"); a.StatusCode != 204 {
		t.Errorf("terminate: %s %s", a.Status, a.Text)
	}
	if a := ann.Ask(t, "HEAD", up, nil, "Tus-Resumable: 1.0.0"); a.StatusCode != 404 && a.StatusCode != 410 {
		t.Errorf("HEAD of a terminated upload: %s", a.Status)
	}
	Eventually(t, "nothing is left", func() bool { return len(filesIn(t, p.Config.Data)) == 0 })
	if page, err := ann.Videos(t.Context(), api.VideosQuery{}); err != nil || len(page.Videos) > 0 {
		t.Errorf("listed: %+v %v", page, err)
	}
	for _, c := range []*Client{ann, bob} {
		if me, err := c.Me(t.Context()); err != nil || me.UsedBytes != 0 {
			t.Errorf("%s uses %d bytes (%v)", c.Name, me.UsedBytes, err)
		}
	}
}

// TestOthersVideos sees that only its uploader and moderators change a video.
func TestOthersVideos(t *testing.T) {
	p := Start(t)
	ann, bob, mod := p.User(t, "ann", api.RoleUser), p.User(t, "bob", api.RoleUser), p.User(t, "mod", api.RoleModerator)
	v, _ := ann.Film(t, MP4)
	name, markup := "Bob's now", "<script>alert(1)</script>\x00\u202e ../../x"
	if _, err := bob.EditVideo(t.Context(), v.ID, api.VideoEdit{Name: &name}); !api.Is(err, api.CodeForbidden) && !api.Is(err, api.CodeNotFound) {
		t.Errorf("edit by another: %v", err)
	}
	if err := bob.RemoveVideo(t.Context(), v.ID); !api.Is(err, api.CodeForbidden) && !api.Is(err, api.CodeNotFound) {
		t.Errorf("remove by another: %v", err)
	}
	if err := bob.SetThumbnail(t.Context(), v.ID, []byte("RIFF")); err == nil {
		t.Error("a picture by another is taken")
	}
	if err := ann.SetThumbnail(t.Context(), v.ID, []byte("not a picture")); err == nil {
		t.Error("a picture that is none is taken")
	}
	if err := ann.RemoveVideo(t.Context(), video.NewID("pod.example")); !api.Is(err, api.CodeNotFound) {
		t.Errorf("remove what is not there: %v", err)
	}
	got, err := ann.EditVideo(t.Context(), v.ID, api.VideoEdit{Name: &markup})
	if err != nil || got.Name != "<script>alert(1)</script> ../../x" {
		t.Errorf("%q %v", got.Name, err)
	}
	if got, err = mod.EditVideo(t.Context(), v.ID, api.VideoEdit{Name: &name}); err != nil || got.Name != name || got.Uploader != "ann" {
		t.Errorf("edit by a moderator: %+v %v", got, err)
	}
	if err := mod.RemoveVideo(t.Context(), v.ID); err != nil {
		t.Errorf("remove by a moderator: %v", err)
	}
}

// TestRestart sees accounts, sessions, videos and half an upload outlive the pod.
func TestRestart(t *testing.T) {
	p := Start(t)
	ann := p.User(t, "ann", api.RoleUser)
	v, film := ann.Film(t, MP4)
	up := ann.CreateUpload(t, int64(len(film)), api.MetaFileName, "second.mp4")
	half := int64(len(film) / 2)
	if a := ann.Patch(t, up, 0, film[:half]); a.StatusCode != 204 {
		t.Fatalf("%s %s", a.Status, a.Text)
	}
	start := time.Now()
	p.Restart(t)
	t.Logf("restart in %v", time.Since(start).Round(time.Millisecond))
	if got := get(t, v.StreamURL); got != string(film) {
		t.Error("the film is another one")
	}
	a := ann.Ask(t, "HEAD", up, nil, "Tus-Resumable: 1.0.0")
	if got := a.Header.Get("Upload-Offset"); got != fmt.Sprint(half) {
		t.Fatalf("offset %s, want %d (%s)", got, half, a.Status)
	}
	if a := ann.Patch(t, up, half, film[half:]); a.StatusCode != 204 || a.Header.Get(api.HeaderVideoID) == "" {
		t.Errorf("%s %s", a.Status, a.Text)
	}
	if page, err := ann.Videos(t.Context(), api.VideosQuery{Uploader: "ann"}); err != nil || len(page.Videos) != 2 {
		t.Errorf("%d videos, %v", len(page.Videos), err)
	}
}
