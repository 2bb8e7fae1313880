package podtest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kinopod/pod"
	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// watchedFrom says that somebody at an address watched a video.
func watchedFrom(t *testing.T, p *Pod, address string, id video.ID) {
	t.Helper()
	c := &Client{URL: p.URL}
	if a := c.Ask(t, http.MethodPost, api.WatchedPath(id), strings.NewReader("{}"), "X-Forwarded-For: "+address); a.StatusCode != http.StatusNoContent {
		t.Fatalf("%s %s", a.Status, a.Text)
	}
}

// Views at every pod count at the origin, once, and the origin's number comes to all.
func TestViewsAcrossPods(t *testing.T) {
	quick := pod.Options{Views: 200 * time.Millisecond}
	a := StartWith(t, quick)
	b := StartWith(t, quick, func(c *config.Config) { c.Friends = []string{strings.TrimPrefix(a.URL, "http://")} })
	anna := a.User(t, "anna", api.RoleUser)
	film, _ := anna.Film(t, WebM)
	other, _ := anna.Film(t, WebM)
	at := api.NewClient(b.URL, "")
	Eventually(t, "the friend lists them", func() bool { _, err := at.Video(t.Context(), other.ID); return err == nil })
	for range 2 {
		watchedFrom(t, a, "192.0.2.1", film.ID)
		watchedFrom(t, a, "192.0.2.2", film.ID)
		watchedFrom(t, b, "192.0.2.3", film.ID)
		watchedFrom(t, b, "192.0.2.3", other.ID)
	}
	seen := func(c *api.Client) [2]int64 {
		v, err1 := c.Video(t.Context(), film.ID)
		w, err2 := c.Video(t.Context(), other.ID)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		return [2]int64{v.Views, w.Views}
	}
	want := [2]int64{3, 1}
	Eventually(t, "all views at both pods", func() bool { return seen(anna.Client) == want && seen(at) == want })

	// Killed or not, a batch counts once: the origin is away while more is watched.
	a.Stop(t)
	watchedFrom(t, b, "192.0.2.4", film.ID)
	b.Restart(t)
	a.StartAgain(t)
	want[0]++
	Eventually(t, "what was watched while the origin was away", func() bool { return seen(anna.Client) == want && seen(at) == want })
	time.Sleep(time.Second) // some exchanges later it is the same
	if x, y := seen(anna.Client), seen(at); x != want || y != want {
		t.Errorf("later: %v at the origin, %v at the friend, want %v", x, y, want)
	}

	for _, c := range []*api.Client{anna.Client, at} {
		p, err := c.Videos(t.Context(), api.VideosQuery{Sort: api.Trending})
		if err != nil || len(p.Videos) != 2 || p.Videos[0].ID != film.ID || p.Cursor != "" {
			t.Errorf("trending: %d videos, %v", len(p.Videos), err)
		}
	}
}
