package podtest

import (
	"testing"

	"kinopod/pod/config"
	"kinopod/shared/api"
)

// TestSearch finds an own video and a friend's, before and after a restart, and neither
// when they are gone.
func TestSearch(t *testing.T) {
	a := Start(t)
	b := Start(t, func(c *config.Config) { c.Friends = []string{string(a.Host())} })
	ann, bob := a.User(t, "ann", api.RoleUser), b.User(t, "bob", api.RoleUser)
	name := "Zürcher Geschnetzeltes"
	v, _ := ann.Film(t, MP4)
	if _, err := ann.EditVideo(t.Context(), v.ID, api.VideoEdit{Name: &name, Tags: &[]string{"Kochen"}}); err != nil {
		t.Fatal(err)
	}
	finds := func(c *Client, text string) bool {
		page, err := c.Search(t.Context(), api.SearchQuery{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Videos) == 1 && page.Videos[0].ID == v.ID && page.Videos[0].Name == name
	}
	for _, text := range []string{"zurcher", "geschnetzelts zürcher", "tag:kochen", `"zurcher geschnetzeltes"`, "by:ann origin:" + string(a.Host())} {
		for _, c := range []*Client{ann, bob} {
			Eventually(t, text, func() bool { return finds(c, text) })
		}
	}
	s, err := bob.Suggest(t.Context(), "gesch")
	if err != nil || len(s.Suggestions) != 1 || len(s.Videos) != 1 || s.Videos[0].Name != name {
		t.Errorf("%+v, %v", s, err)
	}
	b.Restart(t)
	Eventually(t, "the friend's, after a restart", func() bool { return finds(bob, "zurcher") })
	if err := ann.RemoveVideo(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Client{ann, bob} {
		Eventually(t, "nothing", func() bool {
			page, err := c.Search(t.Context(), api.SearchQuery{Text: "zurcher"})
			return err == nil && len(page.Videos) == 0
		})
	}
	if _, err := ann.Search(t.Context(), api.SearchQuery{Text: "x", Cursor: "x"}); !api.Is(err, api.CodeInvalid) {
		t.Errorf("a cursor that is none: %v", err)
	}
}
