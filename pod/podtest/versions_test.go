package podtest

import (
	"sync/atomic"
	"testing"
	"time"

	"kinopod/pod"
	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// TestLeftBehind: a pod that does not speak the version that the others switched to is
// dormant, kept and not punished, and there again when it has upgraded.
func TestLeftBehind(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	both := network.Versions{Min: 1, Max: 2, SwitchAt: now().Add(time.Hour).Unix()}
	a := StartWith(t, pod.Options{Speaks: both, Now: now})
	joins := func(c *config.Config) { c.Friends = []string{string(a.Host())} }
	b := StartWith(t, pod.Options{Speaks: network.Versions{Min: 1, Max: 1}, Now: now}, joins)
	c := StartWith(t, pod.Options{Speaks: network.Versions{Min: 2, Max: 3}, Now: now}, joins)
	ada, bob := a.User(t, "ada", api.RoleUser), b.User(t, "bob", api.RoleUser)
	before, _ := bob.Film(t, WebM)
	shared, _ := ada.Film(t, WebM)
	for _, p := range []*Pod{b, c} {
		Eventually(t, "each speaks with the one in the middle", func() bool { return videosOf(t, p, "")[shared.ID] != "" })
	}
	Eventually(t, "that one lists the older one's video", func() bool { return videosOf(t, a, "")[before.ID] != "" })
	was := friendsOf(t, a)[b.Host()]
	if was.Dormant || len(friendsOf(t, c)) != 1 {
		t.Errorf("before the switch: %+v, and %v", was, friendsOf(t, c))
	}

	ahead.Store(int64(2 * time.Hour))
	late, _ := ada.Film(t, WebM)
	theirs, _ := bob.Film(t, WebM)
	Eventually(t, "who keeps up hears of it", func() bool { return videosOf(t, c, "")[late.ID] != "" })
	asleep := func() {
		t.Helper()
		f := friendsOf(t, a)[b.Host()]
		if !f.Dormant || f.State != network.Friend || f.Score < was.Score || f.Behind == 0 || f.Videos != 1 || !f.Reachable {
			t.Errorf("the one that was left behind: %+v", f)
		}
		if f := friendsOf(t, b)[a.Host()]; !f.Dormant || f.Score < network.StartScore {
			t.Errorf("the other one to it: %+v", f)
		}
		if got := videosOf(t, b, ""); got[late.ID] != "" || got[before.ID] == "" || got[shared.ID] == "" {
			t.Errorf("it lists %v", got)
		}
		if got := videosOf(t, a, b.Host()); len(got) != 1 || got[before.ID] == "" {
			t.Errorf("of it are listed %v", got)
		}
	}
	asleep()
	b.Restart(t) // without an upgrade: as before
	a.Restart(t)
	time.Sleep(time.Second) // greetings go out, or not
	asleep()

	b.Stop(t)
	b.Options.Speaks = network.Versions{Min: 1, Max: 2}
	b.StartAgain(t)
	Eventually(t, "what waited is there, on both sides", func() bool {
		return videosOf(t, b, "")[late.ID] != "" && videosOf(t, a, "")[theirs.ID] != ""
	})
	Eventually(t, "nobody is dormant", func() bool {
		f, g := friendsOf(t, a)[b.Host()], friendsOf(t, b)[a.Host()]
		return !f.Dormant && !g.Dormant && f.Behind == 0 && f.Score >= was.Score
	})
}
