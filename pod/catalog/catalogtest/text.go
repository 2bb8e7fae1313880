package catalogtest

import (
	"errors"
	"strings"
	"testing"

	"kinopod/pod/catalog"
	"kinopod/shared/video"
)

// testText has a description that the record has no room for: it is asked for by itself,
// and listings have its beginning.
func testText(t testing.TB, s catalog.Store) {
	ctx := t.Context()
	wantText := func(what string, id video.ID, want string) {
		t.Helper()
		if got, err := s.Text(ctx, id); err != nil || got != want {
			t.Errorf("%s: the text is %.60q (%d bytes), %v; want %d bytes", what, got, len(got), err, len(want))
		}
	}
	_, err := s.Text(ctx, video.NewID("pod.example"))
	wantErr(t, "the text of a video that is not there", err, catalog.ErrNotFound)

	long := strings.Repeat("Zeile für Zeile.\n", 1000) + "Ende"
	v := NewVideo(1)
	v.SetText(long)
	mustAdd(t, s, v)
	cut := v
	cut.Text = ""
	wantVideo(t, s, cut)
	wantText("added", v.ID, long)
	if page, _, err := s.Page(ctx, catalog.Listing{Limit: 10}); err != nil || len(page) != 1 || page[0].Text != "" {
		t.Errorf("a listing has the text: %v", err)
	}

	// The beginning stays; only what follows changes.
	before, err := s.Get(ctx, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	other := long[:len(long)-4] + "another end"
	got, err := s.Update(ctx, v.ID, func(v *video.Video) error {
		if v.WholeText() != long {
			t.Error("a change does not see the text")
		}
		v.SetText(other)
		return nil
	})
	if err != nil || got.Revision <= before.Revision || got.Text != "" {
		t.Errorf("revision %d after %d, %v", got.Revision, before.Revision, err)
	}
	wantText("changed", v.ID, other)

	refused := errors.New("refused")
	_, err = s.Update(ctx, v.ID, func(v *video.Video) error { v.SetText("no"); return refused })
	wantErr(t, "a change that is refused", err, refused)
	if _, err := s.Update(ctx, v.ID, func(v *video.Video) error { v.Name = "Renamed"; return nil }); err != nil {
		t.Fatal(err)
	}
	wantText("another thing changed", v.ID, other)

	if _, err := s.Update(ctx, v.ID, func(v *video.Video) error { v.SetText("Short."); return nil }); err != nil {
		t.Fatal(err)
	}
	wantText("short again", v.ID, "Short.")
	mustWithdraw(t, s, v.ID)
	_, err = s.Text(ctx, v.ID)
	wantErr(t, "the text of a withdrawn video", err, catalog.ErrNotFound)

	theirs := friendVideo(2)
	mustTake(t, s, theirs, catalog.Taken)
	wantText("a friend's", theirs.ID, theirs.Description)
}
