package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	cdpnetwork "github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"kinopod/build/browser"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/webapp/upload/uploadtest"
)

// uploader is somebody at the upload page of a pod, with a network between the two.
type uploader struct {
	t       *testing.T
	line    *uploadtest.Relay
	page    *browser.Page
	account *podtest.Client
	dialogs atomic.Int64 // that asked whether to leave the page
}

// newUploader logs in and opens the page. The screens are those of the built bundle.
func newUploader(t *testing.T, account *podtest.Client) *uploader {
	t.Helper()
	tab := viewer(t) // who was told: the notice would stand before what is clicked
	u := &uploader{t: t, page: tab, line: uploadtest.NewRelay(t, strings.TrimPrefix(account.URL, "http://")), account: account}
	u.answerDialogs()
	u.open("/login")
	in, _ := json.Marshal(api.Credentials{Username: account.Name, Password: podtest.Password})
	if !eval[bool](u, fmt.Sprintf(`fetch(%q, {method: "POST", headers: {"Content-Type": "application/json"}, body: %q}).then(r => r.ok)`, api.PathSession, in)) {
		t.Fatal("not logged in")
	}
	eval[string](u, `document.cookie = "kinopod_theme=dark; path=/"`)
	u.open("/upload")
	return u
}

// answerDialogs leaves the page whenever the browser asks whether to.
func (u *uploader) answerDialogs() {
	asked := make(chan struct{}, 8)
	err := chromedp.Listen(u.page.Ctx, func(ev any) {
		if e, ok := ev.(*cdppage.EventJavascriptDialogOpening); ok && e.Type == cdppage.DialogTypeBeforeunload {
			u.dialogs.Add(1)
			asked <- struct{}{}
		}
	})
	if err != nil {
		u.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range asked {
			_, _ = chromedp.Call(u.page.Ctx, cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{Accept: true})
		}
	}()
	u.t.Cleanup(func() { close(asked); <-ended })
}

// open shows a page of the pod, with the app in it.
func (u *uploader) open(path string) {
	u.t.Helper()
	if err := u.page.Open("http://" + u.line.Addr() + path); err != nil {
		u.t.Fatal(err)
	}
	u.until(`document.documentElement.dataset.app === "ready"`)
}

// leave is what closing the tab is for the page; what the browser keeps stays.
func (u *uploader) leave() {
	u.t.Helper()
	if err := u.page.Open("about:blank"); err != nil {
		u.t.Fatal(err)
	}
}

func (u *uploader) until(expression string) {
	u.t.Helper()
	if err := u.page.Until(patience, expression); err != nil {
		u.t.Fatal(err)
	}
}

func eval[T any](u *uploader, expression string) T {
	u.t.Helper()
	v, err := browser.Eval[T](u.page, expression)
	if err != nil {
		u.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (u *uploader) do(actions ...chromedp.Action[chromedp.Void]) {
	u.t.Helper()
	if err := u.page.Do(patience, actions...); err != nil {
		u.t.Fatal(err)
	}
}

// choose chooses files at the input.
func (u *uploader) choose(input string, files ...string) {
	u.t.Helper()
	u.do(chromedp.SetUploadFiles(chromedp.CSS(input), files))
}

// drop lets files go over the page.
func (u *uploader) drop(files ...string) {
	u.t.Helper()
	data := input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1}
	for _, step := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		if step == input.DispatchDragEventTypeDrop {
			u.until(`document.querySelector(".upload").dataset.over === "true"`)
			u.shot("over")
		}
		_, err := chromedp.Call(u.page.Ctx, input.DispatchDragEvent, input.DispatchDragEventParams{Type: step, X: 100, Y: 300, Data: &data})
		if err != nil {
			u.t.Fatal(err)
		}
	}
}

// press clicks a button by its label, as a person does.
func (u *uploader) press(label string) {
	u.t.Helper()
	u.do(click(fmt.Sprintf(`button[aria-label=%q]`, label)))
}

func click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector))
}

