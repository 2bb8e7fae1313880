package seeder

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bt "github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"

	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// outside is an IPv4 address of this machine other than loopback: transmission
// takes no peer on 127.0.0.0/8. The bytes stay on the machine all the same.
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

// httpTracker introduces everybody who asks to s at ip.
func httpTracker(t testing.TB, s *Seeder, ip netip.Addr) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply := map[string]any{"interval": 60, "peers": ""}
		var h magnet.InfoHash
		copy(h[:], r.URL.Query().Get("info_hash"))
		if port, ok := s.Wanted(h); ok {
			reply["peers"] = string(binary.BigEndian.AppendUint16(ip.AsSlice(), port))
		}
		_, _ = w.Write(bencode.MustMarshal(reply))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/announce"
}

// tool runs a program of the machine until the test ends.
func tool(t testing.TB, debian, name string, args ...string) *lines {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, debian)
	}
	cmd := exec.Command(path, args...)
	out := &lines{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, out)
		}
	})
	return out
}

// lines collects what a program writes.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// arrived waits for a file that is b's byte by byte.
func arrived(t testing.TB, path string, b *book) {
	t.Helper()
	want := sum(b.data)
	wait(t, "all bytes in "+filepath.Base(path), func() bool {
		got, err := os.ReadFile(path)
		return err == nil && len(got) == len(b.data) && sum(got) == want
	})
}

func TestAria2FromTorrent(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 30<<20+99)
	s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
	meta, err := b.torrent.Metainfo([]string{httpTracker(t, s, local)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "film.torrent")
	if err := os.WriteFile(file, meta, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "aria2", "aria2c", "--no-conf", "--dir="+dir, "--seed-time=0", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
		"--enable-peer-exchange=false", "--file-allocation=none", "--summary-interval=0", file)
	arrived(t, filepath.Join(dir, b.torrent.Name), b)
	if st := s.Stats(); st.NativeBytes < int64(len(b.data)) || st.Torrents != 1 {
		t.Errorf("%+v", st)
	}
	wait(t, "aria2c to leave", func() bool { return s.Stats().NativePeers == 0 })
	// Nobody is connected: after a while the torrent is closed, and then its file.
	s.sweep(time.Now().Add(DefaultIdle + time.Second))
	s.sweep(time.Now().Add(2*DefaultIdle + time.Second))
	if _, open := files.counts(); open != 0 || s.Stats().Torrents != 0 {
		t.Errorf("%d files, %+v", open, s.Stats())
	}
	if got := s.Stats().NativeBytes; got < int64(len(b.data)) {
		t.Errorf("%d bytes counted after the torrent was closed", got)
	}
}

func TestTransmissionFromMagnet(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 30<<20+99)
	ip := outside(t)
	s := start(t, Config{BTListen: netip.AddrPortFrom(ip, 0).String()}, files)
	dir, config := t.TempDir(), t.TempDir()
	settings := `{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": true, "port-forwarding-enabled": false,
		"incomplete-dir-enabled": false, "rename-partial-files": false, "peer-port-random-on-start": true}`
	if err := os.WriteFile(filepath.Join(config, "settings.json"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	m := magnet.Magnet{InfoHash: b.torrent.InfoHash, Trackers: []string{httpTracker(t, s, ip)}}
	tool(t, "transmission-cli", "transmission-cli", "--no-portmap", "--config-dir", config, "--download-dir", dir, m.String())
	arrived(t, filepath.Join(dir, b.torrent.Name), b)
	if st := s.Stats(); st.NativeBytes < int64(len(b.data)) {
		t.Errorf("%+v", st)
	}
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
	to.AddPeers([]bt.PeerInfo{{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}, Trusted: true}})
	to.DownloadAll()
	return to
}

func TestUTP(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 2<<20)
	s := start(t, Config{BTListen: "127.0.0.1:0"}, files)
	port, ok := s.Wanted(b.torrent.InfoHash)
	if !ok {
		t.Fatal("not wanted")
	}
	to := leecher(t, b, port, true)
	wait(t, "the download over uTP", func() bool { return to.BytesMissing() == 0 })
	r := to.NewReader()
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.data) {
		t.Error("other bytes than the file's")
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
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
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

func TestNativeBudget(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 2<<20)
	for what, c := range map[string]Config{
		"a peer": {PeerBytesPerSecond: 512 << 10},
		"in all": {BytesPerSecond: 512 << 10},
	} {
		t.Run(strings.ReplaceAll(what, " ", "-"), func(t *testing.T) {
			c.BTListen = "127.0.0.1:0"
			s := start(t, c, files)
			port, _ := s.Wanted(b.torrent.InfoHash)
			begin := time.Now()
			to := leecher(t, b, port, false)
			wait(t, "the download", func() bool { return to.BytesMissing() == 0 })
			if took := time.Since(begin); took < 3*time.Second || took > 10*time.Second {
				t.Errorf("2 MiB at 512 KiB/s took %v", took)
			}
		})
	}
}
