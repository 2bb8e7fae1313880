package piecestore

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestChunk(t *testing.T) {
	c := Make(10)
	c.CopyFrom(2, FromBytes([]byte("hello")))
	if got := c.Slice(2, 7).Bytes(); string(got) != "hello" {
		t.Errorf("%q", got)
	}
	p := make([]byte, 4)
	if n := c.ReadAt(p, 8); n != 2 || !bytes.Equal(p[:n], []byte{0, 0}) {
		t.Error(n, p)
	}
	if n := c.ReadAt(p, 11); n != 0 {
		t.Error(n)
	}
	called := false
	c.Sum(func(sum [20]byte, err error) { called = err == nil && sum == sha1.Sum(c.Bytes()) })
	if !called {
		t.Error("no sum")
	}
}

func TestMemory(t *testing.T) {
	m := NewMemory()
	m.Put(1, FromBytes([]byte("x")))
	m.Get(1, func(c Chunk, err error) {
		if err != nil || string(c.Bytes()) != "x" {
			t.Error(err)
		}
	})
	m.Get(2, func(_ Chunk, err error) {
		if !errors.Is(err, ErrAbsent) {
			t.Error(err)
		}
	})
}

func TestCacheDropsWhatWasUsedLongestAgo(t *testing.T) {
	c := newCache(100)
	for i := range 4 {
		c.put(i, Make(40), i == 1)
	}
	// 0 and 2 went; 1 is held fast.
	if got := slices.Clone(c.order); !slices.Equal(got, []int{1, 3}) || c.bytes != 80 {
		t.Fatalf("%v, %d bytes", got, c.bytes)
	}
	c.get(1)
	c.put(4, Make(40), false)
	if !slices.Equal(c.order, []int{1, 4}) {
		t.Errorf("%v", c.order)
	}
	c.put(5, Make(200), false) // alone it is too much
	if !slices.Equal(c.order, []int{1, 5}) {
		t.Errorf("%v", c.order)
	}
	c.let(1)
	if !slices.Equal(c.order, []int{5}) || c.bytes != 200 || len(c.held) != 1 {
		t.Errorf("%v, %d bytes", c.order, c.bytes)
	}
	c.drop(5)
	c.drop(5)
	if c.bytes != 0 || len(c.order) != 0 {
		t.Errorf("%v, %d bytes", c.order, c.bytes)
	}
}

// written is what a worker would make of the index of s.
func written(s *shelf, now time.Time) []byte {
	b := appendHeader(nil, now)
	for slot := range s.slots {
		at, entry := s.entry(slot)
		if at != len(b) {
			panic("an entry at another place")
		}
		b = append(b, entry...)
	}
	return b
}

func TestShelf(t *testing.T) {
	s := newShelf()
	for k, i := range []int{7, 3, 9} {
		if slot, ok := s.put(i); slot != k || !ok {
			t.Fatalf("piece %d in slot %d, %v", i, slot, ok)
		}
	}
	if slot, ok := s.put(3); slot != 1 || !ok {
		t.Errorf("again in slot %d", slot)
	}
	if got := s.kept(); !slices.Equal(got, []int{3, 7, 9}) {
		t.Errorf("kept %v", got)
	}
	s.take(3)
	if slot, _ := s.put(4); slot != 1 {
		t.Errorf("a free slot is not used: %d", slot)
	}
	s.put(5)
	s.refused(5) // the file may not grow
	if slot, ok := s.put(5); slot != 0 || !ok {
		t.Errorf("slot %d, %v: that of 7, which was used longest ago, is 0", slot, ok)
	}
	s.use(9)
	if slot, _ := s.put(6); slot != 1 {
		t.Errorf("slot %d: 9 was used after 4, which is in 1", slot)
	}
	if got := s.kept(); !slices.Equal(got, []int{5, 6, 9}) || len(s.slots) != 3 {
		t.Errorf("kept %v in %d slots", got, len(s.slots))
	}
	none := newShelf()
	none.put(1)
	none.refused(1)
	if _, ok := none.put(1); ok || len(none.slots) != 0 {
		t.Error("a slot where the disk is full")
	}
}

// Two writes are on their way when the first is refused.
func TestShelfRefusesInTurn(t *testing.T) {
	s := newShelf()
	for i := range 4 {
		s.put(i)
	}
	s.refused(2)
	s.refused(3)
	if len(s.slots) != 2 || !slices.Equal(s.kept(), []int{0, 1}) {
		t.Errorf("%v in %d slots", s.kept(), len(s.slots))
	}
	if slot, ok := s.put(2); slot != 0 || !ok {
		t.Errorf("slot %d, %v", slot, ok)
	}
}

// golden is an index of version 1: pieces 7 and 3, a free slot, and piece 0.
const golden = "4b50494543455301" + "0000019ab5c3f800" + "00000008" + "00000004" + "00000000" + "00000001"

func TestIndexOfVersion1(t *testing.T) {
	b, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	s := parseIndex(b, 8)
	if !slices.Equal(s.slots, []int{7, 3, free, 0}) || !slices.Equal(s.kept(), []int{0, 3, 7}) {
		t.Errorf("%v", s.slots)
	}
	if got := written(s, time.UnixMilli(0x19ab5c3f800)); !bytes.Equal(got, b) {
		t.Errorf("%x", got)
	}
	if got := parseIndex(b, 7); !slices.Equal(got.slots, []int{free, 3, free, 0}) {
		t.Errorf("of a torrent with 7 pieces: %v", got.slots)
	}
	if got := parseIndex(b[:len(b)-2], 8); !slices.Equal(got.kept(), []int{3, 7}) {
		t.Errorf("cut short: %v", got.kept())
	}
	b[7] = 2
	if got := parseIndex(b, 8); len(got.slots) != 0 {
		t.Errorf("of another version: %v", got.slots)
	}
}

func FuzzIndex(f *testing.F) {
	b, _ := hex.DecodeString(golden)
	f.Add(b, uint8(8))
	f.Add([]byte(indexMagic), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, pieces uint8) {
		s := parseIndex(b, int(pieces))
		for i, slot := range s.at {
			if i >= int(pieces) || s.slots[slot] != i {
				t.Fatalf("piece %d in slot %d of %v", i, slot, s.slots)
			}
		}
		if len(s.at) != len(s.order) {
			t.Fatal(s.at, s.order)
		}
		again := parseIndex(written(s, time.UnixMilli(1)), int(pieces))
		if !slices.Equal(again.slots, s.slots) || !slices.Equal(again.order, s.order) {
			t.Fatalf("%v, then %v", s.slots, again.slots)
		}
	})
}
