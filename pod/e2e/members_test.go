package e2e

import (
	"strings"
	"testing"
	"time"

	"kinopod/pod/config"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
)

// A member watches a film of a pod for members, by swarm, and so does a member of a
// friend there; a stranger is told what to do, and is given nothing.
func TestWatchingAsAMember(t *testing.T) {
	t.Parallel()
	a := podtest.Start(t, func(c *config.Config) { c.Viewing = "members" })
	b := podtest.Start(t, func(c *config.Config) { c.Friends = []string{string(a.Host())} })
	anna := a.User(t, "anna", api.RoleAdmin)
	var vouching api.PodsToJoin // for their members
	vouching.Hosts = append(vouching.Hosts, b.Host())
	must(t, anna.JoinPods(t.Context(), vouching))
	v, _ := anna.Film(t, long)
	bert := b.User(t, "bert", api.RoleUser)
	listed(t, b, v.ID)

	for name, p := range map[string]*podtest.Pod{"its pod": a, "a friend": b} {
		stranger := viewer(t)
		must(t, stranger.Open(p.URL+api.WatchPath(v.ID)))
		must(t, stranger.Until(patience, `document.documentElement.dataset.app === "ready" && document.querySelector(".locked")?.textContent.includes("For members") && document.querySelector(".locked a")?.href.includes("/login?next=")`))
		time.Sleep(2 * time.Second) // for what might be asked for all the same
		for _, r := range stranger.Requests() {
			if strings.Contains(r, api.PathStream) || strings.Contains(r, "/tracker/") || strings.Contains(r, ".torrent") {
				t.Errorf("a stranger at %s asks for %s", name, r)
			}
		}
	}

	for name, c := range map[string]*podtest.Client{"its pod": anna, "a friend": bert} {
		t.Run("member at "+name, func(t *testing.T) {
			page := viewer(t)
			logIn(t, page, c)
			must(t, page.Open(c.URL+api.WatchPath(v.ID)))
			must(t, page.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
			must(t, page.Until(patience, engineAnswers))
			must(t, page.Until(patience, skipTo(30)))
			must(t, page.Until(patience, `(() => { const v = document.querySelector("video"); return v.currentTime > 30.3 && !v.seeking && v.readyState >= 3 })()`))
			whole(t, page)
			// The player never had to begin again.
			type seen struct{ Errors, Loads int }
			if s := value[seen](t, page, `window.seen`); s.Errors != 0 || s.Loads != 1 {
				t.Errorf("%d errors, %d loads", s.Errors, s.Loads)
			}
			for _, line := range page.Console() {
				if strings.HasPrefix(line, "error") || strings.HasPrefix(line, "exception") {
					t.Errorf("console: %s", line)
				}
			}

			// By the swarm alone, too.
			a.Server().SetStreamOff(true)
			defer a.Server().SetStreamOff(false)
			other := viewer(t)
			logIn(t, other, c)
			must(t, other.Open(c.URL+api.WatchPath(v.ID)))
			must(t, other.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
			must(t, other.Until(patience, `/(Pod|Viewers)\s+[\d.]+ [KM]i?B/.test(document.body.innerText)`))
		})
	}

	// Who logs in goes on to the film.
	page := viewer(t)
	must(t, page.Open(a.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, `document.documentElement.dataset.app === "ready" && document.querySelector(".locked a")`))
	must(t, page.Until(patience, `(() => { document.querySelector(".locked a").click(); return true })()`))
	must(t, page.Until(patience, `document.getElementById("password")`))
	must(t, page.Until(patience, `(() => {
		for (const [id, text] of [["username", "anna"], ["password", `+js(t, podtest.Password)+`]]) {
			const e = document.getElementById(id);
			e.value = text;
			e.dispatchEvent(new Event("input", { bubbles: true }));
		}
		return true;
	})()`))
	must(t, page.Until(patience, `(() => { document.querySelector("form:has(#password) button[type=submit]").click(); return true })()`))
	must(t, page.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
}
