package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/webrtc/v3"

	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/wire"
)

// viewer is a peer of a seeder in this process.
type viewer struct {
	meta *torrent.Torrent
	id   wire.PeerID
	pc   *webrtc.PeerConnection
	dc   *webrtc.DataChannel
	raw  interface {
		Read([]byte) (int, error)
		Write([]byte) (int, error)
	}
}

// errRefused is what newViewer gives where the seeder takes no more.
var errRefused = errors.New("the seeder refuses")

// newViewer connects to the seeder at base and says the handshake.
func newViewer(ctx context.Context, base string, meta *torrent.Torrent) (_ *viewer, err error) {
	var set webrtc.SettingEngine
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	set.SetIncludeLoopbackCandidate(true)
	set.SetIPFilter(net.IP.IsLoopback)
	set.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	set.SetICETimeouts(30*time.Second, 30*time.Second, 2*time.Second) // as a browser, which checks every few seconds
	set.DetachDataChannels()
	v := &viewer{meta: meta}
	_, _ = rand.Read(v.id[:])
	if v.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(set)).NewPeerConnection(webrtc.Configuration{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	if v.dc, err = v.pc.CreateDataChannel("bench", nil); err != nil {
		return nil, err
	}
	opened := make(chan struct{})
	v.dc.OnOpen(func() { close(opened) })
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	if err := v.pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	answer, err := v.offer(ctx, base, offer.SDP)
	if err != nil {
		return nil, err
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return nil, err
	}
	select {
	case <-opened:
	case <-time.After(20 * time.Second):
		return nil, errors.New("the data channel does not open")
	}
	if v.raw, err = v.dc.Detach(); err != nil {
		return nil, err
	}
	_, err = v.raw.Write(wire.Handshake{InfoHash: meta.InfoHash, PeerID: v.id, Extension: true, Fast: true}.Append(nil))
	return v, err
}

// offer sends the offer and gives the answer.
func (v *viewer) offer(ctx context.Context, base, sdp string) (string, error) {
	body, err := json.Marshal(api.SeederOffer{InfoHash: v.meta.InfoHash, PeerID: hex.EncodeToString(v.id[:]), SDP: sdp})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+api.PathOffer, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var answer struct {
		api.SeederAnswer
		Message string `json:"message"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: %s", errRefused, answer.Message)
	}
	return answer.SDP, nil
}

// take asks for blocks, one after the other and round again, until ctx ends, and counts
// their bytes.
func (v *viewer) take(ctx context.Context, got *atomic.Int64) {
	const pipeline = 64 // blocks
	next, blocks := int64(0), v.meta.Length/wire.MaxBlock
	ask := func(n int) error {
		var b []byte
		for range n {
			off := next % blocks * wire.MaxBlock
			b = wire.Message{Kind: wire.Request, Index: uint32(off / v.meta.PieceLength), Begin: uint32(off % v.meta.PieceLength), Length: wire.MaxBlock}.Append(b)
			next++
		}
		_, err := v.raw.Write(b)
		return err
	}
	if _, err := v.raw.Write(wire.Message{Kind: wire.Interested}.Append(nil)); err != nil {
		return
	}
	var in wire.Splitter
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, err := v.raw.Read(buf)
		if err != nil {
			return
		}
		more := 0
		err = in.Feed(buf[:n], func(wire.Handshake) error { return nil }, func(m wire.Message) error {
			switch m.Kind {
			case wire.Unchoke:
				more += pipeline
			case wire.Piece:
				got.Add(int64(len(m.Data)))
				more++
			}
			return nil
		})
		if more > 0 && err == nil {
			err = ask(more)
		}
		if err != nil {
			return
		}
	}
}

func (v *viewer) close() { _ = v.pc.Close() }
