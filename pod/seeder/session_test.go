package seeder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"kinopod/shared/wire"
)

func TestOpening(t *testing.T) {
	for _, fast := range []bool{true, false} {
		bubble(t, func(t *testing.T, b *book) {
			k := startTalk(t, b, nil)
			defer k.finish()
			synctest.Wait()
			// In a message of its own: webtorrent.js loses what comes with it.
			if first := k.taken(); len(first) != 1 || len(first[0]) != wire.HandshakeLength {
				t.Fatalf("% x", first)
			} else {
				_ = k.in.Feed(first[0], func(h wire.Handshake) error { k.hello = &h; return nil }, nil)
			}
			if k.hello.InfoHash != b.torrent.InfoHash || k.hello.PeerID != (wire.PeerID{1}) || !k.hello.Fast || !k.hello.Extension {
				t.Errorf("%+v", k.hello)
			}
			k.handshake(fast)
			synctest.Wait()
			ms := k.messages()
			want := []wire.Kind{wire.Extended, wire.HaveAll}
			if !fast {
				want[1] = wire.Bitfield
			}
			if !slices.Equal(kinds(ms), want) {
				t.Fatalf("%v", kinds(ms))
			}
			h, err := wire.ParseExtensionHandshake(ms[0].Data)
			if err != nil || h.RequestQueue != 256 || h.MetadataSize != int64(len(b.torrent.Info)) || h.Extensions[wire.Metadata] != wire.MetadataID {
				t.Errorf("%+v, %v", h, err)
			}
			if !fast {
				if bits, err := wire.ParseBits(ms[1].Data, b.torrent.Pieces()); err != nil || bits.Count() != b.torrent.Pieces() {
					t.Errorf("%v, %v", bits, err)
				}
			}
			k.send(wire.Message{Kind: wire.Interested})
			k.send(wire.Message{Kind: wire.Interested})
			synctest.Wait()
			if ms := k.messages(); !slices.Equal(kinds(ms), []wire.Kind{wire.Unchoke}) {
				t.Errorf("%v", kinds(ms))
			}
		})
	}
}

func TestBlocks(t *testing.T) {
	bubble(t, func(t *testing.T, b *book) {
		k := startTalk(t, b, nil)
		defer k.finish()
		k.ready(true)
		k.send(request(2, 16384, 16384))
		k.send(request(3, 90, 10))
		synctest.Wait()
		ms := k.messages()
		if len(ms) != 2 || !bytes.Equal(ms[0].Data, b.data[2*65536+16384:2*65536+32768]) || !bytes.Equal(ms[1].Data, b.data[3*65536+90:]) {
			t.Fatalf("%v", kinds(ms))
		}
		if k.sent.Load() != 16394 {
			t.Errorf("%d bytes counted", k.sent.Load())
		}
	})
}

func TestInfoDictionary(t *testing.T) {
	bubble(t, func(t *testing.T, b *book) {
		k := startTalk(t, b, nil)
		defer k.finish()
		k.ready(true)
		k.send(wire.ExtensionHandshake{Extensions: map[string]int{wire.Metadata: 7}}.Message())
		k.send(wire.MetadataMessage{Kind: wire.MetadataRequest, Piece: 0}.Message(wire.MetadataID))
		k.send(wire.MetadataMessage{Kind: wire.MetadataRequest, Piece: 1}.Message(wire.MetadataID))
		synctest.Wait()
		var info, rejected bool
		for _, m := range k.messages() {
			meta, err := wire.ParseMetadata(m.Data)
			if err != nil || m.Index != 7 {
				t.Fatalf("%+v, %v", m, err)
			}
			info = info || meta.Kind == wire.MetadataData && bytes.Equal(meta.Data, b.torrent.Info)
			rejected = rejected || meta.Kind == wire.MetadataReject && meta.Piece == 1
		}
		if !info || !rejected {
			t.Errorf("info %v, rejected %v", info, rejected)
		}
	})
}

