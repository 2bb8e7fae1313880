package e2e

import (
	"fmt"
	"net/url"
	"regexp"
	"testing"
	"time"

	"kinopod/build/browser"
	"kinopod/pod/config"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/webapp/swarm"
)

// noteLine keeps each connection of a page and lets a test say whether the page is seen and
// what the browser knows of its line. channels is what the browser counts: of messages
// (sent, received), and of packets of UDP with their headers and those of IPv4 (up, down).
const noteLine = `
window.unseen = false; window.conns = [];
Object.defineProperty(document, "visibilityState", {get: () => window.unseen ? "hidden" : "visible"});
window.line = Object.assign(new EventTarget(), {saveData: false});
Object.defineProperty(navigator, "connection", {get: () => window.line});
window.setLine = (o) => { Object.assign(line, o); line.dispatchEvent(new Event("change")); };
window.RTCPeerConnection = new Proxy(RTCPeerConnection, {construct(target, args) { const c = new target(...args); conns.push(c); return c; }});
window.connected = () => conns.filter(c => c.connectionState === "connected").length;
window.channels = async () => {
	const sum = {at: performance.now(), sent: 0, received: 0, up: 0, down: 0};
	for (const c of conns) {
		if (c.connectionState === "closed") continue;
		for (const s of (await c.getStats()).values()) {
			if (s.type === "data-channel") { sum.sent += s.bytesSent; sum.received += s.bytesReceived; }
			if (s.type === "transport") { sum.up += s.bytesSent + 28 * s.packetsSent; sum.down += s.bytesReceived + 28 * s.packetsReceived; }
		}
	}
	return sum;
};
window.shown = (id) => Number(document.getElementById(id)?.value ?? -1);`

type channels struct{ At, Sent, Received, Up, Down float64 }

// withLine opens the page of v for a viewer with noteLine and more before it.
func withLine(t testing.TB, p *browser.Page, more, address string) *browser.Page {
	t.Helper()
	must(t, p.OnNewDocument(noteLine+more))
	must(t, p.Open(address))
	return p
}

// atTracker is how many peers of a film the tracker tells of.
func atTracker(t *testing.T, p *podtest.Pod, ih magnet.InfoHash) int {
	t.Helper()
	body := fetched(t, p.URL+api.PathScrape+"?info_hash="+url.QueryEscape(string(ih[:])))
	n := 0
	for _, m := range regexp.MustCompile(`8:completei(\d+)e|10:incompletei(\d+)e`).FindAllStringSubmatch(body, -1) {
		var k int
		_, _ = fmt.Sscan(m[1]+m[2], &k)
		n += k
	}
	return n
}

// A newcomer is with nobody until it was told, and who is alone needs no connection; the
// switch ends them all at once, is kept, and the film plays on.
func TestNobodySeesAViewerWhoWasNotTold(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, longer) // nobody has it whole: those who have are not introduced to each other
	ih, address := v.Renditions[0].InfoHash, p.URL+api.WatchPath(v.ID)
	first := withLine(t, viewer(t), "", address)
	podtest.Eventually(t, "the first is at the tracker", func() bool { return atTracker(t, p, ih) >= 2 })
	alone := atTracker(t, p, ih) // and the pod
	if n := value[int](t, first, `conns.length`); n != 0 {
		t.Errorf("alone, and %d connections", n)
	}

	second := withLine(t, newcomer(t), `window.unseen = true;`, address)
	// A page that is not seen begins nothing that the browser does not begin by itself.
	must(t, second.Until(patience, `document.querySelector("video")?.readyState >= 3`))
	value[bool](t, second, `document.querySelector("video").play(), true`)
	must(t, second.Until(patience, `document.querySelector("video")?.currentTime > 2 && document.getElementById("company-on")?.ariaChecked === "true"`))
	if n, m := value[int](t, second, `conns.length`), atTracker(t, p, ih); n != 0 || m != alone {
		t.Errorf("not told: %d connections, %d peers at the tracker instead of %d", n, m, alone)
	}
	value[bool](t, second, `window.unseen = false, true`)
	for _, page := range []*browser.Page{first, second} {
		must(t, page.Until(patience, `connected() > 0`))
	}

	value[bool](t, second, `document.getElementById("company-on").click(), true`)
	for _, page := range []*browser.Page{first, second} {
		must(t, page.Until(patience, `connected() === 0`))
	}
	podtest.Eventually(t, "the second is off the tracker", func() bool { return atTracker(t, p, ih) == alone })
	value[bool](t, second, `(() => { const v = document.querySelector("video"); v.currentTime = 0; v.play(); return true })()`)
	must(t, second.Until(patience, `document.querySelector("video").currentTime > 1.5`))
	must(t, second.Open(address))
	must(t, second.Until(patience, `document.querySelector("video")?.currentTime > 1 && document.querySelector(".swarm .chip")?.innerText === "Without other viewers"`))
	if n := value[int](t, second, `conns.length`); n != 0 || atTracker(t, p, ih) != alone {
		t.Errorf("at the next visit: %d connections", n)
	}

	value[bool](t, second, `document.getElementById("company-on").click(), true`)
	podtest.Eventually(t, "the second is at the tracker again", func() bool { return atTracker(t, p, ih) > alone })
}

