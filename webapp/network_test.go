package webapp

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

var fakePods = []string{
	"Aurora", "Filmklub Brno", "Bees & Co", "海辺の映画館", "سينما النخيل", "Kinothek am Hafen", "Night Owls", "The Long Now Screening Society of Lower Saxony", "Отрада", "Vitrine",
}

// fakeFriends gives n friends, and pods of all other states.
func fakeFriends(n int) (out []api.Friend) {
	for i := range n {
		f := api.Friend{
			Host: network.Host(fmt.Sprintf("p%03d.example", i)), State: network.Friend, Name: fakePods[i%len(fakePods)], Score: network.Score(1000 - i*170%950), Reachable: i%5 != 3,
			Since: time.Now().Add(-time.Duration(i+1) * 50 * time.Hour), Videos: i * i * 37 % 911, LastDelivery: time.Now().Add(-time.Duration(i*i)*7*time.Minute - time.Minute),
			Behind: []int{0, 2, 0, 14, 0, 1}[i%6],
		}
		if !f.Reachable {
			f.Problem = "dial tcp 203.0.113.7:443: connect: connection refused"
		}
		switch i {
		case 1:
			f.Host = "films.a-rather-long-name-of-a-pod-that-somebody-chose-because-it-was-free.example:9443"
		case 6:
			f.Name, f.LastDelivery, f.Videos = "", time.Time{}, 0
		}
		out = append(out, f)
	}
	for i, s := range []network.State{network.Asked, network.Left, network.Revoked, network.Blocked} {
		out = append(out, api.Friend{Host: network.Host("was-" + string(s) + ".example"), State: s, Name: "Was " + string(s), Since: time.Now().Add(-time.Duration(i+2) * time.Hour), Problem: "tls: handshake failure"})
	}
	return out
}

// A friend that has to upgrade is shown as that, in the list and in the picture.
func TestDormantFriend(t *testing.T) {
	p := newFakePod(0)
	p.friends = fakeFriends(3)
	p.friends[1].Dormant = true
	body := get(newHandler(t, p), "/network", "").Body.String()
	contains(t, body, "Dormant: it speaks another version", `data-link="dormant"`, "2 changes wait", ">Dormant<")
	if strings.Contains(body, "2 changes on the way") {
		t.Error("changes are on their way to who does not understand them")
	}
}

// What everybody may see of the network is in the document; what is the operator's is
// there for operators only.
func TestNetworkHasContent(t *testing.T) {
	p := newFakePod(0)
	p.sessions["s"], p.friends = "ada", fakeFriends(9)
	h := newHandler(t, p)
	body := get(h, "/network", "").Body.String()
	contains(
		t, body, "<title>Network · Lumen</title>", `content="The pods that Lumen shares videos with."`, `<link rel="canonical" href="https://pod.example/network">`,
		`id="pod-p000.example"`, `href="#pod-p000.example"`, "Aurora, reachable, score 1000, 0 videos", `href="/?origin=p002.example"`, "148 videos", "2 changes on the way", "14 changes wait",
		"Not reachable", "1 minute ago", "Up to date", "Lumen and 9 friends, 7 reachable.",
	)
	if n := strings.Count(body, `data-kind="disc"`); n != 9 {
		t.Errorf("%d pods in the picture, want 9", n)
	}
	operators := []string{"Join a pod", "Leave", "Block", "was-asked.example", "was-blocked.example", "connection refused", "<dialog"}
	for _, no := range operators {
		if strings.Contains(body, no) {
			t.Errorf("everybody sees %q", no)
		}
	}
	own := get(h, "/network", "s").Body.String()
	contains(t, own, operators...)
	contains(t, own, "Unblock: Was blocked", "Join again: Was left", "Stop asking: Was asked")
	if n := strings.Count(own, `data-kind="disc"`); n != 10 {
		t.Errorf("%d pods for the operator, want 10", n)
	}

	p.friends = nil
	contains(t, get(h, "/network", "").Body.String(), "This pod is alone so far", "When its operator joins other pods")
	contains(t, get(h, "/network", "s").Body.String(), "This pod is alone so far", "Join a pod that you know, below")
	p.fail = &api.Error{Code: api.CodeUnavailable, Message: "The pod is starting."}
	if w := get(h, "/network", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "The pod is starting.") {
		t.Errorf("while the pod cannot answer: %d", w.Code)
	}
}

