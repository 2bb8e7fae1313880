package publish

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// whole checks that a video's file is served byte by byte as it was sent, and that
// its torrent is of these bytes.
func (w *world) whole(v video.Video, b []byte) {
	w.t.Helper()
	f, err := w.files.Open(v.Renditions[0].InfoHash)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil || !bytes.Equal(got, b) {
		w.t.Fatalf("the file is not what was sent: %d of %d bytes, %v", len(got), len(b), err)
	}
	tor := f.Torrent()
	for i := range tor.Pieces() {
		if !tor.Verify(i, b[tor.Offset(i):tor.Offset(i)+tor.PieceSize(i)]) {
			w.t.Errorf("piece %d of %d has a wrong hash", i, tor.Pieces())
		}
	}
}

func TestUploadBecomesVideo(t *testing.T) {
	for _, c := range []struct {
		what, file, mime string
		bytes            []byte
	}{
		{"MP4, index at the end", "My film.mp4", video.MP4, mp4(t)},
		{"MP4, index first", "My film.mp4", video.MP4, media(t, "fast.mp4", 10, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-movflags", "+faststart")},
		{"WebM, VP9 and Opus", "My film.webm", video.WebM, webm(t)},
		{"WebM, VP8 and Vorbis", "My film.webm", video.WebM, media(t, "vp8.webm", 10, "-c:v", "libvpx", "-cpu-used", "8", "-c:a", "libvorbis")},
		{"ending that lies", "My film.avi", video.MP4, mp4(t)},
		{"several pieces", "My film.mp4", video.MP4, large(t, 1<<20+12345)},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			w.pub.settled = 0
			w.run()
			path := w.create("anna", len(c.bytes), "filename", `C:\films\`+c.file, "name", " My\tfilm ", "description", "Two\r\nlines", "tags", "Cats, #Dogs,cats")
			id := idOf(t, path)
			var a answer
			for at := 0; at < len(c.bytes); {
				n := min(len(c.bytes)-at, 200_001)
				if a = w.patch("anna", path, at, c.bytes[at:at+n]); a.status != http.StatusNoContent || a.header.Get("Upload-Offset") != strconv.Itoa(at+n) {
					t.Fatalf("at %d: %d %+v", at, a.status, a.err)
				}
				at += n
			}
			if a.header.Get(api.HeaderVideoID) != id.String() {
				t.Errorf("the last answer has %s %q", api.HeaderVideoID, a.header.Get(api.HeaderVideoID))
			}
			v, err := w.catalog.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			r := v.Renditions[0]
			if v.Name != "My film" || v.Description != "Two\nlines" || strings.Join(v.Tags, "|") != "cats|dogs" || v.Uploader != "anna" || v.Origin != "pod.example" {
				t.Errorf("%+v", v)
			}
			if off := v.Duration - 10*time.Second; off.Abs() > 200*time.Millisecond || r.Width != 320 || r.Height != 180 || r.MIME != c.mime || r.Size != int64(len(c.bytes)) {
				t.Errorf("%+v", v)
			}
			if want := video.FileName(c.file, c.mime); r.FileName != want {
				t.Errorf("file name %q, want %q", r.FileName, want)
			}
			w.whole(v, c.bytes)
			if w.quota.of("anna") != int64(len(c.bytes)) {
				t.Errorf("%d bytes of quota booked", w.quota.of("anna"))
			}
			eventually(t, "the upload's directory goes", func() bool { ids, _ := w.files.Uploads(); return len(ids) == 0 })
			head := w.do("anna", http.MethodHead, path, nil)
			if head.status != http.StatusOK || head.header.Get(api.HeaderVideoID) != id.String() || head.header.Get("Upload-Offset") != strconv.Itoa(len(c.bytes)) {
				t.Errorf("HEAD long after: %d %v", head.status, head.header)
			}
			if other := w.do("bert", http.MethodHead, path, nil); other.status != http.StatusNotFound {
				t.Errorf("HEAD by another user: %d", other.status)
			}
		})
	}
}

func TestCreationWithUpload(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	a := w.do("anna", http.MethodPost, api.PathUploads, bytes.NewReader(b), "Upload-Length: "+strconv.Itoa(len(b)), "Content-Type: application/offset+octet-stream")
	path := a.header.Get("Location")
	if a.status != http.StatusCreated || a.header.Get("Upload-Offset") != strconv.Itoa(len(b)) || !strings.HasPrefix(path, api.PathUploads+"/") {
		t.Fatalf("%d %+v %v", a.status, a.err, a.header)
	}
	v, err := w.catalog.Get(t.Context(), idOf(t, path))
	if err != nil || v.Name != untitled || a.header.Get(api.HeaderVideoID) != v.ID.String() {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.UploadBytes = 12345 })
	a := w.do("", http.MethodOptions, api.PathUploads, nil)
	for name, want := range map[string]string{
		"Tus-Version": "1.0.0", "Tus-Max-Size": "12345", "Tus-Checksum-Algorithm": "sha1,sha256",
		"Tus-Extension": "creation,creation-with-upload,termination,checksum,expiration",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestBadInput: each is refused with a fitting status and leaves nothing behind.
func TestBadInput(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.UploadBytes = 200 << 20 })
	length := "Upload-Length: 1000"
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		what    string
		status  int
		code    api.Code
		headers []string
	}{
		{"no length", 400, api.CodeInvalid, nil},
		{"negative length", 400, api.CodeInvalid, []string{"Upload-Length: -5"}},
		{"length that is no number", 400, api.CodeInvalid, []string{"Upload-Length: many"}},
		{"length deferred", 400, api.CodeInvalid, []string{"Upload-Defer-Length: 1"}},
		{"empty file", 422, api.CodeUnsupported, []string{"Upload-Length: 0"}},
		{"over the limit of the pod", 413, api.CodeTooLarge, []string{"Upload-Length: 300000000"}},
		{"over the quota", 413, api.CodeTooLarge, []string{"Upload-Length: 150000000"}},
		{"another version of tus", 412, api.CodeInvalid, []string{length, "Tus-Resumable: 0.2.2"}},
		{"metadata that is not Base64", 400, api.CodeInvalid, []string{length, "Upload-Metadata: name ###"}},
		{"metadata that is not UTF-8", 400, api.CodeInvalid, []string{length, "Upload-Metadata: " + metadataHeader("name", "\xff\xfe")}},
		{"metadata twice", 400, api.CodeInvalid, []string{length, "Upload-Metadata: " + metadataHeader("name", "a", "name", "b")}},
		{"name of 10,000 runes", 400, api.CodeInvalid, []string{length, "Upload-Metadata: " + metadataHeader("name", long)}},
		{"file name of 10,000 runes", 400, api.CodeInvalid, []string{length, "Upload-Metadata: " + metadataHeader("filename", long)}},
		{"description of 20,001 runes", 400, api.CodeInvalid, []string{length, "Upload-Metadata: " + metadataHeader("description", strings.Repeat("x", 20_001))}},
		{"tag of 10,000 runes", 400, api.CodeInvalid, []string{length, "Upload-Metadata: " + metadataHeader("tags", long)}},
		{"unknown checksum", 400, api.CodeInvalid, []string{length, "Upload-Checksum: crc32 AAAA"}},
		{"checksum of wrong length", 400, api.CodeInvalid, []string{length, "Upload-Checksum: sha1 AAAA"}},
	} {
		a := w.do("anna", http.MethodPost, api.PathUploads, nil, c.headers...)
		if a.status != c.status || a.err.Code != c.code {
			t.Errorf("%s: %d %+v, want %d %s", c.what, a.status, a.err, c.status, c.code)
		}
		w.clean("anna")
	}
	if a := w.do("", http.MethodPost, api.PathUploads, nil, length); a.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d %+v", a.status, a.err)
	}
	for _, path := range []string{"/x", "/../../etc/passwd", "/" + video.NewID("pod.example").String()} {
		for _, method := range []string{http.MethodHead, http.MethodPatch, http.MethodDelete} {
			if a := w.do("anna", method, api.PathUploads+path, nil, "Upload-Offset: 0"); a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, a.status)
			}
		}
	}
	if a := w.do("anna", http.MethodPut, api.PathUploads+"/"+video.NewID("pod.example").String(), nil); a.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", a.status)
	}
}

func TestNamesAreCleaned(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	for _, c := range []struct{ meta, want, file string }{
		{metadataHeader("name", "<b>Hi</b>\x00\x1b[31m\u202e"), "<b>Hi</b> [31m", "-b-Hi--b- [31m.mp4"},
		{metadataHeader("filename", "../../etc/passwd.mp4"), "passwd", "passwd.mp4"},
		{metadataHeader("filename", strings.Repeat("ä", 300)+".mp4"), strings.Repeat("ä", 120), ""},
		{metadataHeader("filename", "\x00\x01"), untitled, "video.mp4"},
		{metadataHeader("other", "x"), untitled, ""},
	} {
		a := w.do("anna", http.MethodPost, api.PathUploads, bytes.NewReader(b), "Upload-Length: "+strconv.Itoa(len(b)),
			"Content-Type: application/offset+octet-stream", "Upload-Metadata: "+c.meta)
		id, err := video.ParseID(a.header.Get(api.HeaderVideoID))
		if err != nil {
			t.Errorf("%q: %d %+v", c.want, a.status, a.err)
			continue
		}
		v, _ := w.catalog.Get(t.Context(), id)
		if v.Name != c.want || v.Validate() != nil {
			t.Errorf("name %q, want %q", v.Name, c.want)
		}
		if got := v.Renditions[0].FileName; strings.ContainsAny(got, "/\\<>\x00") {
			t.Errorf("file name %q", got)
		}
	}
}

func TestWrongOffsetAndTooManyBytes(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	path := w.create("anna", len(b))
	for _, c := range []struct {
		what    string
		at      int
		body    io.Reader
		status  int
		code    api.Code
		headers []string
	}{
		{"offset ahead", 5, bytes.NewReader(b[:10]), 409, api.CodeConflict, nil},
		{"no offset", 0, bytes.NewReader(b[:10]), 400, api.CodeInvalid, []string{"Upload-Offset: x"}},
		{"wrong type", 0, bytes.NewReader(b[:10]), 400, api.CodeInvalid, []string{"Content-Type: text/plain"}},
		{"more bytes than declared", 0, bytes.NewReader(append(bytes.Clone(b), 1)), 413, api.CodeTooLarge, nil},
		{"more bytes than declared, in chunks", 0, io.MultiReader(bytes.NewReader(b), strings.NewReader("more")), 413, api.CodeTooLarge, nil},
	} {
		a := w.do("anna", http.MethodPatch, path, c.body, append([]string{"Upload-Offset: " + strconv.Itoa(c.at)}, c.headers...)...)
		if a.status != c.status || a.err.Code != c.code {
			t.Errorf("%s: %d %+v", c.what, a.status, a.err)
		}
		if got := w.offset("anna", path); got != 0 {
			t.Errorf("%s: offset is %d afterwards", c.what, got)
		}
	}
	// In chunks, with the right number of bytes.
	a := w.do("anna", http.MethodPatch, path, io.MultiReader(bytes.NewReader(b)), "Upload-Offset: 0")
	if a.status != http.StatusNoContent {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	v, err := w.catalog.Get(t.Context(), idOf(t, path))
	if err != nil {
		t.Fatal(err)
	}
	w.whole(v, b)
}

func TestChecksum(t *testing.T) {
	w := newWorld(t)
	b := large(t, 1<<20)
	path := w.create("anna", len(b))
	sums := func(p []byte) (string, string) {
		one, two := sha1.Sum(p), sha256.Sum256(p)
		return "Upload-Checksum: sha1 " + base64.StdEncoding.EncodeToString(one[:]), "Upload-Checksum: sha256 " + base64.StdEncoding.EncodeToString(two[:])
	}
	half := len(b) / 2
	good1, _ := sums(b[:half])
	_, good2 := sums(b[half:])
	if a := w.patch("anna", path, 0, b[:half], good1); a.status != http.StatusNoContent {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	for _, wrong := range []string{good1, strings.Replace(good1, "sha1", "sha1", 1)} {
		a := w.patch("anna", path, half, b[half:], wrong)
		if a.status != statusChecksum || a.err.Code != api.CodeInvalid || w.offset("anna", path) != half {
			t.Fatalf("%d %+v, offset %d", a.status, a.err, w.offset("anna", path))
		}
	}
	// A connection that breaks leaves bytes that nobody can compare.
	r, send := io.Pipe()
	broken := make(chan error, 1)
	go func() {
		_, err := w.send("anna", http.MethodPatch, path, r, "Upload-Offset: "+strconv.Itoa(half), good2)
		broken <- err
	}()
	if _, err := send.Write(b[half : half+1000]); err != nil {
		t.Fatal(err)
	}
	u := w.pub.upload(idOf(t, path)) // a request that comes after the next one would end that one
	eventually(t, "the bytes arrive", func() bool { offset, _, _, _ := u.state(); return int(offset) == half+1000 })
	send.CloseWithError(errors.New("the network is gone"))
	if err := <-broken; err == nil {
		t.Fatal("the broken request was answered")
	}
	eventually(t, "the part is dropped", func() bool { return w.offset("anna", path) == half })
	if a := w.patch("anna", path, half, b[half:], good2); a.status != http.StatusNoContent {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	v, err := w.catalog.Get(t.Context(), idOf(t, path))
	if err != nil {
		t.Fatal(err)
	}
	w.whole(v, b)
}

// TestUncheckedBytesGoAfterKill: bytes whose checksum never came are not the file's.
func TestUncheckedBytesGoAfterKill(t *testing.T) {
	w := newWorld(t)
	b := large(t, 1<<20)
	path := w.create("anna", len(b))
	w.patch("anna", path, 0, b[:100_000])
	u := w.pub.upload(idOf(t, path))
	if err := u.uncheckedFrom(100_000); err != nil {
		t.Fatal(err)
	}
	f, err := w.files.UploadFile(u.id, dataFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 50_000), 100_000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	w.restart()
	if got := w.offset("anna", path); got != 100_000 {
		t.Fatalf("offset %d after a kill, want 100000", got)
	}
	w.patch("anna", path, 100_000, b[100_000:])
	v, err := w.catalog.Get(t.Context(), u.id)
	if err != nil {
		t.Fatal(err)
	}
	w.whole(v, b)
}

func TestNotAVideo(t *testing.T) {
	hevc := media(t, "hevc.mp4", 3, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-c:a", "aac")
	for _, c := range []struct {
		what  string
		bytes []byte
		says  string
	}{
		{"text", bytes.Repeat([]byte("Hello. "), 100), "not a video"},
		{"cut MP4", mp4(t)[:len(mp4(t))-1000], "cut off"},
		{"cut WebM", webm(t)[:len(webm(t))-1000], "cut off"},
		{"HEVC", hevc, "HEVC (H.265)"},
	} {
		w := newWorld(t)
		path := w.create("anna", len(c.bytes))
		a := w.patch("anna", path, 0, c.bytes)
		if a.status != 422 || a.err.Code != api.CodeUnsupported || !strings.Contains(a.err.Message, c.says) {
			t.Errorf("%s: %d %+v", c.what, a.status, a.err)
		}
		w.clean("anna")
		// Who missed the answer is told again.
		if a := w.patch("anna", path, 0, c.bytes); a.status != 422 || !strings.Contains(a.err.Message, c.says) {
			t.Errorf("%s, asked again: %d %+v", c.what, a.status, a.err)
		}
		if a := w.do("bert", http.MethodHead, path, nil); a.status != 404 {
			t.Errorf("%s, asked by another user: %d", c.what, a.status)
		}
	}
}

// TestNotAVideoIsRefusedEarly: nobody sends a gigabyte for nothing.
func TestNotAVideoIsRefusedEarly(t *testing.T) {
	w := newWorld(t)
	path := w.create("anna", 50<<20)
	r, send := io.Pipe()
	answers := make(chan answer, 1)
	go func() {
		a, _ := w.send("anna", http.MethodPatch, path, r, "Upload-Offset: 0")
		answers <- a
	}()
	sent := make(chan int, 1)
	go func() {
		n := 0
		for b := bytes.Repeat([]byte("not a video "), 1000); ; {
			m, err := send.Write(b)
			n += m
			if err != nil || n > 20<<20 {
				sent <- n
				return
			}
			time.Sleep(10 * time.Millisecond) // so that the answer comes long before so much is sent, on a slow machine too
		}
	}()
	a := <-answers
	r.CloseWithError(io.ErrClosedPipe)
	if a.status != 422 || a.err.Code != api.CodeUnsupported {
		t.Errorf("%d %+v", a.status, a.err)
	}
	if n := <-sent; n > 5<<20 {
		t.Errorf("%d bytes went up first", n)
	}
	w.clean("anna")
}

func TestAnotherUsersUpload(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	path := w.create("anna", len(b), "name", "Mine")
	w.patch("anna", path, 0, b[:1000])
	for _, method := range []string{http.MethodHead, http.MethodPatch, http.MethodDelete} {
		if a := w.do("bert", method, path, bytes.NewReader(b[1000:]), "Upload-Offset: 1000"); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %+v", method, a.status, a.err)
		}
	}
	bert, name := accounts.Actor{Username: "bert", Role: api.RoleUser}, "Stolen"
	if _, err := w.pub.EditUpload(t.Context(), bert, idOf(t, path), api.VideoEdit{Name: &name}); !api.Is(err, api.CodeNotFound) {
		t.Errorf("edit: %v", err)
	}
	if err := w.pub.SetThumbnail(t.Context(), bert, idOf(t, path), picture(t, 1)); !api.Is(err, api.CodeNotFound) {
		t.Errorf("thumbnail: %v", err)
	}
	if err := w.pub.Withdraw(t.Context(), bert, idOf(t, path)); !api.Is(err, api.CodeNotFound) {
		t.Errorf("withdraw: %v", err)
	}
	if all, _ := w.pub.Uploads(t.Context(), "bert"); len(all) != 0 {
		t.Errorf("bert sees %+v", all)
	}
	all, err := w.pub.Uploads(t.Context(), "anna")
	if err != nil || len(all) != 1 || all[0].Offset != 1000 || all[0].Name != "Mine" || all[0].Size != int64(len(b)) {
		t.Errorf("anna sees %+v, %v", all, err)
	}
}

func TestTermination(t *testing.T) {
	w := newWorld(t)
	b := mp4(t)
	path := w.create("anna", len(b))
	w.patch("anna", path, 0, b[:1000])
	if a := w.do("anna", http.MethodDelete, path, nil); a.status != http.StatusNoContent {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	w.clean("anna")
	if a := w.do("anna", http.MethodHead, path, nil); a.status != http.StatusNotFound {
		t.Errorf("HEAD: %d", a.status)
	}
	v := w.publish("anna", b)
	if a := w.do("anna", http.MethodDelete, api.UploadPath(v.ID), nil); a.status != http.StatusConflict {
		t.Errorf("a video was terminated: %d %+v", a.status, a.err)
	}
	w.whole(v, b)
}

func TestExpiry(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Expiry = time.Hour })
	b := mp4(t)
	a := w.do("anna", http.MethodPost, api.PathUploads, nil, "Upload-Length: "+strconv.Itoa(len(b)))
	path := a.header.Get("Location")
	expires, err := http.ParseTime(a.header.Get("Upload-Expires"))
	if err != nil || time.Until(expires) > time.Hour+2*time.Second || time.Until(expires) < 50*time.Minute {
		t.Fatalf("Upload-Expires: %q, %v", a.header.Get("Upload-Expires"), err)
	}
	age := func(d time.Duration) {
		u := w.pub.upload(idOf(t, path))
		u.mu.Lock()
		defer u.mu.Unlock()
		u.lastByte = u.lastByte.Add(-d)
	}
	age(40 * time.Minute)
	if a := w.patch("anna", path, 0, b[:1000]); a.status != http.StatusNoContent || a.header.Get("Upload-Expires") == "" {
		t.Fatalf("%d %+v", a.status, a.err)
	}
	age(40 * time.Minute)
	if got := w.offset("anna", path); got != 1000 {
		t.Fatalf("gone although bytes came: %d", got)
	}
	age(21 * time.Minute)
	if a := w.do("anna", http.MethodHead, path, nil); a.status != http.StatusNotFound {
		t.Errorf("HEAD: %d", a.status)
	}
	w.run()
	eventually(t, "it is cleared away", func() bool { return w.pub.upload(idOf(t, path)) == nil })
	w.clean("anna")
}