// While the browser wants to save data nothing is given, though somebody waits for it; then
// it is.
func TestWhoSavesDataGivesNothing(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, film := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	address := p.URL + api.WatchPath(v.ID)
	first := withLine(t, viewer(t), "", address)
	whole(t, first) // of its own: who gives nothing fetches nothing for others
	value[bool](t, first, `setLine({saveData: true}), true`)

	p.Server().SetStreamOff(true)
	p.Seeder().SetOff(true)
	second := withLine(t, viewer(t), "", address)
	must(t, second.Until(patience, `connected() > 0`))
	time.Sleep(3 * time.Second) // for what should not come
	if got := value[channels](t, first, `channels()`); got.Sent > 16<<10 || value[float64](t, first, `shown("given-bytes")`) != 0 {
		t.Errorf("saving data: %+v", got)
	}
	value[bool](t, first, `setLine({saveData: false}), true`)
	whole(t, second)
	must(t, first.Until(patience, fmt.Sprintf(`shown("given-bytes") >= %d`, len(film))))
}

// wide is a film that takes more than an upload cap gives.
var wide = podtest.Sample{MIME: podtest.MP4.MIME, Length: 20 * time.Second, Width: 320, Height: 180, Bitrate: 2_000_000}

// The cap of the tests in a browser, and what may go out beyond it, once.
const (
	oneMegabit = `,"megabits":1`
	capRate    = 1e6 / 8
	capBurst   = capRate*0.375 + 2*17_600
)

// capped opens a tab of a viewer with a cap, and waits until it has all of the film.
func capped(t testing.TB, page *browser.Page, p *podtest.Pod, v api.Video) *browser.Page {
	t.Helper()
	must(t, page.Told(oneMegabit))
	withLine(t, page, "", p.URL+api.WatchPath(v.ID))
	whole(t, page)
	return page
}

// carriedBy lets time pass and gives what tabs sent on the line meanwhile, in bytes a second of
// each, and the length of the time.
func carriedBy(t testing.TB, tabs ...*browser.Page) (rates []float64, seconds float64) {
	t.Helper()
	var from []channels
	for _, tab := range tabs {
		must(t, tab.Until(patience, `channels().then(c => c.sent > 50e3)`))
	}
	for _, tab := range tabs {
		from = append(from, value[channels](t, tab, `channels()`))
	}
	time.Sleep(15 * time.Second)
	for i, tab := range tabs {
		to := value[channels](t, tab, `channels()`)
		seconds = max(seconds, (to.At-from[i].At)/1000)
		rates = append(rates, (to.Up-from[i].Up)/(to.At-from[i].At)*1000)
		t.Logf("tab %d: %.0f bytes in %d bytes of messages, %.1f %% of the cap, over %.1f s", i, to.Up-from[i].Up, int(to.Sent-from[i].Sent), 100*rates[i]/capRate, seconds)
	}
	return rates, seconds
}

// What goes out on a real connection stays under the cap, headers and all, and comes near it.
func TestUploadCapOfABrowser(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, wide)
	first := capped(t, newcomer(t), p, v)
	give(p, false)
	withLine(t, viewer(t), "", p.URL+api.WatchPath(v.ID))
	rates, seconds := carriedBy(t, first)
	if rates[0] > 1.05*capRate+capBurst/seconds || rates[0] < 0.85*capRate {
		t.Errorf("%.1f %% of the cap", 100*rates[0]/capRate)
	}
}

