// Package podclient calls other pods by HTTP, and lets nobody lead it astray: where a
// call goes, how long it takes and how much is read of the answer is decided here,
// whatever the other end says (design.md, 4 and 5).
package podclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kinopod/shared/network"
)

// Limits of a call.
const (
	dialTime     = 5 * time.Second
	tlsTime      = 5 * time.Second
	callTime     = 20 * time.Second // all of it: both schemes, redirects, the body
	idleTime     = time.Minute
	pingTime     = 15 * time.Second // of silence, and a connection of HTTP/2 has to show that it lives
	memoryTime   = 10 * time.Minute // for which is known how a host was reached
	maxConns     = 4                // to one host
	maxIdle      = 128
	maxRedirects = 3
	maxLearnt    = 4096
	maxHeader    = 16 << 10 // bytes
)

// Config says how pods are called.
type Config struct {
	AllowHTTP bool           // http and private addresses are allowed: a local network or a test
	Software  string         // User-Agent, "Kinopod/1.2"
	Roots     *x509.CertPool // who vouches for pods; nil is the system's
	// Secured is told when a call was answered by https that was free to go by http. It may
	// be nil.
	Secured func(context.Context, network.Host)
	Log     *slog.Logger
	// Link, where not nil, is what each connection goes through: a switch for tests.
	Link func(to string, c net.Conn) (net.Conn, error)
}

// Target is a pod to call.
type Target struct {
	Host   network.Host
	Secure bool // https has worked for it: http is never tried
}

// Client calls pods; many may use it at a time. The text of its errors is one line, of
// strangers' words in part.
type Client struct {
	allowHTTP bool
	software  string
	secured   func(context.Context, network.Host)
	log       *slog.Logger
	dialer    *net.Dialer
	transport *http.Transport
	client    *http.Client
	limit     time.Duration         // callTime
	now       func() time.Time      // time.Now
	allowed   func(netip.Addr) bool // public

	mu     sync.Mutex
	learnt map[network.Host]learnt // guarded by mu
}

// learnt is how a host was reached.
type learnt struct {
	secure bool
	until  time.Time
}

// New makes a client.
func New(c Config) *Client {
	out := &Client{
		allowHTTP: c.AllowHTTP, software: c.Software, secured: c.Secured, log: c.Log, limit: callTime, now: time.Now, allowed: public,
		learnt: map[network.Host]learnt{},
	}
	if c.AllowHTTP {
		out.allowed = func(netip.Addr) bool { return true }
	}
	out.dialer = &net.Dialer{Timeout: dialTime, ControlContext: out.control}
	out.transport = &http.Transport{
		Proxy:                  nil, // one from the environment would dial for us, unguarded
		DialContext:            out.dial(c.Link),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
		TLSHandshakeTimeout:    tlsTime,
		DisableCompression:     true, // an answer is as large as it looks
		MaxConnsPerHost:        maxConns,
		MaxIdleConns:           maxIdle,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingTime, PingTimeout: dialTime},
	}
	out.client = &http.Client{Transport: out.transport, CheckRedirect: follow}
	return out
}

// dial connects as the dialer does, through link where there is one.
func (c *Client) dial(link func(string, net.Conn) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if link == nil {
		return c.dialer.DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := c.dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return link(addr, conn)
	}
}

// Close closes the connections that rest. No call may be under way.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// request is what is asked of a pod.
type request struct {
	method, path string
	query        string
	contentType  string // "" without a body
	body         []byte
	most         int64 // bytes that the answer may have; 0 reads none of it
}

// answer is what a pod said, with a status of 2xx.
type answer struct {
	status int
	body   []byte
	secure bool // it came by https
}

