package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/pod/federation"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

func (s *Server) routes() {
	s.app.Use(s.measure, s.recoverPanic, s.secure, oneLength)
	s.app.Use(api.PathUploads, s.ownPages, s.identify)
	s.routeUploads()
	s.app.Use(boundBody)
	s.app.Use("/api", s.ownPages, s.identify)
	for path, methods := range s.methods() {
		var allowed []string
		for method, handle := range methods {
			s.app.Add(method, path, handle)
			allowed = append(allowed, method)
		}
		sort.Strings(allowed)
		s.app.All(path, otherMethod(strings.Join(allowed, ", ")))
	}
	s.app.Use("/api", func(*fiber.Ctx) error { return fiber.ErrNotFound })
	s.routeFiles()
	s.routeShare()
	for _, m := range s.parts.Mounts {
		m.Mount(s.app)
	}
	s.app.Use(s.servePage)
}

func otherMethod(allowed string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderAllow, allowed)
		if c.Method() == http.MethodOptions {
			return c.SendStatus(http.StatusNoContent)
		}
		return fiber.ErrMethodNotAllowed
	}
}

type methods map[string]fiber.Handler

// methods are the routes of api.Methods.
func (s *Server) methods() map[string]methods {
	a := s.api
	return map[string]methods{
		api.PathPod: {http.MethodGet: func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
			return answer(c)(a.Pod(c.UserContext()))
		}},
		api.PathSession: {http.MethodPost: s.login, http.MethodDelete: s.logout},
		api.PathUsers:   {http.MethodPost: s.register},
		api.PathMe: {http.MethodGet: func(c *fiber.Ctx) error {
			return answer(c)(a.Me(c.UserContext()))
		}},
		api.PathProfile: {http.MethodPut: func(c *fiber.Ctx) error {
			in, err := decode[video.Profile](c)
			if err != nil {
				return err
			}
			return done(c, a.SetProfile(c.UserContext(), in))
		}},
		api.PathPassword: {http.MethodPut: func(c *fiber.Ctx) error {
			in, err := decode[api.PasswordChange](c)
			if err != nil {
				return err
			}
			return done(c, a.ChangePassword(c.UserContext(), in))
		}},
		api.PathSessions: {http.MethodGet: func(c *fiber.Ctx) error {
			return answer(c)(a.Sessions(c.UserContext()))
		}},
		api.PathSessions + "/:id": {http.MethodDelete: func(c *fiber.Ctx) error {
			return done(c, a.EndSession(c.UserContext(), c.Params("id")))
		}},
		api.PathInvites: {http.MethodPost: func(c *fiber.Ctx) error {
			return answer(c)(a.CreateInvite(c.UserContext()))
		}},
		api.PathVideos: {http.MethodGet: func(c *fiber.Ctx) error {
			q, err := videosQuery(c)
			if err != nil {
				return err
			}
			return answer(c)(a.Videos(c.UserContext(), q))
		}},
		api.PathSearch: {http.MethodGet: func(c *fiber.Ctx) error {
			limit, err := limitOf(c)
			if err != nil {
				return err
			}
			return answer(c)(a.Search(c.UserContext(), api.SearchQuery{Text: c.Query("q"), Cursor: c.Query("cursor"), Limit: limit}))
		}},
		api.PathSuggest: {http.MethodGet: func(c *fiber.Ctx) error {
			return answer(c)(a.Suggest(c.UserContext(), c.Query("q")))
		}},
		api.PathVideos + "/:id": {
			http.MethodGet: s.ofVideo(func(c *fiber.Ctx, id video.ID) error {
				return answer(c)(a.Video(c.UserContext(), id))
			}),
			http.MethodPatch: s.ofVideo(func(c *fiber.Ctx, id video.ID) error {
				in, err := decode[api.VideoEdit](c)
				if err != nil {
					return err
				}
				return answer(c)(a.EditVideo(c.UserContext(), id, in))
			}),
			http.MethodDelete: s.ofVideo(func(c *fiber.Ctx, id video.ID) error {
				return done(c, a.RemoveVideo(c.UserContext(), id))
			}),
		},
		api.PathVideos + "/:id/details": {http.MethodGet: s.ofVideo(func(c *fiber.Ctx, id video.ID) error {
			return answer(c)(a.Details(c.UserContext(), id))
		})},
		api.PathVideos + "/:id/view": {http.MethodPost: s.ofVideo(func(c *fiber.Ctx, id video.ID) error {
			return done(c, a.Watched(c.UserContext(), id))
		})},
		api.PathFriends: {
			http.MethodGet: func(c *fiber.Ctx) error {
				c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
				return answer(c)(a.Friends(c.UserContext()))
			},
			http.MethodPost: func(c *fiber.Ctx) error {
				in, err := decode[api.PodsToJoin](c)
				if err != nil {
					return err
				}
				return done(c, a.JoinPods(c.UserContext(), in))
			},
		},
		api.PathFriends + "/:host":       {http.MethodDelete: ofPod(a.LeavePod)},
		api.PathFriends + "/:host/block": {http.MethodPut: ofPod(a.BlockPod), http.MethodDelete: ofPod(a.UnblockPod)},
		api.PathVideos + "/:id/thumbnail": {http.MethodPut: s.ofVideo(func(c *fiber.Ctx, id video.ID) error {
			return done(c, a.SetThumbnail(c.UserContext(), id, c.Body()))
		})},
	}
}

func (s *Server) login(c *fiber.Ctx) error {
	in, err := decode[api.Credentials](c)
	if err != nil {
		return err
	}
	session, err := s.api.Login(c.UserContext(), in)
	return s.begin(c, session, err)
}

