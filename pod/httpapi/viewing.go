package httpapi

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

// access gives what the caller needs to watch a video, and says whether it is for members.
func (a *API) access(ctx context.Context, v video.Video, ask bool) (pass api.Pass, members bool) {
	member := a.who(ctx).Actor.Username != ""
	if v.Origin != a.cfg.Host {
		return a.parts.Foreign.Access(ctx, v, member, ask)
	}
	if member && len(v.Renditions) > 0 {
		pass = a.parts.Viewing.Pass(v.Renditions[0].InfoHash)
	}
	return pass, a.parts.Viewing.Closed()
}

// admit lets a viewer come to a file of this pod who has a session, or an address with a
// pass, and gives the pass for other addresses of it: that of the address, or who has been
// given one would have it for ever.
func (s *Server) admit(c *fiber.Ctx, h magnet.InfoHash) (api.Pass, error) {
	gate := s.parts.Viewing
	if !gate.Closed() {
		return api.Pass{}, nil
	}
	if query := string(c.Request().URI().QueryString()); gate.Admits(h, query) {
		return api.PassOf(query), nil
	}
	member, err := s.isMember(c)
	if err != nil {
		return api.Pass{}, err
	}
	if !member {
		return api.Pass{}, errMembers
	}
	return gate.Pass(h), nil
}

// admitForeign is admit for a friend's video: what is its pass the friend decides.
func (s *Server) admitForeign(c *fiber.Ctx, v video.Video) (api.Pass, error) {
	_, reachable := s.parts.Friends.At(s.ctx, v.Origin)
	pass, members := s.parts.Foreign.Access(s.ctx, v, false, reachable)
	if !members {
		return pass, nil
	}
	member, err := s.isMember(c)
	if err != nil {
		return api.Pass{}, err
	}
	if !member {
		return api.Pass{}, errMembers
	}
	pass, _ = s.parts.Foreign.Access(s.ctx, v, true, reachable)
	return pass, nil
}

var errMembers = &api.Error{Code: api.CodeUnauthorized, Message: "This video is for members. Log in to watch it, or ask a member for a new link: a link is good for half a day."}

// isMember says whether a request has a session, where it goes to none of the API's paths.
func (s *Server) isMember(c *fiber.Ctx) (bool, error) {
	token, isBearer := bearerOf(c)
	if !isBearer {
		token = c.Cookies(s.cookieName())
	}
	if token == "" {
		return false, nil
	}
	_, err := s.parts.Accounts.Authenticate(s.ctx, token)
	if api.Is(err, api.CodeUnauthorized) {
		return false, nil
	}
	return err == nil, err
}
