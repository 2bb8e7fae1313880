package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/pod/household"
	"kinopod/shared/api"
)

// silence is how long an upload may send nothing.
const silence = 60 * time.Second

func (s *Server) routeUploads() {
	for _, path := range []string{api.PathUploads, api.PathUploads + "/:id"} {
		for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
			s.app.Add(method, path, s.upload)
		}
	}
	s.app.Get(api.PathUploads, func(c *fiber.Ctx) error { return answer(c)(s.api.Uploads(c.UserContext())) })
	s.app.All(api.PathUploads, otherMethod("DELETE, GET, HEAD, OPTIONS, PATCH, POST"))
	s.app.All(api.PathUploads+"/:id", otherMethod("DELETE, HEAD, OPTIONS, PATCH, POST"))
}

// upload hands a request to the tus handler, its body as a stream. A pod that
// stops ends the body where it is; the upload goes on later.
func (s *Server) upload(c *fiber.Ctx) error {
	ctx, cancel := context.WithCancel(c.UserContext())
	defer cancel()
	body := &bodyReader{
		ctx: ctx, conn: c.Context().Conn(), stream: c.Context().RequestBodyStream(),
		left: int64(c.Request().Header.ContentLength()),
	}
	if body.stream == nil || body.left == 0 {
		body.stream, body.left, body.ended = bytes.NewReader(nil), 0, true
	}
	stop := context.AfterFunc(ctx, func() { _ = body.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := bridge(ctx, c, s.parts.Uploads, body)
	if !body.ended {
		endAfter(c)
	}
	return err
}

// bodyReader reads a request's body for as long as bytes keep coming and ctx does
// not end.
type bodyReader struct {
	ctx    context.Context
	conn   net.Conn
	stream io.Reader
	left   int64 // bytes that are still to come; less than 0 where that is not known
	ended  bool
}

// Read implements io.Reader.
func (b *bodyReader) Read(p []byte) (int, error) {
	if err := b.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.stream.Read(p)
	b.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if b.left > 0 { // the client has gone; fasthttp does not say so
			return n, io.ErrUnexpectedEOF
		}
		b.ended = true
	}
	return n, err
}

// Close implements io.Closer.
func (b *bodyReader) Close() error { return nil }

// bridge serves a request by a handler of net/http, with a body that is read as it
// comes. Fiber's adaptor would read it into memory first. What the handler writes
// is held until it returns: for pages and short answers.
func bridge(ctx context.Context, c *fiber.Ctx, h http.Handler, body io.ReadCloser) error {
	u, err := url.ParseRequestURI(c.OriginalURL())
	if err != nil {
		return fiber.ErrBadRequest
	}
	r := &http.Request{
		Method: c.Method(), URL: u, RequestURI: c.OriginalURL(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Host: c.Get(fiber.HeaderHost),
		Body: body, ContentLength: max(int64(c.Request().Header.ContentLength()), -1),
	}
	c.Request().Header.VisitAll(func(key, value []byte) {
		if k := string(key); k != fiber.HeaderHost {
			r.Header.Add(k, string(value))
		}
	})
	w := &responseWriter{c: c, header: http.Header{}}
	h.ServeHTTP(w, r.WithContext(ctx))
	w.finish()
	return nil
}

// responseWriter writes an answer of net/http into Fiber's.
type responseWriter struct {
	c      *fiber.Ctx
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Interim answers are not sent.
func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

// Write implements io.Writer.
func (w *responseWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.c.Response().BodyWriter().Write(p)
}

// SetReadDeadline is for http.ResponseController: bodyReader has its own.
func (w *responseWriter) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is for http.ResponseController: conn has its own.
func (w *responseWriter) SetWriteDeadline(time.Time) error { return nil }

func (w *responseWriter) finish() {
	w.WriteHeader(http.StatusOK)
	res := &w.c.Response().Header
	res.SetStatusCode(w.status)
	if w.header.Get(fiber.HeaderContentType) == "" {
		if body := w.c.Response().Body(); len(body) > 0 {
			w.header.Set(fiber.HeaderContentType, http.DetectContentType(body))
		} else {
			res.SetNoDefaultContentType(true)
		}
	}
	for key, values := range w.header {
		res.Del(key)
		for _, v := range values {
			res.Add(key, v)
		}
	}
}

// servePage answers with the web app. Without Redis the page is one for nobody.
func (s *Server) servePage(c *fiber.Ctx) error {
	ctx := WithCaller(s.ctx, Caller{})
	if !strings.HasPrefix(c.Path(), assets) {
		caller := Caller{From: s.trusted.of(c), Client: c.Get(fiber.HeaderUserAgent)}
		if !s.perAddress.allow(household.Of(caller.From), time.Now()) {
			return errTooMany
		}
		if token := c.Cookies(s.cookieName()); token != "" {
			if actor, err := s.parts.Accounts.Authenticate(s.ctx, token); err == nil {
				caller.Token, caller.Actor = token, actor
			}
		}
		ctx = WithCaller(s.ctx, caller)
	}
	return bridge(ctx, c, s.pages, http.NoBody)
}

// assets begins the paths of the web app's bundle, which are the same for all.
const assets = "/web/"
