//go:build !js

package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// exchange sends a request and reads its answer, which may have most bytes.
func exchange(ctx context.Context, r request, most int64) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return answer{}, fmt.Errorf("make request: %w", err)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	if int64(len(b)) > most {
		return answer{}, errTooLong
	}
	return answer{status: res.StatusCode, body: b}, nil
}
