package httpapi

import (
	"strings"

	"github.com/gofiber/fiber/v2"
)

// policy is the Content-Security-Policy. Scripts are our own files only; pictures,
// videos, trackers and web seeds may be those of other pods. go-app writes style
// attributes, so styles may be inline.
func policy(secure bool) string {
	other := "https:"
	socket := "wss:"
	if !secure {
		other, socket = "https: http:", "wss: ws:"
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self' 'wasm-unsafe-eval'",
		"worker-src 'self'",
		"style-src 'self' 'unsafe-inline'",
		"font-src 'self'",
		"img-src 'self' data: blob: " + other,
		"media-src 'self' blob: " + other,
		"connect-src 'self' " + other + " " + socket,
		"manifest-src 'self'",
		"form-action 'self'",
		"base-uri 'none'",
		"frame-ancestors 'none'",
	}, "; ")
}

// secure sets the headers that every answer has.
func (s *Server) secure(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentSecurityPolicy, s.policy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set(fiber.HeaderPermissionsPolicy, "camera=(), geolocation=(), microphone=()")
	return c.Next()
}
