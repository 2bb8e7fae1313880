// Package segment is a part of the index that never changes: some videos, their words,
// and where in each video a word stands. A video may only be struck out.
//
// # Layout
//
// A segment is one run of bytes, in memory as on disk. All numbers are little-endian.
//
//	header    videos, dictionary blocks, words (uint32 each), version (uint32),
//	          bytes of postings, bytes of dictionary (uint64 each)
//	id        uint32 a video, descending: videos are numbered from the newest on
//	created   uint32 a video, seconds since 1970
//	duration  uint16 a video, seconds, MaxDuration for what is longer
//	name      uint8 a video: how many positions its name has
//	head      uint8 a video: where its description begins
//	postings  see Postings
//	dictionary, blocks of 16 words in order of their bytes: how many bytes each shares
//	          with the one before and how many are new (4 bits each, or 0xff and a byte
//	          each), the new ones, in how many videos it is, bytes of its postings
//	index     a dictionary block: where it begins, where its postings begin (uint32)
//	padding   8 bytes
//
// Positions are 0 to 127. The name has the first ones, tags and uploader the next, the
// description what is left; where that is not enough, it begins anew at its first.
package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
)

// Positions of a video.
const (
	Positions  = 128
	MaxNameEnd = 60 // the name has the positions below, over and over where it is longer
	MaxHeadEnd = 96 // tags and uploader end below
)

// version changes with the layout and with what words are.
const version = 1

// MaxDuration stands for itself and all that is longer: eighteen hours.
const MaxDuration = 1<<16 - 1

const headerSize = 4*4 + 2*8

// le reads a number in place.
var le = binary.LittleEndian

// Bare is the first byte of a word that stands for a value of a video and has no
// position: its origin, its uploader, a tag.
const Bare = 0x01

// Doc is one video as it is indexed.
type Doc struct {
	ID       uint32
	Created  uint32 // seconds since 1970
	Duration uint16 // seconds
	NameEnd  uint8  // positions of the name: 0 to NameEnd-1
	HeadEnd  uint8  // where the description begins
	Terms    []Term // in order of their bytes, each once
}

// Term is a word of a video.
type Term struct {
	Text string
	At   []byte // its positions, ascending, the last with End; nil for Bare ones
}

// End marks the last position.
const End = 0x80

// Segment is safe for use by several goroutines while somebody holds it.
type Segment struct {
	mem                     *memory
	videos, blocks, words   int
	id, created, duration   []byte
	name, head              []byte
	postings, dict, indexed []byte
	newest                  uint32 // the greatest of created
	times                   []span // of created, a window each
	known                   known

	dead  []atomic.Uint64
	gone  atomic.Int64 // bits in dead
	holds atomic.Int32
}

// span is the least and the greatest of some numbers.
type span struct{ least, most uint32 }

// ErrBroken is what Open and Check wrap.
var ErrBroken = errors.New("not a segment of the index")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrBroken}, args...)...)
}

func sizeOf(videos, blocks int, postings, dict uint64) uint64 {
	return headerSize + 12*uint64(videos) + postings + dict + 8*uint64(blocks) + 8
}

// open reads a segment in place: mem is the segment's from now on.
func open(mem *memory) (*Segment, error) {
	b := mem.b
	if len(b) < headerSize {
		return nil, broken("cut short")
	}
	if v := le.Uint32(b[12:]); v != version {
		return nil, broken("version %d, not %d", v, version)
	}
	s := &Segment{mem: mem, videos: int(le.Uint32(b)), blocks: int(le.Uint32(b[4:])), words: int(le.Uint32(b[8:]))}
	postings, dict := le.Uint64(b[16:]), le.Uint64(b[24:])
	if postings > uint64(len(b)) || dict > uint64(len(b)) || sizeOf(s.videos, s.blocks, postings, dict) != uint64(len(b)) {
		return nil, broken("%d bytes do not hold what they should", len(b))
	}
	b = b[headerSize:]
	take := func(n int) (part []byte) {
		part, b = b[:n:n], b[n:]
		return part
	}
	s.id, s.created, s.duration = take(4*s.videos), take(4*s.videos), take(2*s.videos)
	s.name, s.head = take(s.videos), take(s.videos)
	s.postings = b[:int(postings)] // with room behind for whole words to be read
	b = b[int(postings):]
	s.dict = take(int(dict))
	s.indexed = take(8 * s.blocks)
	s.postings = s.postings[:int(postings)+8] // the dictionary or the padding follows
	s.times = make([]span, (s.videos+WindowSize-1)/WindowSize)
	for i := range s.times {
		t := span{least: ^uint32(0)}
		for n := i * WindowSize; n < min((i+1)*WindowSize, s.videos); n++ {
			created := s.Created(uint32(n))
			t.least, t.most = min(t.least, created), max(t.most, created)
		}
		s.times[i], s.newest = t, max(s.newest, t.most)
	}
	s.dead = make([]atomic.Uint64, (s.videos+63)/64)
	s.holds.Store(1)
	return s, nil
}

