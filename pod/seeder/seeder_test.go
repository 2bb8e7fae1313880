package seeder

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v3"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

func TestDownloadOverWebRTC(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 3<<20+12345)
	s := start(t, Config{}, files)
	v := mustDial(t, s, b)
	v.greet()
	if v.hello.PeerID != s.PeerID() {
		t.Errorf("the seeder calls itself %q", v.hello.PeerID)
	}
	if got := v.download(); !bytes.Equal(got, b.data) {
		t.Error("other bytes than the file's")
	}
	if st := s.Stats(); st.WebRTCBytes != int64(len(b.data)) || st.WebRTCPeers != 1 || st.Torrents != 1 {
		t.Errorf("%+v", st)
	}
}

// An answer comes without waiting for anybody.
func TestAnswerIsQuick(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{}, files)
	best := time.Hour
	for range 5 {
		v, sdp := offer(t)
		begin := time.Now()
		if _, err := s.Answer(t.Context(), b.torrent.InfoHash, v.id, local, sdp); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(begin))
	}
	t.Logf("best of 5: %v", best)
	if best > 100*time.Millisecond { // a gathering that asks somebody takes longer
		t.Errorf("the best of five answers took %v", best)
	}
}

// Offers that webtorrent.js makes name .local candidates only.
func TestOfferWithLocalNames(t *testing.T) {
	sdp := "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" +
		"a=candidate:1 1 udp 2113937151 8c6e8eb4-3c5a-4d4e-9f44-a7e5e4a0b001.local 50000 typ host generation 0\r\n" +
		"a=candidate:2 1 tcp 1518280447 10.0.0.1 9 typ host tcptype active\r\n" +
		strings.Repeat("a=candidate:3 1 udp 2113937151 10.0.0.1 50001 typ host\r\n", 20) +
		"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AA\r\na=mid:0\r\n"
	d, err := parseOffer(sdp)
	if err != nil || len(d.candidates) != maxCandidates || d.candidates[0].Address() != "10.0.0.1" {
		t.Errorf("%+v, %v", d, err)
	}
}

// A connection to one who did not make the offer does not come about.
func TestForeignCertificate(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{}, files)
	v, sdp := offer(t)
	at := strings.Index(sdp, "a=fingerprint:sha-256 ") + len("a=fingerprint:sha-256 ")
	other := "00"
	if sdp[at:at+2] == other {
		other = "01"
	}
	answer, err := s.Answer(t.Context(), b.torrent.InfoHash, v.id, local, sdp[:at]+other+sdp[at+2:])
	if err != nil {
		t.Fatal(err)
	}
	v.dc.OnOpen(func() { t.Error("the channel opens") })
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	wait(t, "the peer to be gone", func() bool { return s.Stats().WebRTCPeers == 0 })
}

// Whatever an offer says, reading it neither fails in another way than by an error nor
// takes more of it than it may.
func FuzzParseOffer(f *testing.F) {
	f.Add("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AA\r\na=mid:0\r\na=candidate:3 1 udp 2113937151 10.0.0.1 50001 typ host\r\n")
	f.Fuzz(func(t *testing.T, sdp string) {
		d, err := parseOffer(sdp)
		if err != nil {
			return
		}
		if d.ufrag == "" || d.pwd == "" || len(d.candidates) > maxCandidates || strings.ContainsAny(d.mid, "\r\n") {
			t.Errorf("%+v", d)
		}
	})
}

func TestRefusedOffers(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	short := newBook(t, 2<<20)
	short.data = short.data[:1<<20]
	files.put(short)
	s := start(t, Config{Peers: 3, PeersPerAddress: 2}, files)
	_, sdp := offer(t)
	other := netip.MustParseAddr("192.0.2.1")
	answer := func(h magnet.InfoHash, id byte, from netip.Addr, sdp string) error {
		_, err := s.Answer(t.Context(), h, wire.PeerID{id}, from, sdp)
		return err
	}
	h := b.torrent.InfoHash
	for _, c := range []struct {
		what   string
		err    error
		code   api.Code
		reason Refusal
	}{
		{"unknown torrent", answer(magnet.InfoHash{1}, 1, local, sdp), api.CodeNotFound, RefusedUnknown},
		{"file cut short", answer(short.torrent.InfoHash, 1, local, sdp), api.CodeUnavailable, RefusedUnreadable},
		{"no SDP", answer(h, 1, local, ""), api.CodeInvalid, RefusedInvalid},
		{"garbage", answer(h, 1, local, "v=0\r\nm=application garbage\r\n"), api.CodeInvalid, RefusedInvalid},
		{"no ICE", answer(h, 1, local, strings.ReplaceAll(sdp, "a=ice-", "a=no-")), api.CodeInvalid, RefusedInvalid},
		{"video", answer(h, 1, local, sdp+"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"), api.CodeInvalid, RefusedInvalid},
		{"8 KiB", answer(h, 1, local, sdp+strings.Repeat("a=x\r\n", 2000)), api.CodeInvalid, RefusedInvalid},
		{"first", answer(h, 2, local, sdp), "", ""},
		{"second", answer(h, 3, local, sdp), "", ""},
		{"third from one address", answer(h, 4, local, sdp), api.CodeRateLimited, RefusedAddress},
		{"third", answer(h, 4, netip.MustParseAddr("2001:db8::1"), sdp), "", ""},
		{"fourth", answer(h, 5, other, sdp), api.CodeUnavailable, RefusedPeers},
	} {
		if c.code == "" {
			if c.err != nil {
				t.Errorf("%s: %v", c.what, c.err)
			}
			continue
		}
		if !api.Is(c.err, c.code) {
			t.Errorf("%s: %v, want %s", c.what, c.err, c.code)
		}
		if s.Stats().Refused[c.reason] == 0 {
			t.Errorf("%s: not counted as %s", c.what, c.reason)
		}
	}
	// Nobody comes: the seats are free again after a while.
	s.sweep(time.Now().Add(connectWithin + time.Second))
	wait(t, "seats to be free", func() bool { return s.Stats().WebRTCPeers == 0 })
	if err := answer(h, 5, other, sdp); err != nil {
		t.Error(err)
	}
}

