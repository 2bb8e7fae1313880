package seeder

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/dtls/v2/pkg/crypto/selfsign"
)

// way is one end of a way for datagrams, which may lose some.
type way struct {
	in, out chan []byte
	lose    func([]byte) bool // of those that this end sends
	closed  chan struct{}
	once    sync.Once

	mu sync.Mutex
	at net.Addr // of the other end
}

func newWay() (*way, *way) {
	a, b := make(chan []byte, 256), make(chan []byte, 256)
	return &way{in: a, out: b, closed: make(chan struct{})}, &way{in: b, out: a, closed: make(chan struct{})}
}

func (w *way) Read(b []byte) (int, error) {
	select {
	case d := <-w.in:
		return copy(b, d), nil
	case <-w.closed:
		return 0, io.EOF
	}
}

func (w *way) Write(b []byte) (int, error) {
	if w.lose == nil || !w.lose(b) {
		select {
		case w.out <- bytes.Clone(b):
		default:
		}
	}
	return len(b), nil
}

func (w *way) Close() error { w.once.Do(func() { close(w.closed) }); return nil }

func (w *way) LocalAddr() net.Addr { return &net.UDPAddr{} }

func (w *way) RemoteAddr() net.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at == nil {
		return &net.TCPAddr{}
	}
	return w.at
}

func (w *way) move(to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
}

func (w *way) SetDeadline(time.Time) error      { return nil }
func (w *way) SetReadDeadline(time.Time) error  { return nil }
func (w *way) SetWriteDeadline(time.Time) error { return nil }

// handshaken connects our records to pion's, with us as client or server.
func handshaken(t testing.TB, client bool, ours, theirs *way) (*secureConn, *dtls.Conn, *lanes) {
	t.Helper()
	config := func() *dtls.Config {
		certificate, err := selfsign.GenerateSelfSigned()
		if err != nil {
			t.Fatal(err)
		}
		return &dtls.Config{
			Certificates: []tls.Certificate{certificate}, ClientAuth: dtls.RequireAnyClientCert, InsecureSkipVerify: true,
			CipherSuites: []dtls.CipherSuiteID{cipherSuite}, LoggerFactory: silence{}, FlightInterval: 50 * time.Millisecond,
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	here, there := dtls.ClientWithContext, dtls.ServerWithContext
	if !client {
		here, there = there, here
	}
	type end struct {
		conn *dtls.Conn
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		conn, err := there(ctx, theirs, config())
		if err == nil {
			_, err = conn.Write([]byte("at once")) // may be here before our end of the handshake is
		}
		ended <- end{conn, err}
	}()
	below, l := &handshakeConn{Conn: ours}, &lanes{to: map[netip.AddrPort]*secureConn{}}
	handshake, err := here(ctx, below, config())
	if err != nil {
		t.Fatal(err)
	}
	c, err := secured(below, handshake, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	e := <-ended
	if e.err != nil {
		t.Fatal(e.err)
	}
	t.Cleanup(func() { _ = e.conn.Close() })
	return c, e.conn, l
}

// expect reads one message.
func expect(t testing.TB, from io.Reader, want string) {
	t.Helper()
	b := make([]byte, 2000)
	got := make(chan error, 1)
	go func() {
		n, err := from.Read(b)
		if err == nil && string(b[:n]) != want {
			err = fmt.Errorf("read %q, not %q", b[:n], want)
		}
		got <- err
	}()
	select {
	case err := <-got:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain for %q", want)
	}
}

func TestRecordsAndPionUnderstandEachOther(t *testing.T) {
	for _, client := range []bool{true, false} {
		for _, loses := range []bool{false, true} {
			t.Run(fmt.Sprintf("client %v, end of the handshake is lost %v", client, loses), func(t *testing.T) {
				ours, theirs := newWay()
				if loses {
					first := true
					ours.lose = func(b []byte) bool { // of the datagrams with our change of keys
						lost := first && bytes.Contains(b, []byte{20, 254, 253})
						first = first && !lost
						return lost
					}
				}
				c, pion, _ := handshaken(t, client, ours, theirs)
				expect(t, c, "at once")
				for i := range 200 {
					m := fmt.Sprintf("%d %s", i, bytes.Repeat([]byte("x"), i*6))
					if _, err := c.Write([]byte(m)); err != nil {
						t.Fatal(err)
					}
					expect(t, pion, m)
					if _, err := pion.Write([]byte(m)); err != nil {
						t.Fatal(err)
					}
					expect(t, c, m)
				}
			})
		}
	}
}

func TestRecordsFarewell(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		ours, theirs := newWay()
		c, pion, _ := handshaken(t, true, ours, theirs)
		_ = c.Close()
		if n, err := pion.Read(make([]byte, 100)); !errors.Is(err, io.EOF) {
			t.Errorf("pion reads %d bytes, %v", n, err)
		}
		if _, err := c.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after the end: %v", err)
		}
	})
	t.Run("theirs", func(t *testing.T) {
		ours, theirs := newWay()
		c, pion, _ := handshaken(t, true, ours, theirs)
		expect(t, c, "at once")
		_ = pion.Close()
		if n, err := c.Read(make([]byte, 100)); !errors.Is(err, io.EOF) {
			t.Errorf("read %d bytes, %v", n, err)
		}
	})
	t.Run("of nobody who has the key", func(t *testing.T) {
		ours, theirs := newWay()
		c, pion, _ := handshaken(t, true, ours, theirs)
		expect(t, c, "at once")
		for _, kind := range []byte{recordAlert, recordData} {
			_, _ = theirs.Write(append([]byte{kind, 254, 253, 0, 1, 0, 0, 0, 0, 1, 0, 0, 26}, make([]byte, 26)...))
			_, _ = theirs.Write([]byte{kind, 254, 253, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40})
		}
		_, _ = pion.Write([]byte("after it"))
		expect(t, c, "after it")
	})
}