func (s *Server) register(c *fiber.Ctx) error {
	in, err := decode[api.Registration](c)
	if err != nil {
		return err
	}
	session, err := s.api.Register(c.UserContext(), in)
	return s.begin(c, session, err)
}

func (s *Server) begin(c *fiber.Ctx, session api.Session, err error) error {
	if err != nil {
		return err
	}
	s.setCookie(c, session.Token, session.Expires)
	return answer(c)(session, nil)
}

func (s *Server) logout(c *fiber.Ctx) error {
	s.clearCookie(c)
	return done(c, s.api.Logout(c.UserContext()))
}

// ofVideo reads the id in the path. What is no id names no video.
func (s *Server) ofVideo(next func(*fiber.Ctx, video.ID) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		id, err := video.ParseID(c.Params("id"))
		if err != nil {
			return errNoVideo
		}
		return next(c, id)
	}
}

// ofPod reads the host in the path.
func ofPod(f func(context.Context, network.Host) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		name, err := url.PathUnescape(c.Params("host"))
		if err != nil {
			return errNoHost
		}
		h, err := network.ParseHost(name)
		if err != nil {
			return errNoHost
		}
		return done(c, f(c.UserContext(), h))
	}
}

var errNoHost = &api.Error{Code: api.CodeInvalid, Message: "This is not the host of a pod: host or host:port, without a scheme."}

var errNoVideo = &api.Error{Code: api.CodeNotFound, Message: "There is no such video."}

func videosQuery(c *fiber.Ctx) (api.VideosQuery, error) {
	q := api.VideosQuery{Sort: api.Sort(c.Query("sort")), Uploader: c.Query("uploader"), Tag: c.Query("tag"), Cursor: c.Query("cursor")}
	if q.Sort != "" && q.Sort != api.Newest && q.Sort != api.Trending {
		return q, &api.Error{Code: api.CodeInvalid, Message: "Videos can be sorted by: newest, trending."}
	}
	if origin := c.Query("origin"); origin != "" {
		host, err := network.ParseHost(origin)
		if err != nil {
			return q, &api.Error{Code: api.CodeInvalid, Message: "The origin is not the host of a pod."}
		}
		q.Origin = host
	}
	var err error
	q.Limit, err = limitOf(c)
	return q, err
}

// limitOf is how long a page may be.
func limitOf(c *fiber.Ctx) (int, error) {
	limit := c.Query("limit")
	if limit == "" {
		return api.DefaultPage, nil
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 || n > api.MaxPage {
		return 0, &api.Error{Code: api.CodeInvalid, Message: "The limit is a number from 1 to " + strconv.Itoa(api.MaxPage) + "."}
	}
	return n, nil
}

// decode reads the JSON body: one value and nothing after it.
func decode[T any](c *fiber.Ctx) (in T, err error) {
	d := json.NewDecoder(bytes.NewReader(c.Body()))
	if err := d.Decode(&in); err != nil {
		return in, &api.Error{Code: api.CodeInvalid, Message: "The body is not the JSON that is expected here.", Cause: err}
	}
	if _, err := d.Token(); err != io.EOF {
		return in, &api.Error{Code: api.CodeInvalid, Message: "There is something after the JSON in the body."}
	}
	return in, nil
}

// answer writes what a method returned.
func answer(c *fiber.Ctx) func(any, error) error {
	return func(out any, err error) error {
		if err != nil {
			return err
		}
		c.Set(fiber.HeaderCacheControl, "no-store")
		return writeJSON(c, out)
	}
}

func done(c *fiber.Ctx, err error) error {
	if err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}

// boundBody reads the body before its handler runs. What has more than a picture
// may have is refused, and so is what does not come in time, or packed.
func boundBody(c *fiber.Ctx) error {
	req := c.Request()
	// A few bytes may unpack to gigabytes, and Fiber would unpack them.
	if encoding := c.Get(fiber.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		endAfter(c)
		return fiber.ErrUnsupportedMediaType
	}
	if !req.IsBodyStream() {
		return c.Next()
	}
	limit := api.MaxBody
	switch {
	case strings.HasSuffix(c.Path(), "/thumbnail"):
		limit = api.MaxThumbnail
	case strings.HasPrefix(c.Path(), "/federation/"):
		limit = federation.MaxMessage
	}
	if err := c.Context().Conn().SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return err
	}
	tooLarge := req.Header.ContentLength() > limit
	var body []byte
	var err error
	if !tooLarge {
		body, err = io.ReadAll(io.LimitReader(req.BodyStream(), int64(limit)+1))
		tooLarge = len(body) > limit
	}
	switch {
	case tooLarge:
		endAfter(c)
		return fiber.ErrRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		endAfter(c)
		return fiber.ErrRequestTimeout
	case err != nil:
		endAfter(c)
		return fiber.ErrBadRequest
	}
	req.SetBody(body)
	return c.Next()
}

// oneLength refuses a request that says in two ways where its body ends: a proxy in
// front may believe the other one (RFC 9112, 6.1).
func oneLength(c *fiber.Ctx) error {
	// fasthttp forgets the length where there are chunks.
	if c.Request().Header.ContentLength() == -1 && bytes.Contains(bytes.ToLower(c.Request().Header.RawHeaders()), []byte("content-length:")) {
		endAfter(c)
		return fiber.ErrBadRequest
	}
	return c.Next()
}

// endAfter ends the connection after the answer, whose request was not read to its
// end: the rest of it would be taken for the next request.
func endAfter(c *fiber.Ctx) {
	c.Context().SetConnectionClose()
	if conn, ok := c.Context().Conn().(*conn); ok {
		conn.linger.Store(true)
	}
}
