package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdpnetwork "github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"kinopod/pod/podtest"
	"kinopod/shared/api"
)

// onDisk is what the browser has of each video in its private file system: the bytes of
// its pieces, by info hash.
const onDisk = `(async () => {
	const sizes = {};
	const root = await navigator.storage.getDirectory();
	for await (const [name, directory] of (await root.getDirectoryHandle("kinopod-videos", {create: true})).entries()) {
		sizes[name] = await directory.getFileHandle("pieces").then(f => f.getFile()).then(f => f.size, () => 0);
	}
	return sizes;
})()`

// tear overwrites the end of the first piece in the file, as a write that was cut short
// leaves it. It waits until the tab that had the file open has closed it.
const tear = `(async () => {
	const root = await navigator.storage.getDirectory();
	const directory = await (await root.getDirectoryHandle("kinopod-videos")).getDirectoryHandle("%s");
	const handle = await directory.getFileHandle("pieces");
	const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
	bytes.fill(0, %d, %d);
	const out = await handle.createWritable();
	await out.write(bytes);
	await out.close();
	return true;
})()`

// give lets the pod give bytes of videos, or not.
func give(p *podtest.Pod, yes bool) {
	p.Server().SetStreamOff(!yes)
	p.Seeder().SetOff(!yes)
}

// fromHere waits until the panel says that all of the film is of this device.
const fromHere = `/This device\s+[\d.]+ Mi?B\s+100 %/.test(document.body.innerText)`

func TestAReloadKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	page := viewer(t)
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	whole(t, page)

	give(p, false)
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	whole(t, page)
	must(t, page.Until(patience, fromHere))
	must(t, page.Until(patience, skipTo(8)))
	must(t, page.Until(patience, `window.seen.ended`))
	other := viewer(t)
	must(t, other.Open(p.URL+api.WatchPath(v.ID)))
	must(t, other.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
	must(t, other.Until(patience, skipTo(8)))
	must(t, other.Until(patience, `window.seen.ended`))
	whole(t, other)
	must(t, other.Until(patience, `/Viewers\s+[\d.]+ Mi?B\s+100 %/.test(document.body.innerText)`))
	must(t, other.Open("about:blank"))

	// A piece that was cut short costs this piece alone.
	tor := torrentOf(t, v)
	infoHash, length := tor.InfoHash.String(), int(tor.PieceLength)
	must(t, page.Open(p.URL+"/"))
	must(t, page.Until(patience, fmt.Sprintf(tear, infoHash, length/2, length)))
	_, err := chromedp.Call(page.Ctx, cdpnetwork.ClearBrowserCache, cdp.Empty{})
	must(t, err)
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	pieces := tor.Pieces()
	must(t, page.Until(patience, fmt.Sprintf(`document.body.innerText.includes("%d of %d ·")`, pieces-1, pieces)))
	give(p, true)
	whole(t, page)
	// By HTTP, by its seeder, or some of it twice by both, but no other piece.
	const came = `(() => {
		const bytes = (n, unit) => n * {B: 1, KiB: 2 ** 10, MiB: 2 ** 20}[unit];
		const m = document.body.innerText.match(/Web seed\s+([\d.]+) (\S+)[^]*?\sPod\s+([\d.]+) (\S+)/);
		return m && bytes(m[1], m[2]) + bytes(m[3], m[4]);
	})()`
	if got := int(value[float64](t, page, came)); got < length*9/10 || got > 2*length {
		t.Errorf("the pod gave %d bytes for a piece of %d", got, length)
	}
}

// byStream is how many bytes of films the pod has sent by HTTP.
func byStream(t *testing.T, p *podtest.Pod) (n int64) {
	t.Helper()
	m := regexp.MustCompile(`kinopod_sent_bytes_total\{source="stream"\} (\S+)`).FindStringSubmatch(fetched(t, "http://"+p.AdminAddr().String()+"/metrics"))
	if m == nil {
		t.Fatal("the pod does not count what it sends")
	}
	f, err := strconv.ParseFloat(m[1], 64)
	must(t, err)
	return int64(f)
}

