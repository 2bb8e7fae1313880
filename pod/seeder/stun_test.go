package seeder

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun"
)

// Who asks is told the address that it is seen at, on the port of WebRTC.
func TestSTUN(t *testing.T) {
	s := start(t, Config{}, &shelf{})
	port, _ := s.Ports()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(b []byte, wait time.Duration) (*stun.Message, error) {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		m := &stun.Message{Raw: make([]byte, 1500)}
		n, err := c.Read(m.Raw)
		if err != nil {
			return nil, err
		}
		m.Raw = m.Raw[:n]
		return m, m.Decode()
	}
	question := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	m, err := ask(question.Raw, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var seen stun.XORMappedAddress
	if err := seen.GetFrom(m); err != nil || m.Type != stun.BindingSuccess || m.TransactionID != question.TransactionID {
		t.Fatalf("%v, %v", m, err)
	}
	if own := c.LocalAddr().(*net.UDPAddr); seen.Port != own.Port || !seen.IP.Equal(own.IP) {
		t.Errorf("seen at %v, not at %v", seen, own)
	}
	// What is for a peer, or no question, is not answered here.
	for what, b := range map[string][]byte{
		"a check of ICE": stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b")).Raw,
		"an answer":      stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw,
		"half":           question.Raw[:12],
		"a wrong length": append(append([]byte{}, question.Raw...), 1, 2, 3),
	} {
		if m, err := ask(b, 500*time.Millisecond); err == nil {
			t.Errorf("%s: %v", what, m)
		}
	}
}

func FuzzSTUN(f *testing.F) {
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b")).Raw)
	answers := newSTUNAnswers()
	f.Fuzz(func(t *testing.T, b []byte) {
		if isQuestion(b) {
			if a := answers.answer(b, netip.MustParseAddrPort("[2001:db8::1]:5")); len(a) > len(b)+24 {
				t.Errorf("%d bytes for %d", len(a), len(b))
			}
		}
	})
}
