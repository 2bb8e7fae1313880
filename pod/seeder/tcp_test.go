package seeder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"kinopod/shared/wire"
)

// unbound is a seeder that listens nowhere: connections are given to it. It serves b, and
// end ends it.
func unbound(t testing.TB, b *book, c Config) (s *Seeder, end func()) {
	t.Helper()
	files := &shelf{}
	files.put(b)
	c.Idle = time.Hour
	s = newSeeder(c, files)
	ctx, cancel := context.WithCancel(t.Context())
	s.engine, s.life = &rtcEngine{}, ctx
	w, err := s.open(b.torrent.InfoHash)
	if err != nil {
		t.Fatal(err)
	}
	w.native = &nativeTorrent{}
	return s, func() {
		cancel()
		s.ended.Wait()
		if s.seats.taken != 0 || len(s.tcpPeers) != 0 || w.refs != 1 || len(w.tcp) != 0 {
			t.Errorf("%d seats, %d peers, %d references, %d of the torrent are left", s.seats.taken, len(s.tcpPeers), w.refs, len(w.tcp))
		}
		s.closeSwarms()
	}
}

// connect gives s one end of a connection.
func connect(t testing.TB, s *Seeder) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	if err := s.admitTCP(theirs); err != nil {
		t.Fatal(err)
	}
	return ours
}

func helloFor(b *book) []byte {
	return wire.Handshake{InfoHash: b.torrent.InfoHash, PeerID: wire.PeerID{2}, Extension: true, Fast: true}.Append(nil)
}

// Who does not say in time what he wants, or wants what is not there, is cut off and
// gives his seat back.
func TestTCPRubbish(t *testing.T) {
	noise := make([]byte, 4<<10)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(noise)
	b := newBook(t, 100)
	for what, say := range map[string][]byte{
		"nothing":          nil,
		"a few bytes":      []byte("\x13Bit"),
		"half a handshake": helloFor(b)[:40],
		"HTTP":             []byte("GET / HTTP/1.1\r\nHost: pod.example\r\n\r\n"),
		"noise":            noise,
		"another torrent":  wire.Handshake{PeerID: wire.PeerID{2}}.Append(nil),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, end := unbound(t, b, Config{})
				defer end()
				c := connect(t, s)
				go func() { _, _ = c.Write(say) }()
				go func() { _, _ = io.Copy(io.Discard, c) }()
				synctest.Wait()
				time.Sleep(handshakeWithin + time.Second)
				synctest.Wait()
				if s.seats.taken != 0 {
					t.Error("it still has a seat")
				}
				_ = c.Close()
			})
		})
	}
}

// A client that shook hands and is silent then is cut off by sweep.
func TestTCPSilence(t *testing.T) {
	b := newBook(t, 100)
	synctest.Test(t, func(t *testing.T) {
		s, end := unbound(t, b, Config{})
		defer end()
		c := connect(t, s)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		_, _ = c.Write(helloFor(b))
		time.Sleep(silentFor - time.Second)
		s.sweep(time.Now())
		synctest.Wait()
		if s.seats.taken != 1 {
			t.Error("it is cut off too early")
		}
		time.Sleep(2 * time.Second)
		s.sweep(time.Now())
		synctest.Wait()
		if s.seats.taken != 0 {
			t.Error("it still has a seat")
		}
	})
}

