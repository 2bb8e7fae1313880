package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

// request is one HTTP request with all of its body.
type request struct {
	method, url string
	contentType string // "" without a body
	token       string // of Authorization, "" for none
	body        []byte
}

// answer is one HTTP answer with all of its body.
type answer struct {
	status int
	body   []byte
}

// errTooLong is what exchange gives for an answer beyond its bound.
var errTooLong = errors.New("the answer is too long")

// statusLine writes a status as it stands in an answer.
func statusLine(status int) string { return strconv.Itoa(status) + " " + http.StatusText(status) }

// Fetch gets what is at an address, at most most bytes. In a browser it asks with the
// browser's own fetch: net/http would bring its whole transport with it, TLS and all,
// half a megabyte that no browser uses.
func Fetch(ctx context.Context, url string, most int64) ([]byte, error) {
	a, err := exchange(ctx, request{method: http.MethodGet, url: url}, most)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, errors.New("the answer is " + statusLine(a.status))
	}
	return a.body, nil
}
