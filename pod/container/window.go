package container

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// jumpWindow is read where the reader jumped to: a header, most times.
	jumpWindow = 4 << 10
	// runWindow is read where reading goes on from the last window: a table.
	runWindow = 64 << 10
	// maxElements bounds the boxes, elements and chunks that are looked at in one
	// file: a hostile file of nothing but headers costs about a second.
	maxElements = 4 << 20
)

// window reads small parts of a file that lie close to each other.
type window struct {
	r        io.ReaderAt
	size     int64
	start    int64 // of buf in the file
	buf      []byte
	elements int
}

func newWindow(r io.ReaderAt, size int64) *window {
	return &window{r: r, size: size, buf: make([]byte, 0, runWindow)}
}

// at gives n bytes of the file from off on, n <= runWindow. They are valid until
// the next call. What lies past the end is a Refusal.
func (w *window) at(off int64, n int) ([]byte, error) {
	if i := off - w.start; i >= 0 && i+int64(n) <= int64(len(w.buf)) {
		return w.buf[i : i+int64(n)], nil
	}
	if off < 0 || n > runWindow || off > w.size-int64(n) {
		return nil, truncated("something that it needs lies past its end")
	}
	length := int64(jumpWindow)
	if end := w.start + int64(len(w.buf)); off >= w.start && off <= end && len(w.buf) > 0 {
		length = runWindow
	}
	length = min(max(length, int64(n)), w.size-off)
	w.start, w.buf = off, w.buf[:length]
	m, err := w.r.ReadAt(w.buf, off)
	if int64(m) < length {
		w.buf = w.buf[:0]
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read the file to look into: %w", err)
	}
	return w.buf[:n], nil
}

// count notes that n more elements are looked at.
func (w *window) count(n int) error {
	if w.elements += n; w.elements > maxElements {
		return corrupt("it is made of too many small parts")
	}
	return nil
}

func (w *window) u8(off int64) (uint8, error) {
	b, err := w.at(off, 1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (w *window) u16(off int64) (uint16, error) {
	b, err := w.at(off, 2)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b), nil
}

func (w *window) u32(off int64) (uint32, error) {
	b, err := w.at(off, 4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func (w *window) u64(off int64) (uint64, error) {
	b, err := w.at(off, 8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}