// A reload in the middle of a film costs no more than what had not come, and what the
// player takes by plain HTTP until the app is there.
func TestAReloadInTheMiddle(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, film := p.User(t, "anna", api.RoleUser).Film(t, podtest.Sample{MIME: podtest.MP4.MIME, Length: 40 * time.Second, Width: 320, Height: 180, Bitrate: 2_000_000})
	size, infoHash := int64(len(film)), torrentOf(t, v).InfoHash.String()
	page := viewer(t)
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, fmt.Sprintf(`(%s).then(d => d["%s"] >= %d)`, onDisk, infoHash, size/2)))
	kept := value[map[string]int64](t, page, onDisk)[infoHash]
	must(t, page.Open("about:blank"))
	before := byStream(t, p)
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, `document.querySelector("video")?.currentTime > 1 && /This device\s+[1-9]/.test(document.body.innerText)`))
	must(t, page.Until(patience, skipTo(36)))
	must(t, page.Until(patience, `window.seen.ended`))
	whole(t, page)
	const plain = 2 << 20 // its first answer, and what is on its way when it is ended
	again := byStream(t, p) - before
	if t.Logf("%d of %d bytes were there; %d came after the reload", kept, size, again); kept > size*9/10 || again > size-kept+plain {
		t.Errorf("%d of %d bytes were there, and %d came after the reload", kept, size, again)
	}
	if n := value[int](t, page, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
}