// offline has the browser believe that it has no network, or that it has one again.
func (u *uploader) offline(yes bool) {
	u.t.Helper()
	conditions := cdpnetwork.EmulateNetworkConditionsByRuleParams{}
	if yes {
		conditions.MatchedNetworkConditions = []*cdpnetwork.Conditions{{Offline: true, DownloadThroughput: -1, UploadThroughput: -1}}
	}
	if _, err := chromedp.Call(u.page.Ctx, cdpnetwork.EmulateNetworkConditionsByRule, conditions); err != nil {
		u.t.Fatal(err)
	}
	if _, err := chromedp.Call(u.page.Ctx, cdpnetwork.OverrideNetworkState, cdpnetwork.OverrideNetworkStateParams{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1}); err != nil {
		u.t.Fatal(err)
	}
}

// frozen is a page in which no timer goes off that is not near: what happens, happens
// because of an event.
const frozen = `(() => {
	const was = setTimeout;
	window.thaw = () => { window.setTimeout = was; };
	window.setTimeout = (f, ms, ...more) => was(f, ms > 500 ? 1e9 : ms, ...more);
	return true;
})()`

// write replaces what stands in a field.
func (u *uploader) write(field, text string) {
	u.t.Helper()
	u.do(click(field))
	eval[any](u, fmt.Sprintf(`document.querySelector(%q).select()`, field))
	u.do(chromedp.SendKeys(chromedp.CSS(field), text))
}

// state is the expression for the state of the n-th file, from 1.
func state(n int) string {
	return fmt.Sprintf(`document.querySelector(".up:nth-child(%d)").dataset.state`, n)
}

// untilState waits until the n-th file is in that state.
func (u *uploader) untilState(n int, want string) {
	u.t.Helper()
	u.until(fmt.Sprintf(`document.querySelector(".up:nth-child(%d)") && (%s === %q || %s === "failed")`, n, state(n), want, state(n)))
	if got := eval[string](u, state(n)); got != want {
		u.t.Fatalf("file %d is %s: %s", n, got, eval[string](u, `document.querySelector(".up").innerText`))
	}
}

// slow is a line on which something can happen to a file before it is whole, however
// much else the machine has to do; what a page asks the pod comes through, too.
const slow = 20 << 10

// untilShare lets the first file go up to so many of 1000, and makes the line slow then.
func (u *uploader) untilShare(share int) {
	u.t.Helper()
	defer u.line.SetRate(slow)
	u.until(fmt.Sprintf(`document.querySelector(".up progress") && document.querySelector(".up progress").value >= %d`, share))
}

// videos are those that the pod lists, the newest first.
func (u *uploader) videos() []api.Video {
	u.t.Helper()
	page, err := u.account.Videos(u.t.Context(), api.VideosQuery{})
	if err != nil {
		u.t.Fatal(err)
	}
	var out []api.Video
	for _, v := range page.Videos {
		v, err := u.account.Video(u.t.Context(), v.ID)
		if err != nil {
			u.t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// same holds a video at the pod against a file.
func (u *uploader) same(v api.Video, file string) {
	u.t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		u.t.Fatal(err)
	}
	r := v.Renditions[0]
	got := u.account.Ask(u.t, http.MethodGet, api.StreamPath(r.InfoHash, r.FileName), nil)
	if !bytes.Equal([]byte(got.Text), want) {
		u.t.Fatalf("%s arrived with %d bytes, otherwise than it was sent (%d)", file, len(got.Text), len(want))
	}
}

// shot takes pictures of the page for the eye, where KINOPOD_SHOTS names a directory.
func (u *uploader) shot(name string) {
	u.t.Helper()
	dir := os.Getenv("KINOPOD_SHOTS")
	if dir == "" {
		return
	}
	for _, width := range []int64{360, 1440} {
		if err := u.page.Size(width, 900); err != nil {
			u.t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if err := u.page.Screenshot(filepath.Join(dir, fmt.Sprintf("%s-%d.png", name, width))); err != nil {
			u.t.Fatal(err)
		}
	}
}
