package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kinopod/pod/config"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Two files are chosen, described while they go up, and are videos then.
func TestUploadPage(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	u := newUploader(t, p.User(t, "ann", api.RoleUser))
	u.shot("empty")
	mp4, webm := podtest.MP4.Path(t), podtest.WebM.Path(t)
	u.line.SetRate(slow)
	u.choose("#choose-files", mp4)
	u.drop(webm)
	u.untilState(1, "sending")
	u.until(`/^[1-9][0-9]* % . Upload/.test(document.title)`)
	held := `navigator.locks.query().then(l => l.held.filter(x => x.name.startsWith("kinopod.upload.")).length)`
	u.untilState(2, "sending")
	if n := eval[int](u, held); n != 2 {
		t.Errorf("%d files are held against other tabs, not 2", n)
	}
	u.write("#up-1-name", "Waves")
	u.write("#up-1-about", "At the sea, in the morning.")
	u.write("#up-1-tags", "sea, Morning")
	u.until(`document.querySelectorAll(".up:first-child .up-picture").length === 3`)
	u.shot("going")
	u.do(click(`.up:first-child .up-picture:nth-child(2)`))
	u.until(state(1) + ` !== "done" && document.querySelector(".up:first-child .up-saving").textContent.includes("Saved")`)
	u.line.SetRate(0)
	u.untilState(1, "done")
	u.untilState(2, "done")
	u.until(`document.querySelectorAll(".up-seeding").length === 2`)
	u.shot("done")
	if n := eval[int](u, held); n != 0 {
		t.Errorf("%d files are still held against other tabs", n)
	}

	videos := u.videos()
	if len(videos) != 2 {
		t.Fatalf("%d videos", len(videos))
	}
	waves := videos[slices.IndexFunc(videos, func(v api.Video) bool { return v.Renditions[0].MIME == video.MP4 })]
	other := videos[slices.IndexFunc(videos, func(v api.Video) bool { return v.Renditions[0].MIME == video.WebM })]
	if waves.Name != "Waves" || waves.Description != "At the sea, in the morning." || !slices.Equal(waves.Tags, []string{"sea", "morning"}) {
		t.Errorf("saved: %q, %q, %q", waves.Name, waves.Description, waves.Tags)
	}
	if want := strings.TrimSuffix(filepath.Base(webm), ".webm"); other.Name != want {
		t.Errorf("the name is %q, not that of the file, %q", other.Name, want)
	}
	u.same(waves, mp4)
	u.same(other, webm)
	u.thumbnails(waves, other)

	u.do(click(`.up:first-child .up-done a[href^="/watch/"]`))
	u.until(`location.pathname === ` + fmt.Sprintf("%q", api.WatchPath(waves.ID)))
	u.open("/upload")
	if n := eval[int](u, `document.querySelectorAll(".up, .row-upload").length`); n != 0 {
		t.Errorf("%d files are left on the page", n)
	}
}

// thumbnails checks that the first video's is the picture that is chosen on the page,
// and that the others have one.
func (u *uploader) thumbnails(videos ...api.Video) {
	u.t.Helper()
	for _, v := range videos {
		if v.ThumbnailURL == "" {
			u.t.Fatalf("%s has no thumbnail", v.Name)
		}
	}
	_, path, _ := strings.Cut(videos[0].ThumbnailURL, string(videos[0].Origin))
	same := eval[[]bool](u, fmt.Sprintf(`(async () => {
		const pixels = (img) => {
			const c = document.createElement("canvas");
			[c.width, c.height] = [img.naturalWidth, img.naturalHeight];
			c.getContext("2d").drawImage(img, 0, 0);
			return c.width + "x" + c.height + c.toDataURL();
		};
		const stored = new Image();
		stored.src = %q;
		await stored.decode();
		return [...document.querySelectorAll(".up:first-child .up-picture img")].map(img => pixels(img) === pixels(stored));
	})()`, path))
	if !slices.Equal(same, []bool{false, true, false}) {
		u.t.Errorf("the second picture was chosen; those equal to the pod's: %v", same)
	}
}

