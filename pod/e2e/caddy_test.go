package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"kinopod/pod/podtest"
	"kinopod/shared/announce"
	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/shared/wire"
)

// caddy runs the real Caddy with the Caddyfile of this repository in front of what
// listens at pod, as site with certificates of its internal CA. It gives the hosts for
// https and http, and makes this process trust the CA and find the site here.
func caddy(t *testing.T, pod string) (secure, plain string) {
	t.Helper()
	file, err := filepath.Abs("../../Caddyfile")
	must(t, err)
	_, httpPort, _ := net.SplitHostPort(podtest.FreePort(t))
	_, httpsPort, _ := net.SplitHostPort(podtest.FreePort(t))
	dir := t.TempDir()
	// What an operator's machine gives by itself: the usual ports, and a place to keep
	// certificates.
	wrapper := filepath.Join(dir, "Caddyfile")
	must(t, os.WriteFile(wrapper, fmt.Appendf(nil, "{\n\tadmin off\n\thttp_port %s\n\thttps_port %s\n\tdefault_bind 127.0.0.1\n\tskip_install_trust\n\tlocal_certs\n\tstorage file_system %s\n}\nimport %s\n",
		httpPort, httpsPort, filepath.Join(dir, "data"), file), 0o600))
	env := append(os.Environ(), "SITE="+site, "POD="+pod, "XDG_CONFIG_HOME="+dir, "HOME="+dir)
	check := exec.CommandContext(t.Context(), "caddy", "validate", "--adapter", "caddyfile", "--config", wrapper)
	check.Env = env
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("caddy (Debian package caddy) does not take the Caddyfile: %v\n%s", err, out)
	}
	var log bytes.Buffer
	cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", wrapper)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &log, &log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("caddy wrote:\n%s", &log)
		}
	})
	roots := x509.NewCertPool()
	root := filepath.Join(dir, "data", "pki", "authorities", "local", "root.crt")
	podtest.Eventually(t, "Caddy's own CA", func() bool {
		b, err := os.ReadFile(root)
		return err == nil && roots.AppendCertsFromPEM(b)
	})
	transport := http.DefaultTransport.(*http.Transport)
	trust, dial := transport.TLSClientConfig, transport.DialContext
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(ctx, network, strings.Replace(address, site+":", "127.0.0.1:", 1))
	}
	t.Cleanup(func() { transport.TLSClientConfig, transport.DialContext = trust, dial })
	return site + ":" + httpsPort, site + ":" + httpPort
}

const site = "pod.test"

// What an operator runs: the binary behind Caddy, by https.
func TestBehindCaddy(t *testing.T) {
	pod := podtest.FreePort(t)
	secure, plain := caddy(t, pod)
	p := podtest.Exec(t, "--listen", pod, "--host", secure, "--allow-http=false", "--trusted-proxies", "127.0.0.1/32")
	base := "https://" + secure
	if p.URL != base {
		t.Fatalf("the pod calls itself %s", p.URL)
	}
	ada := p.User(t, "ada")
	// An upload of some size, and every address that is told is https.
	v, film := ada.Film(t, podtest.Sample{MIME: video.MP4, Length: 20 * time.Second, Width: 640, Height: 360, Bitrate: 16_000_000})
	if !strings.HasPrefix(v.StreamURL, base+"/stream/") || len(film) < 30<<20 {
		t.Errorf("%d bytes at %s", len(film), v.StreamURL)
	}
	if !strings.Contains(v.Magnet, "wss%3A%2F%2F"+site) {
		t.Errorf("the magnet has no secure tracker: %s", v.Magnet)
	}
	behindCaddyRanges(t, v, film)
	behindCaddySession(t, base)
	behindCaddyTracker(t, base, v)

	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := stay.Get("http://" + plain + "/watch/x")
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusPermanentRedirect || !strings.HasPrefix(res.Header.Get("Location"), "https://"+site) {
		t.Errorf("http: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}

	// A pod that is restarted is waited for. How long it takes is this machine's affair: what
	// listens in its place does so soon.
	p.Kill()
	answered := make(chan int, 1)
	go func() {
		res, err := http.Get(base + api.PathPod)
		if err != nil {
			answered <- 0
			return
		}
		_ = res.Body.Close()
		answered <- res.StatusCode
	}()
	time.Sleep(time.Second)
	var l net.Listener
	podtest.Eventually(t, "the pod's address is free", func() bool { l, err = net.Listen("tcp", pod); return err == nil })
	back := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}
	go back.Serve(l) //nolint:errcheck // ends with Close
	t.Cleanup(func() { _ = back.Close() })
	if got := <-answered; got != http.StatusOK {
		t.Errorf("while the pod was restarted somebody got %d", got)
	}
}

func behindCaddyRanges(t *testing.T, v api.Video, film []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.StreamURL, nil)
	must(t, err)
	req.Header.Set("Range", "bytes=1000-20000999")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusPartialContent || !bytes.Equal(got, film[1000:20001000]) {
		t.Errorf("a range: %s with %d bytes", res.Status, len(got))
	}
	if res.Header.Get("Content-Range") != fmt.Sprintf("bytes 1000-20000999/%d", len(film)) || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("a range: %v", res.Header)
	}
}

func behindCaddySession(t *testing.T, base string) {
	t.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"username": "ada", "password": %q}`, podtest.Password))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+api.PathSession, body)
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", base)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	_ = res.Body.Close()
	cookies := res.Cookies()
	if len(cookies) != 1 || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].SameSite == http.SameSiteDefaultMode {
		t.Errorf("log in: %s, %v", res.Status, res.Header["Set-Cookie"])
	}
	if res.Header.Get("Strict-Transport-Security") == "" || res.Header.Get("Server") != "" {
		t.Errorf("log in: %v", res.Header)
	}
	req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, base+api.PathSession, strings.NewReader("{}"))
	must(t, err)
	req.Header.Set("Origin", "https://elsewhere.example")
	res, err = http.DefaultClient.Do(req)
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("a request of another site: %s", res.Status)
	}
}

func behindCaddyTracker(t *testing.T, base string, v api.Video) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	transport := http.DefaultTransport.(*http.Transport)
	dialer := ws.Dialer{TLSConfig: &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs}, NetDial: transport.DialContext}
	conn, _, _, err := dialer.Dial(ctx, "wss"+strings.TrimPrefix(base, "https")+api.PathTrackerSocket)
	must(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	hash := v.Renditions[0].InfoHash
	var left int64 = 1
	message, err := json.Marshal(announce.Announce{InfoHash: hash, PeerID: wire.PeerID([]byte("-KP0001-behind-caddy")), Event: announce.Started, Left: &left})
	must(t, err)
	must(t, wsutil.WriteClientText(conn, message))
	got, err := wsutil.ReadServerText(conn)
	must(t, err)
	if !bytes.Contains(got, []byte(`"interval"`)) {
		t.Errorf("the tracker: %s", got)
	}
}
