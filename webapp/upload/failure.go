package upload

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"kinopod/shared/api"
)

// failure is a request that did not do what it should.
type failure struct {
	status     int // 0 where no answer came
	retryAfter time.Duration
	err        *api.Error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// lost is a request without an answer.
func lost(err error) *failure {
	return &failure{err: &api.Error{Code: api.CodeOffline, Message: "The pod cannot be reached.", Cause: err}}
}

// final is a failure that no further attempt mends.
func final(code api.Code, message string) *failure {
	e := &api.Error{Code: code, Message: message}
	return &failure{status: e.Status(), err: e}
}

// refused reads a failure from the pod's answer: its own sentence where it sent
// one.
func refused(res response) *failure {
	f := &failure{status: res.status, retryAfter: retryAfter(res.header("Retry-After"))}
	var e api.Error
	if json.Unmarshal(res.body, &e) == nil && e.Code != "" && e.Message != "" {
		f.err = &e
		return f
	}
	code, message := api.CodeInternal, fmt.Sprintf("The pod answered %d (%s).", res.status, http.StatusText(res.status))
	switch {
	case res.status == http.StatusUnauthorized:
		code, message = api.CodeUnauthorized, "You are no longer logged in."
	case res.status == http.StatusForbidden:
		code, message = api.CodeForbidden, "The pod does not let you do that."
	case res.status == http.StatusRequestEntityTooLarge:
		code, message = api.CodeTooLarge, "The file is larger than the pod allows."
	case res.status == http.StatusNotFound, res.status == http.StatusGone:
		code, message = api.CodeNotFound, "The pod no longer knows this upload."
	case res.status >= 500:
		code, message = api.CodeUnavailable, "The pod is not ready."
	case res.status >= 400:
		code = api.CodeInvalid
	}
	f.err = &api.Error{Code: code, Message: message}
	return f
}

// retryAfter reads the header of that name, in seconds; a date counts as absent.
func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxRetryAfter)
}

const maxRetryAfter = 5 * time.Minute

// statusChecksum is tus' "the bytes came otherwise than they were sent".
const statusChecksum = 460

// again says whether another attempt may succeed by itself: the network or the pod
// is down for a while, or our idea of the offset is out of date.
func (f *failure) again() bool {
	switch f.status {
	case 0, http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests, statusChecksum:
		return true
	case http.StatusInsufficientStorage, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return f.status >= 500
}

// gone says that the pod has no such upload for us.
func (f *failure) gone() bool {
	return f.status == http.StatusNotFound || f.status == http.StatusGone || f.status == http.StatusForbidden
}
