// Package piecestore is where verified pieces of one torrent rest in the browser:
// in memory, or in the origin private file system where there is one.
package piecestore

import "errors"

// ErrAbsent is what Get gives for a piece that is not there (any more).
var ErrAbsent = errors.New("the piece is not in the store")

// Store keeps pieces that were checked. Its methods are called from one goroutine;
// callbacks may come at once or later, from any.
type Store interface {
	// Put keeps piece i.
	Put(i int, piece Chunk)
	// Get gives piece i, or ErrAbsent. The bytes are shared: do not change them.
	Get(i int, done func(piece Chunk, err error))
	// Close gives everything back.
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

// Close implements Store.
func (m *Memory) Close() { m.pieces = map[int]Chunk{} }
