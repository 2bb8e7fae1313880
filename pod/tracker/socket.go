package tracker

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/shared/api"
)

// handshakeTime is how long the answer to a handshake may take to be written.
const handshakeTime = 10 * time.Second

// socket makes a WebSocket of a request (RFC 6455, 4.2).
func (t *Tracker) socket(c *fiber.Ctx) error {
	accept, status, message := handshake(c)
	if status != fiber.StatusSwitchingProtocols {
		t.loop.count.refused[refusedFrame].Add(1)
		return c.Status(status).JSON(&api.Error{Code: api.CodeInvalid, Message: message})
	}
	from, query := t.clientAddr(c), queryOf(c)
	ctx := c.Context()
	// The place of the connection is taken where the connection is: the server does
	// not tell of one that ends before.
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(nc net.Conn) { t.accept(nc, accept, from, query) })
	return nil
}

// maxQuery bounds what is kept of a connection's address, in bytes: a pass has less.
const maxQuery = 512

// queryOf is the query of a request's address, "" where it is too long.
func queryOf(c *fiber.Ctx) string {
	if q := c.Request().URI().QueryString(); len(q) <= maxQuery {
		return string(q)
	}
	return ""
}

// handshake checks the request for a WebSocket and gives what to accept it with, or
// with another status than 101 what is wrong.
func handshake(c *fiber.Ctx) (accept string, status int, message string) {
	h := &c.Request().Header
	if !hasToken(c.Get(fiber.HeaderConnection), "upgrade") || !hasToken(c.Get(fiber.HeaderUpgrade), "websocket") {
		c.Set(fiber.HeaderUpgrade, "websocket")
		return "", fiber.StatusUpgradeRequired, "This is a WebTorrent tracker: open it as a WebSocket."
	}
	if c.Get(fiber.HeaderSecWebSocketVersion) != "13" {
		c.Set(fiber.HeaderSecWebSocketVersion, "13")
		return "", fiber.StatusUpgradeRequired, "This tracker speaks version 13 of WebSocket."
	}
	key := c.Get(fiber.HeaderSecWebSocketKey)
	if b, err := base64.StdEncoding.DecodeString(key); err != nil || len(b) != 16 {
		return "", fiber.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64."
	}
	if h.ContentLength() > 0 || len(h.Peek(fiber.HeaderTransferEncoding)) > 0 {
		return "", fiber.StatusBadRequest, "The request for a WebSocket has a body."
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:]), fiber.StatusSwitchingProtocols, ""
}

// hasToken says whether a header's value, a list, has a token.
func hasToken(list, token string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(part), token) {
			return true
		}
	}
	return false
}

// accept answers a handshake and hands the connection to the loop.
func (t *Tracker) accept(nc net.Conn, accept string, from netip.Addr, query string) {
	early := buffered(nc, t.cfg.Limits.Message)
	nc = owned(nc)
	nc.SetWriteDeadline(time.Now().Add(handshakeTime))
	v, why, ok := t.loop.visitors.connect(from)
	if !ok {
		t.loop.count.refused[why].Add(1)
		nc.Write(refusal(why))
		nc.Close()
		return
	}
	_, err := nc.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n"))
	if err != nil {
		t.loop.visitors.disconnect(v)
		nc.Close()
		return
	}
	nc.SetDeadline(time.Time{})
	link := t.loop.poller.adopt(nc)
	if link == nil {
		link = newStream(t.loop, nc)
	}
	c := &conn{link: link, visitor: v, from: from, query: query}
	if !t.loop.post(func() { t.loop.attach(c, early) }) {
		link.close()
		t.loop.visitors.disconnect(v)
	}
}

// owned gives the connection under a hijacked one. It is ours to close: the HTTP
// server, and a listener that wraps its connections, let go of it by UnsafeConn.
func owned(nc net.Conn) net.Conn {
	for {
		inner, ok := nc.(interface{ UnsafeConn() net.Conn })
		if !ok {
			return nc
		}
		nc = inner.UnsafeConn()
	}
}

// buffered takes what the HTTP server read behind the request, at most most bytes.
func buffered(nc net.Conn, most int) (b []byte) {
	nc.SetReadDeadline(time.Unix(1, 0)) // nothing is waited for
	var chunk [4 << 10]byte
	for len(b) < most {
		n, err := nc.Read(chunk[:])
		b = append(b, chunk[:n]...)
		if err != nil {
			break
		}
	}
	return b
}

// refusal is the response to a handshake beyond a limit.
func refusal(why reason) []byte {
	status, e := http.StatusTooManyRequests, &api.Error{Code: api.CodeRateLimited, Message: "Too many connections from your address."}
	switch why {
	case refusedRate:
		e.Message = "Too many requests from your address."
	case refusedFull:
		status, e = http.StatusServiceUnavailable, &api.Error{Code: api.CodeUnavailable, Message: "The tracker has no room for another connection."}
	}
	body, _ := json.Marshal(e) // two strings
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nRetry-After: 60\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
}
