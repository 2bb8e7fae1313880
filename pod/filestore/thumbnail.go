package filestore

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Sides of a picture that PutThumbnail takes, in pixels.
const (
	minThumbnailSide = 16
	maxThumbnailSide = 2048
)

// PutThumbnail keeps a WebP picture of a video and gives the hash that names it.
// The file is written anew: it loses what cameras add (Exif, places), and carries
// the video's id, so that equal pictures of two videos are two files and either
// video can go without the other. What is not a still WebP of fitting size is an
// *api.Error.
func (s *Store) PutThumbnail(webp []byte, of video.ID) (string, error) {
	p, err := thumbnail(webp)
	if err != nil {
		return "", err
	}
	out := p.encode(of.String())
	hash := hashOf(out)
	path := s.thumbnailPath(hash)
	if err := os.Chtimes(path, time.Time{}, time.Now()); err == nil { // it is there, and wanted now
		return hash, nil
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	return hash, s.writeFile(path, out)
}

// CheckThumbnail gives the error that PutThumbnail would: what it lets through may be
// decoded.
func (s *Store) CheckThumbnail(webp []byte) error {
	_, err := thumbnail(webp)
	return err
}

func thumbnail(b []byte) (webp, error) {
	if len(b) > api.MaxThumbnail {
		return webp{}, &api.Error{Code: api.CodeTooLarge, Message: "The picture is too large: 512 KiB are allowed."}
	}
	p, err := parseWebP(b)
	if err != nil {
		return webp{}, &api.Error{Code: api.CodeInvalid, Message: "The picture is not a WebP that can be used.", Cause: err}
	}
	if min(p.width, p.height) < minThumbnailSide || max(p.width, p.height) > maxThumbnailSide {
		return webp{}, &api.Error{Code: api.CodeInvalid, Message: "The picture must be between 16 and 2048 pixels on each side."}
	}
	return p, nil
}

func (s *Store) thumbnailPath(hash string) string {
	return filepath.Join(s.dir, thumbnailsDir, hash[:2], hash+".webp")
}

// ThumbnailPath is where the picture with this hash of a video of this pod is, "" if the
// pod has none.
func (s *Store) ThumbnailPath(hash string) string {
	if !isHash(hash) {
		return ""
	}
	path := s.thumbnailPath(hash)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// RemoveThumbnail deletes a picture, friends' too. What is not there is no error.
func (s *Store) RemoveThumbnail(hash string) error {
	if !isHash(hash) {
		return nil
	}
	if err := s.pictures.remove(hash); err != nil {
		return err
	}
	path := s.thumbnailPath(hash)
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(path))
}

// OldThumbnails gives the hashes of pictures that were put, or used, before a time, friends'
// too, some at a time.
func (s *Store) OldThumbnails(before time.Time, each func(hashes []string) error) error {
	if err := s.pictures.old(before, each); err != nil {
		return err
	}
	return oldPictures(filepath.Join(s.dir, thumbnailsDir), before, each)
}

func oldPictures(top string, before time.Time, each func(hashes []string) error) error {
	dirs, err := os.ReadDir(top)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range dirs {
		files, err := os.ReadDir(filepath.Join(top, d.Name()))
		if err != nil {
			return err
		}
		var old []string
		for _, f := range files {
			hash, isPicture := strings.CutSuffix(f.Name(), ".webp")
			if info, err := f.Info(); err == nil && isPicture && isHash(hash) && info.ModTime().Before(before) {
				old = append(old, hash)
			}
		}
		if len(old) > 0 {
			if err := each(old); err != nil {
				return err
			}
		}
	}
	return nil
}

func isHash(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}
