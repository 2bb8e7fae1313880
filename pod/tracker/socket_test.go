package tracker

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"kinopod/shared/announce"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
)

// everyPath runs a test over each path.
func everyPath(t *testing.T, test func(t *testing.T, p path)) {
	for _, p := range paths(t) {
		t.Run(p.name, func(t *testing.T) { test(t, p) })
	}
}

func TestPeersAreIntroduced(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h)}, nil)
		a, b, c := w.dial(), w.dial(), w.dial()
		a.announce(h, offers(3))
		c.announce(hash("film"), seeding)
		if r := b.announce(h, offers(1)); r.Complete != 1 || r.Incomplete != 2 || r.Interval != 120 || r.PeerID != nil {
			t.Errorf("response %+v", r)
		}
		taker, other := a, c // the offer went to one of the two
		a.barrier(func(announce.Received) bool { return false }, "")
		if len(a.got) == 0 {
			taker, other = c, a
		}
		m := taker.offer()
		if *m.PeerID != announce.ID(b.id) || m.InfoHash != announce.ID(h) || m.Offer.SDP != "v=0 offer" || m.Offer.Type != "offer" {
			t.Errorf("offer %+v", m)
		}
		other.barrier(isOffer, "an offer went to two peers")
		taker.send(taker.reply(m))
		answer := b.answer()
		if *answer.PeerID != announce.ID(taker.id) || *answer.OfferID != *m.OfferID || answer.InfoHash != announce.ID(h) || answer.Answer.SDP != "v=0 answer" {
			t.Errorf("answer %+v", answer)
		}
		taker.send(taker.reply(m)) // once is enough
		taker.barrier(isFailure, "a failure for a late answer")
		b.barrier(isAnswer, "an answer twice")

		a.announce(h, event(announce.Stopped))
		if r := b.announce(h, event(announce.Completed)); r.Complete != 2 || r.Incomplete != 0 {
			t.Errorf("after stopped and completed: %+v", r)
		}
		c.nc.Close()
		until(t, "the closed connection leaves", func() bool { r := b.announce(h, seeding); return r.Complete == 1 })
	})
}

func TestAnswersThatNobodyAskedFor(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h, g := hash("film"), hash("other film")
		w := start(t, p, Config{Serves: serving(h, g), Limits: Limits{Answer: 100 * time.Millisecond}}, nil)
		a, b, stranger := w.dial(), w.dial(), w.dial()
		a.announce(h, nil)
		a.announce(g, nil)
		stranger.announce(h, event(announce.Started))
		stranger.announce(h, event(announce.Stopped))
		b.announce(h, offers(1))
		m := a.offer()
		for name, forge := range map[string]func(*announce.Answer){
			"another offer":        func(r *announce.Answer) { r.OfferID[0]++ },
			"another torrent":      func(r *announce.Answer) { r.InfoHash = g },
			"another peer":         func(r *announce.Answer) { r.ToPeerID[0]++ },
			"under a foreign name": func(r *announce.Answer) { r.PeerID = stranger.id },
		} {
			r := a.reply(m)
			forge(&r)
			a.send(r)
			a.barrier(isFailure, "a failure")
			b.barrier(isAnswer, "an answer to "+name)
		}
		r := a.reply(m)
		r.PeerID = stranger.id
		stranger.send(r)
		stranger.barrier(isFailure, "a failure")
		b.barrier(isAnswer, "an answer of one who was not asked")

		time.Sleep(150 * time.Millisecond)
		a.send(a.reply(m))
		a.barrier(isFailure, "a failure")
		b.barrier(isAnswer, "an answer after its time")
		if n := w.tracker.Stats().Refused["answer"]; n != 6 {
			t.Errorf("%d answers refused", n)
		}
	})
}

func TestSeedersAreNotIntroducedToSeeders(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h)}, nil)
		seeder, leecher, newcomer := w.dial(), w.dial(), w.dial()
		seeder.announce(h, seeding)
		leecher.announce(h, nil)
		newcomer.announce(h, func(a *announce.Announce) { offers(5)(a); seeding(a) })
		leecher.offer()
		seeder.barrier(isOffer, "an offer of a seeder for a seeder")
	})
}

