package upload

import (
	"errors"
	"time"
)

// request is one request to the pod.
type request struct {
	method, url string
	header      map[string]string

	// The body is the bytes from..to of file; nil is none.
	file     *File
	from, to int64
	// progress is told how many bytes of the body went out so far; nil is nobody.
	progress func(n int64)
	// idle is how long nothing may happen, neither a byte sent nor an answer,
	// before the request counts as lost.
	idle time.Duration
}

// response is the pod's answer.
type response struct {
	status int
	header func(name string) string // "" where there is none
	body   []byte
}

// errIdle is the cause of a request that was given up after request.idle.
var errIdle = errors.New("nothing went through for too long")

// errNoOffset is an answer that is not of the pod: a proxy spoke for it.
var errNoOffset = errors.New("the answer has no Upload-Offset")

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10
