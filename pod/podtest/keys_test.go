package podtest

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kinopod/pod"
	"kinopod/pod/federation"
	"kinopod/pod/identity"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// host is the process's in the network.
func (p *Process) host() network.Host { return network.Host(strings.TrimPrefix(p.URL, "http://")) }

// key is the ID of the key in its card.
func (p *Process) key(t testing.TB) string {
	t.Helper()
	res, err := http.Get(p.URL + federation.PathCard)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var card federation.Card
	if err := json.NewDecoder(res.Body).Decode(&card); err != nil {
		t.Fatal(err)
	}
	return card.Key.ID()
}

// list is what it lists, and who its friends are.
func (p *Process) list(t testing.TB) (videos map[video.ID]string, friends map[network.Host]api.Friend) {
	t.Helper()
	at := &Pod{URL: p.URL}
	return videosOf(t, at, ""), friendsOf(t, at)
}

func (p *Process) changeKey(t testing.TB) pod.ChangedKey {
	t.Helper()
	out, errs, status := Command(t, "", "key", "change", "--json", "--data", p.Dir)
	var changed pod.ChangedKey
	if err := json.Unmarshal([]byte(out), &changed); err != nil || status != 0 {
		t.Fatalf("status %d, %s %s: %v", status, out, errs, err)
	}
	return changed
}

// TestKeyChange: a pod changes its key, twice, while a friend is down, and is killed right
// after each time. Both friends hear of it, believe what it says then, and are understood.
func TestKeyChange(t *testing.T) {
	t.Parallel()
	a := Exec(t)
	b := Exec(t, "--friends", string(a.host()))
	c := Exec(t, "--friends", string(a.host()))
	ada, bob, cleo := a.User(t, "ada"), b.User(t, "bob"), c.User(t, "cleo")
	film := func(c *Client) video.ID {
		v, _ := c.Film(t, WebM)
		return v.ID
	}
	lists := func(what string, id video.ID, pods ...*Process) {
		t.Helper()
		for _, p := range pods {
			Eventually(t, what, func() bool { videos, _ := p.list(t); return videos[id] != "" })
		}
	}
	Eventually(t, "they are friends", func() bool {
		_, of := a.list(t)
		return of[b.host()].State == network.Friend && of[c.host()].State == network.Friend
	})
	first := a.key(t)
	lists("a video of before", film(ada), b, c)

	c.Kill()
	var last string
	for range 2 {
		changed := a.changeKey(t)
		a.Kill()
		if changed.Key == first || changed.Key == last || len(changed.Tell) != 2 {
			t.Errorf("it became %+v", changed)
		}
		last = changed.Key
		a.Start(t)
		if got := a.key(t); got != last {
			t.Fatalf("after the change and a kill the key is %s, want %s", got, last)
		}
	}
	keys, err := filepath.Glob(filepath.Join(a.Dir, identity.KeyFile+"*"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%q, %v", keys, err)
	}
	if info, err := os.Stat(keys[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	lists("a video under the new key", film(ada), b)
	lists("what a friend says to it", film(bob), a)

	c.Start(t)
	lists("what the one that was down missed", film(ada), b, c)
	lists("what that one says", film(cleo), a, b)
	for _, p := range []*Process{a, b, c} {
		_, friends := p.list(t)
		Eventually(t, "nothing waits, and nobody is punished", func() bool {
			_, friends = p.list(t)
			for _, f := range friends {
				if f.Behind != 0 || !f.Reachable || f.Score < network.StartScore {
					return false
				}
			}
			return len(friends) == 2
		})
		p.Kill()
		p.Start(t)
	}
	lists("a video after everybody started again", film(ada), b, c)
	lists("and one of a friend", film(cleo), a, b)
}