func TestFailuresSayWhatFailed(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		w := start(t, p, Config{Serves: serving()}, nil)
		c := w.dial()
		h := hash("unknown")
		c.send(c.message(h, nil))
		if m := c.failure(); m.Action != announce.ActionAnnounce || m.InfoHash != announce.ID(h) {
			t.Errorf("%+v", m)
		}
		c.send([]byte(`{"action":"announce","info_hash":"short"}`))
		if m := c.failure(); m.Action != announce.ActionAnnounce || m.InfoHash != (announce.ID{}) {
			t.Errorf("%+v", m)
		}
		for range 7 {
			c.send(c.message(h, nil))
			c.failure()
		}
		c.send(c.message(h, nil)) // the tenth
		c.failure()
		if code := c.closed(); code != closePolicy {
			t.Errorf("closed with %d", code)
		}
	})
}

// A client that fails now and then, over hours, stays.
func TestFailuresAreForgottenAtThePing(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h), Limits: Limits{Failures: 3, Ping: time.Second}}, nil)
		c := w.dial()
		for range 3 {
			for range 2 {
				c.send(c.message(hash("unknown"), nil))
				c.failure()
			}
			c.pinged()
		}
		c.announce(h, nil)
	})
}

func TestOneConnectionSpeaksForOnePeerOfATorrent(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h, g := hash("film"), hash("other film")
		w := start(t, p, Config{Serves: serving(h, g)}, &fakeSeeder{})
		a, b := w.dial(), w.dial()
		a.announce(h, nil)
		a.send(a.message(h, func(m *announce.Announce) { m.PeerID[0]++ }))
		a.failure()
		a.announce(g, func(m *announce.Announce) { m.PeerID[0]++ }) // two clients in one process
		b.id = a.id
		b.send(b.message(h, nil))
		b.failure()
		b.send(b.message(h, event(announce.Stopped)))
		b.failure()
		b.id = seederID
		b.send(b.message(h, nil))
		b.failure()
		if r := a.announce(h, nil); r.Incomplete != 1 || r.Complete != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestScrape(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h, g := hash("film"), hash("other film")
		w := start(t, p, Config{Serves: serving(h, g)}, &fakeSeeder{})
		a, b := w.dial(), w.dial()
		a.announce(h, nil)
		a.announce(h, event(announce.Completed))
		b.announce(h, nil)
		scrape := func(c *client, text string) map[string]map[string]int {
			c.send([]byte(text))
			c.take("scrape", func(m announce.Received) bool { return m.Action == announce.ActionScrape })
			var m struct {
				Files map[string]map[string]int `json:"files"`
			}
			if err := json.Unmarshal(c.raw[len(c.raw)-1], &m); err != nil {
				t.Fatal(err)
			}
			return m.Files
		}
		name := func(h magnet.InfoHash) string {
			b, _ := json.Marshal(announce.ID(h))
			var s string
			json.Unmarshal(b, &s)
			return s
		}
		q := func(h magnet.InfoHash) string { return string(announce.ID(h).AppendJSON(nil)) }
		files := scrape(a, `{"action":"scrape","info_hash":[`+q(h)+`,`+q(g)+`,`+q(hash("unknown"))+`]}`)
		if f := files[name(h)]; len(files) != 3 || f["complete"] != 2 || f["incomplete"] != 1 || f["downloaded"] != 1 {
			t.Errorf("%v", files)
		}
		if f := files[name(g)]; f["complete"] != 1 || f["incomplete"] != 0 {
			t.Errorf("own torrent without viewers: %v", f)
		}
		if f := files[name(hash("unknown"))]; f["complete"] != 0 || f["incomplete"] != 0 {
			t.Errorf("unknown torrent: %v", f)
		}
		if files := scrape(b, `{"action":"scrape"}`); len(files) != 1 || files[name(h)] == nil {
			t.Errorf("own torrents: %v", files)
		}
		c := w.dial()
		c.send([]byte(`{"action":"scrape"}`))
		c.failure()
	})
}

