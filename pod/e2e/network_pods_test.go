package e2e

import (
	"net/http"
	"testing"

	"kinopod/pod/config"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// friends starts two pods that are friends.
func friends(t *testing.T) (a, b *podtest.Pod) {
	t.Helper()
	a = podtest.Start(t)
	b = podtest.Start(t, func(c *config.Config) { c.Friends = []string{string(a.Host())} })
	return a, b
}

// listed waits until a pod lists a video, and gives it as the pod shows it.
func listed(t *testing.T, p *podtest.Pod, id video.ID) (v api.Video) {
	t.Helper()
	podtest.Eventually(t, "the friend lists the video", func() bool {
		var err error
		v, err = api.NewClient(p.URL, "").Video(t.Context(), id)
		return err == nil
	})
	return v
}

// A viewer of one pod plays a video of another: first from its origin by HTTP, through a
// redirect of the own pod, then by the swarm of its origin. The origin goes away, and
// another viewer plays it from the first.
func TestWatchingAcrossPods(t *testing.T) {
	t.Parallel()
	a, b := friends(t)
	v, _ := a.User(t, "anna", api.RoleUser).Film(t, long)
	seen := listed(t, b, v.ID)
	if seen.Unreachable || seen.Origin != a.Host() || seen.Mine {
		t.Errorf("%+v", seen)
	}
	podtest.Eventually(t, "the friend has the picture", func() bool {
		seen = listed(t, b, v.ID)
		if seen.ThumbnailURL == "" { // the origin has none yet
			return false
		}
		res, err := http.Get(seen.ThumbnailURL)
		must(t, err)
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})

	first := viewer(t)
	must(t, first.Open(b.URL+api.WatchPath(v.ID)))
	must(t, first.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
	must(t, first.Until(patience, engineAnswers))
	must(t, first.Until(patience, skipTo(30)))
	must(t, first.Until(patience, `(() => { const v = document.querySelector("video"); return v.currentTime > 30.3 && !v.seeking && v.readyState >= 3 })()`))
	whole(t, first)
	if n := value[int](t, first, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}

	if n := value[int](t, first, `document.querySelectorAll("#swarm-panel .peer").length`); n != 0 {
		t.Errorf("who is alone is connected to %d", n)
	}

	give(a, false)
	third := viewer(t) // at the origin itself: one swarm
	must(t, third.Open(a.URL+api.WatchPath(v.ID)))
	must(t, third.Until(patience, `/Viewers\s+[1-9]/.test(document.body.innerText)`))

	a.Stop(t)
	second := viewer(t)
	must(t, second.Open(b.URL+api.WatchPath(v.ID)))
	must(t, second.Until(patience, `document.querySelector("video")?.currentTime > 1`))
	must(t, second.Until(patience, skipTo(36)))
	must(t, second.Until(patience, `window.seen.ended`))
	whole(t, second)
}