func TestHousehold(t *testing.T) {
	s := newSeats(0, 1)
	for _, c := range []struct {
		from  string
		taken bool
	}{
		{"192.0.2.1", true},
		{"192.0.2.1", false},
		{"::ffff:192.0.2.1", false},
		{"192.0.2.2", true},
		{"2001:db8:0:1::1", true},
		{"2001:db8:0:1:ffff::2", false},
		{"2001:db8:0:2::1", true},
	} {
		if err := s.take(netip.MustParseAddr(c.from)); (err == nil) != c.taken {
			t.Errorf("%s: %v", c.from, err)
		}
	}
}

// A peer that is connected is not taken twice; one that offers again before it is
// connected takes its own place.
func TestSamePeerAgain(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{PeersPerAddress: 2}, files)
	h := b.torrent.InfoHash
	v, sdp := offer(t)
	for range 5 {
		if _, err := s.Answer(t.Context(), h, v.id, local, sdp); err != nil {
			t.Fatal(err)
		}
		wait(t, "the former to be gone", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.seats.taken == 1 })
	}
	connected := mustDial(t, s, b)
	connected.greet()
	if _, err := s.Answer(t.Context(), h, connected.id, local, sdp); !api.Is(err, api.CodeConflict) {
		t.Errorf("%v", err)
	}
}

// Peers share an open file; it is closed when the last has gone and some time passed.
func TestFilesAreSharedAndClosed(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{Idle: time.Minute}, files)
	first, second := mustDial(t, s, b), mustDial(t, s, b)
	first.greet()
	second.greet()
	if opened, open := files.counts(); opened != 1 || open != 1 {
		t.Errorf("opened %d times, %d open", opened, open)
	}
	first.close()
	second.close()
	wait(t, "the peers to be gone", func() bool { return s.Stats().WebRTCPeers == 0 })
	s.sweep(time.Now().Add(30 * time.Second))
	if _, open := files.counts(); open != 1 {
		t.Error("closed before its time")
	}
	third := mustDial(t, s, b)
	s.sweep(time.Now().Add(time.Hour - time.Minute)) // closes the silent peer, not its file
	third.closed()
	wait(t, "the peer to be gone", func() bool { return s.Stats().WebRTCPeers == 0 })
	s.sweep(time.Now().Add(2 * time.Minute))
	if opened, open := files.counts(); opened != 1 || open != 0 {
		t.Errorf("opened %d times, %d open", opened, open)
	}
	if n := s.Stats().Torrents; n != 0 {
		t.Errorf("%d torrents open", n)
	}
}

func TestDrop(t *testing.T) {
	files := &shelf{}
	b, other := files.add(t, 1<<20), files.add(t, 2<<20)
	s := start(t, Config{}, files)
	v, stays := mustDial(t, s, b), mustDial(t, s, other)
	v.greet()
	stays.greet()
	files.remove(b.torrent.InfoHash)
	begin := time.Now()
	s.Drop(b.torrent.InfoHash)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if _, open := files.counts(); open != 1 {
		t.Errorf("%d files are open", open)
	}
	if st := s.Stats(); st.WebRTCPeers != 1 || st.Torrents != 1 {
		t.Errorf("%+v", st)
	}
	v.closed()
	if _, err := dial(t, s, b.torrent.InfoHash, local); !api.Is(err, api.CodeNotFound) {
		t.Errorf("%v", err)
	}
	if got := stays.download(); !bytes.Equal(got, other.data) {
		t.Error("another torrent is harmed")
	}
	s.Drop(b.torrent.InfoHash) // nothing to drop
}

