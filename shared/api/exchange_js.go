package api

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"
)

// exchange sends a request and reads its answer, which may have most bytes.
func exchange(ctx context.Context, r request, most int64) (answer, error) {
	abort := js.Global().Get("AbortController").New()
	defer context.AfterFunc(ctx, func() { abort.Call("abort") })()
	res, err := await(js.Global().Call("fetch", r.url, r.options(abort)))
	if err != nil {
		return answer{}, errors.Join(ctx.Err(), err)
	}
	buffer, err := await(res.Call("arrayBuffer"))
	if err != nil {
		return answer{}, errors.Join(ctx.Err(), fmt.Errorf("read answer: %w", err))
	}
	n := buffer.Get("byteLength").Int()
	if int64(n) > most {
		return answer{}, errTooLong
	}
	b := make([]byte, n)
	js.CopyBytesToGo(b, js.Global().Get("Uint8Array").New(buffer))
	return answer{status: res.Get("status").Int(), body: b}, nil
}

// options is the second argument of fetch.
func (r request) options(abort js.Value) map[string]any {
	headers := map[string]any{}
	if r.contentType != "" {
		headers["Content-Type"] = r.contentType
	}
	if r.token != "" {
		headers["Authorization"] = "Bearer " + r.token
	}
	o := map[string]any{"method": r.method, "headers": headers, "signal": abort.Get("signal")}
	if len(r.body) > 0 {
		body := js.Global().Get("Uint8Array").New(len(r.body))
		js.CopyBytesToJS(body, r.body)
		o["body"] = body
	}
	return o
}

// await waits for a promise. It must not be called where JavaScript waits for Go.
func await(promise js.Value) (js.Value, error) {
	type settled struct {
		value js.Value
		err   error
	}
	done := make(chan settled, 1)
	then := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- settled{value: args[0]}
		return nil
	})
	defer then.Release()
	failed := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- settled{err: errors.New(args[0].Call("toString").String())}
		return nil
	})
	defer failed.Release()
	promise.Call("then", then, failed)
	s := <-done
	return s.value, s.err
}
