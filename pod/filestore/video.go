package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
)

// Names of the two files of a video.
const (
	dataFile = "data"
	infoFile = "info"
)

// ErrNotFound is what Open returns for an info hash that the pod does not hold.
var ErrNotFound = errors.New("no such file here")

func (s *Store) videoDir(h magnet.InfoHash) string {
	name := h.String()
	return filepath.Join(s.dir, videosDir, name[:2], name)
}

// Has says whether the pod holds the file of h. It costs one stat.
func (s *Store) Has(h magnet.InfoHash) bool {
	_, err := os.Stat(s.videoDir(h))
	return err == nil
}

// VideoPath is where the file of h is or would be.
func (s *Store) VideoPath(h magnet.InfoHash) string {
	return filepath.Join(s.videoDir(h), dataFile)
}

// File is the file of one video, open for reading.
type File struct {
	file    *os.File
	torrent *torrent.Torrent
}

// Open opens the file of h and its torrent; ErrNotFound if the pod does not hold
// it. A file that is removed later stays readable until it is closed.
func (s *Store) Open(h magnet.InfoHash) (*File, error) {
	info, err := os.ReadFile(filepath.Join(s.videoDir(h), infoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read torrent of %s: %w", h, err)
	}
	t, err := torrent.ParseInfo(info)
	if err != nil {
		return nil, fmt.Errorf("torrent of %s: %w", h, err)
	}
	if t.InfoHash != h {
		return nil, fmt.Errorf("torrent of %s on disk is %s", h, t.InfoHash)
	}
	f, err := os.Open(s.VideoPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open file of %s: %w", h, err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() != t.Length {
		err = fmt.Errorf("%d bytes on disk, %d in the torrent", st.Size(), t.Length)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("file of %s: %w", h, err)
	}
	return &File{file: f, torrent: t}, nil
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.file.ReadAt(p, off) }

// Close ends reading.
func (f *File) Close() error { return f.file.Close() }

// Size is the length of the file in bytes.
func (f *File) Size() int64 { return f.torrent.Length }

// Torrent is the file's torrent.
func (f *File) Torrent() *torrent.Torrent { return f.torrent }

// Path is where the file is, for what serves files by name.
func (f *File) Path() string { return f.file.Name() }

// Place moves the file at from, whose bytes are on disk already, to where the
// video of h is served, together with its bencoded info dictionary. It may be
// called again after a pod was killed in it, also when from has moved already. A
// directory "placing" beside from is Place's own until it has returned.
func (s *Store) Place(h magnet.InfoHash, info []byte, from string) error {
	if s.Has(h) {
		return nil
	}
	staging := filepath.Join(filepath.Dir(from), "placing")
	if err := makeDir(staging); err != nil {
		return err
	}
	if err := s.writeFile(filepath.Join(staging, infoFile), info); err != nil {
		return err
	}
	data := filepath.Join(staging, dataFile)
	if err := os.Rename(from, data); err != nil {
		if _, statErr := os.Stat(data); statErr != nil {
			return fmt.Errorf("place %s: %w", h, err)
		}
	}
	// The name must be in the new directory on disk before the directory itself
	// moves, and gone from the old one after it.
	if err := syncDir(staging); err != nil {
		return err
	}
	dir := s.videoDir(h)
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Rename(staging, dir); err != nil {
		return fmt.Errorf("place %s: %w", h, err)
	}
	return errors.Join(syncDir(filepath.Dir(dir)), syncDir(filepath.Dir(from)))
}

// Remove deletes the file of h and its torrent. What is not there is no error.
func (s *Store) Remove(h magnet.InfoHash) error {
	if err := s.remove(s.videoDir(h)); err != nil {
		return fmt.Errorf("file of %s: %w", h, err)
	}
	return nil
}