// A file that is cut short while it is served is not served any more.
func TestFileCutShortWhileServed(t *testing.T) {
	files := &shelf{}
	b := newBook(t, 1<<20)
	h := files.toDisk(t, b)
	s := start(t, Config{}, files)
	v := mustDial(t, s, b)
	v.greet()
	truncate(t, files.files[h].path)
	v.send(request(0, 0, 16384).Append(nil))
	v.closed()
	wait(t, "the file to be closed", func() bool { _, open := files.counts(); return open == 0 })
	if _, err := dial(t, s, h, local); !api.Is(err, api.CodeUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestSetOff(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{}, files)
	v := mustDial(t, s, b)
	v.greet()
	s.SetOff(true)
	if n := s.Stats().WebRTCPeers; n != 0 {
		t.Errorf("%d peers are left", n)
	}
	v.closed()
	if _, err := dial(t, s, b.torrent.InfoHash, local); !api.Is(err, api.CodeUnavailable) {
		t.Errorf("%v", err)
	}
	s.SetOff(false)
	mustDial(t, s, b).greet()
}

// One data channel a peer; what breaks the protocol loses the connection.
func TestPeerIsDisconnected(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{}, files)
	for what, do := range map[string]func(v *viewer){
		"second channel": func(v *viewer) {
			if _, err := v.pc.CreateDataChannel("another", nil); err != nil {
				t.Error(err)
			}
		},
		"garbage":          func(v *viewer) { v.send([]byte("GET / HTTP/1.1\r\n\r\n")) },
		"over 8 KiB":       func(v *viewer) { v.send(make([]byte, peerMessage+1)) },
		"no handshake":     func(*viewer) { s.sweep(time.Now().Add(handshakeWithin + time.Second)) },
		"text":             func(v *viewer) { _ = v.dc.SendText("hello, is anybody there?") },
		"another infohash": func(v *viewer) { v.send(wire.Handshake{PeerID: v.id}.Append(nil)) },
	} {
		t.Run(what, func(t *testing.T) {
			v := mustDial(t, s, b)
			wait(t, "the channel to be open at the seeder", func() bool { return opened(s) == 1 })
			do(v)
			v.closed()
			wait(t, "the peer to be gone", func() bool { return s.Stats().WebRTCPeers == 0 })
		})
	}
}

// opened counts peers with a session.
func opened(s *Seeder) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		if p.open() {
			n++
		}
	}
	return n
}

func TestUnreliableChannel(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{}, files)
	zero, no := uint16(0), false
	for _, init := range []*webrtc.DataChannelInit{{MaxRetransmits: &zero}, {Ordered: &no}} {
		v, sdp := offerChannel(t, init)
		answer, err := s.Answer(t.Context(), b.torrent.InfoHash, v.id, local, sdp)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
			t.Fatal(err)
		}
		wait(t, "the peer to be gone", func() bool { return s.Stats().WebRTCPeers == 0 })
	}
}

// With 10,000 videos, of which nobody asks for any, nothing is opened.
func TestManyVideosCostNothing(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	for i := range 10_000 {
		files.put(&book{torrent: cloneWithHash(b, i)})
	}
	begin := time.Now()
	s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v to start", took)
	}
	mustDial(t, s, b).greet()
	if opened, _ := files.counts(); opened != 1 {
		t.Errorf("%d files were opened", opened)
	}
}

func TestNotRunning(t *testing.T) {
	s, err := New(Config{RTCListen: "127.0.0.1:0", BTListen: "127.0.0.1:0"}, &shelf{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, sdp := offer(t)
	if _, err := s.Answer(t.Context(), magnet.InfoHash{}, wire.PeerID{}, local, sdp); !api.Is(err, api.CodeUnavailable) {
		t.Error(err)
	}
	if _, ok := s.Wanted(magnet.InfoHash{}); ok {
		t.Error("wanted")
	}
	s.Drop(magnet.InfoHash{})
	if _, err := New(Config{RTCListen: "nonsense"}, &shelf{}); err == nil {
		t.Error("an address that is none")
	}
	rtc, bt := s.Ports()
	if rtc == 0 || bt == 0 {
		t.Errorf("ports %d and %d", rtc, bt)
	}
	if _, err := New(Config{RTCListen: netip.AddrPortFrom(local, rtc).String()}, &shelf{}); err == nil {
		t.Error("a port that is taken")
	}
}

func TestKnows(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{}, files)
	p := mustDial(t, s, b)
	if !s.Knows(b.torrent.InfoHash, p.id, local) || s.Knows(magnet.InfoHash{1}, p.id, local) || s.Knows(b.torrent.InfoHash, wire.PeerID{1}, local) {
		t.Error("the seeder knows others than it is connected to")
	}
	_ = p.pc.Close()
	wait(t, "the peer to be forgotten", func() bool { return !s.Knows(b.torrent.InfoHash, p.id, local) })
}
