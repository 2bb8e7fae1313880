//go:build unix

package filestore

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free is how many bytes the disk still takes.
func (s *Store) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
