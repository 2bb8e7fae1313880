//go:build !js

package upload

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// send makes one request and waits for the whole answer. Where there is no answer
// it returns an error, and the request may or may not have had an effect.
func send(ctx context.Context, r request) (response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(r.idle, func() { cancel(errIdle) })
	defer idle.Stop()

	req, err := http.NewRequestWithContext(ctx, r.method, r.url, nil)
	if err != nil {
		return response{}, fmt.Errorf("make request: %w", err)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	if r.file != nil {
		b := &body{r: io.NewSectionReader(r.file.r, r.from, r.to-r.from), closed: make(chan struct{}), moved: func(n int64) {
			idle.Reset(r.idle)
			if r.progress != nil {
				r.progress(n)
			}
		}}
		req.ContentLength, req.Body = r.to-r.from, b
		// net/http may read on after Do returned: progress must not come late.
		defer func() { <-b.closed }()
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return response{}, fmt.Errorf("%s: %w", r.method, causeOf(ctx, err))
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return response{}, fmt.Errorf("read answer: %w", causeOf(ctx, err))
	}
	return response{status: res.StatusCode, header: res.Header.Get, body: b}, nil
}

func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// body tells how much of it was read, and when nobody reads it any more.
type body struct {
	r      io.Reader
	n      int64
	moved  func(n int64)
	once   sync.Once
	closed chan struct{}
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if n > 0 {
		b.n += int64(n)
		b.moved(b.n)
	}
	return n, err
}

func (b *body) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}
