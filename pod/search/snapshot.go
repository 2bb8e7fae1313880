package search

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"kinopod/pod/search/segment"
)

// A snapshot is, in order: magic, version (uint32), bytes of the position (uint32), the
// position, segments (uint32), the segments as they write themselves, and a CRC-32C of
// all before it (uint32). Numbers are little-endian.
const (
	snapshotMagic   = "kinopodx"
	snapshotVersion = 1
	maxPosition     = 1 << 10
	maxSegments     = 1 << 12
)

// ErrSnapshot is what Load answers for a file that is no whole snapshot of this version:
// the index is to be built anew.
var ErrSnapshot = errors.New("not a snapshot of the search index")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes the index to a file, which is replaced as a whole or not at all. position
// says up to where the index has followed its source; everything up to there was added
// and removed before Save was called. What comes meanwhile may be in the file or not:
// to add and remove it once more after Load changes nothing.
func (x *Index) Save(path, position string) error {
	if len(position) > maxPosition {
		return fmt.Errorf("save search index: position of %d bytes", len(position))
	}
	x.settle(1)
	v := x.view()
	defer v.release()
	f, err := os.CreateTemp(filepath.Dir(path), ".search-*")
	if err != nil {
		return fmt.Errorf("save search index: %w", err)
	}
	defer os.Remove(f.Name())
	err = v.write(f, position)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("save search index: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (v view) write(f io.Writer, position string) error {
	sum := crc32.New(castagnoli)
	out := io.MultiWriter(sum, f)
	b := []byte(snapshotMagic)
	b = binary.LittleEndian.AppendUint32(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(position)))
	b = append(b, position...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v.segments)))
	if _, err := out.Write(b); err != nil {
		return err
	}
	for _, s := range v.segments {
		if _, err := s.WriteTo(out); err != nil {
			return err
		}
	}
	_, err := f.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// Load reads what Save wrote, and the position it was given. The error is ErrSnapshot,
// fs.ErrNotExist, or one of the file system.
func Load(path string) (*Index, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("load search index: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, "", fmt.Errorf("load search index: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, "", fmt.Errorf("load search index: %w", fs.ErrInvalid)
	}
	x, position, err := read(f, info.Size())
	if err != nil {
		return nil, "", fmt.Errorf("load search index: %w: %w", ErrSnapshot, err)
	}
	return x, position, nil
}

// summed sums what is read.
type summed struct {
	io.Reader
	sum hash.Hash32
}

func (s summed) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	_, _ = s.sum.Write(b[:n])
	return n, err
}

func read(f io.Reader, size int64) (x *Index, position string, err error) {
	in := summed{f, crc32.New(castagnoli)}
	number := func() (n uint32) {
		var b [4]byte
		if err == nil {
			_, err = io.ReadFull(in, b[:])
		}
		return binary.LittleEndian.Uint32(b[:])
	}
	var magic [len(snapshotMagic)]byte
	if _, err := io.ReadFull(in, magic[:]); err != nil {
		return nil, "", err
	}
	if string(magic[:]) != snapshotMagic {
		return nil, "", errors.New("it is something else")
	}
	if v := number(); err == nil && v != snapshotVersion {
		err = fmt.Errorf("version %d, not %d", v, snapshotVersion)
	}
	n := number()
	if err == nil && n > maxPosition {
		err = fmt.Errorf("position of %d bytes", n)
	}
	if err != nil {
		return nil, "", err
	}
	at := make([]byte, n)
	if _, err := io.ReadFull(in, at); err != nil {
		return nil, "", err
	}
	count := number()
	if err == nil && count > maxSegments {
		err = fmt.Errorf("%d segments", count)
	}
	if err != nil {
		return nil, "", err
	}
	var segments []*segment.Segment
	defer func() {
		if err != nil {
			for _, s := range segments {
				s.Release()
			}
		}
	}()
	for range count {
		s, err := segment.Read(in, size)
		if err != nil {
			return nil, "", err
		}
		segments = append(segments, s)
	}
	want := in.sum.Sum32()
	if got := number(); err == nil && got != want {
		err = fmt.Errorf("check sum %08x, not %08x", got, want)
	}
	if err == nil {
		err = check(segments)
	}
	if err != nil {
		return nil, "", err
	}
	x = New()
	for _, s := range segments {
		x.replace(nil, s)
	}
	return x, string(at), nil
}

// check checks segments, several at a time.
func check(segments []*segment.Segment) error {
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for _, s := range segments {
		all.Go(s.Check)
	}
	return all.Wait()
}
