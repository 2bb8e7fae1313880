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

// offerTime is how long the body of an offer may take to come.
const offerTime = 10 * time.Second

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
	body, e := readBody(c, 2*t.cfg.Limits.SDP+1024)
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

// readBody reads a body of at most most bytes, in offerTime.
func readBody(c *fiber.Ctx, most int) ([]byte, *api.Error) {
	tooLarge := &api.Error{Code: api.CodeTooLarge, Message: "The offer is too long."}
	if c.Request().Header.ContentLength() > most {
		c.Context().SetConnectionClose() // what follows is not read
		return nil, tooLarge
	}
	stream := c.Context().RequestBodyStream()
	if stream == nil {
		if body := c.Body(); len(body) <= most {
			return body, nil
		}
		return nil, tooLarge
	}
	nc := c.Context().Conn()
	nc.SetReadDeadline(time.Now().Add(offerTime))
	defer nc.SetReadDeadline(time.Time{})
	body, err := io.ReadAll(io.LimitReader(stream, int64(most)+1))
	if err != nil {
		c.Context().SetConnectionClose()
		return nil, &api.Error{Code: api.CodeInvalid, Message: "The body did not come in time.", Cause: err}
	}
	if len(body) > most {
		c.Context().SetConnectionClose()
		return nil, tooLarge
	}
	return body, nil
}

// sendError sends an error as the API does.
func sendError(c *fiber.Ctx, e *api.Error) error {
	return c.Status(e.Status()).JSON(e)
}
