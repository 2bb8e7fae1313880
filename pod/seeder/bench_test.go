package seeder

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kinopod/shared/magnet"
)

// BenchmarkWebTorrentInChromium downloads 200 MiB with webtorrent.js in Chromium,
// kept in memory there. The seeder and the browser share this machine:
//
//	go test -run '^$' -bench WebTorrent -benchtime 3x ./pod/seeder
func BenchmarkWebTorrentInChromium(b *testing.B) {
	files := &shelf{}
	film := newBook(b, 200<<20)
	want := sum(film.data)
	h := files.toDisk(b, film)
	size := film.torrent.Length
	film = nil // a pod does not hold its films in memory: the collector would rest
	s := start(b, Config{}, files)
	site := newSite(b, s)
	ctx := chromium(b, site.URL)
	m := magnet.Magnet{InfoHash: h, Trackers: []string{site.tracker()}}
	var seconds, first, ours, theirs float64
	for b.Loop() {
		runtime.GC()
		own, browser := ownCPU(), childrenCPU(b)
		got := webtorrent(b, ctx, m, true)
		ours += ownCPU() - own
		theirs += childrenCPU(b) - browser
		if got.SHA256 != want {
			b.Fatal("other bytes than the film's")
		}
		seconds += got.Done / 1e3
		first += got.First
	}
	gigabytes := float64(b.N) * float64(size) / 1e9
	b.ReportMetric(gigabytes*1e3/seconds, "MB/s")
	b.ReportMetric(ours/gigabytes, "seeder-cpu-s/GB")
	b.ReportMetric(theirs/gigabytes, "browser-cpu-s/GB")
	b.ReportMetric(first/float64(b.N), "first-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIdlePeer connects pages' data channels, lets them say the handshake and
// nothing more, and prints what one costs the seeder:
//
//	go test -run '^$' -bench IdlePeer -benchtime 1x ./pod/seeder
func BenchmarkIdlePeer(b *testing.B) {
	const peers = 60
	files := &shelf{}
	film := files.add(b, 1<<20)
	s := start(b, Config{}, files)
	site := newSite(b, s)
	ctx := chromium(b, site.URL)
	measure := func() (bytes, rss int64, goroutines int) {
		runtime.GC()
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		statm, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			b.Fatal(err)
		}
		pages, _ := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
		return int64(m.HeapAlloc + m.StackInuse), pages * int64(os.Getpagesize()), runtime.NumGoroutine()
	}
	greetInPage(b, ctx, film.torrent.InfoHash, "/./") // what the first one costs all pay for
	wait(b, "the first to be gone", func() bool { return s.Stats().WebRTCPeers == 0 })
	for b.Loop() {
		bytes, rss, goroutines := measure()
		evaluate[bool](b, ctx, `
			globalThis.all = []
			for (let i = 0; i < `+strconv.Itoa(peers)+`; i++) {
				const pc = new RTCPeerConnection()
				const channel = pc.createDataChannel('x')
				await pc.setLocalDescription(await pc.createOffer())
				const res = await fetch('/tracker/offer?id=' + i + '&h=`+film.torrent.InfoHash.String()+`', {method: 'POST', body: JSON.stringify({SDP: pc.localDescription.sdp})})
				await pc.setRemoteDescription({type: 'answer', sdp: (await res.json()).sdp})
				await new Promise(r => { channel.onopen = r })
				const hello = new Uint8Array(68)
				hello.set([19, ...new TextEncoder().encode('BitTorrent protocol')])
				hello[25] = 0x10; hello[27] = 4
				hello.set('`+film.torrent.InfoHash.String()+`'.match(/../g).map(x => parseInt(x, 16)), 28)
				hello[48] = i + 1
				channel.send(hello)
				all.push(pc, channel)
			}
			return true`)
		time.Sleep(3 * time.Second) // ICE has settled
		if n := opened(s); n != peers {
			b.Fatalf("%d peers", n)
		}
		b2, rss2, g2 := measure()
		b.ReportMetric(float64(b2-bytes)/peers/1024, "KiB/peer")
		b.ReportMetric(float64(rss2-rss)/peers/1024, "KiB-RSS/peer")
		b.ReportMetric(float64(g2-goroutines)/peers, "goroutines/peer")
		s.SetOff(true)
		s.SetOff(false)
	}
	b.ReportMetric(0, "ns/op")
}

// ownCPU is the CPU time of this process, in seconds.
func ownCPU() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// childrenCPU is the CPU time of the processes that descend from this one and are
// alive, in seconds.
func childrenCPU(t testing.TB) float64 {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	const ticks = 100 // a second
	parent, used := map[int]int{}, map[int]float64{}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		parent[pid], _ = strconv.Atoi(f[1])
		user, _ := strconv.ParseFloat(f[11], 64)
		system, _ := strconv.ParseFloat(f[12], 64)
		used[pid] = (user + system) / ticks
	}
	total := 0.0
	for pid, seconds := range used {
		for p := parent[pid]; p > 1; p = parent[p] {
			if p == os.Getpid() {
				total += seconds
				break
			}
		}
	}
	return total
}
