package podtest

import (
	"testing"
	"time"

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

// Network starts pods that are friends of each other: each is given the first.
func startNetwork(t *testing.T, n int) []*Pod {
	pods := []*Pod{Start(t)}
	for range n - 1 {
		pods = append(pods, Start(t, func(c *config.Config) { c.Friends = []string{string(pods[0].Host())} }))
		Eventually(t, "the new pod has all friends", func() bool { return len(friendsOf(t, pods[len(pods)-1])) == len(pods)-1 })
	}
	return pods
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
	time.Sleep(time.Millisecond)
}