// What waits goes out in the order in which it was asked for, many blocks at a time.
// aria2c reads a piece again from the disk to check it where its blocks come in another
// order.
func TestTCPRuns(t *testing.T) {
	b := newBook(t, 20*wire.MaxBlock)
	synctest.Test(t, func(t *testing.T) {
		s, end := unbound(t, b, Config{})
		defer end()
		c := connect(t, s)
		defer c.Close()
		buf := make([]byte, longestRun)
		var in wire.Splitter
		var asked, got []uint32
		read := func() {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			err = in.Feed(buf[:n], func(wire.Handshake) error { return nil }, func(m wire.Message) error {
				if m.Kind != wire.Piece {
					return nil
				}
				at := m.Index*uint32(b.torrent.PieceLength) + m.Begin
				if !bytes.Equal(m.Data, b.data[at:at+wire.MaxBlock]) {
					t.Errorf("other bytes at %d", at)
				}
				got = append(got, at)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		_, _ = c.Write(helloFor(b))
		for range 3 { // handshake, extension handshake, have_all
			read()
		}
		_, _ = c.Write(wire.Message{Kind: wire.Interested}.Append(nil))
		read()
		var requests []byte
		for i := range uint32(17) {
			at := (i * 7 % 20) * wire.MaxBlock
			asked = append(asked, at)
			size := uint32(b.torrent.PieceLength)
			requests = request(at/size, at%size, wire.MaxBlock).Append(requests)
		}
		_, _ = c.Write(requests)
		synctest.Wait() // the first blocks wait for us, and all others behind them
		writes := 0
		for ; len(got) < len(asked); writes++ {
			read()
		}
		if !slices.Equal(got, asked) {
			t.Errorf("asked for %v, got %v", asked, got)
		}
		if writes != 3 { // at most 8 blocks each
			t.Errorf("%d blocks in %d writes", len(got), writes)
		}
		synctest.Wait()
		if s.tcpSent.Load() != int64(len(asked))*wire.MaxBlock {
			t.Errorf("%d bytes counted", s.tcpSent.Load())
		}
	})
}

// Clients over TCP, who get many blocks at a time, have no larger share of a budget than
// browsers.
func TestTCPShare(t *testing.T) {
	bubble(t, func(t *testing.T, b *book) {
		all := newLimiter(300_000)
		var talks []*talk
		for i := range 3 {
			k := startTalk(t, b, func(c *sessionConfig) {
				c.pace, c.stream, c.buffers = []*rate.Limiter{nil, all}, i > 0, &blockBuffers{size: longestRun}
			})
			defer k.finish()
			k.ready(true)
			k.takeAll()
			talks = append(talks, k)
		}
		for range 60 {
			for _, k := range talks {
				for i := range uint32(12) {
					k.send(request(i/4, i%4*16384, 16384))
				}
			}
			time.Sleep(time.Second)
		}
		var sum int64
		for i, k := range talks {
			got := k.sent.Load() / 60
			sum += got
			holds(t, fmt.Sprintf("peer %d", i), got, 100_000)
		}
		holds(t, "all", sum, 300_000)
	})
}

// A client that takes nothing holds up nobody else, and is cut off.
func TestTCPClientThatTakesNothing(t *testing.T) {
	b := newBook(t, 4*wire.MaxBlock)
	for what, ask := range map[string][]byte{
		"of a keep-alive": nil,
		"of blocks":       request(0, 0, wire.MaxBlock).Append(nil),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, end := unbound(t, b, Config{})
				defer end()
				c := connect(t, s)
				defer c.Close()
				_, _ = c.Write(helloFor(b))
				for range 3 { // handshake, extension handshake, have_all
					_, _ = c.Read(make([]byte, 1<<10))
				}
				_, _ = c.Write(wire.Message{Kind: wire.Interested}.Append(nil))
				_, _ = c.Read(make([]byte, 1<<10)) // unchoke
				_, _ = c.Write(ask)
				synctest.Wait()
				began := time.Now()
				s.sweep(time.Now().Add(keepAliveAfter + time.Second))
				if waited := time.Since(began); waited != 0 {
					t.Errorf("sweep waits for it: %v", waited)
				}
				time.Sleep(nativeWriteWithin + time.Second)
				synctest.Wait()
				if s.seats.taken != 0 {
					t.Error("it still has a seat")
				}
			})
		})
	}
}

// A slow line is given the time it needs; who takes next to nothing is not.
func TestPatientWriter(t *testing.T) {
	const every = nativeWriteWithin - 10*time.Second
	for _, c := range []struct {
		takes int // bytes in every
		fails bool
	}{{2 * wire.MaxBlock, false}, {1 << 10, true}} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			go func() {
				for buf := make([]byte, c.takes); ; time.Sleep(every) {
					if _, err := io.ReadFull(theirs, buf); err != nil {
						return
					}
				}
			}()
			n, err := patientWriter{ours}.Write(make([]byte, longestRun/c.takes*c.takes))
			if failed := errors.Is(err, os.ErrDeadlineExceeded); failed != c.fails {
				t.Errorf("%d bytes in %v: %d were written, %v", c.takes, every, n, err)
			}
			_ = ours.Close()
			time.Sleep(every) // the other end notices
		})
	}
}

