package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
)

// KeepTorrent keeps the info dictionary of a friend's video, whose file is not here.
func (s *Store) KeepTorrent(t *torrent.Torrent) error {
	path := s.torrentPath(t.InfoHash)
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	return s.writeFile(path, t.Info)
}

// KeptTorrent gives what KeepTorrent kept; ErrNotFound.
func (s *Store) KeptTorrent(h magnet.InfoHash) (*torrent.Torrent, error) {
	info, err := os.ReadFile(s.torrentPath(h))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	t, err := torrent.ParseInfo(info)
	if err != nil {
		return nil, fmt.Errorf("torrent of %s: %w", h, err)
	}
	if t.InfoHash != h {
		return nil, fmt.Errorf("torrent of %s: it is of another file", h)
	}
	return t, nil
}

func (s *Store) torrentPath(h magnet.InfoHash) string {
	return filepath.Join(s.dir, torrentsDir, h.String()[:2], h.String())
}
