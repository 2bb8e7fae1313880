package seeder

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kinopod/build/leak"
	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
)

// local is where test peers come from.
var local = netip.MustParseAddr("127.0.0.1")

// shelf is a store of files in memory that counts what is open.
type shelf struct {
	mu     sync.Mutex
	files  map[magnet.InfoHash]*book
	opened int
	open   int
}

// book is one file on the shelf. Its bytes may be fewer than its torrent says.
type book struct {
	torrent *torrent.Torrent
	data    []byte
	path    string // where it lies instead of in data; empty is in data
}

type reader struct {
	io.ReaderAt
	torrent *torrent.Torrent
	close   func()
}

func (r *reader) Torrent() *torrent.Torrent { return r.torrent }
func (r *reader) Close() error              { r.close(); return nil }

func (s *shelf) Open(h magnet.InfoHash) (File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.files[h]
	if b == nil {
		return nil, fmt.Errorf("open %s: %w", h, fs.ErrNotExist)
	}
	var from io.ReaderAt = bytes.NewReader(b.data)
	closeFile := func() {}
	if b.path != "" {
		f, err := os.Open(b.path)
		if err != nil {
			return nil, err
		}
		from, closeFile = f, func() { _ = f.Close() }
	}
	s.opened++
	s.open++
	return &reader{from, b.torrent, sync.OnceFunc(func() {
		closeFile()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	})}, nil
}

// toDisk puts b on the shelf as a file, and its bytes out of memory.
func (s *shelf) toDisk(t testing.TB, b *book) magnet.InfoHash {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film")
	if err := os.WriteFile(path, b.data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.put(&book{torrent: b.torrent, path: path})
	return b.torrent.InfoHash
}

func (s *shelf) put(b *book) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[magnet.InfoHash]*book{}
	}
	s.files[b.torrent.InfoHash] = b
}

func (s *shelf) counts() (opened, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, s.open
}

func (s *shelf) remove(h magnet.InfoHash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, h)
}

// add puts size random bytes on the shelf.
func (s *shelf) add(t testing.TB, size int) *book {
	t.Helper()
	b := newBook(t, size)
	s.put(b)
	return b
}

func newBook(t testing.TB, size int) *book {
	t.Helper()
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), 3}).Read(data)
	var hashes []byte
	pieceLength := torrent.PieceLengthFor(int64(size))
	h := torrent.NewHasher(pieceLength, func(sum [sha1.Size]byte) { hashes = append(hashes, sum[:]...) })
	_, _ = h.Write(data)
	h.Close()
	meta, err := torrent.Build("film.mp4", int64(size), pieceLength, hashes, "pod.example")
	if err != nil {
		t.Fatal(err)
	}
	return &book{torrent: meta, data: data}
}

// start runs a seeder on loopback until the test ends. Then no goroutine and no
// file of it may be left.
func start(t testing.TB, c Config, files *shelf) *Seeder {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { leak.Check(t, before) })
	if c.RTCListen == "" {
		c.RTCListen = "127.0.0.1:0"
	}
	s, err := New(c, files)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("Run does not end")
		}
		if _, open := files.counts(); open != 0 {
			t.Errorf("%d files are still open", open)
		}
	})
	wait(t, "the seeder to run", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.engine != nil
	})
	return s
}

// wait polls until ok.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

var errTimeout = errors.New("timeout")

// truncate cuts a file short.
func truncate(t testing.TB, path string) {
	t.Helper()
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
}

// cloneWithHash is b's torrent under the i-th of other names.
func cloneWithHash(b *book, i int) *torrent.Torrent {
	c := *b.torrent
	c.InfoHash = magnet.InfoHash{0xff, byte(i), byte(i >> 8)}
	return &c
}