// The cap is the viewer's, not each tab's.
func TestUploadCapOfTwoTabs(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	anna := p.User(t, "anna", api.RoleUser)
	one, _ := anna.Film(t, wide)
	other, _ := anna.Film(t, wide)
	first := capped(t, newcomer(t), p, one)
	second, closeSecond, err := first.Beside()
	must(t, err)
	t.Cleanup(closeSecond)
	begin(t, second)
	capped(t, second, p, other)
	give(p, false)
	for _, v := range []api.Video{one, other} {
		taker := engine(t, p, v, newNetwork(t), func(c *swarm.Config) { c.WebSeed, c.OfferURL = "", "" })
		go func() {
			for at := int64(0); at < v.Renditions[0].Size; {
				c, err := taker.Read(t.Context(), at, 256<<10)
				if err != nil {
					return // the test is over
				}
				at += int64(c.Len())
			}
		}()
	}
	rates, seconds := carriedBy(t, first, second)
	if sum := rates[0] + rates[1]; sum > 1.05*capRate+capBurst/seconds || sum < 0.85*capRate {
		t.Errorf("%.1f %% of the cap", 100*sum/capRate)
	}
	if min(rates[0], rates[1]) < capRate/3 {
		t.Errorf("two who need the same have %.0f and %.0f bytes a second", rates[0], rates[1])
	}
}

// Where fewer watch than the pod thinks worth it, nothing goes by WebRTC; one more, and all
// are connected.
func TestTooFewViewersStayOnHTTP(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t, func(c *config.Config) { c.SwarmViewers = 3 })
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, longer)
	ih, address := v.Renditions[0].InfoHash, p.URL+api.WatchPath(v.ID)
	var all []*browser.Page
	for range 2 {
		all = append(all, withLine(t, viewer(t), "", address))
	}
	podtest.Eventually(t, "two are at the tracker", func() bool { return atTracker(t, p, ih) >= 3 }) // and the pod
	for _, page := range all {
		must(t, page.Until(patience, engineAnswers))
	}
	time.Sleep(5 * time.Second) // for what should not come
	for i, page := range all {
		if n := value[int](t, page, `conns.length`); n != 0 {
			t.Errorf("viewer %d of two made %d connections", i, n)
		}
	}
	all = append(all, withLine(t, viewer(t), "", address))
	for _, page := range all {
		must(t, page.Until(patience, `connected() > 0`))
	}
}

// What the panel tells is within 3 % of what the browser counts: what was given, and what
// all took on the line, also of who gave or got no more than receipts, once all has come. What
// it says that the pod saved is what the pod did not send.
func TestThePanelTellsWhatWasCarried(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, film := p.User(t, "anna", api.RoleUser).Film(t, wide)
	address := p.URL + api.WatchPath(v.ID)
	first := withLine(t, viewer(t), "", address)
	whole(t, first)
	p.Server().SetStreamOff(true)
	p.Seeder().SetOff(true)
	second := withLine(t, viewer(t), "", address)
	whole(t, second)
	for _, page := range []struct {
		*browser.Page
		name string
		near string
	}{
		{first, "first", `near("given-bytes", c.sent) && near("sent-bytes", c.up) && near("received-bytes", c.down)`},
		{second, "second", fmt.Sprintf(`shown("saved-bytes") === %d && near("received-bytes", c.down) && near("sent-bytes", c.up)`, len(film))},
	} {
		value[bool](t, page.Page, `document.getElementById("swarm-panel").scrollIntoView(), window.near = (id, n) => n > 0 && Math.abs(shown(id) / n - 1) <= 0.03, true`)
		err := page.Until(patience, `channels().then(c => `+page.near+`)`)
		c := value[channels](t, page.Page, `channels()`)
		shown := value[[]float64](t, page.Page, `["given-bytes", "saved-bytes", "sent-bytes", "received-bytes"].map(shown)`)
		t.Logf("%s: the browser counts %+v; the panel tells %.0f given, %.0f saved, %.0f sent, %.0f received", page.name, c, shown[0], shown[1], shown[2], shown[3])
		must(t, err)
	}
}

// Who is told while the engine is made, by a device that takes its time, joins.
func TestWhoIsToldMeanwhileJoins(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	ih := v.Renditions[0].InfoHash
	before := atTracker(t, p, ih)
	tab := withLine(t, newcomer(t), `window.unseen = true;
window.Worker = class extends Worker {
	constructor(address) {
		super(address);
		this.addEventListener("message", (e) => {
			e.stopImmediatePropagation(); // what it keeps
			const timer = setInterval(() => {
				if (!performance.getEntriesByType("resource").some((r) => r.name.endsWith(".torrent"))) return;
				clearInterval(timer);
				setTimeout(() => { window.late = true; kinopod.share('{"told":true}'); this.dispatchEvent(new MessageEvent("message", {data: e.data})); }, 1000);
			}, 50);
		}, {once: true});
	}
};`, p.URL+api.WatchPath(v.ID))
	must(t, tab.Until(patience, `window.late`))
	podtest.Eventually(t, "the viewer is at the tracker", func() bool { return atTracker(t, p, ih) > before })
}