// do asks a pod by https or, where that is allowed and https cannot be connected, by
// http. A *StatusError stands in the chain of its error where an answer was no 2xx.
func (c *Client) do(ctx context.Context, at Target, r request) (answer, error) {
	if h, err := network.ParseHost(string(at.Host)); err != nil || h != at.Host {
		return answer{}, &failure{at.Host, r.path, network.ErrHost}
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	var failed []error
	for _, secure := range c.schemes(at) {
		a, final, err := c.exchange(ctx, at.Host, secure, r)
		if a.secure && !at.Secure && c.secured != nil {
			c.secured(ctx, at.Host)
		}
		if err == nil {
			return a, nil
		}
		if failed = append(failed, err); final {
			failed = failed[len(failed)-1:] // what the pod answered, not what stood in its place
		}
		if final || ctx.Err() != nil {
			break
		}
	}
	return answer{}, &failure{at.Host, r.path, errors.Join(failed...)}
}

// exchange asks by one scheme. final says that the other is not to be tried.
func (c *Client) exchange(ctx context.Context, h network.Host, secure bool, r request) (a answer, final bool, err error) {
	var connected atomic.Bool // with TLS, where it is https
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	to := url.URL{Scheme: scheme(secure), Host: string(h), Path: r.path, RawQuery: r.query}
	req, err := http.NewRequestWithContext(ctx, r.method, to.String(), bytes.NewReader(r.body))
	if err != nil {
		return answer{}, true, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("User-Agent", c.software)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	res, err := c.client.Do(req)
	if err != nil {
		var u *url.Error // names an address that may be a stranger's
		if errors.As(err, &u) {
			err = u.Err
		}
		return answer{}, connected.Load(), fmt.Errorf("%s: %w", to.Scheme, err)
	}
	defer res.Body.Close()
	a = answer{status: res.StatusCode, secure: res.Request.URL.Scheme == "https"}
	// To http, a port of TLS says 400, if anything, and one that was of a pod before leads
	// elsewhere, where nothing is posted to.
	final = a.secure || a.status != http.StatusBadRequest && (a.status < 300 || a.status > 399)
	if final {
		c.learn(h, a.secure)
	}
	if a.status < 200 || a.status > 299 {
		b, _ := read(res, maxErrorBody)
		return a, final, statusError(a.status, b)
	}
	if r.most > 0 {
		if a.body, err = read(res, r.most); err != nil {
			return answer{}, true, fmt.Errorf("read answer: %w", err)
		}
	}
	return a, true, nil
}

// errTooLong is an answer beyond its bound.
var errTooLong = errors.New("the answer is too long")

func read(res *http.Response, most int64) ([]byte, error) {
	if res.ContentLength > most {
		return nil, errTooLong
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err == nil && int64(len(b)) > most {
		err = errTooLong
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

// schemes are those to try, in order; true is https.
func (c *Client) schemes(at Target) []bool {
	if at.Secure || !c.allowHTTP {
		return []bool{true}
	}
	c.mu.Lock()
	l := c.learnt[at.Host]
	c.mu.Unlock()
	known := c.now().Before(l.until)
	switch {
	case known && l.secure:
		return []bool{true}
	case known, local(at.Host):
		return []bool{false, true}
	}
	return []bool{true, false}
}

// learn notes how a host was reached. https is not unlearnt by http.
func (c *Client) learn(h network.Host, secure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	l := c.learnt[h]
	known := now.Before(l.until)
	if known && l.secure && !secure {
		return
	}
	if !secure && !known {
		c.log.Info("a pod is called by http", "pod", h)
	}
	if len(c.learnt) >= maxLearnt {
		for h, l := range c.learnt {
			if !now.Before(l.until) {
				delete(c.learnt, h)
			}
		}
		if len(c.learnt) >= maxLearnt {
			clear(c.learnt)
		}
	}
	c.learnt[h] = learnt{secure, now.Add(memoryTime)}
}

// local says whether a host is this machine by its name.
func local(h network.Host) bool {
	name := (&url.URL{Host: string(h)}).Hostname()
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().IsLoopback()
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