// Whatever comes between, the file arrives once, and at most 101 % of it is sent. Parts
// may waste 0.9 % (package upload); the file is so large that the rest has room for the pages
// that are opened, and for the headers of the small parts of a slow line.
func TestUploadSurvives(t *testing.T) {
	t.Parallel()
	p := podtest.Exec(t)
	u := newUploader(t, p.User(t, "ann"))
	film := podtest.Sample{MIME: video.MP4, Length: 60 * time.Second, Width: 640, Height: 360, Bitrate: 24_000_000}.Path(t)
	size := fileSize(t, film)
	before := u.line.Up()
	goOn := func(share int) {
		t.Helper()
		u.line.SetRate(12 << 20)
		u.untilShare(share)
	}
	u.line.SetRate(slow)
	u.choose("#choose-files", film)

	goOn(80) // paused
	u.press("Pause " + filepath.Base(film))
	u.untilState(1, "paused")
	at := eval[int](u, `document.querySelector(".up progress").value`)
	time.Sleep(2 * time.Second)
	if now := eval[int](u, `document.querySelector(".up progress").value`); now > at+20 {
		t.Errorf("paused at %d of 1000, and %d later", at, now)
	}
	u.press("Resume " + filepath.Base(film))

	goOn(160) // no network
	u.line.SetDown(true)
	u.until(state(1) + ` === "retrying"`)
	u.until(`/again in [1-9]/.test(document.querySelector(".up-state").textContent)`)
	u.shot("retrying")
	u.line.SetDown(false)
	u.until(state(1) + ` === "sending"`)

	goOn(240) // the pod is killed, and started again
	p.Kill()
	p.Start(t)
	u.until(state(1) + ` === "sending"`)

	goOn(320) // reloaded
	dialogs := u.dialogs.Load()
	u.open("/upload")
	if u.dialogs.Load() == dialogs {
		t.Error("the browser did not ask before it left the page")
	}
	u.until(`document.querySelector(".row-upload progress").value > 0`)
	u.shot("unfinished")
	u.choose("#choose-files", film)
	u.untilState(1, "sending")
	if n := eval[int](u, `document.querySelectorAll(".row-upload").length`); n != 0 {
		t.Error("what goes up is listed as unfinished")
	}

	goOn(400) // the tab is closed, and one opened later
	u.leave()
	u.open("/upload")
	u.choose(`.row-upload input[type="file"]`, film)

	goOn(480) // the browser says itself that it is offline
	eval[bool](u, frozen)
	u.offline(true)
	u.until(state(1) + ` === "retrying"`)
	u.until(`document.querySelector(".up-state").textContent.includes("offline")`)
	u.offline(false) // and it goes on because of that, without waiting for its time
	u.until(state(1) + ` === "sending"`)
	eval[any](u, `thaw()`)
	u.line.SetRate(0)
	u.untilState(1, "done")

	sent := u.line.Up() - before
	t.Logf("%d bytes went up for a file of %d, pages and headers included: %.2f %%", sent, size, 100*float64(sent)/float64(size))
	if sent > size*101/100 {
		t.Errorf("%d bytes were sent for %d", sent, size)
	}
	videos := u.videos()
	if len(videos) != 1 {
		t.Fatalf("%d videos", len(videos))
	}
	u.same(videos[0], film)
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// Without a session the page leads to the log-in page; one that ends while a file goes
// up leads there too, and the file goes on afterwards.
func TestUploadLoggedOut(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	u := newUploader(t, p.User(t, "ann", api.RoleUser))
	film := podtest.MP4.Path(t)
	u.line.SetRate(100 << 10)
	u.choose("#choose-files", film)
	u.untilShare(50)
	sessions, err := u.account.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sessions {
		if !s.Current {
			if err := u.account.EndSession(t.Context(), s.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	u.line.SetRate(0)
	u.until(`document.querySelector('.up[data-state="failed"] .button.small')?.textContent === "Log in"`)
	u.shot("loggedout")
	u.do(click(`.up .button.small`))
	u.until(`location.pathname === "/login"`)
	u.write(`input[autocomplete="username"]`, u.account.Name)
	u.write(`input[type="password"]`, podtest.Password)
	u.do(click(`form:has(input[type="password"]) button[type="submit"]`))
	u.untilState(1, "done")
	u.same(u.videos()[0], film)

	eval[bool](u, fmt.Sprintf(`fetch(%q, {method: "DELETE"}).then(r => r.ok)`, api.PathSession))
	u.open("/upload")
	if at := eval[string](u, `location.pathname + location.search`); at != "/login?next=%2Fupload" {
		t.Errorf("without a session the page is at %s", at)
	}
}

// What cannot be a video here is refused in words, and leaves nothing behind.
func TestUploadRefused(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t, func(c *config.Config) { c.Limits.UploadBytes = 2_000_000 })
	u := newUploader(t, p.User(t, "ann", api.RoleUser))
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mp4, err := os.ReadFile(podtest.MP4.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	files := []string{
		write("letter.mp4", []byte("Dear pod,")), write("nothing.mp4", nil),
		write("large.mp4", append(slices.Clone(mp4), make([]byte, 2_000_000)...)), write("half.mp4", mp4[:len(mp4)/2]),
	}
	u.choose("#choose-files", files...)
	for n, says := range []string{"not a video", "is empty", "takes files of up to 1.9 MiB", "cut off"} {
		u.until(fmt.Sprintf(`%s === "failed" && document.querySelector(".up:nth-child(%d) .problem").textContent.includes(%q)`, state(n+1), n+1, says))
	}
	u.shot("refused")
	podtest.Eventually(t, "an empty list of uploads", func() bool {
		uploads, err := u.account.Uploads(t.Context())
		return err == nil && len(uploads) == 0
	})
	if videos := u.videos(); len(videos) != 0 {
		t.Errorf("%d videos", len(videos))
	}
}

// An upload that began elsewhere is listed; another file is not taken for it; it can
// be discarded.
func TestUnfinishedUploads(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	u := newUploader(t, p.User(t, "ann", api.RoleUser))
	film := podtest.MP4.Path(t)
	b, err := os.ReadFile(film)
	if err != nil {
		t.Fatal(err)
	}
	half := u.account.CreateUpload(t, int64(len(b)), api.MetaFileName, filepath.Base(film), api.MetaName, "Begun elsewhere")
	if a := u.account.Patch(t, half, 0, b[:len(b)/2]); a.StatusCode != http.StatusNoContent {
		t.Fatal(a.Status)
	}
	u.account.CreateUpload(t, 1000, api.MetaFileName, "other.mp4")
	u.open("/upload")
	u.until(`document.querySelectorAll(".row-upload").length === 2`)
	row := `.row-upload:has(#again-` + filepath.Base(half) + `)`
	u.choose("#again-"+filepath.Base(half), podtest.WebM.Path(t))
	u.until(fmt.Sprintf(`document.querySelector(%q).textContent.includes("another file")`, row))

	before := u.line.Up()
	u.choose("#again-"+filepath.Base(half), film)
	u.untilState(1, "done")
	if sent := u.line.Up() - before; sent > int64(len(b))*6/10 {
		t.Errorf("%d bytes were sent for the second half of %d", sent, len(b))
	}
	if v := u.videos()[0]; v.Name != "Begun elsewhere" {
		t.Errorf("the name is %q", v.Name)
	}

	u.do(click(`.row-upload .danger`))
	u.do(click(`#discard-upload .danger`))
	u.until(`document.querySelectorAll(".row-upload").length === 0`)
	if uploads, err := u.account.Uploads(t.Context()); err != nil || len(uploads) != 0 {
		t.Errorf("left: %v, %v", uploads, err)
	}
}
