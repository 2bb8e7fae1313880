package podclient

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// Runes that errors have at most.
const (
	maxMessage = 200
	maxCode    = 40
	maxError   = 500
)

// StatusError is an answer that is no 2xx. Code and Message are a stranger's words: one
// line of text each, which may look like HTML; empty where the answer is none of the
// API's errors.
type StatusError struct {
	Status  int
	Code    api.Code
	Message string // at most 200 runes
}

// Error gives the status, and the stranger's words in quotes.
func (e *StatusError) Error() string {
	text := strings.TrimSpace(fmt.Sprintf("the answer is %d %s", e.Status, http.StatusText(e.Status)))
	if e.Message != "" {
		text += fmt.Sprintf(": %q", e.Message)
	}
	return text
}

// statusError reads the body of an answer that is no 2xx.
func statusError(status int, body []byte) *StatusError {
	var said api.Error
	if json.Unmarshal(body, &said) != nil {
		return &StatusError{Status: status}
	}
	return &StatusError{Status: status, Code: api.Code(oneLine(string(said.Code), maxCode)), Message: oneLine(said.Message, maxMessage)}
}

// failure is a call that failed.
type failure struct {
	host  network.Host
	path  string
	cause error
}

// Error is one line: net/http puts into its errors what the other end wrote.
func (f *failure) Error() string {
	return oneLine(fmt.Sprintf("call %s%s: %v", f.host, f.path, f.cause), maxError)
}

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.cause }

// oneLine makes one line of a stranger's text, cut off at most runes: control
// characters, marks that turn the direction of the text around them, and runs of white
// space become one space.
func oneLine(s string, most int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}), " ")
	n := 0
	for i := range s {
		if n == most {
			return strings.TrimSpace(s[:i])
		}
		n++
	}
	return s
}
