//go:build unix && !linux

package redisproc

import (
	"fmt"
	"os"
	"syscall"
)

// maxSocketPath is the longest path of a unix socket, in bytes.
const maxSocketPath = 103

// childAttr keeps Ctrl-C in a terminal from ending Redis before the pod has stopped.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func shortPath(dir *os.File, _ string) (string, error) {
	return "", fmt.Errorf("the path of %s is too long for a socket in it: choose a data directory nearer to the root", dir.Name())
}
