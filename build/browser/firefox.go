package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// ErrNoFirefox says what to install.
var ErrNoFirefox = errors.New("no Firefox: apt-get install firefox-esr (make test does it)")

// prefs are what a test needs of Firefox beyond what it sets itself when it is driven
// (no update, no telemetry, no first run).
const prefs = `
user_pref("media.autoplay.default", 0); // allowed
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.volume_scale", "0.0");
user_pref("media.gmp-manager.updateEnabled", false); // films are decoded by the system's libraries
user_pref("media.peerconnection.ice.loopback", true); // the machine may have no other network,
user_pref("permissions.default.microphone", 1); // nor is it taken by who may not use the microphone
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false); // and there may be no multicast to find an address by
user_pref("network.proxy.type", 0);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("dom.min_background_timeout_value", 4); // a tab behind another works as fast
user_pref("dom.timeout.enable_budget_timer_throttling", false);
user_pref("privacy.userContext.enabled", true);
`

// Firefox is one process of Firefox with a profile of its own, driven by WebDriver BiDi.
type Firefox struct {
	process *os.Process
	profile string
	exited  chan struct{}
	conn    *bidi

	mu   sync.Mutex
	tabs map[string]*FirefoxPage // by id; guarded by mu
}

// StartFirefox starts Firefox. Close ends it.
func StartFirefox(ctx context.Context) (*Firefox, error) {
	path, err := exec.LookPath("firefox-esr")
	if err != nil {
		if path, err = exec.LookPath("firefox"); err != nil {
			return nil, ErrNoFirefox
		}
	}
	profile, err := os.MkdirTemp("", "kinopod-firefox-")
	if err != nil {
		return nil, fmt.Errorf("make profile: %w", err)
	}
	f := &Firefox{profile: profile, exited: make(chan struct{}), tabs: map[string]*FirefoxPage{}}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := f.start(ctx, path); err != nil {
		said, _ := os.ReadFile(f.output())
		f.Close()
		return nil, fmt.Errorf("start Firefox: %w; it said:\n%s", err, said)
	}
	return f, nil
}

func (f *Firefox) output() string { return filepath.Join(f.profile, "output") }

