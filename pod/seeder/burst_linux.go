package seeder

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// segmenter sends datagrams of one length in one system call.
type segmenter struct{ refused atomic.Bool }

// send sends b in datagrams of size bytes, the last may be shorter. It is false
// where the system did not take them so.
func (s *segmenter) send(c *net.UDPConn, b []byte, size int, to netip.AddrPort) bool {
	if s.refused.Load() {
		return false
	}
	_, _, err := c.WriteMsgUDPAddrPort(b, segmentSize(uint16(size)), to)
	// A network card that cannot compute checksums says EIO and will not learn.
	// Other errors are of this way: datagrams may be too long for it.
	if errors.Is(err, unix.EIO) {
		s.refused.Store(true)
	}
	return err == nil
}

// segmentSize is the control message UDP_SEGMENT.
func segmentSize(size uint16) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], size)
	return b
}
