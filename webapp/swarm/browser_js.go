package swarm

import (
	"errors"
	"fmt"
	"syscall/js"
	"time"

	"kinopod/webapp/piecestore"
)

// Browser is the Network of a browser.
type Browser struct {
	STUN string // where to ask for one's own address (api.Pod); "" for nowhere
}

var _ Network = Browser{}

// then calls ok or failed when a promise is settled.
func then(promise js.Value, ok func(js.Value), failed func(error)) {
	var yes, no js.Func
	release := func() { yes.Release(); no.Release() }
	first := func(args []js.Value) js.Value {
		if len(args) == 0 {
			return js.Undefined()
		}
		return args[0]
	}
	yes = js.FuncOf(func(_ js.Value, args []js.Value) any { release(); ok(first(args)); return nil })
	no = js.FuncOf(func(_ js.Value, args []js.Value) any {
		release()
		failed(errors.New(js.Global().Get("String").Invoke(first(args)).String()))
		return nil
	})
	promise.Call("then", yes, no)
}

func nothing(js.Value) {}

// handlers are event handlers of JavaScript objects; release takes them all off.
type handlers struct {
	off []func()
}

func (h *handlers) on(object js.Value, property string, f func(event js.Value)) {
	fn := js.FuncOf(func(_ js.Value, args []js.Value) any { f(args[0]); return nil })
	object.Set(property, fn)
	h.off = append(h.off, func() { object.Set(property, js.Null()); fn.Release() })
}

// messages has what comes through a channel given to f as a Uint8Array and its length.
func (h *handlers) messages(channel js.Value, f func(bytes js.Value, n int), text func()) {
	fn := js.FuncOf(func(_ js.Value, args []js.Value) any {
		if len(args) == 0 {
			text()
			return nil
		}
		f(args[0], args[1].Int())
		return nil
	})
	js.Global().Get("kinopod").Call("onBytes", channel, fn)
	h.off = append(h.off, func() { channel.Set("onmessage", js.Null()); fn.Release() })
}

func (h *handlers) release() {
	for _, off := range h.off {
		off()
	}
	h.off = nil
}

// rtcConn is an RTCPeerConnection with one data channel.
type rtcConn struct {
	on       ConnEvents
	pc       js.Value
	channel  js.Value // undefined until there is one
	handlers handlers
	buffered int
	closed   bool
}

// newRTC makes a connection; where the browser gives none, because WebRTC is switched off
// or there are too many, it is closed already and ok is false.
func (b Browser) newRTC(on ConnEvents) (c *rtcConn, ok bool) {
	c = &rtcConn{on: on}
	defer func() {
		if r := recover(); r != nil {
			c.closed, ok = true, false
			on.Closed(fmt.Errorf("make a connection: %v", r))
		}
	}()
	servers := []any{}
	if b.STUN != "" {
		servers = append(servers, map[string]any{"urls": b.STUN})
	}
	c.pc = js.Global().Get("RTCPeerConnection").New(map[string]any{"iceServers": servers})
	c.handlers.on(c.pc, "onconnectionstatechange", func(js.Value) {
		switch s := c.pc.Get("connectionState").String(); s {
		case "failed", "closed", "disconnected":
			c.fail(errors.New("the connection is " + s))
		}
	})
	return c, true
}

// Offer implements Network.
func (b Browser) Offer(gather bool, on ConnEvents) Conn {
	c, ok := b.newRTC(on)
	if !ok {
		return c
	}
	c.bind(c.pc.Call("createDataChannel", "kinopod"))
	then(c.pc.Call("createOffer"), func(offer js.Value) { c.describe(offer, gather) }, c.fail)
	return c
}

// Answer implements Network.
func (b Browser) Answer(offer string, on ConnEvents) Conn {
	c, ok := b.newRTC(on)
	if !ok {
		return c
	}
	c.handlers.on(c.pc, "ondatachannel", func(e js.Value) {
		if c.channel.IsUndefined() {
			c.bind(e.Get("channel"))
		}
	})
	then(c.pc.Call("setRemoteDescription", map[string]any{"type": "offer", "sdp": offer}), func(js.Value) {
		if c.closed {
			return
		}
		then(c.pc.Call("createAnswer"), func(answer js.Value) { c.describe(answer, true) }, c.fail)
	}, c.fail)
	return c
}

// gatherTime bounds ICE gathering: where no answer to STUN gets through, a browser would
// wait for ten seconds.
const gatherTime = time.Second

// describe sets our description and tells it, after ICE gathering where gather is
// set.
func (c *rtcConn) describe(d js.Value, gather bool) {
	if c.closed {
		return
	}
	set, told := false, false
	tell := func() {
		if set && !told && !c.closed {
			told = true
			c.on.Described(c.pc.Get("localDescription").Get("sdp").String())
		}
	}
	gathered := func() bool { return c.pc.Get("iceGatheringState").String() == "complete" }
	if gather {
		c.handlers.on(c.pc, "onicegatheringstatechange", func(js.Value) {
			if gathered() {
				tell()
			}
		})
	}
	then(c.pc.Call("setLocalDescription", d), func(js.Value) {
		set = true
		if !gather || gathered() {
			tell()
			return
		}
		time.AfterFunc(gatherTime, tell)
	}, c.fail)
}

