package torrent

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/anacrolix/torrent/metainfo"
)

// build makes the torrent of data and hashes it in writes of uneven length.
func build(t testing.TB, data []byte, pieceLength int64) *Torrent {
	t.Helper()
	var hashes []byte
	h := NewHasher(pieceLength, func(sum [20]byte) { hashes = append(hashes, sum[:]...) })
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(70000))
		h.Write(rest[:n])
		rest = rest[n:]
	}
	h.Close()
	tor, err := Build("a b.mp4", int64(len(data)), pieceLength, hashes, "x")
	if err != nil {
		t.Fatal(err)
	}
	return tor
}

func TestBuildParseVerify(t *testing.T) {
	for _, size := range []int{1, 65535, 65536, 65537, 300000, 4 * 65536} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * 7)
		}
		tor := build(t, data, 65536)
		b, err := tor.Metainfo([]string{"wss://p/tracker/socket", "https://p/tracker/announce"}, []string{"https://p/stream/x"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b)
		if err != nil || got.InfoHash != tor.InfoHash || got.Name != "a b.mp4" || got.Length != int64(size) {
			t.Fatalf("size %d: %+v, %v", size, got, err)
		}
		var sum int64
		for i := range got.Pieces() {
			piece := data[got.Offset(i) : got.Offset(i)+got.PieceSize(i)]
			if !got.Verify(i, piece) {
				t.Errorf("size %d: piece %d is refused", size, i)
			}
			bad := bytes.Clone(piece)
			bad[len(bad)-1] ^= 1
			if got.Verify(i, bad) || got.Verify(i, piece[1:]) {
				t.Errorf("size %d: a wrong piece %d is taken", size, i)
			}
			sum += got.PieceSize(i)
		}
		if sum != int64(size) || got.Verify(-1, nil) || got.Verify(got.Pieces(), nil) {
			t.Errorf("size %d: pieces are %d bytes in all", size, sum)
		}
		// What another implementation reads in it.
		other, err := metainfo.Load(bytes.NewReader(b))
		if err != nil || [20]byte(other.HashInfoBytes()) != tor.InfoHash || len(other.UpvertedAnnounceList()) != 2 {
			t.Errorf("size %d: %+v, %v", size, other, err)
		}
	}
}

func TestSourceMakesTheInfoHashItsOwn(t *testing.T) {
	h := make([]byte, 20)
	a, _ := Build("x", 5, 65536, h, "a")
	b, _ := Build("x", 5, 65536, h, "b")
	if a.InfoHash == b.InfoHash {
		t.Error("equal info hashes")
	}
}

func TestBuildRefuses(t *testing.T) {
	for what, f := range map[string]func() (*Torrent, error){
		"no bytes":          func() (*Torrent, error) { return Build("x", 0, 65536, nil, "") },
		"path":              func() (*Torrent, error) { return Build("../x", 5, 65536, make([]byte, 20), "") },
		"too few hashes":    func() (*Torrent, error) { return Build("x", 65537, 65536, make([]byte, 20), "") },
		"odd piece length":  func() (*Torrent, error) { return Build("x", 5, 65537, make([]byte, 20), "") },
		"tiny piece length": func() (*Torrent, error) { return Build("x", 5, 1, make([]byte, 100), "") },
	} {
		if got, err := f(); err == nil {
			t.Errorf("%s: %+v, want an error", what, got)
		}
	}
}

func TestPieceLengthFor(t *testing.T) {
	for size, want := range map[int64]int64{1: 64 << 10, 8 << 20: 64 << 10, 8<<20 + 1: 128 << 10, 16<<20 + 1: 256 << 10, 512 << 20: 256 << 10, 512<<20 + 1: 512 << 10, 1 << 50: 16 << 20} {
		if got := PieceLengthFor(size); got != want {
			t.Errorf("PieceLengthFor(%d) = %d, want %d", size, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, _ := build(f, make([]byte, 100000), 65536).Metainfo([]string{"a"}, []string{"b"})
	f.Add(b)
	f.Add([]byte("d4:infod6:lengthi5e4:name1:x12:piece lengthi65536e6:pieces20:aaaaaaaaaaaaaaaaaaaaee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tor, err := Parse(b)
		if err != nil {
			return
		}
		out, err := tor.Metainfo(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil || again.InfoHash != tor.InfoHash {
			t.Fatalf("%x became %v, %v", tor.InfoHash, again, err)
		}
		if tor.PieceSize(tor.Pieces()-1) <= 0 {
			t.Fatal("an empty last piece")
		}
	})
}