// Whatever another pod calls itself, or answers, it is text.
func TestNetworkMarkupInNames(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)> \" onfocus="alert(3)`
	p := newFakePod(0)
	p.sessions["s"], p.friends = "ada", fakeFriends(1)
	p.friends[0].Name, p.friends[0].Problem = evil, evil
	body := get(newHandler(t, p), "/network", "s").Body.String()
	for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(body, -1) {
		if tag == "<script>" {
			t.Error("the name became a script")
		}
	}
	if strings.Contains(body, "<img") || strings.Contains(body, ` onfocus="alert`) || !strings.Contains(body, "&lt;script&gt;alert(1)") {
		t.Error("the name became markup, or is not there")
	}
}

// One pod's videos have an address.
func TestVideosOfAPod(t *testing.T) {
	p := newFakePod(30)
	for i := range 26 {
		p.videos[i].Origin = "far.example"
	}
	h := newHandler(t, p)
	body := get(h, "/?origin=far.example", "").Body.String()
	contains(
		t, body, "<title>Videos of far.example · Lumen</title>", `dir="auto">Videos of far.example</h1>`, `<a class="tab" href="/">Whole network</a>`,
		`href="/?origin=far.example&amp;cursor=24"`, `href="https://pod.example/?origin=far.example"`,
	)
	if strings.Contains(get(h, "/?cursor=24&origin=far.example", "").Body.String(), p.videos[27].ID.String()) {
		t.Error("a video of another pod is there")
	}
	contains(t, get(h, api.WatchPath(p.videos[0].ID), "").Body.String(), `href="/u/ada@far.example"`)
	contains(t, get(h, "/?origin=none.example", "").Body.String(), "Nothing of none.example is listed here.")
	contains(t, get(h, "/?origin=%22%3E", "").Body.String(), ">Newest</h1>")
}

// The picture leads to the list by mouse and by keyboard, and follows what happens
// without moving.
func TestNetworkPicture(t *testing.T) {
	s := newSite(t, 0)
	s.friends = fakeFriends(7)
	p := s.visit(t, "/network", false)
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	const places = `[...document.querySelectorAll('[data-kind=network] a > svg')].map(e => e.getAttribute('x') + e.getAttribute('y')).join()`
	was := eval[string](t, p, places)
	if err := p.Do(patience, chromedp.Click(`a[href="#pod-p002.example"] [data-kind=body]`)); err != nil {
		t.Fatal(err)
	}
	until(t, p, `document.querySelector('.pod-row[aria-current=true]')?.id === 'pod-p002.example' && location.hash === '#pod-p002.example'`)
	eval[any](t, p, `document.querySelector('.map-skip').focus()`)
	press(t, p, kb.Tab)
	until(t, p, `document.activeElement.getAttribute('href') === '#pod-p000.example'`)
	until(t, p, `getComputedStyle(document.activeElement.querySelector('[data-kind=ring]')).stroke === getComputedStyle(document.body).color`)
	press(t, p, kb.Enter)
	until(t, p, `document.querySelector('.pod-row[aria-current=true]')?.id === 'pod-p000.example' && document.activeElement.id === 'pod-p000.example'`)

	s.fakePod.mu.Lock()
	s.friends[0].Reachable, s.friends[0].Behind = false, 3
	s.fakePod.mu.Unlock()
	until(t, p, `document.querySelector('a[href="#pod-p000.example"]').dataset.link === 'lost' && document.getElementById('pod-p000.example').textContent.includes('3 changes wait')`)
	if now := eval[string](t, p, places); now != was {
		t.Error("the pods have moved")
	}
	s.fakePod.mu.Lock()
	s.fail = &api.Error{Code: api.CodeUnavailable, Message: "The pod is busy."}
	s.fakePod.mu.Unlock()
	until(t, p, `document.querySelector('.problem')?.textContent.includes('The pod is busy.') && document.querySelectorAll('.pod-row').length === 7`)
	s.fakePod.mu.Lock()
	s.fail = nil
	s.fakePod.mu.Unlock()
	until(t, p, `!document.querySelector('.problem')`)
}

