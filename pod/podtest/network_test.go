package podtest

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// videosOf are the ids that a pod lists, of one origin or of all.
func videosOf(t testing.TB, p *Pod, origin network.Host) map[video.ID]string {
	t.Helper()
	out := map[video.ID]string{}
	for cursor := ""; ; {
		page, err := api.NewClient(p.URL, "").Videos(t.Context(), api.VideosQuery{Origin: origin, Cursor: cursor, Limit: api.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Videos {
			out[v.ID] = v.Name
		}
		if cursor = page.Cursor; cursor == "" {
			return out
		}
	}
}

func friendsOf(t testing.TB, p *Pod) map[network.Host]api.Friend {
	t.Helper()
	list, err := api.NewClient(p.URL, "").Friends(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[network.Host]api.Friend{}
	for _, f := range list.Friends {
		out[f.Host] = f
	}
	return out
}

// twoFriends starts two pods that are friends.
func twoFriends(t *testing.T) (a, b *Pod) {
	t.Helper()
	a = Start(t)
	b = Start(t, func(c *config.Config) { c.Friends = []string{string(a.Host())} })
	Eventually(t, "they are friends", func() bool { return len(friendsOf(t, a)) == 1 && len(friendsOf(t, b)) == 1 })
	return a, b
}

func TestFivePodsConverge(t *testing.T) {
	early := Start(t)
	before, _ := early.User(t, "ada", api.RoleUser).Film(t, WebM)
	pods := []*Pod{early}
	for range 4 {
		pods = append(pods, Start(t, func(c *config.Config) { c.Friends = []string{string(early.Host())} }))
		Eventually(t, "the new pod has all friends", func() bool { return len(friendsOf(t, pods[len(pods)-1])) == len(pods)-1 })
	}
	want := map[video.ID]bool{before.ID: true}
	for _, p := range pods {
		v, _ := p.User(t, "bob", api.RoleUser).Film(t, WebM)
		want[v.ID] = true
	}
	for i, p := range pods {
		Eventually(t, "each pod lists every video", func() bool { return len(videosOf(t, p, "")) == len(want) })
		if got := len(friendsOf(t, p)); got != len(pods)-1 {
			t.Errorf("pod %d has %d friends", i, got)
		}
	}
	// Edited and removed at the origin, changed everywhere.
	bob := Login(t, pods[4].URL, "bob")
	mine := videosOf(t, pods[4], pods[4].Host())
	for id := range mine {
		name := "Another name"
		if _, err := bob.EditVideo(t.Context(), id, api.VideoEdit{Name: &name}); err != nil {
			t.Fatal(err)
		}
		Eventually(t, "the name is everywhere", func() bool {
			for _, p := range pods {
				if videosOf(t, p, "")[id] != name {
					return false
				}
			}
			return true
		})
		if err := bob.RemoveVideo(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		Eventually(t, "it is gone everywhere", func() bool {
			for _, p := range pods {
				if videosOf(t, p, "")[id] != "" {
					return false
				}
			}
			return true
		})
	}
}

// A friend that was down gets what it missed when it comes back, once; while it was down
// its videos are said to be unreachable.
func TestAFriendComesBack(t *testing.T) {
	a, b := twoFriends(t)
	anna, bob := a.User(t, "anna", api.RoleUser), b.User(t, "bob", api.RoleUser)
	edited, _ := anna.Film(t, WebM)
	removed, _ := anna.Film(t, WebM)
	theirs, _ := bob.Film(t, WebM)
	Eventually(t, "both list all", func() bool { return len(videosOf(t, a, "")) == 3 && len(videosOf(t, b, "")) == 3 })
	before := friendsOf(t, a)[b.Host()].Score

	b.Stop(t)
	name := "While you were away"
	if _, err := anna.EditVideo(t.Context(), edited.ID, api.VideoEdit{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if err := anna.RemoveVideo(t.Context(), removed.ID); err != nil {
		t.Fatal(err)
	}
	added, _ := anna.Film(t, WebM)
	Eventually(t, "the friend is not reached", func() bool { return !friendsOf(t, a)[b.Host()].Reachable })
	if v, err := anna.Video(t.Context(), theirs.ID); err != nil || !v.Unreachable {
		t.Errorf("its video: %+v, %v", v, err)
	}
	if n := friendsOf(t, a)[b.Host()].Behind; n == 0 {
		t.Error("nothing waits for it")
	}

	b.StartAgain(t)
	Eventually(t, "what it missed is there", func() bool {
		got := videosOf(t, b, "")
		return len(got) == 3 && got[edited.ID] == name && got[added.ID] != "" && got[removed.ID] == ""
	})
	Eventually(t, "it is reached again", func() bool {
		f := friendsOf(t, a)[b.Host()]
		return f.Reachable && f.Behind == 0 && f.Score > before
	})
	if v, err := anna.Video(t.Context(), theirs.ID); err != nil || v.Unreachable {
		t.Errorf("its video: %+v, %v", v, err)
	}
}

// A pod that lost its Redis is a friend again and has what the others have, without an
// operator; a friend that did not hear of a removal finds it by comparing.
func TestALostMemoryComesBack(t *testing.T) {
	a, b := twoFriends(t)
	anna := a.User(t, "anna", api.RoleUser)
	v, _ := anna.Film(t, WebM)
	Eventually(t, "the friend lists it", func() bool { return len(videosOf(t, b, "")) == 1 })
	b.Stop(t)
	if err := os.RemoveAll(filepath.Join(b.Config.Data, "redis")); err != nil {
		t.Fatal(err)
	}
	b.StartAgain(t)
	Eventually(t, "it has the video again", func() bool { return videosOf(t, b, "")[v.ID] != "" })
	second, _ := anna.Film(t, WebM)
	Eventually(t, "and hears of new ones", func() bool { return videosOf(t, b, "")[second.ID] != "" })

	// The other one loses its memory, without a word in its configuration who its friends are:
	// who knows it says hello.
	a.Stop(t)
	if err := os.RemoveAll(filepath.Join(a.Config.Data, "redis")); err != nil {
		t.Fatal(err)
	}
	a.StartAgain(t)
	bob := b.User(t, "bob", api.RoleUser)
	theirs, _ := bob.Film(t, WebM)
	Eventually(t, "it is a friend again", func() bool { return videosOf(t, a, "")[theirs.ID] != "" })
	Eventually(t, "both say the same of what it has now", func() bool { return maps.Equal(videosOf(t, a, a.Host()), videosOf(t, b, a.Host())) })
}