// Whoever breaks the protocol is disconnected.
func TestMisbehaviour(t *testing.T) {
	meta := wire.MetadataMessage{Kind: wire.MetadataRequest}.Message(wire.MetadataID)
	for what, do := range map[string]func(k *talk){
		"another info hash": func(k *talk) { k.say(wire.Handshake{PeerID: wire.PeerID{2}}.Append(nil)) },
		"our own peer id": func(k *talk) {
			k.say(wire.Handshake{InfoHash: k.book.torrent.InfoHash, PeerID: wire.PeerID{1}}.Append(nil))
		},
		"not BitTorrent":             func(k *talk) { k.say([]byte("GET / HTTP/1.1\r\n\r\n")) },
		"piece that there is not":    func(k *talk) { k.ready(true); k.send(request(4, 0, 100)) },
		"highest piece":              func(k *talk) { k.ready(true); k.send(request(1<<32-1, 0, 100)) },
		"begin past the piece":       func(k *talk) { k.ready(true); k.send(request(0, 1<<16, 1)) },
		"highest begin":              func(k *talk) { k.ready(true); k.send(request(0, 1<<32-1, 16384)) },
		"end past the last piece":    func(k *talk) { k.ready(true); k.send(request(3, 0, 101)) },
		"nothing asked for":          func(k *talk) { k.ready(true); k.send(request(0, 0, 0)) },
		"block over 16 KiB":          func(k *talk) { k.ready(true); k.send(request(0, 0, 16385)) },
		"unasked block":              func(k *talk) { k.ready(true); k.send(wire.Message{Kind: wire.Piece, Data: []byte("x")}) },
		"bitfield of another length": func(k *talk) { k.ready(true); k.send(wire.Message{Kind: wire.Bitfield, Data: []byte{0, 0}}) },
		"have past the end":          func(k *talk) { k.ready(true); k.send(wire.Message{Kind: wire.Have, Index: 4}) },
		"message over 65 KiB":        func(k *talk) { k.ready(true); k.say([]byte{0, 1, 4, 1, 20}) },
		"channel message over 8 KiB": func(k *talk) {
			k.ready(true)
			k.say(make([]byte, peerMessage+1))
		},
		"extension not offered": func(k *talk) {
			k.say(wire.Handshake{InfoHash: k.book.torrent.InfoHash, PeerID: wire.PeerID{2}}.Append(nil))
			k.send(meta)
		},
		"garbage for an extension handshake": func(k *talk) {
			k.ready(true)
			k.send(wire.Message{Kind: wire.Extended, Data: []byte("garbage")})
		},
		"garbage for ut_metadata": func(k *talk) {
			k.ready(true)
			k.send(wire.Message{Kind: wire.Extended, Index: wire.MetadataID, Data: []byte("garbage")})
		},
		"the info dictionary again and again": func(k *talk) {
			k.ready(true)
			k.takeAll()
			k.send(wire.ExtensionHandshake{Extensions: map[string]int{wire.Metadata: 7}}.Message())
			for k.send(meta) {
			}
		},
		"requests without end and without the fast extension": func(k *talk) {
			k.ready(false)
			for range 10_000 {
				if !k.send(request(0, 0, 16384)) {
					return
				}
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *book) {
				k := startTalk(t, b, nil)
				defer k.finish()
				do(k)
				if err := k.end(); !errors.Is(err, errProtocol) && !errors.Is(err, wire.ErrProtocol) && !errors.Is(err, io.ErrShortBuffer) {
					t.Errorf("ended by %v", err)
				}
			})
		})
	}
}

// A peer that asks 10,000 times gets an answer to each, at its pace, and costs at
// most 1 MiB.
func TestTenThousandRequests(t *testing.T) {
	const asked = 10_000
	bubble(t, func(t *testing.T, b *book) {
		k := startTalk(t, b, nil)
		defer k.finish()
		k.ready(true)
		go func() {
			for range asked / 100 {
				var many []byte
				for range 100 {
					many = request(1, 0, 16384).Append(many)
				}
				if !k.say(many) {
					return
				}
			}
		}()
		var blocks, rejects int
		for range 10_000 {
			synctest.Wait()
			for _, m := range k.messages() {
				switch m.Kind {
				case wire.Piece:
					blocks++
				case wire.Reject:
					rejects++
				}
			}
			if n := k.s.waiting(); n > 256 {
				t.Fatalf("%d requests wait", n)
			}
			if blocks+rejects == asked {
				break
			}
			k.drain(64 << 10)
			time.Sleep(10 * time.Millisecond)
		}
		if blocks+rejects != asked || blocks < 256 {
			t.Errorf("%d blocks and %d rejects for %d requests", blocks, rejects, asked)
		}
		if k.peak > 1<<20 {
			t.Errorf("%d bytes buffered", k.peak)
		}
	})
}

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T, b *book) {
		k := startTalk(t, b, nil)
		defer k.finish()
		k.ready(true)
		for i := range uint32(12) { // more than the first window
			k.send(request(i/4, i%4*16384, 16384))
		}
		synctest.Wait()
		first := len(k.messages())
		k.send(wire.Message{Kind: wire.Cancel, Index: 2, Begin: 3 * 16384, Length: 16384})
		k.send(wire.Message{Kind: wire.Cancel, Index: 0, Begin: 0, Length: 16384}) // went out long ago
		synctest.Wait()
		if ms := k.messages(); !slices.Equal(kinds(ms), []wire.Kind{wire.Reject}) || ms[0].Index != 2 {
			t.Fatalf("%v", ms)
		}
		k.drain(1 << 20)
		synctest.Wait()
		if ms := k.messages(); first+len(ms) != 11 {
			t.Errorf("%d blocks", first+len(ms))
		}
	})
}

