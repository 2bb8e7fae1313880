package seeder

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	bt "github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"

	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// outside is an IPv4 address of this machine other than loopback. The bytes stay on the
// machine all the same.
func outside(t testing.TB) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Fatal("this machine has no IPv4 address but loopback; add one: ip address add 192.0.2.1/32 dev lo")
	return netip.Addr{}
}

// leecher is an anacrolix client that keeps what it gets in memory.
func leecher(t testing.TB, b *book, port uint16, utp bool) *bt.Torrent {
	t.Helper()
	c := bt.NewDefaultClientConfig()
	c.ListenHost = func(string) string { return "127.0.0.1" }
	c.ListenPort = 0
	c.NoDHT, c.DisableTrackers, c.DisableWebtorrent, c.NoDefaultPortForwarding, c.DisableIPv6 = true, true, true, true, true
	c.DisableTCP, c.DisableUTP = utp, !utp
	c.DefaultStorage = storage.NewFileByInfoHash(t.TempDir())
	client, err := bt.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	to, _ := client.AddTorrentOpt(bt.AddTorrentOpts{InfoHash: metainfo.Hash(b.torrent.InfoHash), InfoBytes: b.torrent.Info})
	to.AddPeers(seederAt(port))
	to.DownloadAll()
	return to
}

func seederAt(port uint16) []bt.PeerInfo {
	return []bt.PeerInfo{{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}, Trusted: true}}
}

func TestNativeDownload(t *testing.T) {
	for name, utp := range map[string]bool{"TCP": false, "uTP": true} {
		t.Run(name, func(t *testing.T) {
			files := &shelf{}
			b := files.add(t, 2<<20+99)
			s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
			port, ok := s.Wanted(b.torrent.InfoHash)
			if !ok {
				t.Fatal("not wanted")
			}
			to := leecher(t, b, port, utp)
			asked := time.Now()
			wait(t, "the download", func() bool {
				if to.Stats().ActivePeers == 0 && time.Since(asked) > 5*time.Second { // as a tracker names it again
					asked = time.Now()
					to.AddPeers(seederAt(port))
				}
				return to.BytesMissing() == 0
			})
			r := to.NewReader()
			defer r.Close()
			got, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, b.data) {
				t.Error("other bytes than the file's")
			}
			if st := s.Stats(); st.NativeBytes < int64(len(b.data)) || st.Torrents != 1 {
				t.Errorf("%+v", st)
			}
			to.Drop()
			wait(t, "the peer to leave", func() bool { return s.Stats().NativePeers == 0 })
			// Nobody is connected: after a while the torrent is closed, and then its file.
			s.sweep(time.Now().Add(DefaultIdle + time.Second))
			s.sweep(time.Now().Add(2*DefaultIdle + time.Second))
			if _, open := files.counts(); open != 0 || s.Stats().Torrents != 0 {
				t.Errorf("%d files, %+v", open, s.Stats())
			}
			if ours := s.tcpSent.Load() > 0; ours == utp {
				t.Errorf("%d bytes by sessions of our own", s.tcpSent.Load())
			}
			if got := s.Stats().NativeBytes; got < int64(len(b.data)) {
				t.Errorf("%d bytes counted after the torrent was closed", got)
			}
		})
	}
}

func TestWanted(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
	if _, ok := s.Wanted(magnet.InfoHash{1}); ok {
		t.Error("an unknown torrent is served")
	}
	for range 3 {
		if port, ok := s.Wanted(b.torrent.InfoHash); !ok || port != s.bt.port {
			t.Fatalf("%d, %v", port, ok)
		}
	}
	if opened, open := files.counts(); opened != 1 || open != 1 {
		t.Errorf("opened %d times, %d open", opened, open)
	}
	s.Drop(b.torrent.InfoHash)
	if _, open := files.counts(); open != 0 {
		t.Errorf("%d files are open", open)
	}
	if _, ok := s.Wanted(b.torrent.InfoHash); !ok { // the store still has it
		t.Error("not served again")
	}
}

func TestWithoutBitTorrent(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{}, files)
	if _, ok := s.Wanted(b.torrent.InfoHash); ok {
		t.Error("served without BitTorrent")
	}
}

