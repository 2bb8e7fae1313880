package torrent

import (
	"crypto/sha1"
	"hash"
)

// Hasher computes piece hashes of a file while its bytes go by. It is a Writer
// that never fails, and is not safe for concurrent use.
type Hasher struct {
	pieceLength int64
	inPiece     int64
	h           hash.Hash
	done        func(sum [sha1.Size]byte)
}

// NewHasher calls done with the hash of each whole piece, in order.
func NewHasher(pieceLength int64, done func(sum [sha1.Size]byte)) *Hasher {
	return &Hasher{pieceLength: pieceLength, h: sha1.New(), done: done}
}

// Write takes the next bytes of the file.
func (h *Hasher) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(int64(len(p)), h.pieceLength-h.inPiece)
		h.h.Write(p[:k])
		p = p[k:]
		if h.inPiece += k; h.inPiece == h.pieceLength {
			h.finish()
		}
	}
	return n, nil
}

// Close finishes the last piece where it is shorter than the others.
func (h *Hasher) Close() {
	if h.inPiece > 0 {
		h.finish()
	}
}

func (h *Hasher) finish() {
	h.done([sha1.Size]byte(h.h.Sum(nil)))
	h.h.Reset()
	h.inPiece = 0
}
