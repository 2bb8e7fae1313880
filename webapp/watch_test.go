package webapp

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kinopod/shared/api"
)

// tall is a film of a phone that was held upright.
func tall(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tall.mp4")
	c := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=360x640:rate=25", "-t", "12",
		"-c:v", "libx264", "-preset", "veryfast", "-b:v", "600k", "-pix_fmt", "yuv420p", "-movflags", "+faststart", file)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The whole picture and its controls are to be seen, whatever the film's shape and the
// window's.
func TestPlayerShowsAll(t *testing.T) {
	s := newSite(t, 1)
	s.screen(t, tall(t))
	p := s.visit(t, api.WatchPath(s.videos[0].ID), false)
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	until(t, p, "document.getElementById('kinopod-video').videoHeight === 640")
	for _, size := range [][2]int64{{360, 740}, {740, 360}, {768, 1024}, {1000, 450}, {1440, 420}, {1440, 560}, {1440, 900}} {
		if err := p.Size(size[0], size[1]); err != nil {
			t.Fatal(err)
		}
		eval[any](t, p, "scrollTo(0, 0)")
		const inside = `(() => {
			const v = document.getElementById('kinopod-video'), a = v.getBoundingClientRect(), b = document.getElementById('player-place').getBoundingClientRect();
			const top = document.querySelector('.top').getBoundingClientRect().bottom, strip = document.getElementById('swarm-strip').getBoundingClientRect();
			const say = (e) => [e.left, e.top, e.right, e.bottom].map(Math.round).join(' ');
			if (a.height < 150 || a.top < b.top - 1 || a.bottom > b.bottom + 1 || a.left < b.left - 1 || a.right > b.right + 1) return 'the film ' + say(a) + ', its box ' + say(b);
			if (b.top < top - 1 || strip.bottom > innerHeight) return 'the box ' + say(b) + ', the strip ' + say(strip) + ', the header ' + top + ', the window ' + innerHeight;
			return getComputedStyle(v).objectFit === 'contain' ? '' : 'the film is cut to its box';
		})()`
		if said := eval[string](t, p, inside); said != "" {
			t.Errorf("%d by %d: %s", size[0], size[1], said)
		}
	}
}

// The keys of other players play and seek here too, and take no key from anybody else.
func TestPlayerKeys(t *testing.T) {
	s := newSite(t, 4)
	p := s.tab(t, true)
	again(t, p)
	s.open(t, p, api.WatchPath(s.videos[0].ID))
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	if err := p.Size(1100, 480); err != nil {
		t.Fatal(err)
	}
	const video = "document.getElementById('kinopod-video')"
	until(t, p, video+".currentTime > 0.1")
	until(t, p, "document.querySelector('.video-name') && document.querySelector('.keys').checkVisibility()")
	// raw is a key as a keyboard gives it: what a page keeps of it types nothing and does
	// not scroll.
	raw := func(key string, modifiers int64) {
		t.Helper()
		for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
			event := input.DispatchKeyEventParams{Type: kind, Key: key, Text: key, Modifiers: modifiers}
			if key == " " {
				event.Code, event.WindowsVirtualKeyCode = "Space", 32
			}
			if kind == input.DispatchKeyEventTypeKeyUp || modifiers != 0 {
				event.Text = ""
			}
			if _, err := chromedp.Call(p.Ctx, input.DispatchKeyEvent, event); err != nil {
				t.Fatal(err)
			}
		}
	}
	paused := func(key string, want bool) {
		t.Helper()
		raw(key, 0)
		until(t, p, video+".paused === "+map[bool]string{true: "true", false: "false"}[want])
	}
	eval[any](t, p, "document.activeElement.blur()")
	paused(" ", true)
	paused("k", false)
	paused("K", true) // Caps Lock
	eval[any](t, p, video+".currentTime = 0")
	for _, step := range []struct{ key, want string }{{"l", "10"}, {"j", "0"}, {kb.ArrowRight, "5"}, {kb.ArrowLeft, "0"}} {
		eval[any](t, p, video+".currentTime = Math.round("+video+".currentTime / 5) * 5")
		press(t, p, step.key)
		until(t, p, "Math.abs("+video+".currentTime - "+step.want+") < 0.3")
	}
	press(t, p, "m")
	until(t, p, video+".muted")
	press(t, p, "m")
	until(t, p, "!"+video+".muted")
	press(t, p, "f")
	until(t, p, "document.fullscreenElement === "+video)
	press(t, p, "f")
	until(t, p, "!document.fullscreenElement")
	// A browser may tell of playing after the page says that it no longer plays.
	eval[any](t, p, "window.plays = 0; "+video+".addEventListener('play', () => plays++)")
	eval[any](t, p, "document.getElementById('swarm-strip').focus({preventScroll: true})")
	paused(" ", false)
	paused(" ", true)
	until(t, p, "plays === 1")
	if top := eval[float64](t, p, "scrollY"); top != 0 {
		t.Errorf("the page scrolled to %v", top)
	}

	raw("k", 2) // with Control
	eval[any](t, p, "document.querySelector('.video-bar .actions button').focus()")
	raw(" ", 0)
	click(t, p, "#edit-video")
	until(t, p, "document.activeElement.id.endsWith('-name')")
	press(t, p, "k")
	press(t, p, " ")
	press(t, p, "m")
	if n, was := eval[int](t, p, "plays"), eval[string](t, p, "document.activeElement.value"); n != 1 || len(was) != len(s.videos[0].Name)+3 || eval[bool](t, p, video+".muted") {
		t.Errorf("what is typed plays %d times; the name is %q", n-1, was)
	}
	press(t, p, kb.Escape)
	until(t, p, "document.activeElement.id === 'edit-video'")
	if got := eval[string](t, p, "document.querySelector('.video-name').textContent"); got != s.videos[0].Name {
		t.Errorf("given up, and it is called %q", got)
	}
}

