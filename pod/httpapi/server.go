package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/sync/errgroup"

	"kinopod/pod/accounts"
	"kinopod/pod/config"
	"kinopod/pod/viewing"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

const (
	// headerTimeout is from the first byte of a request to the last of its header,
	// and of the silence before it on a new connection.
	headerTimeout = 15 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 90 * time.Second
	// headerBytes bounds a request's header; X-Forwarded-For may be long.
	headerBytes = 16 << 10
	// bufferedBody is what of a body is read before its handler runs.
	bufferedBody = 8 << 10
)

// Config says how the pod is reached and what it allows.
type Config struct {
	config.Config
	Host    network.Host
	STUN    string // see api.Pod
	Version string
	Log     *slog.Logger
}

// Mounter is a door of its own on the same address.
type Mounter interface{ Mount(app *fiber.App) }

// Parts are what the door opens to.
type Parts struct {
	Accounts  Accounts
	Catalog   Catalog
	Views     Views
	Publisher Publisher
	Files     Files
	// Uploads serves tus at api.PathUploads. The caller is in the request's
	// context, see CallerOf.
	Uploads http.Handler
	// Pages makes the handler of everything else. It is given how to ask the pod
	// for the caller of a request.
	Pages func(methods func(*http.Request) api.Methods) (http.Handler, error)
	// Mounts add the routes of other doors.
	Mounts []Mounter
	// Ready says whether the pod can serve, for /readyz.
	Ready func(context.Context) error
	// Friends are the other pods, Foreign what is here of their videos.
	Friends Friends
	Foreign Foreign
	// Viewing says who may watch; nil is everybody.
	Viewing *viewing.Gate
	// Metrics are what other parts count.
	Metrics []Metric
}

// Server serves one pod.
type Server struct {
	cfg     Config
	parts   Parts
	api     *API
	app     *fiber.App
	trusted proxies
	metrics *metrics
	pages   http.Handler

	perAddress *limiter[netip.Prefix]
	perAccount *limiter[string]
	streams    streams
	feeds      feeds

	streamOff atomic.Bool
	ctx       context.Context // ends when the server stops
	stop      context.CancelFunc
	conns     atomic.Pointer[listener]
}

// New joins the routes. Nothing is served before Run.
func New(cfg Config, parts Parts) (*Server, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{
		cfg: cfg, parts: parts, trusted: cfg.TrustedProxies, ctx: ctx, stop: stop,
		perAddress: newLimiter[netip.Prefix](cfg.Limits.RequestsPerSecond),
		perAccount: newLimiter[string](cfg.Limits.RequestsPerSecond),
		streams:    streams{most: cfg.Limits.ConnectionsPerAddress, open: map[netip.Prefix]int{}},
	}
	s.metrics = newMetrics(s.openConnections, parts.Metrics)
	s.api = &API{cfg: cfg, parts: parts, metrics: s.metrics}
	var err error
	s.pages, err = parts.Pages(func(r *http.Request) api.Methods { return s.api.as(CallerOf(r.Context())) })
	if err != nil {
		return nil, err
	}
	s.app = fiber.New(fiber.Config{
		AppName:               "kinopod",
		BodyLimit:             bufferedBody,
		CaseSensitive:         true,
		DisableStartupMessage: true,
		ErrorHandler:          s.fail,
		IdleTimeout:           idleTimeout,
		JSONEncoder:           encode,
		Immutable:             true,
		ReadBufferSize:        headerBytes,
		ReadTimeout:           headerTimeout,
		// Bodies of uploads are as large as films. Never together with
		// ReduceMemoryUsage: fasthttp 1.52 gives the connection's reader to another
		// connection while the body is still read from it.
		StreamRequestBody:            true,
		StrictRouting:                true,
		DisablePreParseMultipartForm: true,
	})
	s.routes()
	return s, nil
}

// SetStreamOff makes /stream answer 503, or not: a switch for tests.
func (s *Server) SetStreamOff(off bool) { s.streamOff.Store(off) }

// Run serves viewers on public and, where admin is not nil, operators on admin
// until ctx ends. Then it accepts nothing more, ends uploads where they are (they
// can go on later), and gives other requests stopTime to end.
func (s *Server) Run(ctx context.Context, public, admin net.Listener) error {
	defer s.stop()
	limited := newListener(public, s.cfg.Limits.Connections, s.cfg.Limits.ConnectionsPerAddress, s.trusted, s.cfg.Log)
	s.conns.Store(limited)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.app.Listener(limited); err != nil {
			return fmt.Errorf("serve viewers: %w", err)
		}
		return nil
	})
	if admin != nil {
		g.Go(func() error { return s.serveAdmin(gctx, admin) })
	}
	g.Go(func() error {
		<-gctx.Done()
		s.stop()
		return s.shutdown(limited)
	})
	return g.Wait()
}

