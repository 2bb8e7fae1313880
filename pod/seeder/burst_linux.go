package seeder

import (
	"net"
	"net/netip"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

type segmenter struct{ }

func (segmenter) send(c *net.UDPConn, b []byte, size int, to netip.AddrPort) {
	if len(b) <= size || burstMode == "nogso" {
		for len(b) > 0 {
			n := min(size, len(b))
			c.WriteToUDPAddrPort(b[:n], to)
			b = b[n:]
		}
		return
	}
	oob := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(oob, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(oob[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(oob[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(oob[16:], uint16(size))
	if _, _, err := c.WriteMsgUDPAddrPort(b, oob, to); err != nil {
		panic(err)
	}
}
