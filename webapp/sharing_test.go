package webapp

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"kinopod/build/browser"
	"kinopod/shared/api"
)

// noteSaid keeps, in their order, that the viewer was told, and what the page says to
// others than its pod's pages. window.unseen keeps the page from being seen.
const noteSaid = `
window.said = []; window.unseen = true;
Object.defineProperty(document, "visibilityState", {get: () => window.unseen ? "hidden" : "visible"});
addEventListener("kinopod-sharing", () => said.push("told"));
for (const name of ["WebSocket", "RTCPeerConnection"]) {
	const was = window[name];
	window[name] = new Proxy(was, {construct(target, args) { said.push(name); return new target(...args); }});
}
{
	const was = fetch;
	window.fetch = (url, init) => { if (init?.method === "POST") said.push("POST " + url); return was(url, init); };
}`

// stored is what this browser keeps.
func stored(t *testing.T, p *browser.Page) string {
	t.Helper()
	return eval[string](t, p, "localStorage.getItem('kinopod-sharing') ?? ''")
}

// At a first visit nothing is said to anybody until the notice was in sight. The film
// plays meanwhile, and the notice hides nothing of it.
func TestAFirstVisitIsTold(t *testing.T) {
	s := newSite(t, 2)
	p := s.newcomer(t, false)
	if err := p.OnNewDocument(noteSaid); err != nil {
		t.Fatal(err)
	}
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	s.open(t, p, api.WatchPath(s.videos[0].ID))
	until(t, p, "document.getElementById('kinopod-video').currentTime > 1")
	until(t, p, "document.getElementById('company-why')?.textContent === 'Others join in a moment.'")
	if said := eval[string](t, p, "said.join(' ')"); said != "" {
		t.Errorf("before the viewer was told: %s", said)
	}
	if !eval[bool](t, p, "document.getElementById('tell').checkVisibility()") {
		t.Fatal("the notice is not to be seen")
	}
	for _, size := range [][2]int64{{360, 740}, {740, 360}, {768, 1024}, {1440, 420}, {1440, 560}, {1440, 900}} {
		if err := p.Size(size[0], size[1]); err != nil {
			t.Fatal(err)
		}
		const over = `(() => {
			const a = document.getElementById('tell').getBoundingClientRect(), b = document.getElementById('player-place').getBoundingClientRect();
			if (a.top < 0 || a.left < 0 || a.right > innerWidth || a.bottom > innerHeight) return 'it is not in sight';
			return a.top < b.bottom - 8 && a.bottom > b.top + 48 ? 'it covers the film: ' + [a.top, a.bottom, b.top, b.bottom].map(Math.round) : '';
		})()`
		if said := eval[string](t, p, over); said != "" {
			t.Errorf("%d by %d: %s", size[0], size[1], said)
		}
	}
	eval[any](t, p, "window.unseen = false")
	until(t, p, "said.includes('WebSocket')")
	if said := eval[string](t, p, "said[0]"); said != "told" {
		t.Errorf("the first that was said: %s", said)
	}
	if got := stored(t, p); got != `{"told":true}` {
		t.Errorf("kept: %s", got)
	}
	until(t, p, "document.getElementById('company-why').textContent === 'You give what others ask for.'")

	// It is shown once.
	s.open(t, p, api.WatchPath(s.videos[1].ID))
	if eval[bool](t, p, "document.getElementById('tell').checkVisibility()") {
		t.Error("told twice")
	}
}

// Both answers work before the app is there, by mouse and by keyboard, and are kept.
func TestAnswersToTheNotice(t *testing.T) {
	s := newSite(t, 1)
	for answer, want := range map[string]string{"yes": `{"told":true,"alone":false}`, "alone": `{"told":true,"alone":true}`} {
		t.Run(answer, func(t *testing.T) {
			release := s.hold(t)
			p := s.newcomer(t, false)
			if err := p.OnNewDocument(noteSaid); err != nil {
				t.Fatal(err)
			}
			if err := p.Open(s.url + api.WatchPath(s.videos[0].ID)); err != nil {
				t.Fatal(err)
			}
			button := "#tell [data-told=" + answer + "]"
			if answer == "yes" {
				click(t, p, button)
			} else {
				eval[any](t, p, "document.querySelector('"+button+"').focus()")
				press(t, p, kb.Enter)
			}
			until(t, p, "!document.getElementById('tell').checkVisibility()")
			if got := stored(t, p); got != want {
				t.Errorf("kept: %s, want %s", got, want)
			}
			release()
			until(t, p, "document.documentElement.dataset.app === 'ready'")
			until(t, p, fmt.Sprintf("document.getElementById('company-on')?.ariaChecked === '%v'", answer == "yes"))
			if answer == "yes" {
				until(t, p, "said.includes('WebSocket')")
				return
			}
			until(t, p, "document.getElementById('kinopod-video').currentTime > 1")
			if said := eval[string](t, p, "said.filter(s => s !== 'told').join(' ')"); said != "" {
				t.Errorf("who wants to be alone says %s", said)
			}
			until(t, p, "document.querySelector('.swarm .chip').textContent === 'Without other viewers'")
		})
	}
}

