//go:build !js

package upload

import (
	"context"
	"fmt"
	"io"
	"time"
)

// File is a file that somebody chose.
type File struct {
	name     string
	size     int64
	modified time.Time
	r        io.ReaderAt
}

// NewFile is a file of size bytes in r, last changed at modified.
func NewFile(name string, size int64, modified time.Time, r io.ReaderAt) *File {
	return &File{name: name, size: size, modified: modified, r: r}
}

// Name is the file's name without a folder.
func (f *File) Name() string { return f.name }

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.size }

// Modified is when the file last changed.
func (f *File) Modified() time.Time { return f.modified }

// Bytes reads the bytes from..to of the file. It fails where the file changed, or
// is gone, since it was chosen.
func (f *File) Bytes(_ context.Context, from, to int64) ([]byte, error) {
	b := make([]byte, to-from)
	if _, err := f.r.ReadAt(b, from); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.name, err)
	}
	return b, nil
}
