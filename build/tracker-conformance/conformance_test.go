// Package conformance holds the black-box checks of a WebTorrent tracker (README.md)
// and the test that runs them against the pod.
package conformance

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/pod/podtest"
	"kinopod/pod/tracker"
	"kinopod/shared/api"
)

// TestTracker runs the conformance checks, the hardened ones too, against a public
// tracker, once for each way that connections take through it. What they open and send
// from one address is more than its limits, which are tested on their own.
func TestTracker(t *testing.T) {
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("npm packages are missing: go run ./build/setup test")
	}
	// Plain TCP, for which Linux has epoll: what a pod is asked by.
	t.Run("the binary", func(t *testing.T) {
		p := podtest.Exec(t, "--tracker-open")
		conform(t, strings.Replace(p.URL, "http://", "ws://", 1)+api.PathTrackerSocket)
		if t.Failed() {
			t.Log(p.Log())
		}
	})
	// TLS, which no poller can wait for: each connection has goroutines, as plain TCP has
	// on other systems. The binary leaves TLS to a proxy.
	t.Run("a goroutine each", func(t *testing.T) {
		address, authority := serveTLS(t)
		conform(t, "wss://"+address+api.PathTrackerSocket, "NODE_EXTRA_CA_CERTS="+authority)
	})
}

// conform runs the checks against the tracker at url, in the test's environment and env.
func conform(t *testing.T, url string, env ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "run.js", "--hardened", "--quiet")
	cmd.Env = append(append(os.Environ(), "TRACKER_URL="+url), env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	if !regexp.MustCompile(`(?m)^[89]\d passed, 0 failed`).Match(out) {
		t.Error("fewer checks ran than there are")
	}
}

// serveTLS serves a public tracker over TLS until the test ends. authority is the path
// of the certificate to trust.
func serveTLS(t *testing.T) (address, authority string) {
	lender := httptest.NewTLSServer(http.NotFoundHandler()) // has a certificate of 127.0.0.1
	defer lender.Close()
	authority = filepath.Join(t.TempDir(), "authority.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lender.Certificate().Raw})
	if err := os.WriteFile(authority, block, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := tracker.New(tracker.Config{Open: true}, nil)
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ReadTimeout: 10 * time.Second})
	served.Mount(app)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- served.Run(ctx) }()
	go func() {
		ended <- app.Listener(tls.NewListener(plain, &tls.Config{Certificates: lender.TLS.Certificates}))
	}()
	t.Cleanup(func() {
		cancel()
		_ = app.ShutdownWithTimeout(10 * time.Second) // what it waits for in vain is not the tracker's
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return plain.Addr().String(), authority
}