func TestRequestWhileChoked(t *testing.T) {
	bubble(t, func(t *testing.T, b *book) {
		k := startTalk(t, b, nil)
		defer k.finish()
		k.handshake(true)
		synctest.Wait()
		k.messages()
		k.send(request(0, 0, 16384))
		synctest.Wait()
		if ms := k.messages(); !slices.Equal(kinds(ms), []wire.Kind{wire.Reject}) {
			t.Errorf("%v", kinds(ms))
		}
	})
}

// check ends a session for each way of holding a seat for nothing.
func TestTimeLimits(t *testing.T) {
	for _, c := range []struct {
		what  string
		do    func(k *talk)
		after time.Duration
		want  error
	}{
		{"no handshake", func(*talk) {}, handshakeWithin, errNoHandshake},
		{"silence", func(k *talk) { k.ready(true) }, silentFor, errSilent},
		{"no use", func(k *talk) {
			k.ready(true)
			for range 12 {
				time.Sleep(time.Minute)
				k.drain(1 << 20)
				k.send(wire.Message{Kind: wire.KeepAlive})
				if err := k.s.check(time.Now()); err != nil {
					k.stop()
					if !errors.Is(err, errUseless) || time.Since(k.s.born) <= uselessFor {
						k.t.Errorf("%v after %v", err, time.Since(k.s.born))
					}
					return
				}
			}
			k.t.Error("a peer without use stays")
		}, 0, nil},
		{"takes nothing", func(k *talk) {
			k.ready(true)
			k.send(request(0, 0, 16384))
			synctest.Wait()
			if err := k.s.check(time.Now()); err != nil {
				k.t.Error(err)
			}
		}, stalledFor, errStalled},
	} {
		t.Run(c.what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *book) {
				k := startTalk(t, b, nil)
				defer k.finish()
				synctest.Wait()
				if c.do(k); c.want == nil {
					return
				}
				synctest.Wait()
				if err := k.s.check(time.Now()); err != nil {
					t.Errorf("at once: %v", err)
				}
				time.Sleep(c.after)
				if err := k.s.check(time.Now()); err != nil {
					t.Errorf("at the limit: %v", err)
				}
				time.Sleep(time.Second)
				if err := k.s.check(time.Now()); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestKeepAlive(t *testing.T) {
	bubble(t, func(t *testing.T, b *book) {
		k := startTalk(t, b, nil)
		defer k.finish()
		k.ready(true)
		time.Sleep(keepAliveAfter + time.Second)
		for range 2 { // one is enough
			if err := k.s.check(time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if ms := k.messages(); !slices.Equal(kinds(ms), []wire.Kind{wire.KeepAlive}) {
			t.Errorf("%v", kinds(ms))
		}
	})
}

// Two peers, 100 kB/s each and 150 kB/s in all.
func TestBudgets(t *testing.T) {
	for _, stream := range []bool{false, true} {
		budgets(t, stream)
	}
}

func budgets(t *testing.T, stream bool) {
	t.Helper()
	bubble(t, func(t *testing.T, b *book) {
		all := newLimiter(150_000)
		var talks []*talk
		for range 2 {
			k := startTalk(t, b, func(c *sessionConfig) {
				c.pace, c.stream = []*rate.Limiter{newLimiter(100_000), all}, stream
				c.buffers = &blockBuffers{size: longestRun}
			})
			defer k.finish()
			k.ready(true)
			k.takeAll()
			talks = append(talks, k)
		}
		run := func(seconds int, of ...*talk) (bytes int64) {
			for _, k := range of {
				bytes -= k.sent.Load()
			}
			for range seconds {
				for _, k := range of {
					for i := range uint32(12) {
						k.send(request(i/4, i%4*16384, 16384))
					}
				}
				time.Sleep(time.Second)
			}
			for _, k := range of {
				bytes += k.sent.Load()
			}
			return bytes / int64(seconds)
		}
		run(5, talks...)  // what the budgets had saved
		run(15, talks[0]) // and what the other one had asked for
		holds(t, "one peer", run(60, talks[0]), 100_000)
		run(5, talks...)
		holds(t, "two", run(60, talks...), 150_000)
	})
}

// holds checks that a budget is kept to, within 5 % and used to as much.
func holds(t testing.TB, who string, got, budget int64) {
	t.Helper()
	if 100*got < 95*budget || 100*got > 105*budget {
		t.Errorf("%s: %d bytes/s, the budget is %d", who, got, budget)
	}
}

// What is buffered follows what the peer takes: a viewer on a thin line who seeks
// does not wait for a megabyte of what he does not want any more.
func TestBufferFollowsTheLine(t *testing.T) {
	for _, c := range []struct{ perSecond, atLeast, atMost int }{
		{100_000, 100 << 10, 150 << 10},
		{500_000, 250 << 10, 400 << 10},
		{20_000_000, 900 << 10, 1 << 20},
	} {
		bubble(t, func(t *testing.T, b *book) {
			k := startTalk(t, b, nil)
			defer k.finish()
			k.ready(true)
			go func() {
				for k.send(request(0, 0, 16384)) {
					for k.s.waiting() > 200 {
						time.Sleep(time.Millisecond)
					}
				}
			}()
			for range 20_000 {
				time.Sleep(time.Millisecond)
				k.drain(c.perSecond / 1000)
			}
			k.mu.Lock()
			k.peak = 0
			k.mu.Unlock()
			for range 2_000 {
				time.Sleep(time.Millisecond)
				k.drain(c.perSecond / 1000)
			}
			k.mu.Lock()
			peak := int(k.peak)
			k.mu.Unlock()
			if peak < c.atLeast || peak > c.atMost {
				t.Errorf("at %d bytes/s %d are buffered, want %d to %d", c.perSecond, peak, c.atLeast, c.atMost)
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T, b *book) {
		k := startTalk(t, b, func(c *sessionConfig) { c.file = bytes.NewReader(b.data[:100]) })
		defer k.finish()
		k.ready(true)
		k.send(request(1, 0, 16384))
		if err := k.end(); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		if ms := k.messages(); len(ms) != 0 {
			t.Errorf("%v", kinds(ms))
		}
	})
}

// Whatever a peer sends, the session ends when it should, holds what it may hold
// and writes nothing but the protocol with the file's own bytes.
func FuzzSession(f *testing.F) {
	b := newBook(f, 3*64<<10+100)
	hello := wire.Handshake{InfoHash: b.torrent.InfoHash, PeerID: wire.PeerID{2}, Extension: true, Fast: true}.Append(nil)
	good := wire.Message{Kind: wire.Interested}.Append(bytes.Clone(hello))
	good = wire.ExtensionHandshake{Extensions: map[string]int{wire.Metadata: 3}}.Message().Append(good)
	good = request(3, 0, 100).Append(good)
	good = wire.Message{Kind: wire.Cancel, Index: 3, Length: 100}.Append(good)
	good = wire.MetadataMessage{Kind: wire.MetadataRequest}.Message(wire.MetadataID).Append(good)
	f.Add(good, uint16(68))
	f.Add(good, uint16(1))
	f.Add(hello[:40], uint16(7))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		k := startTalk(t, b, nil)
		k.takeAll()
		size := int(cut)%peerMessage + 1
		for part := range slices.Chunk(in, size) {
			if !k.say(part) {
				break
			}
		}
		k.stop()
		<-k.ended
		for _, m := range k.messages() {
			if m.Kind != wire.Piece {
				continue
			}
			at := int(m.Index)*64<<10 + int(m.Begin)
			if !bytes.Equal(m.Data, b.data[at:at+len(m.Data)]) {
				t.Fatal("other bytes than the file's")
			}
		}
		if k.s.waiting() != 0 || k.hello == nil {
			t.Fatal(fmt.Sprint("left behind: ", k.s.waiting(), k.hello))
		}
	})
}
