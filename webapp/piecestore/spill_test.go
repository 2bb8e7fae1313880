package piecestore

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"testing"
)

func TestSpillMovesTheOldest(t *testing.T) {
	s := newSpill(100)
	for i := range 5 {
		s.put(i, Make(40))
	}
	busy := map[int]bool{}
	for want := range 3 {
		i, ok := s.next(busy)
		if !ok || i != want {
			t.Fatalf("next is %d, %v; want %d", i, ok, want)
		}
		busy[i] = true
	}
	if i, ok := s.next(busy); ok {
		t.Fatalf("%d is to be moved too: 80 bytes would stay", i)
	}
	for i := range 3 {
		s.written(i)
		delete(busy, i)
	}
	if s.bytes != 80 || len(s.held) != 2 || !s.away[0] || s.away[3] {
		t.Errorf("%d bytes, %d pieces in memory", s.bytes, len(s.held))
	}
	s.written(0) // twice
	s.put(3, Make(40))
	if s.bytes != 80 {
		t.Errorf("%d bytes", s.bytes)
	}
}

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