// Hold keeps the segment's memory until Release. Who makes a segment holds it.
func (s *Segment) Hold() { s.holds.Add(1) }

// Release gives back what Hold kept; the last one frees the memory.
func (s *Segment) Release() {
	if s.holds.Add(-1) == 0 {
		s.mem.free()
		if s.known.bits != nil {
			s.known.bits.free()
		}
	}
}

// Videos is how many videos there are, struck out or not.
func (s *Segment) Videos() int { return s.videos }

// Gone is how many of them are struck out.
func (s *Segment) Gone() int { return int(s.gone.Load()) }

// Vocabulary is how many words there are.
func (s *Segment) Vocabulary() int { return s.words }

// Size is the bytes of the segment.
func (s *Segment) Size() int { return len(s.mem.b) }

// ID, Created, Duration, NameEnd and HeadEnd are of the video with a number.
func (s *Segment) ID(n uint32) uint32       { return le.Uint32(s.id[4*n:]) }
func (s *Segment) Created(n uint32) uint32  { return le.Uint32(s.created[4*n:]) }
func (s *Segment) Duration(n uint32) uint16 { return le.Uint16(s.duration[2*n:]) }
func (s *Segment) NameEnd(n uint32) uint8   { return s.name[n] }
func (s *Segment) HeadEnd(n uint32) uint8   { return s.head[n] }

// Newest is when the newest video was made.
func (s *Segment) Newest() uint32 { return s.newest }

// Times is when the first and the last video of the window were made that a video is in.
func (s *Segment) Times(n uint32) (first, last uint32) {
	t := s.times[n/WindowSize]
	return t.least, t.most
}

// Dead says whether a video is struck out.
func (s *Segment) Dead(n uint32) bool { return s.dead[n/64].Load()&(1<<(n%64)) != 0 }

// Number is the number of a video that is not struck out.
func (s *Segment) Number(id uint32) (n uint32, ok bool) {
	lo, hi := 0, s.videos
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); s.ID(uint32(mid)) > id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	n = uint32(lo)
	return n, lo < s.videos && s.ID(n) == id && !s.Dead(n)
}

// Strike strikes a video out, if it is here.
func (s *Segment) Strike(id uint32) bool {
	n, ok := s.Number(id)
	if ok {
		ok = s.dead[n/64].Or(1<<(n%64))&(1<<(n%64)) == 0
	}
	if ok {
		s.gone.Add(1)
	}
	return ok
}

// struckOut is a copy of what is struck out now.
func (s *Segment) struckOut() []uint64 {
	out := make([]uint64, len(s.dead))
	for i := range s.dead {
		out[i] = s.dead[i].Load()
	}
	return out
}

// restore sets what is struck out.
func (s *Segment) restore(dead []uint64) error {
	if len(dead) != len(s.dead) || s.videos%64 != 0 && dead[len(dead)-1]>>(s.videos%64) != 0 {
		return broken("marks of %d videos", 64*len(dead))
	}
	n := 0
	for i, d := range dead {
		s.dead[i].Store(d)
		n += bits.OnesCount64(d)
	}
	s.gone.Store(int64(n))
	return nil
}
