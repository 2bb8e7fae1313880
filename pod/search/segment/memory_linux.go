package segment

import "golang.org/x/sys/unix"

func mapAnonymous(n int) []byte {
	m, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil // the heap will do
	}
	return m
}

func unmap(m []byte) { _ = unix.Munmap(m) }