func (f *Firefox) start(ctx context.Context, path string) error {
	if err := os.WriteFile(filepath.Join(f.profile, "user.js"), []byte(prefs), 0o600); err != nil {
		return err
	}
	out, err := os.Create(f.output())
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(path, "--headless", "--no-remote", "--profile", f.profile, "--remote-debugging-port=0", "about:blank")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, ownGroup()
	// Nothing of whoever runs the tests, and no directory that belongs to another user.
	cmd.Env = append(os.Environ(), "HOME="+f.profile, "XDG_CONFIG_HOME="+f.profile, "XDG_CACHE_HOME="+f.profile, "MOZ_CRASHREPORTER_DISABLE=1")
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // it would end with its thread (ownGroup)
		defer runtime.UnlockOSThread()
		defer close(f.exited)
		err := cmd.Start()
		f.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	address, err := f.address(ctx)
	if err != nil {
		return err
	}
	if f.conn, err = dialBidi(ctx, address, f.event); err != nil {
		return err
	}
	if err := f.conn.call(ctx, "session.new", map[string]any{"capabilities": map[string]any{}}, nil); err != nil {
		return err
	}
	return f.conn.call(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded", "network.beforeRequestSent"}}, nil)
}

// address is where Firefox can be driven: it says so in a file of its profile.
func (f *Firefox) address(ctx context.Context) (string, error) {
	for {
		var at struct {
			Host string `json:"ws_host"`
			Port int    `json:"ws_port"`
		}
		raw, err := os.ReadFile(filepath.Join(f.profile, "WebDriverBiDiServer.json"))
		if err == nil && json.Unmarshal(raw, &at) == nil && at.Port != 0 {
			return fmt.Sprintf("ws://%s:%d/session", at.Host, at.Port), nil
		}
		select {
		case <-f.exited:
			return "", errors.New("it ended")
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close ends the process and removes its profile.
func (f *Firefox) Close() {
	if f.conn != nil {
		f.conn.close()
	}
	if f.process != nil {
		endGroup(f.process)
		<-f.exited
	}
	_ = os.RemoveAll(f.profile)
}

func (f *Firefox) event(method string, params json.RawMessage) {
	var e struct {
		Context string
		Source  struct{ Context string }
		Type    string // of a line: console or javascript
		Method  string
		Level   string
		Text    string
		Request struct{ URL string }
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	f.mu.Lock()
	p := f.tabs[e.Context+e.Source.Context]
	f.mu.Unlock()
	switch {
	case p == nil:
	case method == "network.beforeRequestSent":
		p.asked(e.Request.URL)
	case e.Type == "console":
		p.said(e.Method + ": " + e.Text)
	case e.Level == "error":
		p.said("exception: " + e.Text)
	default:
		p.said(e.Level + ": " + e.Text)
	}
}

// FirefoxPage is a Tab of Firefox.
type FirefoxPage struct {
	conn *bidi
	id   string // of the browsing context

	heard
}

var _ Tab = (*FirefoxPage)(nil)

// commandTime bounds what is quick.
const commandTime = 2 * time.Minute

// Page opens a tab. close ends it.
func (f *Firefox) Page() (p *FirefoxPage, closePage func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	var viewer struct {
		UserContext string `json:"userContext"`
	}
	if err := f.conn.call(ctx, "browser.createUserContext", struct{}{}, &viewer); err != nil {
		return nil, nil, fmt.Errorf("open a tab: %w", err)
	}
	leave := func() {
		ctx, cancel := context.WithTimeout(context.Background(), commandTime)
		defer cancel()
		_ = f.conn.call(ctx, "browser.removeUserContext", viewer, nil)
	}
	var made struct {
		Context string `json:"context"`
	}
	// In a window of its own it is visible, whatever others do.
	if err := f.conn.call(ctx, "browsingContext.create", map[string]any{"type": "window", "userContext": viewer.UserContext}, &made); err != nil {
		leave()
		return nil, nil, fmt.Errorf("open a tab: %w", err)
	}
	p = &FirefoxPage{conn: f.conn, id: made.Context}
	f.mu.Lock()
	f.tabs[p.id] = p
	f.mu.Unlock()
	return p, func() {
		leave()
		f.mu.Lock()
		delete(f.tabs, p.id)
		f.mu.Unlock()
	}, nil
}

// do gives a command about this tab.
func (p *FirefoxPage) do(method string, params map[string]any, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	params["context"] = p.id
	return p.conn.call(ctx, method, params, result)
}

// Open implements Tab.
func (p *FirefoxPage) Open(url string) error {
	return p.do("browsingContext.navigate", map[string]any{"url": url, "wait": "complete"}, nil)
}

// Front implements Tab.
func (p *FirefoxPage) Front() error { return p.do("browsingContext.activate", map[string]any{}, nil) }

// Size implements Tab.
func (p *FirefoxPage) Size(width, height int64) error {
	return p.do("browsingContext.setViewport", map[string]any{"viewport": map[string]any{"width": width, "height": height}}, nil)
}

// OnNewDocument implements Tab.
func (p *FirefoxPage) OnNewDocument(script string) error {
	return p.do("script.addPreloadScript", map[string]any{"functionDeclaration": "() => {" + script + "\n}", "contexts": []string{p.id}}, nil)
}

// Told implements Tab.
func (p *FirefoxPage) Told(more string) error { return p.OnNewDocument(told(more)) }

// Until implements Tab.
func (p *FirefoxPage) Until(d time.Duration, expression string) error {
	return until(p, d, expression)
}

// Screenshot implements Tab.
func (p *FirefoxPage) Screenshot(file string) error {
	var png struct{ Data []byte }
	err := p.do("browsingContext.captureScreenshot", map[string]any{"origin": "viewport"}, &png)
	return writeScreenshot(file, png.Data, err)
}

func (p *FirefoxPage) evaluate(ctx context.Context, expression string) ([]byte, error) {
	var r struct {
		Type             string
		Result           struct{ Value string } // none for undefined
		ExceptionDetails struct{ Text string }
	}
	err := p.conn.call(ctx, "script.evaluate", map[string]any{
		"expression": "(async () => JSON.stringify(await (" + strings.TrimRight(expression, "; \n") + ")))()", "awaitPromise": true, "target": map[string]any{"context": p.id},
	}, &r)
	if err != nil {
		return nil, err
	}
	if r.Type != "success" {
		return nil, errors.New(r.ExceptionDetails.Text)
	}
	return []byte(r.Result.Value), nil
}