// The switches work by keyboard, say what they are, and are kept; another tab follows.
func TestSwitches(t *testing.T) {
	s := newSite(t, 1)
	p := s.visit(t, api.WatchPath(s.videos[0].ID), false)
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	until(t, p, "document.getElementById('company-on')?.ariaChecked === 'true' && !document.getElementById('company-on').disabled")
	flip := func(id, key string) {
		t.Helper()
		eval[any](t, p, "document.getElementById('"+id+"').focus()")
		press(t, p, key)
	}
	flip("company-metered", " ")
	until(t, p, "document.getElementById('company-metered').ariaChecked === 'true'")
	eval[any](t, p, "{ const s = document.getElementById('company-cap'); s.value = '2'; s.dispatchEvent(new Event('change', {bubbles: true})) }")
	until(t, p, "document.getElementById('company-why').textContent === 'You give at most 2 Mbit/s.'")
	flip("company-on", kb.Enter)
	until(t, p, "document.getElementById('company-on').ariaChecked === 'false' && document.getElementById('company-cap').disabled && document.getElementById('company-metered').disabled")
	until(t, p, "document.getElementById('company-why').textContent === 'You give nothing.'")
	if got, want := stored(t, p), `{"told":true,"alone":true,"metered":true,"megabits":2}`; got != want {
		t.Errorf("kept: %s, want %s", got, want)
	}
	// Somewhere else in this browser it is switched on again.
	eval[any](t, p, `{
		const newValue = '{"told":true,"megabits":2}';
		localStorage.setItem('kinopod-sharing', newValue);
		dispatchEvent(new StorageEvent('storage', {key: 'kinopod-sharing', newValue}));
	}`)
	until(t, p, "document.getElementById('company-on').ariaChecked === 'true' && document.getElementById('company-metered').ariaChecked === 'false'")
	s.open(t, p, api.WatchPath(s.videos[0].ID))
	until(t, p, "document.getElementById('company-cap')?.value === '2' && !document.getElementById('company-cap').disabled")
}

// fakeLine is a connection of which the browser says something.
const fakeLine = `
window.line = Object.assign(new EventTarget(), {saveData: false, type: "wifi", effectiveType: "4g"});
Object.defineProperty(navigator, "connection", {get: () => window.line});
window.setLine = (o) => { Object.assign(line, o); line.dispatchEvent(new Event("change")); };`

// Why nothing is given is said, as the connection changes.
func TestThePanelSaysWhyNothingIsGiven(t *testing.T) {
	s := newSite(t, 1)
	p := s.tab(t, false)
	if err := p.OnNewDocument(fakeLine); err != nil {
		t.Fatal(err)
	}
	s.open(t, p, api.WatchPath(s.videos[0].ID))
	for _, step := range []struct{ line, want string }{
		{`{}`, "You give what others ask for."},
		{`{saveData: true}`, "You give nothing now: your browser is set to save data."},
		{`{saveData: false, type: "cellular"}`, "You give nothing now: this is mobile data."},
		{`{type: "wifi", effectiveType: "2g"}`, "You give nothing now: your connection is slow."},
		{`{effectiveType: "4g"}`, "You give what others ask for."},
	} {
		eval[any](t, p, "setLine("+step.line+")")
		until(t, p, fmt.Sprintf("document.getElementById('company-why')?.textContent === %q", step.want))
	}
	eval[any](t, p, `setLine({type: "cellular"})`)
	until(t, p, "document.getElementById('company-why').textContent.startsWith('You give nothing')")
	eval[any](t, p, "document.getElementById('company-metered').click()")
	until(t, p, "document.getElementById('company-why').textContent === 'You give what others ask for.'")
}
