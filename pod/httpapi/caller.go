package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/pod/accounts"
	"kinopod/pod/household"
	"kinopod/shared/api"
)

// Caller is who sent a request.
type Caller struct {
	Actor  accounts.Actor // zero without a session
	Token  string         // of the session
	From   netip.Addr
	Client string // User-Agent
}

var errTooMany = &api.Error{Code: api.CodeRateLimited, Message: "Too many requests. Wait a moment and try again."}

type callerKey struct{}

// WithCaller puts c into a context.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf is the caller in a context; zero where there is none.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// identify finds out who asks, for what follows, and refuses who asks too often. A
// bearer token must be good; a cookie that is not good any more is the same as none.
func (s *Server) identify(c *fiber.Ctx) error {
	caller := Caller{From: s.trusted.of(c), Client: c.Get(fiber.HeaderUserAgent)}
	if !s.perAddress.allow(household.Of(caller.From), time.Now()) {
		return errTooMany
	}
	bearer, isBearer := bearerOf(c)
	if caller.Token = bearer; !isBearer {
		caller.Token = c.Cookies(s.cookieName())
	}
	if caller.Token != "" {
		actor, err := s.parts.Accounts.Authenticate(s.ctx, caller.Token)
		switch {
		case err == nil:
			caller.Actor = actor
		case isBearer || !api.Is(err, api.CodeUnauthorized):
			return err
		default:
			caller.Token = ""
		}
	}
	if name := caller.Actor.Username; name != "" && !s.perAccount.allow(name, time.Now()) {
		return errTooMany
	}
	c.SetUserContext(WithCaller(s.ctx, caller))
	return c.Next()
}

func bearerOf(c *fiber.Ctx) (token string, ok bool) {
	scheme, token, ok := strings.Cut(c.Get(fiber.HeaderAuthorization), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// ownPages refuses what changes something and was sent by a page of another site
// (cross-site request forgery). Browsers say where a request comes from; a client
// that is no browser has no cookie that it did not put there itself. A bearer
// token is never sent by a browser on its own.
func (s *Server) ownPages(c *fiber.Ctx) error {
	switch c.Method() {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return c.Next()
	}
	if _, isBearer := bearerOf(c); isBearer || s.fromOwnPage(c) {
		return c.Next()
	}
	return &api.Error{Code: api.CodeForbidden, Message: "This request came from a page of another site."}
}

func (s *Server) fromOwnPage(c *fiber.Ctx) bool {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && (strings.EqualFold(u.Host, c.Get(fiber.HeaderHost)) || strings.EqualFold(u.Host, string(s.cfg.Host)))
}

// cookieName has the prefix that keeps other hosts of the domain from setting it,
// where that is possible.
func (s *Server) cookieName() string {
	if s.cfg.Secure() {
		return "__Host-kinopod"
	}
	return "kinopod"
}

func (s *Server) setCookie(c *fiber.Ctx, token string, expires time.Time) {
	c.Cookie(&fiber.Cookie{
		Name: s.cookieName(), Value: token, Path: "/", Expires: expires,
		HTTPOnly: true, SameSite: fiber.CookieSameSiteLaxMode, Secure: s.cfg.Secure(),
	})
}

func (s *Server) clearCookie(c *fiber.Ctx) { s.setCookie(c, "", time.Unix(1, 0)) }
