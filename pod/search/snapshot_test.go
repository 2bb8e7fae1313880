package search

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/snapshot-1 anew")

func corpusIndex(t testing.TB) *Index {
	x := newIndex(t)
	_, videos := corpus(t)
	for i, v := range videos[:40] {
		if x.Put(v); i == 25 {
			x.settle(1)
		}
	}
	x.Remove(3)
	return x
}

// TestGolden reads a snapshot that was written when its version was new.
func TestGolden(t *testing.T) {
	const golden = "testdata/snapshot-1"
	x := corpusIndex(t)
	if *update {
		if err := x.Save(golden, "1-1"); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "snapshot")
	if err := x.Save(path, "1-1"); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Error("the same videos are written otherwise: a change of the layout or of words needs a new version")
	}
	read, at, err := Load(golden)
	if err != nil || at != "1-1" {
		t.Fatal(at, err)
	}
	defer read.Close()
	read.now = x.now
	for _, query := range []string{"bread ", "東京", "by:elodie", "kyoto"} {
		a, b := find(t, x, query), find(t, read, query)
		if len(a) != len(b) || len(a) > 0 && a[0] != b[0] {
			t.Errorf("%q: %v and %v", query, a, b)
		}
	}
	if read.Stats().Videos != 39 {
		t.Errorf("%+v", read.Stats())
	}
}

func TestBrokenSnapshots(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "snapshot")
	if _, _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	if err := corpusIndex(t).Save(path, "position"); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if x, _, err := Load(path); !errors.Is(err, ErrSnapshot) || x != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := 0; n < len(whole); n += 1 + n/20 {
		refused("cut short", whole[:n])
		b := bytes.Clone(whole)
		b[n] ^= 0x10
		refused("a bit changed", b)
	}
	old := bytes.Clone(whole)
	old[len(snapshotMagic)]--
	refused("an older version", old)
	left, err := filepath.Glob(filepath.Join(dir, ".search-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// FuzzSnapshot changes a snapshot and makes its check sum right: it is refused, or can
// be searched.
func FuzzSnapshot(f *testing.F) {
	whole, err := os.ReadFile("testdata/snapshot-1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{})
	f.Add(uint32(16), []byte{9})
	f.Add(uint32(200), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		b := bytes.Clone(whole[:len(whole)-4])
		copy(b[int(at)%len(b):], change)
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		x, _, err := read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		defer x.Close()
		for _, query := range []string{"bread baking ", "sourduogh ", "東京タワー", `"new york"`, "by:elodie -pain", "a"} {
			find(t, x, query)
		}
		x.Put(Document{ID: 7, Name: "one more"})
		x.settle(1)
		for x.tidy() {
		}
		find(t, x, "one more")
	})
}