// stopTime is what requests have to end when the pod stops.
const stopTime = 5 * time.Second

func (s *Server) shutdown(limited *listener) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	err := s.app.ShutdownWithContext(ctx)
	limited.closeAll()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving viewers: %w", err)
	}
	return nil
}

func (s *Server) openConnections() float64 {
	if l := s.conns.Load(); l != nil {
		return float64(l.count())
	}
	return 0
}

// writeJSON answers JSON. It goes into the memory that answers are sent from, which is used
// again: a page of a list has 40 KB.
func writeJSON(c *fiber.Ctx, v any) error {
	c.Response().ResetBody()
	if err := encodeTo(c.Response().BodyWriter(), v); err != nil {
		return err
	}
	c.Response().Header.SetContentType(fiber.MIMEApplicationJSON)
	return nil
}

// encode is writeJSON for doors that know Fiber only.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	err := encodeTo(&b, v)
	return b.Bytes(), err
}

// encodeTo writes JSON with addresses as they are: "&", not "\u0026".
func encodeTo(w io.Writer, v any) error {
	e := json.NewEncoder(lineless{w})
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// lineless takes off the end of the line that an Encoder writes after each value.
type lineless struct{ to io.Writer }

func (l lineless) Write(b []byte) (int, error) {
	if _, err := l.to.Write(bytes.TrimSuffix(b, []byte("\n"))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// recoverPanic makes of a panic in a handler an internal error with its stack in
// the log.
func (s *Server) recoverPanic(c *fiber.Ctx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return c.Next()
}

// fail writes err as an api.Error. It is Fiber's error handler too.
func (s *Server) fail(c *fiber.Ctx, err error) error {
	status, cause := 0, err
	var fe *fiber.Error
	if errors.As(err, &fe) {
		status, err = fe.Code, ofStatus(fe.Code)
	}
	e := api.AsError(err)
	if status == 0 {
		status = e.Status()
	}
	if e.Code == api.CodeInternal && !clientLeft(cause) {
		s.cfg.Log.Error("request failed", "method", c.Method(), "route", c.Route().Path, "err", cause)
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(retryAfter(err)))
	}
	if c.Method() == http.MethodHead && strings.HasPrefix(c.Path(), api.PathUploads+"/") && (status == http.StatusTooManyRequests || status >= http.StatusInternalServerError) {
		// As package publish answers: tus-js-client would send all bytes again.
		status = http.StatusLocked
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return writeJSON(c.Status(status), e)
}

// clientLeft holds for the failure of a request whose client went away in the middle.
func clientLeft(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// retryAfter is when to try again, in seconds.
func retryAfter(err error) int {
	var limited *accounts.Limited
	if errors.As(err, &limited) {
		return max(1, int(limited.After/time.Second))
	}
	return 1
}

// ofStatus says in words what Fiber and fasthttp refuse by themselves.
func ofStatus(status int) *api.Error {
	switch status {
	case http.StatusNotFound:
		return &api.Error{Code: api.CodeNotFound, Message: "There is nothing here."}
	case http.StatusMethodNotAllowed:
		return &api.Error{Code: api.CodeInvalid, Message: "This cannot be done here: another method is needed."}
	case http.StatusRequestTimeout:
		return &api.Error{Code: api.CodeInvalid, Message: "The request took too long."}
	case http.StatusRequestHeaderFieldsTooLarge:
		return &api.Error{Code: api.CodeTooLarge, Message: "The header of the request is too large."}
	case http.StatusUnsupportedMediaType:
		return &api.Error{Code: api.CodeInvalid, Message: "The body is packed (Content-Encoding). Send it as it is."}
	case http.StatusRequestEntityTooLarge:
		return &api.Error{Code: api.CodeTooLarge, Message: "The body of the request is too large."}
	}
	if status >= http.StatusInternalServerError {
		return &api.Error{Code: api.CodeInternal, Message: "Something went wrong at the pod. Try again in a moment."}
	}
	return &api.Error{Code: api.CodeInvalid, Message: "The request cannot be read."}
}