// sealed is the records of a sender, numbered from 0, and who can open them.
func sealed(t testing.TB, n int) ([][]byte, opener) {
	t.Helper()
	gcm, err := newGCM(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	s, all := sealer{gcm: gcm}, [][]byte{}
	for range n {
		r := &record{}
		s.seal(r, recordData, []byte("content"))
		all = append(all, r.b)
	}
	return all, opener{gcm: gcm}
}

func TestEachRecordIsOpenedOnce(t *testing.T) {
	all, o := sealed(t, 300)
	r := &record{b: make([]byte, 0, recordBuffer)}
	for _, step := range []struct {
		number int
		opens  bool
	}{
		{0, true}, {0, false}, {2, true}, {1, true}, {1, false}, {2, false}, // out of order
		{65, true}, {2, false}, {3, true}, {3, false}, // the last one that the window reaches
		{128, true}, {64, false}, {65, false}, {66, true}, // too old
		{299, true}, {128, false}, {236, true}, {235, false}, {298, true},
	} {
		if got := o.open(r, all[step.number]); got != step.opens {
			t.Fatalf("record %d is opened: %v, want %v", step.number, got, step.opens)
		}
	}
}

func TestARecordThatWasTouchedIsNotOpened(t *testing.T) {
	all, fresh := sealed(t, 1)
	r := &record{b: make([]byte, 0, recordBuffer)}
	for i := range all[0] {
		if i == 1 || i == 2 || i == 11 || i == 12 {
			continue // version and length, which come from what is known and not from the record
		}
		b, o := slices.Clone(all[0]), fresh
		b[i] ^= 0x40
		if o.open(r, b) || o.top != 0 {
			t.Errorf("opened with byte %d changed", i)
		}
	}
	for n := range all[0] {
		if o := fresh; o.open(r, all[0][:n]) {
			t.Errorf("opened with %d bytes", n)
		}
	}
	if o := fresh; !o.open(r, all[0]) || string(r.b) != "content" {
		t.Errorf("opened as it is: %q", r.b)
	}
}

func TestALaneFollowsItsBrowser(t *testing.T) {
	ours, theirs := newWay()
	ours.move("192.0.2.1:1000")
	c, pion, l := handshaken(t, true, ours, theirs)
	expect(t, c, "at once")
	has := func(address string) bool {
		l.mu.RLock()
		defer l.mu.RUnlock()
		return l.to[netip.MustParseAddrPort(address)] == c
	}
	if !has("192.0.2.1:1000") {
		t.Fatal("no lane from the start")
	}
	ours.move("192.0.2.2:2000")
	_, _ = pion.Write([]byte("from another network"))
	expect(t, c, "from another network")
	if has("192.0.2.1:1000") || !has("192.0.2.2:2000") {
		t.Fatal("the lane stays where it was")
	}

	// What comes from there need not take the way through ICE.
	theirs.lose = func(b []byte) bool {
		return !l.take(b, netip.MustParseAddrPort("192.0.2.9:2000")) && l.take(b, netip.MustParseAddrPort("[::ffff:192.0.2.2]:2000"))
	}
	_, _ = pion.Write([]byte("by the lane"))
	expect(t, c, "by the lane")
	_ = c.Close()
	if has("192.0.2.2:2000") {
		t.Error("the lane is left")
	}
}

func FuzzRecords(f *testing.F) {
	all, o := sealed(f, 3)
	f.Add(slices.Concat(all...))
	f.Add([]byte{23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7}, all[0]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &secureConn{lanes: &lanes{to: map[netip.AddrPort]*secureConn{}}, incoming: make(chan *record, maxIncoming), closed: make(chan struct{}), open: o}
		ours, _ := newWay()
		c.below = &handshakeConn{Conn: ours}
		if n := c.below.take(slices.Clone(b)); n > len(b) {
			t.Fatalf("%d of %d bytes are of the handshake", n, len(b))
		}
		c.below.up.Store(c)
		c.below.take(slices.Clone(b))
		for len(c.incoming) > 0 {
			if r := <-c.incoming; string(r.b) != "content" {
				t.Fatalf("%q was never sealed", r.b)
			}
		}
	})
}
