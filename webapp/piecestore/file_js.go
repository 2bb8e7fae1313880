package piecestore

import "syscall/js"

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

// Drop implements Store: the file is what it is.
func (f *File) Drop(int) {}

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
