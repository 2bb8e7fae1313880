package filestore

import (
	"encoding/hex"
	"fmt"
	"time"

	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// KeepTorrent keeps the info dictionary of a friend's video, whose file is not here, for
// as long as there is room (Limits).
func (s *Store) KeepTorrent(t *torrent.Torrent) error {
	return s.torrents.put(t.InfoHash.String(), t.Info)
}

// KeptTorrent gives what KeepTorrent kept; ErrNotFound.
func (s *Store) KeptTorrent(h magnet.InfoHash) (*torrent.Torrent, error) {
	info, _, err := s.torrents.get(h.String())
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

// KeepDetails keeps what a friend said of one of its videos, for as long as there is room.
func (s *Store) KeepDetails(id video.ID, text []byte) error {
	return s.details.put(hex.EncodeToString(id[:]), text)
}

// KeptDetails gives what KeepDetails kept, and since when; ErrNotFound.
func (s *Store) KeptDetails(id video.ID) ([]byte, time.Time, error) {
	return s.details.get(hex.EncodeToString(id[:]))
}
