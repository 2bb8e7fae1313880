package webapp

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// Pages that need to know the viewer say so while the pod is away, do not take him for
// a stranger, and go on by themselves when it is back.
func TestAccountWhilePodIsAway(t *testing.T) {
	s := newSite(t, 8)
	p := s.visit(t, "/", true)
	until(t, p, "navigator.serviceWorker.controller")
	until(t, p, "caches.match('"+eval[string](t, p, "document.querySelector('script[data-wasm]').dataset.wasm")+"').then(r => r !== undefined)")
	address := strings.TrimPrefix(s.url, "http://")
	for path, there := range map[string]string{"/account": "document.querySelector('.profile h1')?.textContent === 'ada'", "/upload": "document.querySelector('.drop')", "/": "document.querySelector('.card')"} {
		s.stop()
		s.open(t, p, path)
		until(t, p, "document.querySelector('main').textContent.includes('No connection')")
		if !eval[bool](t, p, "!!document.querySelector('.state .button')") {
			t.Errorf("%s: nothing to try again with", path)
		}
		if eval[bool](t, p, `!!document.querySelector('.top a[href^="/login"]')`) || eval[string](t, p, "location.pathname") != path {
			t.Errorf("%s: somebody who is unknown is asked to log in", path)
		}
		s.start(t, address)
		until(t, p, there)
		until(t, p, "document.querySelector('.me')?.title === 'ada'")
		want := map[string]string{"/account": "Your account · Lumen", "/upload": "Upload · Lumen", "/": "Lumen"}[path]
		until(t, p, "document.title === '"+want+"'")
	}
}

// Escape gives the edit up, and the keyboard is where it was.
func TestEscapeClosesEdit(t *testing.T) {
	s := newSite(t, 8)
	p := s.visit(t, "/account", true)
	until(t, p, "document.querySelectorAll('.row-video').length === 2")
	click(t, p, ".row-video:nth-child(2) button[aria-label^=Edit]")
	until(t, p, "document.activeElement.id.endsWith('-name')")
	press(t, p, kb.Escape)
	until(t, p, "!document.querySelector('.row-edit') && document.activeElement === document.querySelector('.row-video:nth-child(2) button[aria-label^=Edit]')")
}

// putFile chooses a file on the upload page: the film of the site, or a letter.
func putFile(name string, film bool) string {
	content := "Promise.resolve('Dear pod,')"
	if film {
		content = "Promise.resolve(window.film)"
	}
	return content + `.then((b) => {
		const list = new DataTransfer();
		list.items.add(new File([b], '` + name + `'));
		const input = document.getElementById('choose-files');
		input.files = list.files;
		input.dispatchEvent(new Event('change', {bubbles: true}));
	})`
}

// What goes up is seen from every page; what the pod would not take is an error and no
// more; and a text that is too long is not cut in silence.
func TestUploadCards(t *testing.T) {
	s := newSite(t, 2)
	p := s.visit(t, "/upload", true)
	until(t, p, "document.querySelector('#choose-files:not([disabled])')")
	stream := strings.TrimPrefix(s.videos[0].StreamURL, "http://"+fakeHost)
	eval[any](t, p, "fetch('"+stream+"').then(r => r.arrayBuffer()).then(b => { window.film = b })")
	s.stop() // it waits for the pod
	eval[any](t, p, putFile("letter.mp4", false))
	until(t, p, "document.querySelector('.up[data-state=failed] .problem')")
	eval[any](t, p, putFile("a_film.mp4", true))
	until(t, p, "document.querySelector('.up[data-state=retrying] textarea')")
	if got := eval[string](t, p, "[...document.querySelectorAll('.up[data-state=failed] :is(button, input, textarea, progress:not([hidden]))')].map(e => e.tagName + ' ' + e.textContent).join('|')"); got != "BUTTON Dismiss" {
		t.Errorf("a refused file has %q", got)
	}
	const card = ".up[data-state=retrying]"
	write(t, p, card+" textarea", strings.Repeat("m", 1010))
	until(t, p, "document.querySelector('"+card+" .hint.bad')?.textContent === '10 characters too many'")
	if n := eval[int](t, p, "document.querySelector('"+card+" textarea').value.length"); n != 1010 {
		t.Errorf("%d of 1010 characters are left", n)
	}
	if got := eval[string](t, p, "document.querySelector('"+card+" [id$=tags-hint]').textContent"); got != "Separated by commas, 12 at most." {
		t.Errorf("of tags it says %q", got)
	}
	if eval[bool](t, p, "!!document.querySelector('.sending')") {
		t.Error("the upload page points to itself")
	}
	click(t, p, ".brand")
	until(t, p, "location.pathname === '/' && document.querySelector('.sending')?.getAttribute('aria-label') === 'Uploading: 0 %'")
	click(t, p, ".sending")
	until(t, p, "location.pathname === '/upload' && !document.querySelector('.sending')")
	click(t, p, ".up[data-state=failed] button")
	until(t, p, "!document.querySelector('.up[data-state=failed]')")
}

// The page of the password says what the pod asks for.
func TestChangePassword(t *testing.T) {
	s := newSite(t, 2)
	p := s.visit(t, "/account", true)
	until(t, p, "document.getElementById('password-new-hint')?.textContent.startsWith('8 characters or more.')")
	click(t, p, "button[aria-label='Show the new password']")
	until(t, p, "document.getElementById('password-new').type === 'text' && document.getElementById('password-old').type === 'password'")
}

// Nobody is told to publish where he cannot.
func TestEmptyPod(t *testing.T) {
	p := newFakePod(0)
	p.sessions["s"] = "ada"
	h := newHandler(t, p)
	const yours = "could be yours"
	if body := get(h, "/", "").Body.String(); strings.Contains(body, yours) || !strings.Contains(body, "No video has been published on this pod.") {
		t.Error("a stranger is told to publish on a pod of invited people")
	}
	contains(t, get(h, "/", "s").Body.String(), yours)
	p.policy = "open"
	contains(t, get(h, "/", "").Body.String(), yours)
}
