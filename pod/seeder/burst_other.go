//go:build !linux

package seeder

import (
	"net"
	"net/netip"
)

// segmenter is for systems that send a datagram a call.
type segmenter struct{}

func (*segmenter) send(*net.UDPConn, []byte, int, netip.AddrPort) bool { return false }