func TestFrames(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h), Limits: Limits{Ping: 6 * time.Second}}, nil)
		t.Run("fragments with a ping between", func(t *testing.T) {
			c := w.dial()
			b, _ := json.Marshal(c.message(h, nil))
			text := ws.NewFrame(ws.OpText, false, b[:10])
			ping := ws.NewPingFrame([]byte("still there?"))
			middle := ws.NewFrame(ws.OpContinuation, false, b[10:20])
			last := ws.NewFrame(ws.OpContinuation, true, b[20:])
			for _, f := range []ws.Frame{text, ping, middle, last} {
				ws.WriteFrame(c.nc, ws.MaskFrame(f))
			}
			if f, err := readFrame(c.rd); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "still there?" {
				t.Errorf("%v %q %v", f.Header, f.Payload, err)
			}
			c.response(h)
		})
		t.Run("byte by byte", func(t *testing.T) {
			c := w.dial()
			b, _ := json.Marshal(c.message(h, nil))
			for _, b := range ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(b))) {
				c.nc.Write([]byte{b})
			}
			c.response(h)
		})
		t.Run("many at once", func(t *testing.T) {
			c := w.dial()
			b, _ := json.Marshal(c.message(h, nil))
			c.nc.Write(bytes.Repeat(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(b))), 20))
			for range 20 {
				c.response(h)
			}
		})
		compile := func(f ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrame(f)) }
		reserved := ws.NewTextFrame([]byte("{}"))
		reserved.Header.Rsv = ws.Rsv(true, false, false)
		for name, c := range map[string]struct {
			bytes []byte
			code  ws.StatusCode
		}{
			"no mask":             {ws.MustCompileFrame(ws.NewTextFrame([]byte("{}"))), closeProtocol},
			"reserved bit":        {compile(reserved), closeProtocol},
			"reserved opcode":     {compile(ws.NewFrame(3, true, nil)), closeProtocol},
			"reserved control":    {compile(ws.NewFrame(11, true, nil)), closeProtocol},
			"fragmented ping":     {compile(ws.NewFrame(ws.OpPing, false, nil)), closeProtocol},
			"long ping":           {compile(ws.NewPingFrame(make([]byte, 126))), closeProtocol},
			"lost continuation":   {compile(ws.NewFrame(ws.OpContinuation, true, nil)), closeProtocol},
			"interleaved":         {append(compile(ws.NewFrame(ws.OpText, false, nil)), compile(ws.NewTextFrame(nil))...), closeProtocol},
			"not UTF-8":           {compile(ws.NewTextFrame([]byte("\"\xff\""))), closeNotUTF8},
			"too long":            {compile(ws.NewTextFrame(make([]byte, announce.MaxMessage+1))), closeTooBig},
			"endless":             {[]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, closeTooBig},
			"too long in pieces":  {bytes.Repeat(append(compile(ws.NewFrame(ws.OpText, false, make([]byte, 40<<10))), compile(ws.NewFrame(ws.OpContinuation, false, make([]byte, 40<<10)))...), 1), closeTooBig},
			"close":               {compile(ws.NewCloseFrame(ws.NewCloseFrameBody(4001, "bye"))), 4001},
			"close without code":  {compile(ws.NewCloseFrame(nil)), closeNoStatus},
			"close of one byte":   {compile(ws.NewCloseFrame([]byte{3})), closeProtocol},
			"close of a bad code": {compile(ws.NewCloseFrame(ws.NewCloseFrameBody(1005, ""))), closeProtocol},
		} {
			t.Run(name, func(t *testing.T) {
				peer := w.dial()
				peer.nc.Write(c.bytes)
				code := peer.closed()
				if name == "close without code" && code == 0 || code == c.code {
					return
				}
				t.Errorf("closed with %d, want %d", code, c.code)
			})
		}
		t.Run("a binary message", func(t *testing.T) {
			c := w.dial()
			b, _ := json.Marshal(c.message(h, nil))
			ws.WriteFrame(c.nc, ws.MaskFrame(ws.NewBinaryFrame(b)))
			c.response(h)
		})
		until(t, "every connection but the good ones ends", func() bool { return w.tracker.Stats().Connections <= 4 })
	})
}

