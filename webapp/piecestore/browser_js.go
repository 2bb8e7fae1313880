package piecestore

import (
	"syscall/js"
)

// memoryMost bounds the pieces in memory where there is a disk, in bytes.
const memoryMost = 96 << 20

// readAgain is the number of pieces from disk that are kept for the next read: peers
// ask for a piece block by block.
const readAgain = 8

// Browser is a Store in memory that moves its oldest pieces to the origin private
// file system. Where there is none they stay in memory.
type Browser struct {
	spill       *spill
	pieceLength int
	size        func(i int) int
	script      string   // of the worker; "" where there is no disk
	worker      js.Value // null until a piece moves
	onMessage   js.Func
	onError     js.Func
	writing     map[int]bool
	reads       map[int]*read
	serial      int
	recent      []recentPiece
	closed      bool
}

type read struct {
	piece int
	done  func(Chunk, error)
}

type recentPiece struct {
	piece int
	c     Chunk
}

var _ Store = (*Browser)(nil)

// NewBrowser makes a store for pieces of pieceLength bytes, the last one as size says.
// worker is the address of WorkerScript.
func NewBrowser(pieceLength int64, size func(i int) int64, worker string) *Browser {
	b := &Browser{
		spill: newSpill(memoryMost), pieceLength: int(pieceLength), size: func(i int) int { return int(size(i)) },
		writing: map[int]bool{}, reads: map[int]*read{}, worker: js.Null(),
	}
	storage := js.Global().Get("navigator").Get("storage")
	if storage.IsUndefined() || storage.Get("getDirectory").IsUndefined() {
		return b
	}
	b.script = worker
	return b
}

// start starts the worker: most films fit into memory, and need none.
func (b *Browser) start() {
	b.worker = js.Global().Get("Worker").New(b.script)
	b.onMessage = js.FuncOf(func(_ js.Value, args []js.Value) any { b.message(args[0].Get("data")); return nil })
	b.onError = js.FuncOf(func(js.Value, []js.Value) any { b.give(); return nil })
	b.worker.Set("onmessage", b.onMessage)
	b.worker.Set("onerror", b.onError)
}

// Put implements Store.
func (b *Browser) Put(i int, piece Chunk) {
	b.spill.put(i, piece)
	b.move()
}

// move writes pieces to disk until memory is within its bound.
func (b *Browser) move() {
	for b.script != "" && !b.closed {
		i, ok := b.spill.next(b.writing)
		if !ok {
			return
		}
		if b.worker.IsNull() {
			b.start()
		}
		b.writing[i] = true
		b.worker.Call("postMessage", map[string]any{"op": "write", "piece": i, "at": float64(i) * float64(b.pieceLength), "bytes": b.spill.held[i].JS()})
	}
}

// Get implements Store.
func (b *Browser) Get(i int, done func(Chunk, error)) {
	if c, ok := b.spill.held[i]; ok {
		done(c, nil)
		return
	}
	for _, r := range b.recent {
		if r.piece == i {
			done(r.c, nil)
			return
		}
	}
	if !b.spill.away[i] || b.closed || !b.worker.Truthy() {
		done(Chunk{}, ErrAbsent)
		return
	}
	b.serial++
	b.reads[b.serial] = &read{i, done}
	b.worker.Call("postMessage", map[string]any{"op": "read", "id": b.serial, "at": float64(i) * float64(b.pieceLength), "length": b.size(i)})
}

func (b *Browser) message(m js.Value) {
	switch m.Get("op").String() {
	case "written":
		i := m.Get("piece").Int()
		delete(b.writing, i)
		b.spill.written(i)
	case "failed":
		b.give()
	case "bytes":
		id := m.Get("id").Int()
		r := b.reads[id]
		if r == nil {
			return
		}
		delete(b.reads, id)
		bytes := m.Get("bytes")
		if bytes.IsNull() {
			r.done(Chunk{}, ErrAbsent)
			return
		}
		c := FromJS(bytes)
		if b.recent = append(b.recent, recentPiece{r.piece, c}); len(b.recent) > readAgain {
			b.recent = b.recent[1:]
		}
		r.done(c, nil)
	case "closed":
		b.worker.Call("terminate")
		b.onMessage.Release()
		b.onError.Release()
		b.worker = js.Null()
	}
}

// give stops to write: the disk is full, or there is none. What is in memory stays
// there.
func (b *Browser) give() {
	b.spill.most = 1 << 62
	b.writing = map[int]bool{}
}

// Close implements Store.
func (b *Browser) Close() {
	b.closed = true
	for id, r := range b.reads {
		delete(b.reads, id)
		r.done(Chunk{}, ErrAbsent)
	}
	b.spill = newSpill(memoryMost)
	b.recent = nil
	if b.worker.Truthy() {
		b.worker.Call("postMessage", map[string]any{"op": "close"})
	}
}

// File is a Store over a file that the viewer chose: it has every piece.
type File struct {
	file        js.Value
	pieceLength int64
	size        int64
}

var _ Store = (*File)(nil)

// NewFile makes a store over a JavaScript File or Blob.
func NewFile(file js.Value, pieceLength int64) *File {
	return &File{file, pieceLength, int64(file.Get("size").Float())}
}

// Put implements Store: the file has the piece.
func (f *File) Put(int, Chunk) {}

// Get implements Store.
func (f *File) Get(i int, done func(Chunk, error)) {
	from := int64(i) * f.pieceLength
	slice := f.file.Call("slice", float64(from), float64(min(f.size, from+f.pieceLength)))
	var yes, no js.Func
	release := func() { yes.Release(); no.Release() }
	yes = js.FuncOf(func(_ js.Value, args []js.Value) any {
		release()
		done(FromJS(args[0]), nil)
		return nil
	})
	no = js.FuncOf(func(js.Value, []js.Value) any { // the file changed, or is gone
		release()
		done(Chunk{}, ErrAbsent)
		return nil
	})
	slice.Call("arrayBuffer").Call("then", yes, no)
}

// Close implements Store.
func (f *File) Close() {}
