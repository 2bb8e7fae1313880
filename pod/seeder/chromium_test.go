package seeder

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// site is a page, and the door for an offer in a request of its own.
type site struct {
	*httptest.Server
	seeder *Seeder
}

func newSite(t testing.TB, s *Seeder) *site {
	t.Helper()
	mux := http.NewServeMux()
	site := &site{seeder: s}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><meta charset=utf-8><title>test</title>"))
	})
	mux.HandleFunc("POST /tracker/offer", site.offer)
	site.Server = httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return site
}

// offer answers a bare offer: the info hash is in the query, the SDP is the body.
func (s *site) offer(w http.ResponseWriter, r *http.Request) {
	var in struct{ SDP string }
	h, err := magnet.ParseInfoHash(r.URL.Query().Get("h"))
	if err != nil || json.NewDecoder(r.Body).Decode(&in) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	var id wire.PeerID
	copy(id[:], r.URL.Query().Get("id"))
	answer, err := s.seeder.Answer(r.Context(), h, id, netip.MustParseAddr("127.0.0.1"), in.SDP)
	if err != nil {
		http.Error(w, err.Error(), api.AsError(err).Status())
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"sdp": answer})
}

// chromium starts a browser with a page of the site.
func chromium(t testing.TB, url string) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(),
		chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(60*time.Second),
	)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if _, err := chromedp.Run(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("start Chromium (Debian package chromium): %v", err)
	}
	return ctx
}

// evaluate runs the body of an async function in the page and gives its result.
func evaluate[T any](t testing.TB, ctx context.Context, body string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T]("(async () => {"+body+"})()", chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("in the page: %v", err)
	}
	return out
}

// greeted is how a page's own RTCPeerConnection reached the seeder.
type greeted struct {
	Open      float64 // ms from the offer to the open channel
	Protocol  string
	Address   string
	Handshake int // bytes of the seeder's first message
}

// greetInPage connects a page's own RTCPeerConnection: the offer goes at once, before
// a candidate is known, in a request of its own. Of the answer's candidates those
// are kept that match the JavaScript expression keep.
func greetInPage(t testing.TB, ctx context.Context, h magnet.InfoHash, keep string) greeted {
	t.Helper()
	return evaluate[greeted](t, ctx, `
		const pc = new RTCPeerConnection()
		const channel = pc.createDataChannel(Math.random().toString(36))
		channel.binaryType = 'arraybuffer'
		const first = new Promise(r => { channel.onmessage = e => r(e.data.byteLength) })
		const begin = performance.now()
		await pc.setLocalDescription(await pc.createOffer())
		if (pc.localDescription.sdp.includes('a=candidate')) throw new Error('the offer waited for candidates')
		const res = await fetch('/tracker/offer?id=' + Math.random() + '&h=`+h.String()+`', {method: 'POST', body: JSON.stringify({SDP: pc.localDescription.sdp})})
		if (!res.ok) throw new Error(await res.text())
		let {sdp} = await res.json()
		const keep = `+keep+`
		sdp = sdp.split('\r\n').filter(l => !l.startsWith('a=candidate') || keep.test(l)).join('\r\n')
		await pc.setRemoteDescription({type: 'answer', sdp})
		await new Promise((resolve, reject) => {
			channel.onopen = resolve
			channel.onclose = () => reject(new Error('closed'))
			setTimeout(() => reject(new Error('the channel does not open; answer: ' + sdp)), 20000)
		})
		const Open = performance.now() - begin
		let remote = {}
		for (let i = 0; i < 50 && !remote.protocol; i++) { // the browser keeps its statistics for a moment
			const stats = await pc.getStats()
			stats.forEach(s => { if (s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded') remote = stats.get(s.remoteCandidateId) })
			if (!remote.protocol) await new Promise(r => setTimeout(r, 100))
		}
		const Handshake = await first
		pc.close()
		return {Open, Protocol: remote.protocol ?? '', Address: remote.address ?? '', Handshake}`)
}

// A browser reaches us over UDP and, where none gets through, over TCP: on
// loopback, and on the machine's addresses when all are bound.
func TestChromiumReachesEveryAddress(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	for _, listen := range []string{"127.0.0.1:0", ":0"} {
		t.Run(listen, func(t *testing.T) {
			s := start(t, Config{RTCListen: listen}, files)
			ctx := chromium(t, newSite(t, s).URL)
			tries := map[string][3]string{ // what is kept of the answer, protocol, address
				"all":             {"/./", "udp", ""},
				"udp on loopback": {"/ udp .* 127\\.0\\.0\\.1 /", "udp", "127.0.0.1"},
				"tcp on loopback": {"/ tcp .* 127\\.0\\.0\\.1 /", "tcp", "127.0.0.1"},
			}
			if listen == ":0" {
				ip := outside(t).String()
				tries["udp outside"] = [3]string{"/ udp .* " + strings.ReplaceAll(ip, ".", "\\.") + " /", "udp", ip}
				tries["tcp outside"] = [3]string{"/ tcp .* " + strings.ReplaceAll(ip, ".", "\\.") + " /", "tcp", ip}
			}
			for what, try := range tries {
				got := greetInPage(t, ctx, b.torrent.InfoHash, try[0])
				t.Logf("%s: open after %.0f ms, %s %s", what, got.Open, got.Protocol, got.Address)
				if got.Protocol != try[1] || try[2] != "" && got.Address != try[2] || got.Handshake != wire.HandshakeLength {
					t.Errorf("%s: %+v", what, got)
				}
			}
			wait(t, "the peers to be gone", func() bool { return s.Stats().WebRTCPeers == 0 })
		})
	}
}
