package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kinopod/shared/video"
)

func (s *Store) uploadDir(id video.ID) string {
	return filepath.Join(s.dir, uploadsDir, id.String())
}

// CreateUpload makes the directory of an upload with these small files in it.
func (s *Store) CreateUpload(id video.ID, files map[string][]byte) error {
	staging := s.inTrash()
	if err := makeDir(staging); err != nil {
		return err
	}
	for name, data := range files {
		if err := writeSynced(filepath.Join(staging, name), data); err != nil {
			return errors.Join(err, os.RemoveAll(staging))
		}
	}
	if err := syncDir(staging); err != nil {
		return errors.Join(err, os.RemoveAll(staging))
	}
	dir := s.uploadDir(id)
	if err := os.Rename(staging, dir); err != nil {
		return errors.Join(fmt.Errorf("create upload %s: %w", id, err), os.RemoveAll(staging))
	}
	return syncDir(filepath.Dir(dir))
}

// Uploads lists the uploads that have a directory.
func (s *Store) Uploads() ([]video.ID, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, uploadsDir))
	if err != nil {
		return nil, fmt.Errorf("list uploads: %w", err)
	}
	var ids []video.ID
	for _, e := range entries {
		if id, err := video.ParseID(e.Name()); err == nil && e.IsDir() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// UploadPath is where the file name of an upload is or would be.
func (s *Store) UploadPath(id video.ID, name string) string {
	return filepath.Join(s.uploadDir(id), name)
}

// UploadFile opens a file of an upload for reading and writing and makes it where
// it is missing. Its bytes are on disk when the caller has them so (Sync).
func (s *Store) UploadFile(id video.ID, name string) (*os.File, error) {
	f, err := os.OpenFile(s.UploadPath(id, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s of upload %s: %w", name, id, err)
	}
	return f, nil
}

// ReadUpload reads a small file of an upload; fs.ErrNotExist if it has none of
// this name.
func (s *Store) ReadUpload(id video.ID, name string) ([]byte, error) {
	b, err := os.ReadFile(s.UploadPath(id, name))
	if err != nil {
		return nil, fmt.Errorf("read %s of upload %s: %w", name, id, err)
	}
	return b, nil
}

// WriteUpload replaces a small file of an upload.
func (s *Store) WriteUpload(id video.ID, name string, data []byte) error {
	if err := s.writeFile(s.UploadPath(id, name), data); err != nil {
		return fmt.Errorf("%s of upload %s: %w", name, id, err)
	}
	return nil
}

// DeleteUploadFile deletes a small file of an upload. What is not there is no error.
func (s *Store) DeleteUploadFile(id video.ID, name string) error {
	err := os.Remove(s.UploadPath(id, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s of upload %s: %w", name, id, err)
	}
	return syncDir(s.uploadDir(id))
}

// RemoveUpload deletes an upload with all its files. What is not there is no error.
func (s *Store) RemoveUpload(id video.ID) error {
	if err := s.remove(s.uploadDir(id)); err != nil {
		return fmt.Errorf("upload %s: %w", id, err)
	}
	return nil
}
