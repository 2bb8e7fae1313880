package podtest

import (
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// Authority vouches for what BehindTLS serves.
func Authority(t testing.TB) *x509.CertPool {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// BehindTLS puts a pod behind a proxy that speaks TLS under the pod's host, and nothing
// else: the pod is started again at another address (URL), with https in its own links.
func (p *Pod) BehindTLS(t testing.TB) *httptest.Server {
	t.Helper()
	p.Stop(t)
	host := string(p.Host())
	p.Config.Host, p.Config.Listen, p.Config.AdminListen, p.Config.Scheme = host, FreePort(t), FreePort(t), "https"
	front := p.Front(t)
	p.start(t)
	return front
}

// Front is a proxy that speaks TLS under the pod's host until it is closed or the test ends.
func (p *Pod) Front(t testing.TB) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", p.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: p.Config.Listen})
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	transport := &http.Transport{}
	proxy.Transport = transport
	front := httptest.NewUnstartedServer(proxy)
	_ = front.Listener.Close()
	front.Listener, front.Config.ErrorLog = l, proxy.ErrorLog
	front.StartTLS()
	t.Cleanup(func() {
		front.Close()
		transport.CloseIdleConnections()
	})
	return front
}
