package tracker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	anacrolix "github.com/anacrolix/torrent/tracker"
	trackerhttp "github.com/anacrolix/torrent/tracker/http"
	"github.com/anacrolix/torrent/types/infohash"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
)

// ask sends a GET with header lines and gives the status and the decoded body.
func (w *world) ask(path, query string, header ...string) (int, map[string]any) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+w.addr+path+"?"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var m map[string]any
	if err := bencode.Unmarshal(b, &m); err != nil {
		w.t.Fatalf("%s: %q: %v", query, b, err)
	}
	return res.StatusCode, m
}

func query(h magnet.InfoHash, id string, port int, more string) string {
	return fmt.Sprintf("info_hash=%s&peer_id=%s&port=%d&uploaded=0&downloaded=0&left=5&compact=1%s", url.QueryEscape(string(h[:])), (id + strings.Repeat("x", 20))[:20], port, more)
}

var trustAll = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

const forwarded = "X-Forwarded-For"

func TestAnnounceOverHTTP(t *testing.T) {
	h := hash("film")
	seeder := &fakeSeeder{port: 6889}
	w := start(t, plain, Config{Serves: serving(h), TrustedProxies: trustAll, PublicAddresses: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")}}, seeder)
	const podV4, podV6 = "\xc6\x33\x64\x01\x1a\xe9", "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe9"

	status, m := w.ask(api.PathAnnounce, query(h, "a", 1000, "&event=started"), forwarded, "192.0.2.1")
	if status != 200 || m["complete"] != int64(1) || m["incomplete"] != int64(1) || m["interval"] != int64(120) || m["peers"] != podV4 || m["peers6"] != podV6 {
		t.Errorf("%d %q", status, m)
	}
	if len(seeder.wanted) != 1 || seeder.wanted[0] != h {
		t.Errorf("the seeder heard of %v", seeder.wanted)
	}
	_, m = w.ask(api.PathAnnounce, query(h, "b", 2000, ""), forwarded, "2001:db8::2")
	if m["peers"] != podV4+"\xc0\x00\x02\x01\x03\xe8" || m["peers6"] != podV6 || m["incomplete"] != int64(2) {
		t.Errorf("%q", m)
	}
	_, m = w.ask(api.PathAnnounce, query(h, "a", 1000, "&compact=0"), forwarded, "192.0.2.1")
	if m["incomplete"] != int64(2) { // compact is given twice: the first counts
		t.Errorf("%q", m)
	}
	_, m = w.ask(api.PathAnnounce, strings.Replace(query(h, "a", 1000, ""), "compact=1", "compact=0", 1), forwarded, "192.0.2.1")
	list, _ := m["peers"].([]any)
	if len(list) != 3 {
		t.Fatalf("%q", m)
	}
	if pod, ok := list[0].(map[string]any); !ok || pod["ip"] != "198.51.100.1" || pod["port"] != int64(6889) || pod["peer id"] != nil {
		t.Errorf("%q", list)
	}
	if b, ok := list[2].(map[string]any); !ok || b["ip"] != "2001:db8::2" || b["port"] != int64(2000) || b["peer id"] != "bxxxxxxxxxxxxxxxxxxx" {
		t.Errorf("%q", list)
	}
	// A seeder is told of leechers only, and the pod's seeder is not wanted.
	wanted := len(seeder.wanted)
	_, m = w.ask(api.PathAnnounce, strings.Replace(query(h, "s", 3000, ""), "left=5", "left=0", 1), forwarded, "192.0.2.3")
	if m["complete"] != int64(2) || len(m["peers"].(string)) != 6 || len(m["peers6"].(string)) != 18 || strings.Contains(m["peers"].(string), podV4) {
		t.Errorf("%q", m)
	}
	_, m = w.ask(api.PathAnnounce, query(h, "a", 1000, "&event=completed"), forwarded, "192.0.2.1")
	if m["complete"] != int64(3) || m["downloaded"] != int64(1) {
		t.Errorf("%q", m)
	}
	_, m = w.ask(api.PathAnnounce, query(h, "b", 2000, "&event=stopped"), forwarded, "2001:db8::2")
	if m["incomplete"] != int64(0) || m["peers"] != "" {
		t.Errorf("%q", m)
	}
	if len(seeder.wanted) != wanted {
		t.Error("the seeder was asked for those who want nothing")
	}
	// A stranger with the same peer id and port is somebody else.
	_, m = w.ask(api.PathAnnounce, query(h, "a", 1000, "&event=stopped"), forwarded, "192.0.2.99")
	if m["complete"] != int64(3) {
		t.Errorf("%q", m)
	}
	if n := w.tracker.Stats().Peers; n != 2 {
		t.Errorf("%d peers", n)
	}
}

func TestBadAnnouncesOverHTTP(t *testing.T) {
	h := hash("film")
	good := query(h, "a", 1000, "")
	w := start(t, plain, Config{Serves: serving(h)}, &fakeSeeder{port: 1})
	for _, c := range []struct {
		query  string
		status int
		reason string
	}{
		{query(hash("unknown"), "a", 1000, ""), 200, "does not have"},
		{"", 400, "info_hash"},
		{strings.Replace(good, "info_hash=", "info_hash=x", 1), 400, "info_hash"},
		{strings.Replace(good, "peer_id=", "peer_id=x", 1), 400, "peer_id"},
		{strings.Replace(good, "port=1000", "port=0", 1), 400, "port"},
		{strings.Replace(good, "port=1000", "port=65536", 1), 400, "port"},
		{strings.Replace(good, "port=1000", "", 1), 400, "port"},
		{strings.Replace(good, "left=5", "left=much", 1), 400, "left"},
		{good + "&event=exploded", 400, "event"},
		{good + "&numwant=many", 400, "numwant"},
		{good + "&x=%zz", 400, "query"},
	} {
		status, m := w.ask(api.PathAnnounce, c.query)
		if reason, _ := m["failure reason"].(string); status != c.status || !strings.Contains(reason, c.reason) {
			t.Errorf("%s: %d %q", c.query, status, m)
		}
	}
	if s := w.tracker.Stats(); s.Peers != 0 || s.Swarms != 0 || s.Refused["info_hash"] != 1 || s.Refused["message"] != 10 {
		t.Errorf("%+v", s)
	}
}

func TestScrapeOverHTTP(t *testing.T) {
	h, g := hash("film"), hash("unknown")
	w := start(t, plain, Config{Serves: serving(h)}, &fakeSeeder{})
	w.dial().announce(h, nil) // a browser
	w.ask(api.PathAnnounce, query(h, "a", 1000, ""))
	one := func(h magnet.InfoHash) string { return "info_hash=" + url.QueryEscape(string(h[:])) }
	status, m := w.ask(api.PathScrape, one(h)+"&"+one(g))
	files, _ := m["files"].(map[string]any)
	f, _ := files[string(h[:])].(map[string]any)
	if status != 200 || len(files) != 2 || f["complete"] != int64(1) || f["incomplete"] != int64(2) || f["downloaded"] != int64(0) {
		t.Errorf("%d %q", status, m)
	}
	if f, _ := files[string(g[:])].(map[string]any); f["complete"] != int64(0) || f["incomplete"] != int64(0) {
		t.Errorf("%q", m)
	}
	for _, bad := range []string{"", "info_hash=short"} {
		if status, m := w.ask(api.PathScrape, bad); status != 400 || m["failure reason"] == nil {
			t.Errorf("%q: %d %q", bad, status, m)
		}
	}
}

func TestLimitsOverHTTP(t *testing.T) {
	h := hash("film")
	w := start(t, plain, Config{Serves: serving(h), MessagesPerSecond: 1, TrustedProxies: trustAll, Limits: Limits{PortsPerSwarm: 2, Peers: 3}}, nil)
	for port := range 5 {
		w.ask(api.PathAnnounce, query(h, "a", 1000+port, ""), forwarded, "192.0.2.1")
	}
	if n := w.tracker.Stats().Peers; n != 2 {
		t.Errorf("one address has %d places in a swarm", n)
	}
	for i := range 6 {
		w.ask(api.PathAnnounce, query(h, "a", 1000, ""), forwarded, fmt.Sprint("192.0.2.", 10+i))
	}
	for want, n := range map[string]int{"": 3, "&numwant=2": 2, "&numwant=0": 0, "&numwant=1000": 3, "&numwant=-1": 3} {
		if _, m := w.ask(api.PathAnnounce, query(h, "a", 1000, want), forwarded, "192.0.2.100"); len(m["peers"].(string)) != 6*n {
			t.Errorf("numwant %q: %d addresses", want, len(m["peers"].(string))/6)
		}
	}
	status := 0
	for range 20 {
		var m map[string]any
		if status, m = w.ask(api.PathScrape, "info_hash="+url.QueryEscape(string(h[:])), forwarded, "192.0.2.200"); status == 429 {
			if m["failure reason"] == nil {
				t.Errorf("%q", m)
			}
			break
		}
	}
	if status != 429 {
		t.Error("one address may scrape without end")
	}
	if status, _ := w.ask(api.PathAnnounce, query(h, "a", 1000, ""), forwarded, "192.0.2.200"); status != 429 {
		t.Errorf("announce: %d", status)
	}
}

func TestNativePeersExpire(t *testing.T) {
	h := hash("film")
	w := start(t, plain, Config{Serves: serving(h), Interval: 50 * time.Millisecond, Limits: Limits{Ping: 600 * time.Millisecond}}, nil)
	w.ask(api.PathAnnounce, query(h, "a", 1000, ""))
	until(t, "the peer expires", func() bool { return w.tracker.Stats().Peers == 0 })
	if n := w.tracker.Stats().Swarms; n != 0 {
		t.Errorf("%d swarms", n)
	}
}

// The address of a pod that has none in its configuration is the one that it was
// asked at, unless that is its proxy's.
func TestOwnAddress(t *testing.T) {
	h := hash("film")
	w := start(t, plain, Config{Serves: serving(h), TrustedProxies: trustAll}, &fakeSeeder{port: 6889})
	if _, m := w.ask(api.PathAnnounce, query(h, "a", 1000, "")); m["peers"] != "\x7f\x00\x00\x01\x1a\xe9" {
		t.Errorf("%q", m)
	}
	if _, m := w.ask(api.PathAnnounce, query(h, "a", 1000, ""), forwarded, "192.0.2.1"); strings.Contains(m["peers"].(string), "\x1a\xe9") {
		t.Errorf("%q", m)
	}
}

func TestClientOfAnacrolix(t *testing.T) {
	h := hash("film \x00 with \xff all + bytes")
	w := start(t, plain, Config{Serves: serving(h)}, &fakeSeeder{port: 6889})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := anacrolix.Announce{
		Context: ctx, TrackerUrl: "http://" + w.addr + api.PathAnnounce,
		Request: anacrolix.AnnounceRequest{InfoHash: infohash.T(h), PeerId: [20]byte{0, '+', ' ', 255}, Port: 1000, Left: 5, NumWant: -1, Event: anacrolix.Started},
	}.Do()
	if err != nil || res.Seeders != 1 || res.Leechers != 1 || res.Interval != 120 || len(res.Peers) != 1 || res.Peers[0].Port != 6889 || res.Peers[0].IP.String() != "127.0.0.1" {
		t.Errorf("%+v, %v", res, err)
	}
	u, err := url.Parse("http://" + w.addr + api.PathAnnounce)
	if err != nil {
		t.Fatal(err)
	}
	c := trackerhttp.NewClient(u, trackerhttp.NewClientOpts{})
	defer c.Close()
	scraped, err := c.Scrape(ctx, []infohash.T{infohash.T(h)})
	if err != nil || len(scraped) != 1 || scraped[0].Seeders != 1 || scraped[0].Leechers != 1 {
		t.Errorf("%+v, %v", scraped, err)
	}
}

func FuzzParseNative(f *testing.F) {
	h := hash("film")
	from := netip.MustParseAddr("192.0.2.1")
	f.Add(query(h, "a", 1000, "&event=started&numwant=5"))
	f.Add("info_hash=%ff&&&=;%")
	f.Fuzz(func(t *testing.T, q string) {
		n, err := parseNative(q, from)
		if err == nil {
			if n.addr.Addr() != from || n.addr.Port() == 0 || n.want < 0 || n.completed && (!n.seeder || n.stopped) {
				t.Fatalf("%q: %+v", q, n)
			}
			again := fmt.Sprintf("info_hash=%s&peer_id=%s&port=%d&numwant=%d", url.QueryEscape(string(n.hash[:])), url.QueryEscape(string(n.id[:])), n.addr.Port(), n.want)
			if m, err := parseNative(again, from); err != nil || m.hash != n.hash || m.id != n.id || m.addr != n.addr || m.want != n.want {
				t.Fatalf("%q: %+v, then %+v, %v", q, n, m, err)
			}
		}
		if hashes, err := parseScrape(q, 3); err == nil && (len(hashes) == 0 || len(hashes) > 3) {
			t.Fatalf("%q: %d info hashes", q, len(hashes))
		}
	})
}
