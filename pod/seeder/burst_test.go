package seeder

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"
)

// bursts gives a burstConn and the socket of a peer.
func bursts(t *testing.T) (*burstConn, *net.UDPConn) {
	t.Helper()
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addrPort(0)))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ours, theirs := newBurstConn(listen(), &lanes{}), listen()
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
		<-ours.ended
	})
	return ours, theirs
}

func addrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(local, port) }

// Datagrams arrive as they were written, in order, whatever their lengths are.
func TestBurstsKeepDatagrams(t *testing.T) {
	ours, theirs := bursts(t)
	for range 6 {
		keepsDatagrams(t, ours, theirs)
	}
}

// keepsDatagrams sends no more than the peer's receive buffer is sure to hold.
func keepsDatagrams(t *testing.T, ours *burstConn, theirs *net.UDPConn) {
	t.Helper()
	const total = 60
	var sent [][]byte
	for i := range uint32(total) {
		n := 1200
		if rand.IntN(5) == 0 {
			n = 4 + rand.IntN(1400)
		}
		b := make([]byte, n)
		binary.BigEndian.PutUint32(b, i)
		for j := 4; j < n; j++ {
			b[j] = byte(i) + byte(j)
		}
		sent = append(sent, b)
	}
	go func() {
		for i, b := range sent {
			if k, err := ours.WriteTo(b, theirs.LocalAddr()); k != len(b) || err != nil {
				t.Errorf("%d, %v", k, err)
			}
			if i%20 == 19 {
				time.Sleep(3 * time.Millisecond)
			}
		}
	}()
	got := make([][]byte, total)
	buf := make([]byte, 2048)
	inversions, last := 0, -1
	for range total {
		_ = theirs.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := theirs.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		i := int(binary.BigEndian.Uint32(buf))
		if i < last {
			inversions++
		}
		last = i
		got[i] = bytes.Clone(buf[:n])
	}
	for i := range sent {
		if !bytes.Equal(got[i], sent[i]) {
			t.Fatalf("datagram %d: %d bytes of %d", i, len(got[i]), len(sent[i]))
		}
	}
	if inversions > 0 {
		t.Errorf("%d datagrams overtaken", inversions)
	}
}

// What comes alone does not wait, and leaves nothing behind.
func TestLoneDatagramsDoNotWait(t *testing.T) {
	ours, theirs := bursts(t)
	buf := make([]byte, 2048)
	for _, n := range []int{100, 1200} {
		_, _ = ours.WriteTo(make([]byte, n), theirs.LocalAddr())
		_ = theirs.SetReadDeadline(time.Now().Add(time.Minute))
		if got, err := theirs.Read(buf); got != n || err != nil {
			t.Errorf("%d, %v", got, err)
		}
	}
	wait(t, "the line to be forgotten", func() bool {
		ours.mu.Lock()
		defer ours.mu.Unlock()
		return len(ours.lines) == 0
	})
}

// A burst is at most 64 KiB, and a peer that is far behind loses datagrams.
func TestBurstsAreBounded(t *testing.T) {
	l := &line{}
	ours, _ := bursts(t)
	for range 1000 {
		l.add(make([]byte, 1265), &ours.buffers)
	}
	total := 0
	for l.bytes > 0 {
		n := 0
		for _, r := range l.take() {
			n += len(*r.buf)
			if r.size != 1265 || len(*r.buf)%1265 != 0 {
				t.Fatalf("%d bytes in datagrams of %d", len(*r.buf), r.size)
			}
		}
		if n == 0 || n > burstBytes {
			t.Fatalf("a burst of %d bytes", n)
		}
		total += n
	}
	if total != 1000*1265 {
		t.Errorf("%d bytes", total)
	}
	to := addrPort(9)
	ours.lines[to] = &line{}
	for range 2000 {
		ours.mu.Lock()
		waiting := ours.lines[to].bytes
		ours.mu.Unlock()
		if waiting > lineBytes {
			t.Fatalf("%d bytes wait", waiting)
		}
		ours.enqueue(make([]byte, 1265), to)
	}
}
