package seeder

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/webrtc/v3"

	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
	"kinopod/shared/wire"
)

// viewer is a peer on pion that speaks through shared/wire, as a browser would.
type viewer struct {
	t        testing.TB
	id       wire.PeerID
	pc       *webrtc.PeerConnection
	dc       *webrtc.DataChannel
	messages chan []byte // from the seeder; closed with the channel
	in       wire.Splitter
	got      []wire.Message
	hello    wire.Handshake
	torrent  *torrent.Torrent
}

// offer makes the offer of a new viewer. It names no candidate.
func offer(t testing.TB) (*viewer, string) {
	t.Helper()
	return offerChannel(t, nil)
}

// offerChannel is offer with another kind of data channel.
func offerChannel(t testing.TB, init *webrtc.DataChannelInit) (*viewer, string) {
	t.Helper()
	var set webrtc.SettingEngine
	set.LoggerFactory = silence{}
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	set.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(set)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{t: t, pc: pc, messages: make(chan []byte, 4096)}
	t.Cleanup(v.close)
	_, _ = rand.Read(v.id[:])
	if v.dc, err = pc.CreateDataChannel("a random name", init); err != nil {
		t.Fatal(err)
	}
	v.dc.OnMessage(func(m webrtc.DataChannelMessage) { v.messages <- m.Data })
	v.dc.OnClose(func() { close(v.messages) })
	o, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(o); err != nil {
		t.Fatal(err)
	}
	return v, o.SDP
}

func (v *viewer) close() { _ = v.pc.GracefulClose() }

// dial connects a new viewer to s.
func dial(t testing.TB, s *Seeder, h magnet.InfoHash, from netip.Addr) (*viewer, error) {
	t.Helper()
	v, sdp := offer(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := s.Answer(ctx, h, v.id, from, sdp)
	if err != nil {
		return nil, err
	}
	opened := make(chan struct{})
	v.dc.OnOpen(func() { close(opened) })
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-opened:
		return v, nil
	case <-time.After(time.Minute):
		return nil, fmt.Errorf("the data channel does not open: %w", errTimeout)
	}
}

// mustDial is dial that must work.
func mustDial(t testing.TB, s *Seeder, b *book) *viewer {
	t.Helper()
	v, err := dial(t, s, b.torrent.InfoHash, local)
	if err != nil {
		t.Fatal(err)
	}
	v.torrent = b.torrent
	return v
}

func (v *viewer) send(b []byte) {
	v.t.Helper()
	if err := v.dc.Send(b); err != nil {
		v.t.Fatalf("send: %v", err)
	}
}

// greet sends the handshake and interested, and waits for unchoke.
func (v *viewer) greet() {
	v.t.Helper()
	v.send(wire.Handshake{InfoHash: v.torrent.InfoHash, PeerID: v.id, Extension: true, Fast: true}.Append(nil))
	v.send(wire.Message{Kind: wire.Interested}.Append(nil))
	for {
		if m := v.next(); m.Kind == wire.Unchoke {
			return
		}
	}
}

// next is the next message of the seeder's.
func (v *viewer) next() wire.Message {
	v.t.Helper()
	for len(v.got) == 0 {
		select {
		case b, ok := <-v.messages:
			if !ok {
				v.t.Fatal("the seeder closed the channel")
			}
			err := v.in.Feed(b, func(h wire.Handshake) error { v.hello = h; return nil }, func(m wire.Message) error {
				m.Data = bytes.Clone(m.Data)
				v.got = append(v.got, m)
				return nil
			})
			if err != nil {
				v.t.Fatal(err)
			}
		case <-time.After(time.Minute):
			v.t.Fatal("the seeder says nothing")
		}
	}
	m := v.got[0]
	v.got = v.got[1:]
	return m
}

// download fetches the whole torrent with a pipeline of requests.
func (v *viewer) download() []byte {
	v.t.Helper()
	data := make([]byte, v.torrent.Length)
	var asked, received int64
	for received < v.torrent.Length {
		for asked < v.torrent.Length && asked-received < 128*wire.MaxBlock {
			piece := asked / v.torrent.PieceLength
			begin := asked % v.torrent.PieceLength
			n := min(wire.MaxBlock, v.torrent.PieceSize(int(piece))-begin)
			v.send(wire.Message{Kind: wire.Request, Index: uint32(piece), Begin: uint32(begin), Length: uint32(n)}.Append(nil))
			asked += n
		}
		m := v.next()
		if m.Kind != wire.Piece {
			continue
		}
		received += int64(copy(data[v.torrent.Offset(int(m.Index))+int64(m.Begin):], m.Data))
	}
	return data
}

// closed waits until the seeder has closed the connection.
func (v *viewer) closed() {
	v.t.Helper()
	for end := time.After(time.Minute); ; {
		select {
		case _, ok := <-v.messages:
			if !ok {
				return
			}
		case <-end:
			v.t.Fatal("the seeder does not close the connection")
		}
	}
}
