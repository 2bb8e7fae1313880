package upload

import (
	"context"
	"fmt"
	"syscall/js"
	"time"
)

// File is a file that somebody chose: the browser's File.
type File struct {
	v js.Value
}

// NewFile takes the browser's File.
func NewFile(v js.Value) *File { return &File{v: v} }

// JSValue is the browser's File.
func (f *File) JSValue() js.Value { return f.v }

// Name is the file's name without a folder.
func (f *File) Name() string { return f.v.Get("name").String() }

// Size is the file's length in bytes.
func (f *File) Size() int64 { return int64(f.v.Get("size").Float()) }

// Modified is when the file last changed.
func (f *File) Modified() time.Time {
	return time.UnixMilli(int64(f.v.Get("lastModified").Float()))
}

// slice is the browser's Blob of the bytes from..to. It copies nothing.
func (f *File) slice(from, to int64) js.Value {
	return f.v.Call("slice", float64(from), float64(to))
}

// Bytes reads the bytes from..to of the file. It fails where the file changed, or
// is gone, since it was chosen.
func (f *File) Bytes(ctx context.Context, from, to int64) ([]byte, error) {
	buffer, err := await(ctx, f.slice(from, to).Call("arrayBuffer"))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	view := js.Global().Get("Uint8Array").New(buffer)
	b := make([]byte, view.Length())
	js.CopyBytesToGo(b, view)
	return b, nil
}

// await waits for a promise. It must not be called on the goroutine of an event.
func await(ctx context.Context, promise js.Value) (js.Value, error) {
	type outcome struct {
		v   js.Value
		err error
	}
	// Both functions stay until one was called: releasing them earlier, because
	// ctx ended, would make the promise call what is no longer there.
	done := make(chan outcome, 1)
	var resolved, rejected js.Func
	finish := func(o outcome) any {
		done <- o
		resolved.Release()
		rejected.Release()
		return nil
	}
	resolved = js.FuncOf(func(_ js.Value, args []js.Value) any { return finish(outcome{v: first(args)}) })
	rejected = js.FuncOf(func(_ js.Value, args []js.Value) any {
		return finish(outcome{err: fmt.Errorf("%s", js.Global().Get("String").Invoke(first(args)).String())})
	})
	promise.Call("then", resolved, rejected)
	select {
	case o := <-done:
		return o.v, o.err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err()
	}
}

func first(args []js.Value) js.Value {
	if len(args) == 0 {
		return js.Undefined()
	}
	return args[0]
}
