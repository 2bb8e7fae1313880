// Package piecestore is where verified pieces of one torrent rest in the browser:
// in memory, and in the origin private file system where there is one, from which the
// next visit has them.
//
// # On disk
//
// Each video has a folder kinopod-videos/{info hash} with two files: "pieces", slots of
// one piece length each, in the order in which pieces came, so that the file is no
// longer than what it holds; and "index", which says which piece is in which slot
// (shelf.go). Nothing on disk is believed: a piece from there is checked like one from a
// peer before it is used, so that a write that was cut short costs this piece alone.
//
// All videos together keep within a cap. Where it is reached the video that nobody has
// watched for longest goes (piece_worker.js), never one that a tab has open; where there
// is no other, the piece that was used longest ago.
package piecestore

import "errors"

// ErrAbsent is what Get gives for a piece that is not there (any more).
var ErrAbsent = errors.New("the piece is not in the store")

// Store keeps pieces that were checked. Its methods are called from one goroutine;
// callbacks may come at once or later, from any.
type Store interface {
	// Put keeps piece i, as long as there is room.
	Put(i int, piece Chunk)
	// Get gives piece i, or ErrAbsent. The bytes are shared: do not change them.
	Get(i int, done func(piece Chunk, err error))
	// Drop forgets piece i: it turned out to be wrong.
	Drop(i int)
	// Close gives back what it holds. What rests on disk stays there.
	Close()
}

// Memory is a Store in memory. It keeps all it is given.
type Memory struct{ pieces map[int]Chunk }

var _ Store = (*Memory)(nil)

// NewMemory makes an empty store.
func NewMemory() *Memory { return &Memory{pieces: map[int]Chunk{}} }

// Put implements Store.
func (m *Memory) Put(i int, piece Chunk) { m.pieces[i] = piece }

// Get implements Store.
func (m *Memory) Get(i int, done func(Chunk, error)) {
	c, ok := m.pieces[i]
	if !ok {
		done(Chunk{}, ErrAbsent)
		return
	}
	done(c, nil)
}

// Drop implements Store.
func (m *Memory) Drop(i int) { delete(m.pieces, i) }

// Close implements Store.
func (m *Memory) Close() { m.pieces = map[int]Chunk{} }
