package tracker

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/shared/api"
	"kinopod/shared/wire"
)

// offer takes an offer straight to the pod's seeder (api.SeederOffer).
func (t *Tracker) offer(c *fiber.Ctx) error {
	c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
	from := t.clientAddr(c)
	if !t.loop.visitors.visit(from).take(c.Context().Time()) {
		t.loop.count.refused[refusedRate].Add(1)
		c.Set(fiber.HeaderRetryAfter, "60")
		return sendError(c, &api.Error{Code: api.CodeRateLimited, Message: "Too many requests from your address."})
	}
	in, peer, e := t.readOffer(c)
	if e != nil {
		t.loop.count.refused[refusedMessage].Add(1)
		return sendError(c, e)
	}
	if !t.cfg.Admits(in.InfoHash, queryOf(c)) {
		t.loop.count.refused[refusedPass].Add(1)
		return sendError(c, &api.Error{Code: api.CodeUnauthorized, Message: "This video is for members. Log in, and open its page again."})
	}
	var known, queued bool
	if !t.loop.do(func() {
		s := t.loop.served(in.InfoHash)
		known = s != nil && s.own
		queued = known && t.loop.queueForSeeder()
	}) {
		return errEnded
	}
	if !known {
		t.loop.count.refused[refusedInfoHash].Add(1)
		return sendError(c, &api.Error{Code: api.CodeNotFound, Message: "This pod does not have that torrent."})
	}
	if !queued {
		return sendError(c, &api.Error{Code: api.CodeUnavailable, Message: errBusy.Error()})
	}
	sdp, err := t.loop.seed(in.InfoHash, peer, from, in.SDP)
	t.loop.post(func() { t.loop.waiting-- })
	if err != nil {
		return sendError(c, api.AsError(err))
	}
	id := t.loop.seeder.PeerID()
	return c.JSON(api.SeederAnswer{PeerID: hex.EncodeToString(id[:]), SDP: sdp})
}

// offerPreflight lets pages of other pods send offers.
func (t *Tracker) offerPreflight(c *fiber.Ctx) error {
	c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
	c.Set(fiber.HeaderAccessControlAllowMethods, fiber.MethodPost)
	c.Set(fiber.HeaderAccessControlAllowHeaders, fiber.HeaderContentType)
	c.Set(fiber.HeaderAccessControlMaxAge, "86400")
	return c.SendStatus(fiber.StatusNoContent)
}

func (t *Tracker) readOffer(c *fiber.Ctx) (in api.SeederOffer, peer wire.PeerID, e *api.Error) {
	invalid := func(message string) (api.SeederOffer, wire.PeerID, *api.Error) {
		return in, peer, &api.Error{Code: api.CodeInvalid, Message: message}
	}
	// An SDP doubles at most when its line ends are escaped; the rest is small.
	body, e := readBody(c, 2*t.cfg.Limits.SDP+1024, t.cfg.Limits.SeederTime)
	if e != nil {
		return in, peer, e
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return invalid("The body is not an offer in JSON.")
	}
	id, err := hex.DecodeString(in.PeerID)
	if err != nil || len(id) != len(peer) {
		return invalid("peerId is not 40 hexadecimal digits.")
	}
	if in.SDP == "" || len(in.SDP) > t.cfg.Limits.SDP {
		return invalid("sdp is empty or too long.")
	}
	return in, wire.PeerID(id), nil
}

// passedOver is how much is read of a body that is too long, in bytes: a client
// that is still writing would lose the answer.
const passedOver = 1 << 20

// readBody reads a body of at most most bytes.
func readBody(c *fiber.Ctx, most int, within time.Duration) ([]byte, *api.Error) {
	tooLarge := &api.Error{Code: api.CodeTooLarge, Message: "The offer is too long."}
	stream := c.Context().RequestBodyStream()
	if stream == nil { // within the server's own limit
		if body := c.Body(); len(body) <= most {
			return body, nil
		}
		return nil, tooLarge
	}
	nc := c.Context().Conn()
	nc.SetReadDeadline(time.Now().Add(within))
	defer nc.SetReadDeadline(time.Time{})
	body, err := io.ReadAll(io.LimitReader(stream, int64(most)+1))
	if err == nil && len(body) <= most {
		return body, nil
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, stream, passedOver)
	}
	if err != io.EOF { // something is left on the connection
		c.Context().SetConnectionClose()
	}
	if len(body) > most {
		return nil, tooLarge
	}
	return nil, &api.Error{Code: api.CodeInvalid, Message: "The body did not come in time.", Cause: err}
}

// sendError sends an error as the API does.
func sendError(c *fiber.Ctx, e *api.Error) error {
	return c.Status(e.Status()).JSON(e)
}
