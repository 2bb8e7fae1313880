package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// WriteTo writes the segment and what is struck out of it.
func (s *Segment) WriteTo(out io.Writer) (int64, error) {
	dead := s.struckOut()
	head := le.AppendUint64(nil, uint64(len(s.mem.b)))
	marks := make([]byte, 0, 8*len(dead))
	for _, d := range dead {
		marks = le.AppendUint64(marks, d)
	}
	written := int64(0)
	for _, part := range [][]byte{head, s.mem.b, marks} {
		n, err := out.Write(part)
		written += int64(n)
		if err != nil {
			return written, fmt.Errorf("write segment: %w", err)
		}
	}
	return written, nil
}

// Read reads what WriteTo wrote, at most most bytes. Nothing may be done with it before
// Check.
func Read(in io.Reader, most int64) (*Segment, error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, broken("%v", err)
	}
	size := le.Uint64(head[:])
	if size > uint64(most) {
		return nil, broken("%d bytes, %d are there", size, most)
	}
	mem := reserve(int(size))
	mem.b = mem.b[:size]
	s, err := read(in, mem)
	if err != nil {
		mem.free()
		return nil, err
	}
	return s, nil
}

func read(in io.Reader, mem *memory) (*Segment, error) {
	if _, err := io.ReadFull(in, mem.b); err != nil {
		return nil, broken("%v", err)
	}
	s, err := open(mem)
	if err != nil {
		return nil, err
	}
	marks := make([]byte, 8*len(s.dead))
	if _, err := io.ReadFull(in, marks); err != nil {
		return nil, broken("%v", err)
	}
	dead := make([]uint64, len(s.dead))
	for i := range dead {
		dead[i] = le.Uint64(marks[8*i:])
	}
	return s, s.restore(dead)
}

// Check reads the whole segment, and makes it ready for use: afterwards nothing that Words and Postings do
// leaves it. Who calls sees to it that nothing was changed on the way: Check does not
// find every change.
func (s *Segment) Check() error {
	if s.videos == 0 {
		return broken("no videos")
	}
	for n := 1; n < s.videos; n++ {
		if s.ID(uint32(n)) >= s.ID(uint32(n-1)) {
			return broken("videos out of order")
		}
	}
	for n := range s.videos {
		if s.name[n] > MaxNameEnd || s.head[n] > MaxHeadEnd+1 || s.name[n] > s.head[n] {
			return broken("positions of video %d", n)
		}
	}
	if s.blocks != (s.words+inBlock-1)/inBlock {
		return broken("%d blocks of %d words", s.blocks, s.words)
	}
	at, postings := 0, 0
	var last, word []byte
	for i := range s.words {
		if i%inBlock == 0 {
			entry := s.indexed[8*(i/inBlock):]
			if int(le.Uint32(entry)) != at || int(le.Uint32(entry[4:])) != postings {
				return broken("index of words")
			}
		}
		b := s.dict[at:]
		if len(b) < 3 {
			return broken("dictionary")
		}
		shared, more, from := lengths(b)
		if shared > len(last) || i%inBlock == 0 && shared > 0 || shared+more > MaxTerm || more == 0 || len(b) < from+more {
			return broken("word %d", i)
		}
		word = append(append(word[:0], last[:shared]...), b[from:from+more]...)
		if bytes.Compare(word, last) <= 0 || !utf8.Valid(word) {
			return broken("word %d", i)
		}
		b = b[from+more:]
		videos, n := binary.Uvarint(b)
		if n <= 0 || videos == 0 || videos > uint64(s.videos) {
			return broken("videos of word %d", i)
		}
		size, m := binary.Uvarint(b[n:])
		if m <= 0 || size > uint64(len(s.postings)-8-postings) {
			return broken("postings of word %d", i)
		}
		e := Entry{Videos: int(videos), Bare: word[0] == Bare, at: postings, size: int(size)}
		if err := s.checkPostings(e); err != nil {
			return err
		}
		at += from + more + n + m
		postings += int(size)
		last = append(last[:0], word...)
	}
	if at != len(s.dict) || postings != len(s.postings)-8 {
		return broken("more bytes than words")
	}
	s.learn()
	return nil
}

func (s *Segment) checkPostings(e Entry) error {
	data := s.postings[e.at : e.at+e.size]
	blocks := e.Videos / block
	if len(data) < 8*blocks {
		return broken("postings cut short")
	}
	skip := data[len(data)-8*blocks:]
	data = data[:len(data)-8*blocks]
	at, last := 0, uint64(0) // last is one more than the video
	var nums [block]uint32
	for blk := range blocks {
		if at >= len(data) || data[at] > 32 || at+1+block/8*int(data[at]) > len(data) {
			return broken("block of postings")
		}
		width := int(data[at])
		unpack(&nums, s.postings[e.at+at+1:], width, uint32(last)-1)
		for _, n := range nums {
			if uint64(n) < last || int(n) >= s.videos { // a number that went round is less
				return broken("postings out of order")
			}
			last = uint64(n) + 1
		}
		at += 1 + block/8*width
		for range block {
			var ok bool
			if at, ok = s.checkAt(e, data, at); !ok {
				return broken("positions")
			}
		}
		if le.Uint32(skip[8*blk:]) != nums[block-1] || int(le.Uint32(skip[8*blk+4:])) != at {
			return broken("skips of postings")
		}
	}
	for range e.Videos % block {
		d, n := binary.Uvarint(data[at:])
		if n <= 0 || d >= uint64(s.videos) || last+d >= uint64(s.videos) {
			return broken("postings out of order")
		}
		at += n
		last += d + 1
	}
	for range e.Videos % block {
		var ok bool
		if at, ok = s.checkAt(e, data, at); !ok {
			return broken("positions")
		}
	}
	if at != len(data) {
		return broken("more bytes than postings")
	}
	return nil
}

// checkAt reads the positions of one video.
func (s *Segment) checkAt(e Entry, data []byte, at int) (int, bool) {
	if e.Bare {
		return at, true
	}
	for last := -1; at < len(data); at++ {
		p := int(data[at] &^ End)
		if p <= last {
			return at, false
		}
		if last = p; data[at] >= End {
			return at + 1, true
		}
	}
	return at, false
}
