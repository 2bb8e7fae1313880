package tracker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

const peerHex = "000102030405060708090a0b0c0d0e0f10111213"

func (w *world) post(body io.Reader) (int, http.Header, []byte) {
	w.t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Post("http://"+w.addr+api.PathOffer, "application/json", body)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, res.Header, b
}

func offerBody(h magnet.InfoHash, peer, sdp string) string {
	b, _ := json.Marshal(api.SeederOffer{InfoHash: h, PeerID: peer, SDP: sdp})
	return string(b)
}

func TestOfferToTheSeeder(t *testing.T) {
	h := hash("film")
	seeder := &fakeSeeder{answer: func(_ context.Context, g magnet.InfoHash, peer wire.PeerID, from netip.Addr, sdp string) (string, error) {
		switch {
		case g != h || peer[19] != 0x13 || from != netip.MustParseAddr("127.0.0.1"):
			return "", errors.New("asked wrongly")
		case sdp == "full":
			return "", &api.Error{Code: api.CodeRateLimited, Message: "Too many peers of your address are connected."}
		case sdp == "broken":
			return "", errors.New("something with an address in it")
		}
		return "answer to " + sdp, nil
	}}
	w := start(t, plain, Config{Serves: serving(h), Open: true}, seeder)
	for _, c := range []struct {
		name, body string
		status     int
		code       api.Code
	}{
		{"good", offerBody(h, peerHex, "v=0"), 200, ""},
		{"longest", offerBody(h, peerHex, strings.Repeat("\r\n", 4<<10)), 200, ""},
		{"unknown torrent", offerBody(hash("unknown"), peerHex, "v=0"), 404, api.CodeNotFound},
		{"not JSON", "v=0", 400, api.CodeInvalid},
		{"bad info hash", `{"infoHash":"00","peerId":"` + peerHex + `","sdp":"v=0"}`, 400, api.CodeInvalid},
		{"bad peer id", offerBody(h, "00", "v=0"), 400, api.CodeInvalid},
		{"no SDP", offerBody(h, peerHex, ""), 400, api.CodeInvalid},
		{"long SDP", offerBody(h, peerHex, strings.Repeat("x", 8<<10+1)), 400, api.CodeInvalid},
		{"long body", offerBody(h, peerHex, strings.Repeat("x", 100<<10)), 413, api.CodeTooLarge},
		{"seeder full", offerBody(h, peerHex, "full"), 429, api.CodeRateLimited},
		{"seeder broken", offerBody(h, peerHex, "broken"), 500, api.CodeInternal},
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(c.body)
			if chunked {
				body = io.MultiReader(body)
			}
			status, header, b := w.post(body)
			if status != c.status || header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %d %v %s", c.name, status, header, b)
				continue
			}
			var e api.Error
			var a api.SeederAnswer
			if c.code != "" {
				if json.Unmarshal(b, &e) != nil || e.Code != c.code || e.Message == "" || strings.Contains(string(b), "address in it") {
					t.Errorf("%s: %s", c.name, b)
				}
			} else if json.Unmarshal(b, &a) != nil || !strings.HasPrefix(a.SDP, "answer to ") || a.PeerID != "2d4b50303030312d7468652d7365656465722d2d" {
				t.Errorf("%s: %s", c.name, b)
			}
		}
	}
}

func TestOfferOfAForeignPage(t *testing.T) {
	w := start(t, plain, Config{}, &fakeSeeder{})
	req, _ := http.NewRequest(http.MethodOptions, "http://"+w.addr+api.PathOffer, nil)
	req.Header.Set("Origin", "https://elsewhere.example")
	req.Header.Set("Access-Control-Request-Method", "POST")
	req.Header.Set("Access-Control-Request-Headers", "content-type")
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if h := res.Header; res.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Allow-Headers") != "Content-Type" {
		t.Errorf("%d %v", res.StatusCode, h)
	}
}

func TestOffersBeyondTheSeedersPace(t *testing.T) {
	h := hash("film")
	asked := make(chan struct{}, 10)
	seeder := &fakeSeeder{answer: func(ctx context.Context, _ magnet.InfoHash, _ wire.PeerID, _ netip.Addr, _ string) (string, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	}}
	w := start(t, plain, Config{Serves: serving(h), MessagesPerSecond: 1, TrustedProxies: trustAll, Limits: Limits{SeederOffers: 1, SeederTime: 2 * time.Second}}, seeder)
	status := make(chan int, 3)
	for range 2 {
		go func() {
			s, _, _ := w.post(strings.NewReader(offerBody(h, peerHex, "v=0")))
			status <- s
		}()
	}
	<-asked
	until(t, "the second one waits", func() bool {
		n := 0
		w.tracker.loop.do(func() { n = w.tracker.loop.waiting })
		return n == 2
	})
	if s, _, b := w.post(strings.NewReader(offerBody(h, peerHex, "v=0"))); s != 503 {
		t.Errorf("the third one: %d %s", s, b)
	}
	for range 2 {
		if s := <-status; s != 503 && s != 500 {
			t.Errorf("after its time: %d", s)
		}
	}
	for n := 0; ; n++ {
		s, header, _ := w.post(strings.NewReader("{}"))
		if s == 429 {
			if header.Get("Retry-After") == "" {
				t.Error("no word of when to come again")
			}
			break
		}
		if n > 20 {
			t.Fatal("one address may offer without end")
		}
	}
}

func TestSlowOffer(t *testing.T) {
	w := start(t, plain, Config{Open: true, Limits: Limits{SeederTime: time.Second}}, &fakeSeeder{})
	for head, status := range map[string]string{
		"Content-Length: 100\r\n\r\n{":             "408", // ReadTimeout of the server
		"Transfer-Encoding: chunked\r\n\r\n5\r\n{": "400",
	} {
		nc := w.tcp()
		nc.SetDeadline(time.Now().Add(patience))
		io.WriteString(nc, "POST "+api.PathOffer+" HTTP/1.1\r\nHost: x\r\n"+head)
		if b, err := io.ReadAll(nc); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 "+status) {
			t.Errorf("%q, %v", b, err)
		}
	}
}