func TestHandshake(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		w := start(t, p, Config{Open: true}, nil)
		const good = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		for _, c := range []struct{ name, head, want string }{
			{"plain GET", "", "HTTP/1.1 426 "},
			{"other version", strings.Replace(good, "13", "8", 1), "HTTP/1.1 426 "},
			{"short key", strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 1), "HTTP/1.1 400 "},
			{"body", good + "Content-Length: 5\r\n", "HTTP/1.1 400 "},
			{"good", good, "HTTP/1.1 101 "},
			{"endless", strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 100), "HTTP/1.1 431 "},
		} {
			t.Run(c.name, func(t *testing.T) {
				nc := w.tcp()
				nc.SetDeadline(time.Now().Add(patience))
				io.WriteString(nc, "GET "+api.PathTrackerSocket+" HTTP/1.1\r\nHost: x\r\n"+c.head+"\r\n12345")
				var b [2000]byte
				n, err := nc.Read(b[:])
				if err != nil || !strings.HasPrefix(string(b[:n]), c.want) {
					t.Fatalf("%q, %v", b[:n], err)
				}
				if c.name == "good" && !strings.Contains(string(b[:n]), "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") { // RFC 6455, 1.3
					t.Errorf("%q", b[:n])
				}
			})
		}
		t.Run("slow", func(t *testing.T) {
			nc := w.tcp()
			began := time.Now()
			nc.SetDeadline(began.Add(patience))
			go func() {
				for _, b := range []byte("GET " + api.PathTrackerSocket + " HTTP/1.1\r\nHost: x\r\n" + good + strings.Repeat("x", 1000)) {
					if _, err := nc.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}()
			io.Copy(io.Discard, nc)
			if took := time.Since(began); took > 30*time.Second { // and a minute to say all
				t.Errorf("a slow handshake held its connection for %v", took)
			}
			nc.Close()
		})
	})
}

func TestMessageBehindTheHandshake(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h)}, nil)
		c := &client{t: t, nc: w.tcp()}
		c.rd = c.nc
		b, _ := json.Marshal(c.message(h, nil))
		frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(b)))
		c.nc.Write(append([]byte("GET "+api.PathTrackerSocket+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), frame...))
		var last [4]byte
		for one := last[3:]; string(last[:]) != "\r\n\r\n"; {
			copy(last[:], last[1:])
			if _, err := c.nc.Read(one); err != nil {
				t.Fatal(err)
			}
		}
		c.response(h)
	})
}

func TestRunEndsConnections(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		h := hash("film")
		w := start(t, p, Config{Serves: serving(h)}, nil)
		a, idle := w.dial(), w.dial()
		a.announce(h, nil)
		until(t, "both are connected", func() bool { return w.tracker.Stats().Connections == 2 })
		w.stop()
		if code := a.closed(); code != closeGoingAway {
			t.Errorf("closed with %d", code)
		}
		idle.closed()
		if s := w.tracker.Stats(); s.Connections != 0 || s.Swarms != 0 || s.Peers != 0 {
			t.Errorf("left over: %+v", s)
		}
		late, err := w.dialStatus("") // after the end a connection is not kept
		if err == nil {
			late.closed()
		}
	})
}

func TestPlainTCPNeedsNoGoroutine(t *testing.T) {
	everyPath(t, func(t *testing.T, p path) {
		w := start(t, p, Config{Open: true}, nil)
		w.dial()
		until(t, "connected", func() bool { return w.tracker.Stats().Connections == 1 })
		var isStream bool
		w.tracker.loop.do(func() {
			for _, bucket := range w.tracker.loop.buckets {
				for _, c := range bucket {
					_, isStream = c.link.(*stream)
				}
			}
		})
		if _, everywhere := w.tracker.loop.poller.(*bell); isStream != (p.stream || everywhere) {
			t.Errorf("stream %v", isStream)
		}
	})
}