// An operator joins, leaves, blocks and unblocks.
func TestNetworkOperator(t *testing.T) {
	s := newSite(t, 0)
	p := s.visit(t, "/network", true)
	until(t, p, `document.querySelector('.alone h2')`)
	for typed, want := range map[string]string{
		"https://pod.example/": "Without “https://”", "pod.example/x": "Without what follows", "a b": "One pod at a time", "-x": "is no host", fakeHost: "the pod that you are on",
	} {
		write(t, p, "#join-host", typed)
		press(t, p, kb.Enter)
		until(t, p, `document.querySelector('.problem')?.textContent.includes('`+want+`')`)
	}
	s.fakePod.mu.Lock()
	s.joinFail = &api.Error{Code: api.CodeForbidden, Message: "new.example is blocked. Unblock it first."}
	s.fakePod.mu.Unlock()
	write(t, p, "#join-host", " New.example ")
	press(t, p, kb.Enter)
	until(t, p, `document.querySelector('.problem')?.textContent === 'new.example is blocked. Unblock it first.'`)
	s.fakePod.mu.Lock()
	s.joinFail = nil
	s.fakePod.mu.Unlock()
	press(t, p, kb.Enter)
	until(t, p, `document.querySelector('.pod-row[data-link=asked]')?.id === 'pod-new.example' && document.getElementById('join-host').value === ''`)

	s.fakePod.mu.Lock()
	s.friends = fakeFriends(3)
	s.fakePod.mu.Unlock()
	s.open(t, p, "/network")
	act := func(id, button string) {
		t.Helper()
		until(t, p, `document.getElementById('`+id+`')`)
		click(t, p, `.pod-row[id="`+id+`"] button[aria-label^="`+button+`"]`)
	}
	yes := func() {
		t.Helper()
		until(t, p, `document.activeElement.textContent === 'Cancel'`)
		click(t, p, "dialog[open] .danger")
		until(t, p, "!document.querySelector('dialog[open]')")
	}
	act("pod-p000.example", "Leave")
	until(t, p, `document.activeElement.textContent === 'Cancel'`)
	press(t, p, kb.Escape)
	until(t, p, "!document.querySelector('dialog[open]')")
	act("pod-p000.example", "Leave")
	yes()
	until(t, p, `document.getElementById('pod-p000.example').dataset.link === 'left'`)
	act("pod-p000.example", "Join again")
	until(t, p, `document.getElementById('pod-p000.example').dataset.link === 'asked'`)
	act("pod-p002.example", "Block")
	yes()
	until(t, p, `document.getElementById('pod-p002.example').dataset.link === 'blocked'`)
	act("pod-p002.example", "Unblock")
	yes()
	until(t, p, `document.getElementById('pod-p002.example').dataset.link === 'left'`)
	for _, said := range complaints(p) {
		if !strings.Contains(said, "403") { // joinFail
			t.Errorf("the console: %s", said)
		}
	}
}

// Pictures for the eye, where KINOPOD_SHOTS names a directory; and however many friends
// there are, the page fits.
func TestNetworkScreens(t *testing.T) {
	s := newSite(t, 0)
	for _, n := range []int{0, 6, 40} {
		s.fakePod.mu.Lock()
		if s.friends = nil; n > 0 {
			s.friends = fakeFriends(n)
		}
		s.fakePod.mu.Unlock()
		for _, theme := range []string{"dark", "light"} {
			if theme == "light" && os.Getenv("KINOPOD_SHOTS") == "" {
				continue
			}
			admin := n == 0 || n == 6
			p := s.tab(t, admin)
			set := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
			if _, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, set); err != nil {
				t.Fatal(err)
			}
			s.open(t, p, "/network")
			for _, width := range []int64{360, 768, 1440} {
				if err := p.Size(width, 900); err != nil {
					t.Fatal(err)
				}
				if over := eval[int](t, p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
					t.Errorf("%d friends, %d pixels wide: %d pixels too many", n, width, over)
				}
				dir := os.Getenv("KINOPOD_SHOTS")
				if dir == "" {
					continue
				}
				for _, whole := range []bool{false, true} {
					if whole && (!admin || theme == "light") {
						continue
					}
					if whole {
						if err := p.Size(width, eval[int64](t, p, "document.documentElement.scrollHeight")); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(300 * time.Millisecond)
					if err := p.Screenshot(filepath.Join(dir, fmt.Sprintf("network-%d-%s-%d%s.png", n, theme, width, map[bool]string{true: "-whole"}[whole]))); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}
