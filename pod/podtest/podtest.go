// Package podtest runs real pods for tests: in this process (Start) or as the built
// binary (Exec), each with its own directory, Redis and ports, and makes videos to
// give them.
package podtest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kinopod/pod"
	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/webapp"
	"kinopod/webapp/bundle"
)

// Pod is a pod that runs in this process until the test ends.
type Pod struct {
	*pod.Pod
	URL      string // "http://127.0.0.1:PORT", also its host where Config names none
	AdminURL string
	Config   config.Config
	Options  pod.Options // what is not usual: its clock, links, versions

	cancel context.CancelFunc
	ended  chan error
}

// startTime bounds the start of a pod, and its end, on a machine that has much else to do.
const startTime = 3 * time.Minute

// Config is what Start runs: on the loopback interface alone, without limits for
// an address (every client of a test has the same one), quiet.
func Config(t testing.TB, change ...func(*config.Config)) config.Config {
	t.Helper()
	c, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	c.Listen, c.AdminListen, c.RTCListen, c.BTListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.AllowHTTP, c.Data, c.Name = true, t.TempDir(), "Test pod"
	l := &c.Limits
	l.RequestsPerSecond, l.LoginsPerMinute, l.ConnectionsPerAddress = 0, 0, 0
	l.TrackerConnectionsPerAddress, l.TrackerMessagesPerSecond, l.SeederPeersPerAddress = 0, 0, 0
	for _, f := range change {
		f(&c)
	}
	giveKey(t, c.Data)
	return c
}

// Start runs a pod with Config. It fails the test where the pod does not start, or
// does not end as it should.
func Start(t testing.TB, change ...func(*config.Config)) *Pod {
	t.Helper()
	return StartWith(t, pod.Options{}, change...)
}

// StartWith is Start with another clock, or links that can be cut.
func StartWith(t testing.TB, o pod.Options, change ...func(*config.Config)) *Pod {
	t.Helper()
	p := &Pod{Config: Config(t, change...), Options: o}
	p.start(t)
	t.Cleanup(func() { p.Stop(t) })
	return p
}

func (p *Pod) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	o := p.Options
	o.Version, o.Log, o.Pages = "test", Log(t), pages
	running, err := pod.New(ctx, p.Config, o)
	if err != nil {
		t.Fatalf("start pod: %v", err)
	}
	life, stop := context.WithCancel(context.Background())
	p.Pod, p.cancel, p.ended = running, stop, make(chan error, 1)
	p.URL, p.AdminURL = "http://"+string(running.Host()), "http://"+running.AdminAddr().String()
	if p.Config.Host != "" { // it may lead to what stands before it
		p.URL = "http://" + p.Config.Listen
	}
	go func() { p.ended <- running.Run(life) }()
	waitFor(t, p.URL+api.PathPod)
}

// Stop ends the pod, and waits for it. It may be called again.
func (p *Pod) Stop(t testing.TB) {
	t.Helper()
	if p.cancel == nil {
		return
	}
	p.cancel()
	p.cancel = nil
	http.DefaultClient.CloseIdleConnections()
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("pod ended: %v", err)
		}
	case <-time.After(startTime):
		t.Error("the pod does not end")
	}
}

// Restart ends the pod where it runs and starts it again with the same directory,
// addresses and host.
func (p *Pod) Restart(t testing.TB) {
	t.Helper()
	p.Stop(t)
	p.StartAgain(t)
}

// StartAgain starts a pod that was stopped, with the same directory, addresses and host.
func (p *Pod) StartAgain(t testing.TB) {
	t.Helper()
	p.Config.Listen, p.Config.AdminListen = strings.TrimPrefix(p.URL, "http://"), strings.TrimPrefix(p.AdminURL, "http://")
	p.start(t)
}

// Log writes to the test's output.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// pages are the web app where it is built, else one page: most tests need none.
func pages(p pod.Page) (http.Handler, error) {
	h, err := webapp.Handler(webapp.Options{Name: p.Name, Base: p.Base, Methods: p.Methods, Log: p.Log})
	if errors.Is(err, bundle.ErrNotBuilt) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}), nil
	}
	return h, err
}

// waitFor waits until url is served.
func waitFor(t testing.TB, url string) {
	t.Helper()
	deadline := time.Now().Add(startTime)
	for {
		res, err := http.Get(url)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not served: %v", url, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Eventually waits until ok, for a while that is long on a busy machine.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(startTime)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not seen: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// FreePort is an address of the loopback interface that was free a moment ago, for
// what has to be told before it listens.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
