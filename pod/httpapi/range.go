package httpapi

import (
	"strconv"
	"strings"
)

// span is a part of a file: n bytes from first on.
type span struct{ first, n int64 }

// rangeKind is what a Range header asks for.
type rangeKind uint8

const (
	rangeWhole   rangeKind = iota // nothing that we read: answer 200 with all of it
	rangeClosed                   // bytes=A-B or bytes=-N
	rangeOpen                     // bytes=A-
	rangeRefused                  // malformed, or beyond the file: 416
)

// parseRange reads a Range header for a file of size bytes (RFC 9110, 14.2). Of a
// unit other than bytes, and of several ranges of which one is in the file, it says
// rangeWhole, which the RFC allows; of what is not a range, rangeRefused.
func parseRange(header string, size int64) (span, rangeKind) {
	unit, set, ok := strings.Cut(header, "=")
	if header == "" || ok && !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return span{0, size}, rangeWhole
	}
	if !ok {
		return span{}, rangeRefused
	}
	specs := strings.Split(set, ",")
	if len(specs) == 1 {
		return parseSpec(set, size)
	}
	for _, s := range specs {
		if _, kind := parseSpec(s, size); kind != rangeRefused {
			return span{0, size}, rangeWhole
		}
	}
	return span{}, rangeRefused
}

func parseSpec(spec string, size int64) (span, rangeKind) {
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return span{}, rangeRefused
	}
	if from == "" {
		n, ok := digits(to)
		if !ok || n == 0 || size == 0 {
			return span{}, rangeRefused
		}
		n = min(n, size)
		return span{size - n, n}, rangeClosed
	}
	first, ok := digits(from)
	if !ok || first >= size {
		return span{}, rangeRefused
	}
	if to == "" {
		return span{first, size - first}, rangeOpen
	}
	last, ok := digits(to)
	if !ok || last < first {
		return span{}, rangeRefused
	}
	return span{first, min(last, size-1) - first + 1}, rangeClosed
}

// digits reads 1*DIGIT. What does not fit an int64 is larger than any file.
func digits(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}