// Connections end with the torrent, and with the seeder, whatever they are at.
func TestTCPEnd(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	var open []net.Conn
	t.Cleanup(func() { // after the seeder has ended
		for _, c := range open {
			_ = c.Close()
		}
	})
	s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
	_, port := s.Ports()
	dial := func(say []byte) net.Conn {
		c, err := net.Dial("tcp", netip.AddrPortFrom(local, port).String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		_, _ = c.Write(say)
		return c
	}
	all := func() {
		s.Wanted(b.torrent.InfoHash)
		dial(nil)
		dial(helloFor(b)[:40])
		dial(bytes.Repeat([]byte("x"), 96)) // a key, of which no more comes
		dial(helloFor(b))
		greedy := dial(wire.Message{Kind: wire.Interested}.Append(helloFor(b)))
		go func() { // it asks, and reads nothing
			var many []byte
			for range 100 {
				many = request(0, 0, 16384).Append(many)
			}
			for {
				if _, err := greedy.Write(many); err != nil {
					return
				}
			}
		}()
	}
	served := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.swarms[b.torrent.InfoHash].tcp)
	}
	all()
	wait(t, "blocks", func() bool { return s.Stats().NativePeers == 5 && served() == 2 && s.tcpSent.Load() > 0 })
	s.sweep(time.Now()) // nothing is wrong with any of them
	s.mu.Lock()
	s.swarms[b.torrent.InfoHash].asked = time.Now().Add(-time.Hour)
	s.mu.Unlock()
	s.sweep(time.Now())
	if st := s.Stats(); st.NativePeers != 5 || st.Torrents != 1 {
		t.Errorf("a torrent with clients over TCP is closed as idle: %+v", st)
	}
	s.Drop(b.torrent.InfoHash)
	if _, open := files.counts(); open != 0 || s.Stats().NativePeers != 3 {
		t.Errorf("after Drop %d files are open, and %+v", open, s.Stats())
	}
	all()
	wait(t, "the others", func() bool { return s.Stats().NativePeers == 8 && served() == 2 })
}

// aria2c gets the file over TCP, its handshake encrypted as it does at first, and all of
// it where it is told to.
func TestAria2(t *testing.T) {
	if _, err := exec.LookPath("aria2c"); err != nil {
		t.Fatal("aria2c is missing: apt-get install aria2")
	}
	for name, more := range map[string][]string{
		"as it is":  nil,
		"encrypted": {"--bt-require-crypto=true", "--bt-min-crypto-level=arc4"},
	} {
		t.Run(name, func(t *testing.T) {
			files := &shelf{}
			b := files.add(t, 5<<20+99)
			s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
			port, _ := s.Wanted(b.torrent.InfoHash)
			mux := http.NewServeMux()
			site := httptest.NewServer(mux)
			defer site.Close()
			raw, err := b.torrent.Metainfo([]string{site.URL + "/announce"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			mux.HandleFunc("GET /film.torrent", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(raw) })
			mux.HandleFunc("GET /announce", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(append([]byte("d8:intervali1800e5:peers6:"), 127, 0, 0, 1, byte(port>>8), byte(port), 'e'))
			})
			dir := t.TempDir()
			c := exec.CommandContext(t.Context(), "aria2c", append([]string{
				"--no-conf", "--dir=" + dir, "--seed-time=0", "--enable-dht=false", "--enable-dht6=false",
				"--bt-enable-lpd=false", "--enable-peer-exchange=false", "--file-allocation=none", "--follow-torrent=mem", site.URL + "/film.torrent",
			}, more...)...)
			var log bytes.Buffer
			c.Stdout, c.Stderr = &log, &log
			if err := c.Run(); err != nil {
				t.Fatalf("%v: %s", err, &log)
			}
			got, err := os.ReadFile(filepath.Join(dir, b.torrent.Name))
			if err != nil || !bytes.Equal(got, b.data) {
				t.Errorf("%d bytes, or others than the file's: %v: %s", len(got), err, &log)
			}
			if sent := s.tcpSent.Load(); sent < int64(len(b.data)) {
				t.Errorf("%d bytes sent of %d", sent, len(b.data))
			}
		})
	}
}

// Whatever a client begins with, its connection ends with it and its seat is given back.
func FuzzTCP(f *testing.F) {
	b := newBook(f, 3*64<<10+100)
	f.Add(request(3, 0, 100).Append(wire.Message{Kind: wire.Interested}.Append(helloFor(b))))
	f.Add(helloFor(b)[:40])
	f.Add(bytes.Repeat([]byte("x"), 700))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, end := unbound(t, b, Config{})
		c := connect(t, s)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		_, _ = c.Write(in)
		_ = c.Close()
		s.ended.Wait()
		end()
	})
}
