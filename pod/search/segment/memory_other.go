//go:build !linux

package segment

func mapAnonymous(int) []byte { return nil }

func unmap([]byte) {}
