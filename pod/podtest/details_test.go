package podtest

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// saga is a description that no catalogue has room for.
var saga = strings.Repeat("Ein langer Film über eine lange Reise. ", 300) + "Ende."

// What the catalogue has no room for comes from the origin, through one's own pod, and is
// there when the origin is not.
func TestDetailsAcrossPods(t *testing.T) {
	a, b := twoFriends(t)
	anna := a.User(t, "anna", api.RoleUser)
	// An upload says it too, before it is a video.
	file, err := os.ReadFile(WebM.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	up := anna.CreateUpload(t, int64(len(file)), api.MetaFileName, "a.webm", api.MetaName, "Saga", api.MetaDescription, "short")
	id, err := video.ParseID(up[strings.LastIndexByte(up, '/')+1:])
	if err != nil {
		t.Fatal(err)
	}
	whole := saga
	if v, err := anna.EditVideo(t.Context(), id, api.VideoEdit{Description: &whole}); err != nil || v.Description != saga {
		t.Fatalf("%d bytes, %v", len(v.Description), err)
	}
	if head := anna.Ask(t, http.MethodHead, up, nil, "Tus-Resumable: 1.0.0"); head.StatusCode != http.StatusOK || len(head.Header.Get("Upload-Metadata")) > 8<<10 {
		t.Errorf("HEAD of the upload: %s, %d bytes of metadata", head.Status, len(head.Header.Get("Upload-Metadata")))
	}
	if r := anna.Patch(t, up, 0, file); r.StatusCode != http.StatusNoContent {
		t.Fatalf("%s %s", r.Status, r.Text)
	}
	profile := video.Profile{Name: "Anna <b>B.</b>", About: "Filmt seit 1990.\nHier."}
	if err := anna.SetProfile(t.Context(), profile); err != nil {
		t.Fatal(err)
	}
	if me, err := anna.Me(t.Context()); err != nil || me.Profile != profile {
		t.Errorf("%+v, %v", me, err)
	}

	own, err := anna.Details(t.Context(), id)
	if err != nil || own.Description != saga || own.Uploader != profile || own.Stale {
		t.Errorf("at the origin: %d bytes, %+v, %v", len(own.Description), own.Uploader, err)
	}
	at := api.NewClient(b.URL, "")
	var listed api.Video
	Eventually(t, "the friend lists it", func() bool { listed, err = at.Video(t.Context(), id); return err == nil })
	if !video.IsCut(listed.Description) || !strings.HasPrefix(saga, strings.TrimSuffix(listed.Description, "…")) {
		t.Errorf("the friend lists %q", listed.Description)
	}
	theirs, err := at.Details(t.Context(), id)
	if err != nil || theirs.Description != saga || theirs.Uploader != profile || theirs.Stale {
		t.Errorf("at the friend: %d bytes, %+v, %v", len(theirs.Description), theirs.Uploader, err)
	}

	// Who sends back the beginning has not changed the rest; who changes it changes it
	// everywhere.
	if _, err := anna.EditVideo(t.Context(), id, api.VideoEdit{Description: &listed.Description}); err != nil {
		t.Fatal(err)
	}
	if d, err := anna.Details(t.Context(), id); err != nil || d.Description != saga {
		t.Errorf("after the beginning was sent back: %d bytes, %v", len(d.Description), err)
	}
	other := saga + " Doch nicht."
	if _, err := anna.EditVideo(t.Context(), id, api.VideoEdit{Description: &other}); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the friend tells what was changed", func() bool {
		d, err := at.Details(t.Context(), id)
		return err == nil && d.Description == other && !d.Stale
	})

	// The origin restarts with it; without the origin it is told as of then.
	a.Restart(t)
	if d, err := api.NewClient(a.URL, "").Details(t.Context(), id); err != nil || d.Description != other {
		t.Errorf("after a restart: %d bytes, %v", len(d.Description), err)
	}
	second, _ := anna.Film(t, WebM)
	Eventually(t, "the friend lists the second", func() bool { _, err := at.Video(t.Context(), second.ID); return err == nil })
	a.Stop(t)
	if d, err := at.Details(t.Context(), id); err != nil || d.Description != other {
		t.Errorf("while the origin is away: %d bytes, %v", len(d.Description), err)
	}
	began := time.Now()
	if _, err := at.Details(t.Context(), second.ID); !api.Is(err, api.CodeUnavailable) {
		t.Errorf("what was never asked for: %v", err)
	}
	t.Logf("a refusal while the origin is away took %s", time.Since(began).Round(time.Millisecond))
	if _, err := at.Details(t.Context(), video.NewID("nobody.example")); !api.Is(err, api.CodeNotFound) {
		t.Errorf("of no video: %v", err)
	}
	// What rests on the disk tells it after a restart of this pod too.
	b.Restart(t)
	if d, err := api.NewClient(b.URL, "").Details(t.Context(), id); err != nil || d.Description != other {
		t.Errorf("while the origin is away, after a restart: %d bytes, %v", len(d.Description), err)
	}
}
