// Package filestore keeps a pod's files: videos by info hash, thumbnails by
// content hash, and uploads under way by the id of the video that they become.
//
// Below the data directory:
//
//	videos/<2 hex>/<info hash>/data     the file, as it is served
//	videos/<2 hex>/<info hash>/info     the bencoded info dictionary
//	thumbnails/<2 hex>/<sha256>.webp    a picture of one video
//	pictures/<2 hex>/<sha256>-<host>.webp  a picture of one friend's video
//	torrents/<2 hex>/<info hash>        the info dictionary of a friend's video
//	details/<2 hex>/<video id, hex>     what a friend said of its video
//	uploads/<video id>/...              an upload under way, see publish
//	trash/                              what is being deleted
//
// What appears or goes does so by one rename, and is on disk before the call
// returns: a pod killed anywhere finds each thing whole or not at all.
package filestore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	videosDir     = "videos"
	thumbnailsDir = "thumbnails"
	picturesDir   = "pictures"
	torrentsDir   = "torrents"
	detailsDir    = "details"
	uploadsDir    = "uploads"
	trashDir      = "trash"
)

// Store is the files below one data directory. It is safe for concurrent use;
// one process at a time may have a directory open.
type Store struct {
	dir      string
	torrents cache
	details  cache
	pictures pictures
}

// Limits are how many bytes of the disk may be taken by what other pods sent; 0 is any.
type Limits struct {
	FriendPictures int64 // of the pictures of one friend
	Pictures       int64 // of the pictures of all friends
	Cache          int64 // of torrents and details of friends' videos, half each
}

// Open makes the layout below dir where it is missing and finishes deletions
// that a killed pod left half done.
func Open(dir string, l Limits) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	s := &Store{dir: abs}
	s.torrents, s.details = cache{store: s, dir: torrentsDir, most: l.Cache / 2}, cache{store: s, dir: detailsDir, most: l.Cache / 2}
	s.pictures = pictures{store: s, most: l.FriendPictures, mostAll: l.Pictures}
	for _, sub := range []string{videosDir, thumbnailsDir, picturesDir, torrentsDir, detailsDir, uploadsDir, trashDir} {
		if err := os.MkdirAll(filepath.Join(abs, sub), 0o700); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	if err := syncDir(abs); err != nil {
		return nil, err
	}
	for _, open := range []func() error{s.emptyTrash, s.pictures.open, s.torrents.open, s.details.open} {
		if err := open(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Store) emptyTrash() error {
	trash := filepath.Join(s.dir, trashDir)
	left, err := os.ReadDir(trash)
	if err != nil {
		return fmt.Errorf("read trash: %w", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(trash, e.Name())); err != nil {
			return fmt.Errorf("empty trash: %w", err)
		}
	}
	return nil
}

// remove takes path out of its place at once, then deletes it. What is not there
// is no error.
func (s *Store) remove(path string) error {
	trashed := s.inTrash()
	if err := os.Rename(path, trashed); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("move to trash: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.RemoveAll(trashed); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// inTrash is a path that nothing has yet, for what is not whole yet or no more.
func (s *Store) inTrash() string {
	return filepath.Join(s.dir, trashDir, rand.Text())
}

// writeFile puts data at path, whole or not at all, and on disk. The directory
// must be there.
func (s *Store) writeFile(path string, data []byte) error {
	temp := s.inTrash()
	if err := writeSynced(temp, data); err != nil {
		_ = os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("put file in place: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// makeDir makes one directory and has its name on disk.
func makeDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return fmt.Errorf("make directory: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir has the names in a directory on disk.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