func TestTheVideoNotWatchedForLongestGoes(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	anna := p.User(t, "anna", api.RoleUser)
	var films [3]api.Video
	var names [3]string
	var size int64
	for i := range films {
		films[i], _ = anna.Film(t, podtest.MP4)
		names[i] = torrentOf(t, films[i]).InfoHash.String()
		size = films[i].Renditions[0].Size
	}
	page := viewer(t)
	must(t, page.OnNewDocument(fmt.Sprintf(`try { localStorage.setItem("kinopod_storage", "%d") } catch {}`, size*5/2)))
	watch := func(i int) {
		t.Helper()
		must(t, page.Open(p.URL+api.WatchPath(films[i].ID)))
		whole(t, page)
		must(t, page.Until(patience, fmt.Sprintf(`(%s).then(d => d["%s"] >= %d)`, onDisk, names[i], size)))
	}
	there := func(want ...int) {
		t.Helper()
		got := value[map[string]int64](t, page, onDisk)
		for _, i := range want {
			if got[names[i]] < size { // the last piece takes a whole slot
				t.Errorf("film %d takes %d bytes of %d", i, got[names[i]], size)
			}
			delete(got, names[i])
		}
		if len(got) > 0 {
			t.Errorf("and there is %v", got)
		}
	}
	watch(0)
	watch(1)
	there(0, 1)
	watch(0)
	watch(2)
	there(0, 2)

	// A film that does not fit plays, and takes no more than it may.
	must(t, page.OnNewDocument(fmt.Sprintf(`try { localStorage.setItem("kinopod_storage", "%d") } catch {}`, size/2)))
	must(t, page.Open(p.URL+api.WatchPath(films[1].ID)))
	whole(t, page)
	must(t, page.Until(patience, `window.seen.ended`))
	if n := value[int](t, page, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
	for name, bytes := range value[map[string]int64](t, page, onDisk) {
		if name != names[1] || bytes > size/2 || bytes == 0 {
			t.Errorf("%s takes %d bytes; %s alone may take %d", name, bytes, names[1], size/2)
		}
	}
}

func TestTwoTabsHaveOneEngine(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, long)
	first := viewer(t)
	must(t, first.Open(p.URL+api.WatchPath(v.ID)))
	must(t, first.Until(patience, engineAnswers))
	defer func() {
		if t.Failed() {
			t.Log(value[string](t, first, `document.querySelector(".watch-side").innerText`))
		}
	}()
	must(t, first.Until(patience, skipTo(24)))
	whole(t, first)

	// The second tab has all from the first: nobody else gives anything.
	give(p, false)
	second, closeSecond, err := first.Beside()
	must(t, err)
	t.Cleanup(closeSecond)
	must(t, second.OnNewDocument(noteVideo))
	must(t, second.Front())
	must(t, second.Open(p.URL+api.WatchPath(v.ID)))
	must(t, second.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
	whole(t, second) // its panel tells of the same swarm
	const holders = `navigator.locks.query().then(q => q.held.filter(l => l.name.startsWith("kinopod-video/")).length + "/" + q.pending.filter(l => l.name.startsWith("kinopod-video/")).length)`
	if got := value[string](t, second, holders); got != "1/1" {
		t.Errorf("engines and tabs that wait for one: %s", got)
	}

	// The first goes in the middle, and the second goes on, and gives to others.
	must(t, first.Open("about:blank"))
	must(t, second.Until(patience, holders+`.then(s => s === "1/0")`))
	must(t, second.Until(patience, fromHere))
	must(t, second.Until(patience, skipTo(36)))
	must(t, second.Until(patience, `window.seen.ended`))
	if n := value[int](t, second, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
	other := viewer(t)
	must(t, other.Open(p.URL+api.WatchPath(v.ID)))
	must(t, other.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
	must(t, other.Until(patience, `/Viewers\s+[\d.]+ \S+\s+100 %/.test(document.body.innerText)`))
}

// The network goes away in the middle of a film, and comes back.
func TestTheNetworkGoesAway(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	// So long that not all of it has come by plain HTTP before the app is there: the page
	// of a busy machine has no time to hold it back.
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, longer)
	page := viewer(t)
	must(t, page.Throttle(350_000, 20*time.Millisecond))
	must(t, page.Open(p.URL+api.WatchPath(v.ID)))
	must(t, page.Until(patience, `navigator.serviceWorker.controller && document.body.innerText.includes("Web seed") && document.querySelector("video")?.currentTime > 1`))
	offline := func(off bool) {
		t.Helper()
		must(t, page.Offline(off))
		_, err := chromedp.Call(page.Ctx, cdpnetwork.OverrideNetworkState, cdpnetwork.OverrideNetworkStateParams{Offline: off, DownloadThroughput: -1, UploadThroughput: -1})
		must(t, err)
	}
	value[any](t, page, `addEventListener("online", () => { window.cameBack = true })`)
	offline(true)
	must(t, page.Until(patience, `navigator.onLine === false`))
	time.Sleep(20 * time.Second)
	offline(false)
	must(t, page.Until(patience, `window.cameBack`))
	at := value[float64](t, page, `document.querySelector("video").currentTime`)
	must(t, page.Until(patience, fmt.Sprintf(`document.querySelector("video").currentTime > %f + 1 || window.seen.ended`, at)))
	must(t, page.Until(patience, `/Web seed\s+[1-9]/.test(document.body.innerText)`)) // the engine answers
	must(t, page.Until(patience, skipTo(116)))
	must(t, page.Until(patience, `window.seen.ended`))
	whole(t, page)
	if n := value[int](t, page, `window.seen.errors`); n != 0 {
		t.Errorf("%d errors of the player", n)
	}
	// It is in the swarm: another viewer has all from there.
	give(p, false)
	other := viewer(t)
	must(t, other.Open(p.URL+api.WatchPath(v.ID)))
	must(t, other.Until(patience, `document.querySelector("video")?.currentTime > 0.5`))
	must(t, other.Until(patience, `/Viewers\s+[\d.]+ \S+\s+100 %/.test(document.body.innerText)`))
}

// A phone that goes from one network to another is never offline: the tracker is dialed
// anew, whose connection may be dead.
func TestTheNetworkChanges(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, long)
	page := withLine(t, viewer(t), `
		window.sockets = 0;
		window.WebSocket = class extends WebSocket { constructor(...a) { super(...a); window.sockets++; } };`, p.URL+api.WatchPath(v.ID))
	must(t, page.Until(patience, `window.sockets === 1`))
	value[bool](t, page, `setLine({rtt: 100}), true`) // what the browser measures says nothing
	time.Sleep(3 * time.Second)                       // for what should not come
	if n := value[int](t, page, `window.sockets`); n != 1 {
		t.Errorf("%d connections to the tracker", n)
	}
	value[bool](t, page, `setLine({type: "wifi"}), true`)
	must(t, page.Until(patience, `window.sockets === 2`))
}
