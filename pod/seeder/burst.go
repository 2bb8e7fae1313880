package seeder

import "net"

func newBurstConn(c *net.UDPConn) net.PacketConn { return c }