// The strip is never empty, not even in the frame in which the window has another size.
func TestStripRedrawsAtOnce(t *testing.T) {
	s := newSite(t, 1)
	p := s.visit(t, api.WatchPath(s.videos[0].ID), false)
	if err := p.Front(); err != nil {
		t.Fatal(err)
	}
	until(t, p, "/^[1-9][0-9]* of/.test(document.getElementById('swarm-strip-text').textContent)")
	eval[any](t, p, "document.getElementById('kinopod-video').pause()")
	const drawn = `new Promise((done) => {
		const c = document.getElementById('swarm-strip');
		let calls = 0;
		new ResizeObserver((_, me) => {
			if (calls++ === 0) { c.parentElement.style.width = '300px'; return; }
			me.disconnect();
			done(c.width + ' ' + c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((b) => b !== 0));
		}).observe(c);
	})`
	if got := eval[string](t, p, drawn); got != "300 true" {
		t.Errorf("in its new size the strip is %q", got)
	}
}

// Addresses in a description are links that lead out, and nothing else of it is.
func TestDescriptionLinks(t *testing.T) {
	s := newSite(t, 1)
	s.videos[0].Description = "See https://example.org/path?x=1&y=2, or\n<a href='javascript:alert(1)'>javascript:alert(1)</a>\nhttp://example.net\nhttps://example.com"
	p := s.tab(t, false)
	if err := p.Open(s.url + api.WatchPath(s.videos[0].ID)); err != nil {
		t.Fatal(err)
	}
	const links = "[...document.querySelectorAll('.description a')].map(a => a.href + ' ' + a.target + ' ' + a.rel).join('|')"
	const rest = " _blank nofollow noopener noreferrer ugc"
	want := "https://example.org/path?x=1&y=2" + rest + "|http://example.net/" + rest + "|https://example.com/" + rest
	for _, when := range []string{"by the pod", "by the app"} {
		if got := eval[string](t, p, links); got != want {
			t.Errorf("%s: %s", when, got)
		}
		if got := eval[string](t, p, "document.querySelector('.description').innerText"); got != s.videos[0].Description {
			t.Errorf("%s: the text is %q", when, got)
		}
		until(t, p, "document.documentElement.dataset.app === 'ready'")
	}
}
