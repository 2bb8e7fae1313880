package upload

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"
	"time"
)

// errNetwork is all that a browser tells of a request that failed.
var errNetwork = errors.New("the browser could not finish the request")

// send makes one request and waits for the whole answer. Where there is no answer
// it returns an error, and the request may or may not have had an effect.
//
// It is an XMLHttpRequest, not fetch: only that tells how much of a body went out.
func send(ctx context.Context, r request) (response, error) {
	xhr := js.Global().Get("XMLHttpRequest").New()
	ended := make(chan string, 1)
	moved := make(chan struct{}, 1)

	onEnd := js.FuncOf(func(_ js.Value, args []js.Value) any {
		ended <- args[0].Get("type").String()
		return nil
	})
	onProgress := js.FuncOf(func(_ js.Value, args []js.Value) any {
		if r.progress != nil {
			r.progress(int64(args[0].Get("loaded").Float()))
		}
		select {
		case moved <- struct{}{}:
		default:
		}
		return nil
	})
	defer onEnd.Release()
	defer onProgress.Release()
	for _, kind := range []string{"load", "error", "abort"} {
		xhr.Call("addEventListener", kind, onEnd)
	}
	xhr.Get("upload").Call("addEventListener", "progress", onProgress)

	xhr.Call("open", r.method, r.url, true)
	for k, v := range r.header {
		xhr.Call("setRequestHeader", k, v)
	}
	if r.file != nil {
		xhr.Call("send", r.file.slice(r.from, r.to))
	} else {
		xhr.Call("send")
	}

	kind, err := waitFor(ctx, r.idle, ended, moved)
	if err != nil {
		// abort calls the abort event before it returns, so that nothing calls a
		// released function.
		xhr.Call("abort")
		return response{}, fmt.Errorf("%s: %w", r.method, err)
	}
	if kind != "load" {
		return response{}, fmt.Errorf("%s: %w", r.method, errNetwork)
	}
	text := xhr.Get("responseText").String()
	header := func(name string) string {
		if v := xhr.Call("getResponseHeader", name); v.Type() == js.TypeString {
			return v.String()
		}
		return ""
	}
	return response{status: xhr.Get("status").Int(), header: header, body: []byte(text[:min(len(text), maxAnswer)])}, nil
}

// waitFor waits for the event that ends a request; each move puts idle off.
func waitFor(ctx context.Context, idle time.Duration, ended <-chan string, moved <-chan struct{}) (string, error) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case kind := <-ended:
			return kind, nil
		case <-moved:
			timer.Reset(idle)
		case <-timer.C:
			return "", errIdle
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