func (c *rtcConn) bind(channel js.Value) {
	c.channel = channel
	channel.Set("binaryType", "arraybuffer")
	channel.Set("bufferedAmountLowThreshold", sendLow)
	c.handlers.on(channel, "onopen", func(js.Value) { c.on.Open() })
	c.handlers.messages(channel, func(bytes js.Value, n int) { c.on.Message(piecestore.View(bytes, n)) }, func() { c.fail(errors.New("a text message")) })
	c.handlers.on(channel, "onbufferedamountlow", func(js.Value) {
		c.buffered = sendLow
		c.on.Low()
	})
	c.handlers.on(channel, "onclose", func(js.Value) { c.fail(errors.New("the channel was closed")) })
	if channel.Get("readyState").String() == "open" {
		c.on.Open()
	}
}

func (c *rtcConn) fail(err error) {
	if !c.closed {
		c.Close()
		c.on.Closed(err)
	}
}

// Accept implements Conn.
func (c *rtcConn) Accept(answer string) {
	if c.closed {
		return
	}
	then(c.pc.Call("setRemoteDescription", map[string]any{"type": "answer", "sdp": answer}), nothing, c.fail)
}

// Send implements Conn.
func (c *rtcConn) Send(head []byte, body piecestore.Chunk) {
	if c.closed || c.channel.IsUndefined() {
		return
	}
	if len(head) > headLength {
		headLength = len(head)
		headBytes = js.Global().Get("Uint8Array").New(headLength)
	}
	js.CopyBytesToJS(headBytes, head)
	array, from, to := body.Place()
	defer func() {
		if r := recover(); r != nil { // the send queue is full, or the channel just closed
			c.fail(fmt.Errorf("send: %v", r))
		}
	}()
	c.buffered = sendBytes.Invoke(c.channel, headBytes, len(head), array, from, to).Int()
}

// sendBytes(channel, head, length, body, from, to) sends a message of two parts, where the
// channel is open, and gives what waits to be sent (boot.js). The head is copied by way of
// headBytes.
var (
	sendBytes  = js.Global().Get("kinopod").Get("sendBytes")
	headBytes  js.Value
	headLength int
)

// Buffered implements Conn: what it was after the last message, or when the browser said
// that it is little.
func (c *rtcConn) Buffered() int { return c.buffered }

// Carried implements Conn. A browser counts the bytes in packets of UDP; that they go by
// IPv4 is assumed.
func (c *rtcConn) Carried(done func(up, down int64)) {
	if c.closed {
		return
	}
	const headers = 20 + 8
	then(js.Global().Get("kinopod").Call("carried", c.pc, headers), func(n js.Value) {
		if n.Truthy() {
			done(int64(n.Index(0).Float()), int64(n.Index(1).Float()))
		}
	}, func(error) {})
}

// Close implements Conn.
func (c *rtcConn) Close() {
	if c.closed {
		return
	}
	c.closed = true
	c.handlers.release()
	c.pc.Call("close")
}

// socket is a WebSocket.
type socket struct {
	ws       js.Value
	handlers handlers
}

// Dial implements Network.
func (Browser) Dial(url string, on SocketEvents) Socket {
	s := &socket{ws: js.Global().Get("WebSocket").New(url)}
	s.handlers.on(s.ws, "onopen", func(js.Value) { on.Open() })
	s.handlers.on(s.ws, "onmessage", func(e js.Value) {
		if data := e.Get("data"); data.Type() == js.TypeString {
			on.Message([]byte(data.String()))
		}
	})
	s.handlers.on(s.ws, "onclose", func(e js.Value) {
		s.handlers.release()
		on.Closed(fmt.Errorf("closed with code %d", e.Get("code").Int()))
	})
	return s
}

// Send implements Socket.
func (s *socket) Send(text []byte) {
	if s.ws.Get("readyState").Int() == 1 {
		s.ws.Call("send", string(text))
	}
}

// Close implements Socket.
func (s *socket) Close() {
	s.handlers.release()
	s.ws.Call("close")
}

// Fetch implements Network. Chromium's cache asks a second time, with the first answer
// under way, where an earlier request for the same file was ended: a round trip.
func (Browser) Fetch(url string, from, to int64, urgent bool, on FetchEvents) (cancel func()) {
	cache := "default"
	if urgent {
		cache = "no-store"
	}
	abort := js.Global().Get("AbortController").New()
	ended := false
	done := func(err error) {
		if !ended {
			ended = true
			on.Done(err)
		}
	}
	request := js.Global().Call("fetch", url, map[string]any{
		"headers": map[string]any{"Range": fmt.Sprintf("bytes=%d-%d", from, to-1)}, "signal": abort.Get("signal"), "credentials": "same-origin", "cache": cache,
	})
	then(request, func(res js.Value) {
		if status := res.Get("status").Int(); status != 206 {
			abort.Call("abort")
			done(fmt.Errorf("status %d", status))
			return
		}
		reader := res.Get("body").Call("getReader")
		var next func(js.Value)
		next = func(part js.Value) {
			if ended {
				return
			}
			if part.Get("done").Bool() {
				done(nil)
				return
			}
			on.Data(piecestore.FromJS(part.Get("value")))
			then(reader.Call("read"), next, done)
		}
		then(reader.Call("read"), next, done)
	}, done)
	return func() {
		ended = true
		abort.Call("abort")
	}
}

// Post implements Network.
func (Browser) Post(url string, body []byte, done func(status int, answer []byte, err error)) {
	failed := func(err error) { done(0, nil, err) }
	request := js.Global().Call("fetch", url, map[string]any{
		"method": "POST", "headers": map[string]any{"Content-Type": "application/json"}, "body": string(body), "credentials": "same-origin",
	})
	then(request, func(res js.Value) {
		then(res.Call("text"), func(text js.Value) { done(res.Get("status").Int(), []byte(text.String()), nil) }, failed)
	}, failed)
}
