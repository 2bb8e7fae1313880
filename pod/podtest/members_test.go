package podtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/torrent"
)

func forMembers(c *config.Config) { c.Viewing = "members" }

// media are the addresses of a film, as somebody is given them.
type media struct{ stream, torrent, socket, announce string }

func mediaOf(t *testing.T, v api.Video) media {
	t.Helper()
	m, err := magnet.Parse(v.Magnet)
	if err != nil || len(m.Trackers) != 2 || len(m.WebSeeds) != 1 || len(m.Sources) != 1 || m.WebSeeds[0] != v.StreamURL || m.Sources[0] != v.TorrentURL {
		t.Fatalf("%s: %v", v.Magnet, err)
	}
	return media{v.StreamURL, v.TorrentURL, m.Trackers[1], m.Trackers[0]}
}

// come tries each way to the film without a session and says which let one in.
func (m media) come(t *testing.T, v api.Video) (in []string) {
	t.Helper()
	get := func(method, address string, headers ...string) Answer {
		a, err := (&Client{}).ask(t.Context(), method, address, nil, headers...)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, a := range map[string]Answer{
		"stream": get(http.MethodGet, m.stream), "range": get(http.MethodGet, m.stream, "Range: bytes=1-2"), "head": get(http.MethodHead, m.stream),
		"not modified": get(http.MethodGet, m.stream, `If-None-Match: "`+v.Renditions[0].InfoHash.String()+`"`), "torrent": get(http.MethodGet, m.torrent),
	} {
		switch {
		case a.StatusCode < 400:
			in = append(in, name)
		case a.StatusCode != http.StatusUnauthorized || name != "head" && !strings.Contains(a.Text, "Log in"):
			t.Errorf("%s: %s %s", name, a.Status, a.Text)
		}
	}
	h := v.Renditions[0].InfoHash
	sep := "?"
	if strings.Contains(m.announce, "?") {
		sep = "&"
	}
	peer := "info_hash=" + url.QueryEscape(string(h[:])) + "&peer_id=" + strings.Repeat("a", 20) + "&port=6881&left=1"
	if a := get(http.MethodGet, m.announce+sep+peer); !strings.Contains(a.Text, "failure reason") {
		in = append(in, "announce")
	}
	if a := get(http.MethodGet, strings.Replace(m.announce, api.PathAnnounce, api.PathScrape, 1)+sep+peer); !strings.Contains(a.Text, "8:completei0e") {
		in = append(in, "scrape")
	}
	if a := announceBySocket(t, m.socket, h); !strings.Contains(a, "failure reason") {
		in = append(in, "socket")
	}
	offer := strings.Replace(strings.Replace(m.socket, "ws", "http", 1), api.PathTrackerSocket, api.PathOffer, 1)
	a, err := (&Client{}).ask(t.Context(), http.MethodPost, offer, strings.NewReader(fmt.Sprintf(`{"infoHash":%q,"peerId":%q,"sdp":"v=0"}`, h, strings.Repeat("ab", 20))))
	if err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != http.StatusUnauthorized { // the seeder looks at the offer, which is none
		in = append(in, "offer")
	}
	return in
}

func announceBySocket(t *testing.T, address string, h magnet.InfoHash) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	c, _, _, err := ws.Dial(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hash := make([]rune, 0, 20)
	for _, b := range h {
		hash = append(hash, rune(b))
	}
	message := fmt.Sprintf(`{"action":"announce","info_hash":%s,"peer_id":"bbbbbbbbbbbbbbbbbbbb","left":1,"numwant":0,"offers":[],"event":"started"}`, quoted(string(hash)))
	if err := wsutil.WriteClientText(c, []byte(message)); err != nil {
		t.Fatal(err)
	}
	b, err := wsutil.ReadServerText(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	b.WriteByte('"')
	return b.String()
}

const allWays = 9

// Members have addresses that let whatever they give them to come, for a while; strangers
// come nowhere, and see the lists all the same.
func TestMembersOnly(t *testing.T) {
	p := Start(t, forMembers)
	anna := p.User(t, "anna", api.RoleUser)
	mine, film := anna.Film(t, MP4)
	stranger := api.NewClient(p.URL, "")
	if pod, err := stranger.Pod(t.Context()); err != nil || pod.Viewing != "members" {
		t.Errorf("%+v, %v", pod, err)
	}
	theirs, err := stranger.Video(t.Context(), mine.ID)
	if err != nil || !theirs.Members || !mine.Members || theirs.Name != mine.Name {
		t.Fatalf("%+v, %v", theirs, err)
	}
	if page, err := stranger.Videos(t.Context(), api.VideosQuery{}); err != nil || len(page.Videos) != 1 {
		t.Errorf("the list for strangers: %v", err)
	}
	if in := mediaOf(t, theirs).come(t, theirs); len(in) > 0 {
		t.Errorf("a stranger comes by %v", in)
	}
	if in := mediaOf(t, mine).come(t, mine); len(in) != allWays {
		t.Errorf("a member's links let in by %v only", in)
	}
	if a := anna.Ask(t, http.MethodGet, strings.TrimPrefix(theirs.StreamURL, p.URL), nil); a.StatusCode != http.StatusOK || a.Text != string(film) {
		t.Errorf("a member without a link: %s", a.Status)
	} else if c := a.Header.Get("Cache-Control"); !strings.Contains(c, "private") {
		t.Errorf("it may be kept by others: %q", c)
	}
	other, _ := anna.Film(t, WebM)
	crossed := strings.SplitN(other.StreamURL, "?", 2)[0] + "?" + strings.SplitN(mine.StreamURL, "?", 2)[1]
	if a := (&Client{}).Ask(t, http.MethodGet, crossed, nil); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a link to another film: %s", a.Status)
	}

	// A .torrent has the link it was asked by, and no newer one.
	res, err := http.Get(mine.TorrentURL)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if meta, err := torrent.Parse(b); err != nil || meta.InfoHash != mine.Renditions[0].InfoHash || !strings.Contains(string(b), mine.StreamURL) {
		t.Errorf("the .torrent: %v", err)
	}

	// BitTorrent clients that know the info hash have nobody to ask.
	if _, bt := p.Seeder().Ports(); bt != 0 {
		t.Error("the pod serves by TCP")
	}
	p.Restart(t)
	if in := mediaOf(t, mine).come(t, mine); len(in) != allWays {
		t.Errorf("after a restart links let in by %v only", in)
	}
	if in := mediaOf(t, theirs).come(t, theirs); len(in) > 0 {
		t.Errorf("after a restart a stranger comes by %v", in)
	}
}

// Who is logged in at a friend's is a member too.
func TestMembersOfFriends(t *testing.T) {
	a := Start(t, forMembers)
	b := Start(t, func(c *config.Config) { c.Friends = []string{string(a.Host())} })
	v, film := a.User(t, "anna", api.RoleUser).Film(t, MP4)
	bert := b.User(t, "bert", api.RoleUser)
	stranger := &Client{Client: api.NewClient(b.URL, ""), URL: b.URL}
	Eventually(t, "the friend lists it", func() bool { _, err := stranger.Video(t.Context(), v.ID); return err == nil })

	theirs, err := stranger.Video(t.Context(), v.ID)
	if err != nil || !theirs.Members {
		t.Fatalf("%+v, %v", theirs, err)
	}
	if in := mediaOf(t, theirs).come(t, theirs); len(in) > 0 {
		t.Errorf("a stranger comes by %v", in)
	}
	mine, err := bert.Video(t.Context(), v.ID)
	if err != nil || !mine.Members {
		t.Fatalf("%+v, %v", mine, err)
	}
	if in := mediaOf(t, mine).come(t, mine); len(in) > 0 { // anybody can present a pod
		t.Errorf("a member of a pod that nobody asked comes by %v", in)
	}
	if err := a.User(t, "admin", api.RoleAdmin).JoinPods(t.Context(), api.PodsToJoin{Hosts: []network.Host{b.Host()}}); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "its word counts", func() bool {
		mine, err = bert.Video(t.Context(), v.ID)
		return err == nil && strings.Contains(mine.StreamURL, api.PassSignature)
	})
	if in := mediaOf(t, mine).come(t, mine); len(in) != allWays {
		t.Errorf("a friend's member comes by %v only", in)
	}
	// The own pod leads its members to the film, and nobody else.
	path := api.StreamPath(v.Renditions[0].InfoHash, v.Renditions[0].FileName)
	if got := bert.Ask(t, http.MethodGet, path, nil); got.StatusCode != http.StatusOK || got.Text != string(film) {
		t.Errorf("through the own pod: %s", got.Status)
	}
	for _, path := range []string{path, api.TorrentPath(v.ID)} {
		if got := stranger.Ask(t, http.MethodGet, path, nil); got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.Text, "Log in") {
			t.Errorf("%s for a stranger: %s %s", path, got.Status, got.Text)
		}
	}
	if got := bert.Ask(t, http.MethodGet, api.TorrentPath(v.ID), nil); got.StatusCode != http.StatusOK || !strings.Contains(got.Text, api.PassSignature) {
		t.Errorf("the .torrent: %s", got.Status)
	}
	// Nobody is introduced at the friend's tracker, which cannot tell who may.
	if got := announceBySocket(t, "ws"+strings.TrimPrefix(b.URL, "http")+api.PathTrackerSocket, v.Renditions[0].InfoHash); !strings.Contains(got, "failure reason") {
		t.Errorf("the friend's tracker: %s", got)
	}
	// After a restart, with the origin away, it still knows.
	a.Stop(t)
	b.Restart(t)
	if again, err := api.NewClient(b.URL, "").Video(t.Context(), v.ID); err != nil || !again.Members {
		t.Errorf("%+v, %v", again, err)
	}
	if got := announceBySocket(t, "ws"+strings.TrimPrefix(b.URL, "http")+api.PathTrackerSocket, v.Renditions[0].InfoHash); !strings.Contains(got, "failure reason") {
		t.Errorf("the friend's tracker after a restart: %s", got)
	}
}
