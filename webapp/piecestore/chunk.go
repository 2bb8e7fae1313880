//go:build !js

package piecestore

import "crypto/sha1"

// Chunk is a run of bytes that lives where the platform keeps bytes: a []byte
// natively, a Uint8Array in a browser, where it never enters Go's heap, which
// would not shrink again. The zero value is empty.
type Chunk struct{ b []byte }

// Make gives a Chunk of n zero bytes.
func Make(n int) Chunk { return Chunk{make([]byte, n)} }

// FromBytes gives a Chunk with a copy of b.
func FromBytes(b []byte) Chunk { return Chunk{append([]byte(nil), b...)} }

// Len is the number of bytes.
func (c Chunk) Len() int { return len(c.b) }

// Slice gives the bytes from..to; they are shared with c.
func (c Chunk) Slice(from, to int) Chunk { return Chunk{c.b[from:to]} }

// CopyFrom copies src to the bytes at off.
func (c Chunk) CopyFrom(off int, src Chunk) { copy(c.b[off:], src.b) }

// ReadAt copies bytes at off to p and gives their number.
func (c Chunk) ReadAt(p []byte, off int) int { return copy(p, c.b[min(off, len(c.b)):]) }

// Bytes gives a copy of the bytes in Go's heap.
func (c Chunk) Bytes() []byte { return append([]byte(nil), c.b...) }

// Sum computes the SHA-1 and gives it to done: at once natively, later in a
// browser, which does it beside the page.
func (c Chunk) Sum(done func(sum [20]byte, err error)) { done(sha1.Sum(c.b), nil) }
