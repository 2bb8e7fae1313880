// Package browser runs headless browsers for tests and benchmarks, Chromium and
// Firefox: one process, and pages that share nothing, as of different viewers.
package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"
)

// Tab is a tab of a viewer of its own, in whichever browser: no cookie, cache or
// service worker is shared with another Tab.
type Tab interface {
	// Open navigates, and waits until everything of the page is loaded.
	Open(url string) error
	// Front brings the tab to the front: browsers defer media of a tab that was never
	// visible.
	Front() error
	// Size makes the viewport this wide and high.
	Size(width, height int64) error
	// OnNewDocument runs a script in each document of the tab before its own scripts.
	OnNewDocument(script string) error
	// Told makes the viewer one who was told of other viewers at an earlier visit, and so is
	// with them at once; more is added to what such a viewer chose (webapp/sharing), `,"alone":true`.
	Told(more string) error
	// Until waits until an expression, or what it promises, is true, for at most d.
	Until(d time.Duration, expression string) error
	// Screenshot writes a PNG of what is visible.
	Screenshot(file string) error
	// Console is what the page said so far, a line each: "level: text".
	Console() []string
	// Requests is the URL of each request of the page so far.
	Requests() []string

	// evaluate gives the JSON of what an expression is or promises, nothing for undefined.
	evaluate(ctx context.Context, expression string) ([]byte, error)
}

// EvalTime bounds Eval.
const EvalTime = 2 * time.Minute

// Eval evaluates an expression, waits for it where it is a promise, and gives its
// value. It is an error where there is none and a T cannot be nil.
func Eval[T any](t Tab, expression string) (v T, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), EvalTime)
	defer cancel()
	raw, err := t.evaluate(ctx, expression)
	if err != nil {
		return v, err
	}
	if len(raw) == 0 || string(raw) == "null" {
		if nilable := []reflect.Kind{reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface}; !slices.Contains(nilable, reflect.TypeFor[T]().Kind()) {
			return v, errors.New("the value is undefined or null")
		}
		return v, nil
	}
	return v, json.Unmarshal(raw, &v)
}

// told is the script of Told.
func told(more string) string {
	return fmt.Sprintf(`try { localStorage.getItem("kinopod-sharing") ?? localStorage.setItem("kinopod-sharing", %q); } catch {}`, `{"told":true`+more+`}`)
}

func until(t Tab, d time.Duration, expression string) error {
	end := time.Now().Add(d)
	for {
		ok, err := Eval[bool](t, "(async () => Boolean(await ("+expression+")))()")
		if err == nil && ok {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %s: %s (%v)", d, expression, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func writeScreenshot(file string, png []byte, err error) error {
	if err != nil {
		return fmt.Errorf("take a screenshot: %w", err)
	}
	return os.WriteFile(file, png, 0o644)
}

// heard is what was noted of a tab.
type heard struct {
	mu       sync.Mutex
	console  []string // guarded by mu
	requests []string // guarded by mu
}

func (h *heard) said(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.console = append(h.console, line)
}

func (h *heard) asked(url string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, url)
}

// Console implements Tab.
func (h *heard) Console() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.console)
}

// Requests implements Tab.
func (h *heard) Requests() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests)
}