// greetNative opens a connection and speaks the handshake; it gives the seeder's.
func greetNative(t testing.TB, s *Seeder, b *book) (net.Conn, error) {
	t.Helper()
	_, port := s.Ports()
	c, err := net.Dial("tcp", netip.AddrPortFrom(local, port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	id := wire.PeerID{byte(time.Now().UnixNano()), 9}
	if _, err := c.Write(wire.Handshake{InfoHash: b.torrent.InfoHash, PeerID: id, Extension: true, Fast: true}.Append(nil)); err != nil {
		return nil, err
	}
	hello := make([]byte, wire.HandshakeLength)
	for n := 0; n < len(hello); {
		k, err := c.Read(hello[n:])
		if err != nil {
			return nil, err
		}
		n += k
	}
	h, err := wire.ParseHandshake(hello)
	if err == nil && h.PeerID != s.PeerID() {
		t.Errorf("the seeder calls itself %q", h.PeerID)
	}
	return c, err
}

func TestNativeSeats(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 1<<20)
	s := start(t, Config{BTListen: "127.0.0.1:0", PeersPerAddress: 2}, files)
	s.Wanted(b.torrent.InfoHash)
	first, err := greetNative(t, s, b)
	if err != nil {
		t.Fatal(err)
	}
	mustDial(t, s, b) // a WebRTC peer from the same address
	if _, err := greetNative(t, s, b); err == nil {
		t.Error("a third connection from one address is taken")
	}
	if st := s.Stats(); st.NativePeers != 1 || st.WebRTCPeers != 1 || st.Refused[RefusedAddress] != 1 {
		t.Errorf("%+v", st)
	}
	_ = first.Close()
	wait(t, "the seat", func() bool { return s.Stats().NativePeers == 0 })
	if _, err := greetNative(t, s, b); err != nil {
		t.Error(err)
	}
}

// A file that is cut short is an error to the client, not the end of the pod.
func TestNativeFileCutShort(t *testing.T) {
	files := &shelf{}
	b := newBook(t, 4<<20)
	h := files.toDisk(t, b)
	s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
	s.Wanted(h)
	c, err := greetNative(t, s, b)
	if err != nil {
		t.Fatal(err)
	}
	truncate(t, files.files[h].path)
	_, _ = c.Write(wire.Message{Kind: wire.Interested}.Append(nil))
	wait(t, "the file to be closed", func() bool {
		_, _ = c.Write(request(3, 0, 16384).Append(nil)) // passed over until we are unchoked
		_, open := files.counts()
		return open == 0
	})
	if _, ok := s.Wanted(h); ok {
		t.Error("still served")
	}
}

// A client over TCP and one over uTP, in a time of their own: each has the budget of a
// peer, and both together that of all.
func TestNativeBudget(t *testing.T) {
	const budget, seconds = 512 << 10, 60
	b := newBook(t, 4*wire.MaxBlock)
	for what, c := range map[string]Config{
		"a peer": {PeerBytesPerSecond: budget},
		"in all": {BytesPerSecond: budget},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, end := unbound(t, b, c)
				defer end()
				var tcp, utp atomic.Int64
				overTCP := connect(t, s)
				defer overTCP.Close()
				go takeBlocks(overTCP, b, &tcp)
				ours, theirs := net.Pipe()
				defer ours.Close()
				overUTP, err := s.admitUTP(theirs)
				if err != nil {
					t.Fatal(err)
				}
				defer overUTP.Close()
				go func() { // as anacrolix's client, which writes what it is asked for
					for block := make([]byte, wire.MaxBlock); ; {
						if _, err := overUTP.Write(block); err != nil {
							return
						}
					}
				}()
				go func() {
					for buf := make([]byte, wire.MaxBlock); ; {
						n, err := ours.Read(buf)
						if err != nil {
							return
						}
						utp.Add(int64(n))
					}
				}()
				time.Sleep(5 * time.Second) // what the budgets had saved
				tcpBefore, utpBefore := tcp.Load(), utp.Load()
				time.Sleep(seconds * time.Second)
				tcpRate, utpRate := (tcp.Load()-tcpBefore)/seconds, (utp.Load()-utpBefore)/seconds
				if c.PeerBytesPerSecond != 0 {
					holds(t, "TCP", tcpRate, budget)
					holds(t, "uTP", utpRate, budget)
				} else {
					holds(t, "both", tcpRate+utpRate, budget)
				}
			})
		})
	}
}

// takeBlocks asks for b again and again until c is closed, and counts the bytes of blocks.
func takeBlocks(c net.Conn, b *book, got *atomic.Int64) {
	size, next := uint32(b.torrent.PieceLength), uint32(0)
	ask := func(to []byte) []byte {
		at := next % uint32(len(b.data)/wire.MaxBlock) * wire.MaxBlock
		next++
		return request(at/size, at%size, wire.MaxBlock).Append(to)
	}
	said := make(chan []byte, 64) // who writes does not read, and the pipe between buffers nothing
	defer close(said)
	go func() {
		for b := range said {
			_, _ = c.Write(b)
		}
	}()
	said <- wire.Message{Kind: wire.Interested}.Append(helloFor(b))
	var in wire.Splitter
	for buf := make([]byte, longestRun); ; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		var out []byte
		err = in.Feed(buf[:n], func(wire.Handshake) error { return nil }, func(m wire.Message) error {
			switch m.Kind {
			case wire.Unchoke:
				for range 32 {
					out = ask(out)
				}
			case wire.Piece:
				got.Add(int64(len(m.Data)))
				out = ask(out)
			}
			return nil
		})
		if err != nil {
			return
		}
		said <- out
	}
}
