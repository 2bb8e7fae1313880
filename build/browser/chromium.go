package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/profiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// ErrMissing says what to install.
var ErrMissing = errors.New("no Chromium: apt-get install chromium (make test does it)")

// Browser is one Chromium process with a profile of its own.
type Browser struct {
	ctx   context.Context
	close []func()
}

// Start starts Chromium. Close ends it.
func Start(ctx context.Context) (*Browser, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "kinopod-chromium-")
	if err != nil {
		return nil, fmt.Errorf("make profile: %w", err)
	}
	b := &Browser{close: []func(){func() { _ = os.RemoveAll(profile) }}}
	actx, stop := chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter"),
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true), chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.Flag("mute-audio", true),
		chromedp.WindowSize(1280, 800), chromedp.WSURLReadTimeout(time.Minute),
	)
	b.close = append(b.close, stop)
	bctx, cancel := chromedp.NewContext(actx)
	b.close = append(b.close, cancel)
	if err := chromedp.Do(bctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("start Chromium: %w", err)
	}
	b.ctx = bctx
	return b, nil
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrMissing
}

// Close ends the process and removes its profile.
func (b *Browser) Close() {
	for i := len(b.close) - 1; i >= 0; i-- {
		b.close[i]()
	}
	b.close = nil
}

// Page is a Tab of Chromium, which can do more than others. Ctx is that of chromedp.
type Page struct {
	Ctx context.Context

	heard
}

var _ Tab = (*Page)(nil)

// Page opens a tab that is listened to: Console, Requests, Throttle and Offline work.
// close ends it.
func (b *Browser) Page() (p *Page, closePage func(), err error) { return b.open((*Page).begin) }

// QuietPage opens a tab that nobody listens to, for measurements: the browser tells of
// each packet that arrives, which costs more than many a page.
func (b *Browser) QuietPage() (p *Page, closePage func(), err error) {
	return b.open(func(p *Page) error { return chromedp.Do(p.Ctx) })
}

// Beside opens another tab of the same viewer, who has all that p has. close ends it.
func (p *Page) Beside() (tab *Page, closePage func(), err error) {
	ctx, cancel := chromedp.NewContext(p.Ctx)
	tab = &Page{Ctx: ctx}
	if err := tab.begin(); err != nil {
		cancel()
		return nil, nil, fmt.Errorf("open a tab: %w", err)
	}
	return tab, cancel, nil
}

func (b *Browser) open(begin func(*Page) error) (p *Page, closePage func(), err error) {
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	p = &Page{Ctx: ctx}
	if err := begin(p); err != nil {
		cancel()
		return nil, nil, fmt.Errorf("open a tab: %w", err)
	}
	return p, cancel, nil
}

// begin opens the tab and listens to it.
func (p *Page) begin() error {
	if err := chromedp.Listen(p.Ctx, p.event); err != nil {
		return err
	}
	if _, err := chromedp.Call(p.Ctx, inspector.Enable, cdp.Empty{}); err != nil {
		return err
	}
	if _, err := chromedp.Call(p.Ctx, network.Enable, network.EnableParams{}); err != nil {
		return err
	}
	if _, err := chromedp.Call(p.Ctx, log.Enable, cdp.Empty{}); err != nil {
		return err
	}
	_, err := chromedp.Call(p.Ctx, runtime.Enable, cdp.Empty{})
	return err
}

func (p *Page) event(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, a := range ev.Args {
			words = append(words, strings.Trim(string(a.Value), `"`)+a.Description)
		}
		p.said(string(ev.Type) + ": " + strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			text += " " + e.Description
		}
		p.said("exception: " + text)
	case *log.EventEntryAdded:
		p.said(string(ev.Entry.Level) + ": " + ev.Entry.Text + " " + ev.Entry.URL)
	case *inspector.EventTargetCrashed:
		p.said("exception: the tab's process crashed")
	case *network.EventRequestWillBeSent:
		p.asked(ev.Request.URL)
	}
}

// Do runs actions of chromedp in the page, for at most d.
func (p *Page) Do(d time.Duration, actions ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(p.Ctx, d)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

// Open implements Tab.
func (p *Page) Open(url string) error { return p.Do(commandTime, chromedp.Navigate(url)) }

// Front implements Tab.
func (p *Page) Front() error {
	_, err := chromedp.Call(p.Ctx, page.BringToFront, cdp.Empty{})
	return err
}

// Size implements Tab.
func (p *Page) Size(width, height int64) error {
	return p.Do(commandTime, chromedp.EmulateViewport(width, height))
}

// OnNewDocument implements Tab.
func (p *Page) OnNewDocument(script string) error {
	_, err := chromedp.Call(p.Ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	return err
}

// Throttle makes the tab's network slow, WebRTC too.
func (p *Page) Throttle(bytesPerSecond float64, latency time.Duration) error {
	return p.network(&network.Conditions{Latency: float64(latency.Milliseconds()), DownloadThroughput: bytesPerSecond, UploadThroughput: bytesPerSecond})
}

// Offline takes the tab off the network, or back.
func (p *Page) Offline(off bool) error {
	return p.network(&network.Conditions{Offline: off, DownloadThroughput: -1, UploadThroughput: -1})
}

func (p *Page) network(c *network.Conditions) error {
	_, err := chromedp.Call(p.Ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{c}})
	return err
}

func (p *Page) evaluate(ctx context.Context, expression string) ([]byte, error) {
	pctx, cancel := context.WithCancel(p.Ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return chromedp.Run(pctx, chromedp.Evaluate[[]byte](expression, chromedp.EvalAwaitPromise))
}

// Until implements Tab.
func (p *Page) Until(d time.Duration, expression string) error { return until(p, d, expression) }

// Screenshot implements Tab.
func (p *Page) Screenshot(file string) error {
	ctx, cancel := context.WithTimeout(p.Ctx, commandTime)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	return writeScreenshot(file, png, err)
}

// Told implements Tab.
func (p *Page) Told(more string) error { return p.OnNewDocument(told(more)) }

// Profile writes what the tab's main thread does in the next d, as DevTools show it
// (.cpuprofile).
func (p *Page) Profile(d time.Duration, file string) error {
	if _, err := chromedp.Call(p.Ctx, profiler.Enable, cdp.Empty{}); err != nil {
		return err
	}
	if _, err := chromedp.Call(p.Ctx, profiler.Start, cdp.Empty{}); err != nil {
		return err
	}
	time.Sleep(d)
	r, err := chromedp.Call(p.Ctx, profiler.Stop, cdp.Empty{})
	if err != nil {
		return err
	}
	b, err := json.Marshal(r.Profile)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
