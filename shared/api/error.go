package api

import (
	"errors"
	"net/http"
)

// Code says what kind of failure an Error is. Codes are only ever added.
type Code string

// The codes, and the status that each goes with.
const (
	CodeInvalid      Code = "invalid"      // 400: the request is not of the right form
	CodeUnauthorized Code = "unauthorized" // 401: log in first
	CodeForbidden    Code = "forbidden"    // 403: logged in or not, this is not for you
	CodeNotFound     Code = "not_found"    // 404
	CodeConflict     Code = "conflict"     // 409: it exists already, or is in another state
	CodeTooLarge     Code = "too_large"    // 413: over a limit or a quota
	CodeUnsupported  Code = "unsupported"  // 422: the file is not a video that a pod takes
	CodeRateLimited  Code = "rate_limited" // 429: try again later
	CodeInternal     Code = "internal"     // 500
	CodeUnavailable  Code = "unavailable"  // 503: try again soon
	CodeNoSpace      Code = "no_space"     // 507: the pod's disk is full
	CodeOffline      Code = "offline"      // no status: the pod could not be reached
)

// Error is a failure with a sentence for the person who asked. It may wrap a cause
// for the operator, which does not travel.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Cause   error  `json:"-"`
}

// Error gives the sentence, and the cause behind it where there is one.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Status is the HTTP status that goes with the code.
func (e *Error) Status() int {
	switch e.Code {
	case CodeInvalid:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeConflict:
		return http.StatusConflict
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnsupported:
		return http.StatusUnprocessableEntity
	case CodeRateLimited:
		return http.StatusTooManyRequests
	case CodeUnavailable, CodeOffline:
		return http.StatusServiceUnavailable
	case CodeNoSpace:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// AsError gives the Error in err's chain. What has none becomes CodeInternal with
// err as its cause.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Message: "Something went wrong at the pod. Try again in a moment.", Cause: err}
}

// Is says whether err is an Error with this code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
