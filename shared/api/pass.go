package api

import (
	"net/url"
	"strconv"
	"strings"
)

// Pass lets whoever has it watch one file of a pod that is for members, until a time. It
// stands in the query of the file's addresses.
type Pass struct {
	Expires   int64  `json:"expires"` // seconds since 1970
	Signature string `json:"signature"`
}

// Names of a pass in a query.
const (
	PassExpires   = "expires"
	PassSignature = "signature"
)

// Query is the pass as the query of an address, "" for none.
func (p Pass) Query() string {
	if p.Signature == "" {
		return ""
	}
	return PassExpires + "=" + strconv.FormatInt(p.Expires, 10) + "&" + PassSignature + "=" + url.QueryEscape(p.Signature)
}

// PassOf is the pass in a query, the zero one where it has none.
func PassOf(query string) Pass {
	q, err := url.ParseQuery(query)
	if err != nil {
		return Pass{}
	}
	expires, err := strconv.ParseInt(q.Get(PassExpires), 10, 64)
	if err != nil {
		return Pass{}
	}
	return Pass{expires, q.Get(PassSignature)}
}

// WithPass gives an address that had no query this one.
func WithPass(address string, p Pass) string {
	if q := p.Query(); q != "" && !strings.Contains(address, "?") {
		return address + "?" + q
	}
	return address
}
