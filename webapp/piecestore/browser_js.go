package piecestore

import (
	"context"
	"syscall/js"
	"time"

	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
)

// Bounds of the pieces in memory, in bytes.
const (
	memoryMost = 96 << 20 // where there is no disk
	recentMost = 16 << 20 // where there is one: the player and peers ask for a piece part by part
)

// openTime bounds how long a store waits for its disk.
const openTime = 3 * time.Second

// Browser is a Store of one video in the origin private file system. Where there is
// none it keeps in memory what was used last.
type Browser struct {
	video       string
	chosen      int64 // bytes that the viewer lets all videos take; 0 for what suits the disk
	pieceLength int
	size        func(i int) int
	memory      *cache
	shelf       *shelf   // nil where there is no disk
	worker      js.Value // null where there is no disk
	onMessage   js.Func
	onError     js.Func
	opened      chan []byte // the index, once; closed where there is no disk
	closed      chan struct{}
	closing     bool
	reads       map[int][]func(Chunk, error) // by piece
}

var _ Store = (*Browser)(nil)

// NewBrowser begins to open the store of a video; worker is the address of WorkerScript.
// most is how many bytes all videos may take on disk, 0 for what suits the disk. Only one
// store of a video may be open in all tabs: the caller holds its lock (LockName).
func NewBrowser(video magnet.InfoHash, worker string, most int64) *Browser {
	b := &Browser{
		video: video.String(), chosen: most, memory: newCache(memoryMost), worker: js.Null(), reads: map[int][]func(Chunk, error){},
		opened: make(chan []byte, 1), closed: make(chan struct{}),
	}
	storage := js.Global().Get("navigator").Get("storage")
	if storage.IsUndefined() || storage.Get("getDirectory").IsUndefined() {
		close(b.opened)
		return b
	}
	b.worker = js.Global().Get("Worker").New(worker)
	b.onMessage = js.FuncOf(func(_ js.Value, args []js.Value) any { b.message(args[0].Get("data")); return nil })
	b.onError = js.FuncOf(func(js.Value, []js.Value) any { b.message(js.ValueOf(map[string]any{"op": "none"})); return nil })
	b.worker.Set("onmessage", b.onMessage)
	b.worker.Set("onerror", b.onError)
	b.worker.Call("postMessage", map[string]any{"op": "open", "video": b.video})
	return b
}

// Kept waits for the disk and gives the pieces of t that are on it. They are not checked.
func (b *Browser) Kept(ctx context.Context, t *torrent.Torrent) []int {
	b.pieceLength, b.size = int(t.PieceLength), func(i int) int { return int(t.PieceSize(i)) }
	select {
	case index, ok := <-b.opened:
		if !ok || !b.worker.Truthy() {
			return nil
		}
		b.shelf = parseIndex(index, t.Pieces())
		b.memory.most = recentMost
		b.tell(map[string]any{"op": "note", "bytes": FromBytes(appendHeader(nil, time.Now())).JS()})
		return b.shelf.kept()
	case <-time.After(openTime):
	case <-ctx.Done():
	}
	return nil
}

func (b *Browser) tell(m map[string]any) {
	if b.worker.Truthy() && !b.closing {
		b.worker.Call("postMessage", m)
	}
}

// Put implements Store.
func (b *Browser) Put(i int, piece Chunk) {
	b.memory.put(i, piece, b.shelf != nil)
	b.write(i)
}

// write sends a piece that is in memory to its slot.
func (b *Browser) write(i int) {
	piece, ok := b.memory.held[i]
	if b.shelf == nil || !ok {
		return
	}
	slot, ok := b.shelf.put(i)
	if !ok {
		b.memory.let(i)
		return
	}
	at, entry := b.shelf.entry(slot)
	b.tell(map[string]any{
		"op": "write", "piece": i, "at": float64(slot) * float64(b.pieceLength), "bytes": piece.JS(), "entryAt": at, "entry": FromBytes(entry).JS(),
	})
}

// Get implements Store.
func (b *Browser) Get(i int, done func(Chunk, error)) {
	if c, ok := b.memory.get(i); ok {
		done(c, nil)
		return
	}
	if b.shelf == nil || b.closing {
		done(Chunk{}, ErrAbsent)
		return
	}
	slot, ok := b.shelf.at[i]
	if !ok {
		done(Chunk{}, ErrAbsent)
		return
	}
	b.shelf.use(i)
	b.reads[i] = append(b.reads[i], done)
	if len(b.reads[i]) == 1 {
		b.tell(map[string]any{"op": "read", "piece": i, "at": float64(slot) * float64(b.pieceLength), "length": b.size(i)})
	}
}

// Drop implements Store.
func (b *Browser) Drop(i int) {
	b.memory.drop(i)
	if b.shelf == nil {
		return
	}
	if slot, ok := b.shelf.take(i); ok {
		at, entry := b.shelf.entry(slot)
		b.tell(map[string]any{"op": "note", "at": at, "bytes": FromBytes(entry).JS()})
	}
}

func (b *Browser) message(m js.Value) {
	switch m.Get("op").String() {
	case "opened":
		b.opened <- FromJS(m.Get("index")).Bytes()
	case "quota": // also of a store that is closed: its worker waits for the answer
		b.worker.Call("postMessage", map[string]any{"op": "most", "most": float64(mostBytes(b.chosen, int64(m.Get("quota").Float())))})
	case "none":
		if b.worker.Truthy() && b.shelf == nil {
			close(b.opened)
		}
		b.end()
	case "written":
		b.memory.let(m.Get("piece").Int())
	case "full":
		if i := m.Get("piece").Int(); b.shelf != nil {
			b.shelf.refused(i)
			b.write(i)
		}
	case "failed":
		i := m.Get("piece").Int()
		b.memory.let(i)
		if b.shelf != nil {
			b.shelf.take(i)
		}
	case "bytes":
		i := m.Get("piece").Int()
		bytes := m.Get("bytes")
		if bytes.IsNull() {
			if b.shelf != nil {
				b.shelf.take(i)
			}
			b.answer(i, Chunk{}, ErrAbsent)
			return
		}
		c := FromJS(bytes)
		b.memory.put(i, c, false)
		b.answer(i, c, nil)
	case "closed":
		b.end()
	}
}

func (b *Browser) answer(i int, c Chunk, err error) {
	waiting := b.reads[i]
	delete(b.reads, i)
	for _, done := range waiting {
		done(c, err)
	}
}

// end is called where there is no worker any more: what was not on its way to disk is
// lost, what was stays in memory.
func (b *Browser) end() {
	if !b.worker.Truthy() {
		return
	}
	b.worker.Call("terminate")
	b.onMessage.Release()
	b.onError.Release()
	b.worker, b.shelf = js.Null(), nil
	b.memory.most = memoryMost
	b.memory.fast = map[int]bool{}
	for i := range b.reads {
		b.answer(i, Chunk{}, ErrAbsent)
	}
	if b.closing {
		close(b.closed)
	}
}

// Close implements Store.
func (b *Browser) Close() {
	if b.closing {
		return
	}
	b.tell(map[string]any{"op": "close"})
	b.closing = true
	b.memory = newCache(memoryMost)
	for i := range b.reads {
		b.answer(i, Chunk{}, ErrAbsent)
	}
	if !b.worker.Truthy() {
		close(b.closed)
	}
}

// Closed waits until the files of a store that was closed can be opened again.
func (b *Browser) Closed() {
	select {
	case <-b.closed:
	case <-time.After(openTime):
	}
}
