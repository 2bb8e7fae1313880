// Package network says who pods are to each other.
package network

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Host names a pod: "host" or "host:port", lower case, never with a scheme
// (design.md, 4). A literal IPv6 address stands in brackets.
type Host string

// ErrHost is what ParseHost wraps.
var ErrHost = errors.New("not a host or host:port")

// maxHost is the longest DNS name plus ":65535".
const maxHost = 253 + 6

// ParseHost reads a pod's name as a person or another pod writes it. Upper case
// is folded; a scheme, a path, spaces or an impossible port are refused.
func ParseHost(s string) (Host, error) {
	if s == "" || len(s) > maxHost {
		return "", ErrHost
	}
	s = strings.ToLower(s)
	name, port, hasPort := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", ErrHost
		}
		if a, err := netip.ParseAddr(s[1:end]); err != nil || !a.Is6() || a.Zone() != "" {
			return "", ErrHost
		}
		if rest := s[end+1:]; rest != "" {
			if port, hasPort = strings.CutPrefix(rest, ":"); !hasPort {
				return "", ErrHost
			}
		}
	} else {
		name, port, hasPort = strings.Cut(s, ":")
		if !validName(name) {
			return "", ErrHost
		}
	}
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", ErrHost
		}
	}
	return Host(s), nil
}

func validName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
