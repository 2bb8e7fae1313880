package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/pion/ice/v2"
	"github.com/pion/webrtc/v3"

	"kinopod/webapp/piecestore"
	"kinopod/webapp/swarm"
)

// network is the swarm engine's way to others outside of a browser: pion for WebRTC,
// a WebSocket client, net/http. It is what a browser does, in the same order.
type network struct {
	t   testing.TB
	rtc *webrtc.API
	ctx context.Context
	end sync.WaitGroup

	// tamper changes each message that is sent; nil for none.
	tamper func([]byte) []byte
}

var _ swarm.Network = (*network)(nil)

// newNetwork ends with the test; make it before the engines that use it.
func newNetwork(t testing.TB) *network {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	ctx, cancel := context.WithCancel(context.Background())
	n := &network{t: t, rtc: webrtc.NewAPI(webrtc.WithSettingEngine(s)), ctx: ctx}
	t.Cleanup(func() { cancel(); n.end.Wait() })
	return n
}

type conn struct {
	n  *network
	on swarm.ConnEvents
	pc *webrtc.PeerConnection

	mu      sync.Mutex
	channel *webrtc.DataChannel
	closed  bool
}

func (n *network) conn(on swarm.ConnEvents) *conn {
	pc, err := n.rtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		n.t.Error(err)
		panic(err)
	}
	c := &conn{n: n, on: on, pc: pc}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateDisconnected, webrtc.PeerConnectionStateClosed:
			c.fail(fmt.Errorf("the connection is %s", s))
		}
	})
	return c
}

func (c *conn) bind(d *webrtc.DataChannel) {
	c.mu.Lock()
	c.channel = d
	c.mu.Unlock()
	d.SetBufferedAmountLowThreshold(128 << 10)
	d.OnOpen(c.on.Open)
	d.OnMessage(func(m webrtc.DataChannelMessage) { c.on.Message(piecestore.FromBytes(m.Data)) })
	d.OnBufferedAmountLow(c.on.Low)
	d.OnClose(func() { c.fail(io.EOF) })
}

// begin runs f on a goroutine, as a browser settles a promise.
func (c *conn) begin(f func() error) {
	c.n.end.Add(1)
	go func() {
		defer c.n.end.Done()
		if err := f(); err != nil {
			c.fail(err)
		}
	}()
}

func (c *conn) describe(d webrtc.SessionDescription, gather bool) error {
	complete := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(d); err != nil {
		return err
	}
	if gather {
		select {
		case <-complete:
		case <-c.n.ctx.Done():
			return c.n.ctx.Err()
		}
		d = *c.pc.LocalDescription()
	}
	c.on.Described(d.SDP)
	return nil
}

func (n *network) Offer(gather bool, on swarm.ConnEvents) swarm.Conn {
	c := n.conn(on)
	c.begin(func() error {
		d, err := c.pc.CreateDataChannel("test", nil)
		if err != nil {
			return err
		}
		c.bind(d)
		offer, err := c.pc.CreateOffer(nil)
		if err != nil {
			return err
		}
		return c.describe(offer, gather)
	})
	return c
}

func (n *network) Answer(offer string, on swarm.ConnEvents) swarm.Conn {
	c := n.conn(on)
	c.pc.OnDataChannel(c.bind)
	c.begin(func() error {
		if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
			return err
		}
		answer, err := c.pc.CreateAnswer(nil)
		if err != nil {
			return err
		}
		return c.describe(answer, true)
	})
	return c
}

func (c *conn) Accept(answer string) {
	c.begin(func() error {
		return c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
	})
}

func (c *conn) Send(head []byte, body piecestore.Chunk) {
	c.mu.Lock()
	d := c.channel
	c.mu.Unlock()
	if d == nil {
		return
	}
	b := append(bytes.Clone(head), body.Bytes()...)
	if c.n.tamper != nil {
		b = c.n.tamper(b)
	}
	if err := d.Send(b); err != nil {
		c.fail(err)
	}
}

func (c *conn) Carried(func(up, down int64)) {} // nobody asks

func (c *conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.channel == nil {
		return 0
	}
	return int(c.channel.BufferedAmount())
}

func (c *conn) fail(err error) {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if !was {
		c.shut()
		c.on.Closed(err)
	}
}

func (c *conn) Close() {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if !was {
		c.shut()
	}
}

// shut closes on a goroutine of its own: pion waits for its own callbacks.
func (c *conn) shut() {
	c.n.end.Add(1)
	go func() {
		defer c.n.end.Done()
		_ = c.pc.Close()
	}()
}

type socket struct {
	cancel context.CancelFunc
	send   chan []byte
}

func (n *network) Dial(url string, on swarm.SocketEvents) swarm.Socket {
	ctx, cancel := context.WithCancel(n.ctx)
	s := &socket{cancel: cancel, send: make(chan []byte, 64)}
	n.end.Add(1)
	go func() {
		defer n.end.Done()
		raw, _, _, err := ws.Dial(ctx, url)
		if err != nil {
			on.Closed(err)
			return
		}
		n.end.Add(1)
		go func() {
			defer n.end.Done()
			defer raw.Close()
			for {
				select {
				case <-ctx.Done():
					for len(s.send) > 0 { // what was said before the close
						_ = wsutil.WriteClientText(raw, <-s.send)
					}
					return
				case b := <-s.send:
					_ = wsutil.WriteClientText(raw, b)
				}
			}
		}()
		on.Open()
		for {
			b, err := wsutil.ReadServerText(raw)
			if err != nil {
				cancel()
				on.Closed(err)
				return
			}
			on.Message(b)
		}
	}()
	return s
}

func (s *socket) Send(b []byte) { s.send <- b }
func (s *socket) Close()        { s.cancel() }

func (n *network) Fetch(url string, from, to int64, _ bool, on swarm.FetchEvents) func() {
	ctx, cancel := context.WithCancel(n.ctx)
	n.end.Add(1)
	go func() {
		defer n.end.Done()
		defer cancel()
		on.Done(n.fetch(ctx, url, from, to, on.Data))
	}()
	return cancel
}

func (n *network) fetch(ctx context.Context, url string, from, to int64, data func(piecestore.Chunk)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("status %s", res.Status)
	}
	buf := make([]byte, 32<<10)
	for {
		k, err := res.Body.Read(buf)
		if k > 0 {
			data(piecestore.FromBytes(buf[:k]))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (n *network) Post(url string, body []byte, done func(int, []byte, error)) {
	n.end.Add(1)
	go func() {
		defer n.end.Done()
		req, err := http.NewRequestWithContext(n.ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			done(0, nil, err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			done(0, nil, err)
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		done(res.StatusCode, b, err)
	}()
}
