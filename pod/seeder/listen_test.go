package seeder

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestCandidates(t *testing.T) {
	public := []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")}
	bound := []netip.Addr{netip.MustParseAddr("10.0.0.2"), public[0]}
	lines := candidateLines(public, bound, 4000)
	var got []string
	last := 1 << 31
	for _, l := range lines {
		f := strings.Fields(l)
		priority, err := strconv.Atoi(f[3])
		if err != nil || priority >= last || !strings.Contains(l, "typ host") || f[5] != "4000" {
			t.Errorf("%q after priority %d", l, last)
		}
		last = priority
		if (f[2] == "tcp") != strings.HasSuffix(l, "tcptype passive") {
			t.Errorf("%q", l)
		}
		got = append(got, f[2]+" "+f[4])
	}
	want := "udp 198.51.100.7,udp 2001:db8::7,udp 10.0.0.2,tcp 198.51.100.7,tcp 2001:db8::7,tcp 10.0.0.2"
	if strings.Join(got, ",") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// The answer names public addresses, then those that are bound; loopback is bound
// among all addresses unless the pod is a public one.
func TestAnswerNamesAddresses(t *testing.T) {
	for _, c := range []struct {
		listen         string
		public         string
		loopback, only bool
	}{
		{":0", "", true, false},
		{":0", "198.51.100.7", false, false},
		{"0.0.0.0:0", "", true, false},
		{"127.0.0.1:0", "198.51.100.7", true, true},
		{"localhost:0", "", true, true},
	} {
		t.Run(c.listen+" "+c.public, func(t *testing.T) {
			files := &shelf{}
			b := files.add(t, 1<<20)
			config := Config{RTCListen: c.listen}
			if c.public != "" {
				config.PublicAddresses = []netip.Addr{netip.MustParseAddr(c.public)}
			}
			s := start(t, config, files)
			v, sdp := offer(t)
			answer, err := s.Answer(t.Context(), b.torrent.InfoHash, v.id, local, sdp)
			if err != nil {
				t.Fatal(err)
			}
			first := answer[strings.Index(answer, "a=candidate"):]
			first = first[:strings.Index(first, "\r\n")]
			if c.public != "" && !strings.Contains(first, " udp ") || !strings.Contains(first, " "+c.public) {
				t.Errorf("the first candidate is %q", first)
			}
			if got := strings.Contains(answer, " 127.0.0.1 "); got != c.loopback {
				t.Errorf("loopback: %v\n%s", got, answer)
			}
			if got := !strings.Contains(answer, " "+outside(t).String()+" "); got != c.only {
				t.Errorf("loopback alone: %v\n%s", got, answer)
			}
			rtc, _ := s.Ports()
			if n := strings.Count(answer, " "+strconv.Itoa(int(rtc))+" typ host"); n != strings.Count(answer, "a=candidate") {
				t.Errorf("%d candidates with port %d\n%s", n, rtc, answer)
			}
		})
	}
}

// Connections that say nothing: at most some from one address, on either port.
func TestManyOpenSockets(t *testing.T) {
	s := start(t, Config{BTListen: "127.0.0.1:0", PeersPerAddress: 64}, &shelf{})
	rtc, native := s.Ports()
	for name, port := range map[string]uint16{"webrtc": rtc, "bittorrent": native} {
		var open []net.Conn
		closed := 0
		for range 300 {
			c, err := net.DialTimeout("tcp", addrPort(port).String(), time.Minute)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			open = append(open, c)
		}
		for _, c := range open[64:] {
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.Read(make([]byte, 1)); err != nil && !strings.Contains(err.Error(), "timeout") {
				closed++
			}
		}
		if closed != 300-64 {
			t.Errorf("%s: %d of 300 connections were closed", name, closed)
		}
		for _, c := range open {
			_ = c.Close()
		}
	}
}

// Connections that have said nothing yet do not hold up the end.
func TestEndWithOpenSockets(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	var begin time.Time
	var open []net.Conn
	t.Cleanup(func() { // the last: Run has ended by then
		for _, c := range open {
			_ = c.Close()
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("Run took %v to end", took)
		}
	})
	s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
	rtc, native := s.Ports()
	for _, port := range []uint16{rtc, native} {
		for range 3 {
			c, err := net.Dial("tcp", addrPort(port).String())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, c)
		}
	}
	s.Wanted(b.torrent.InfoHash)
	if _, err := greetNative(t, s, b); err != nil {
		t.Fatal(err)
	}
	mustDial(t, s, b).greet()
	t.Cleanup(func() { begin = time.Now() })
}
