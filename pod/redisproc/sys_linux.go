package redisproc

import (
	"fmt"
	"os"
	"syscall"
)

// maxSocketPath is the longest path of a unix socket, in bytes.
const maxSocketPath = 107

// childAttr ends the child with this process, however that ends. SIGKILL is safe
// (see config) and cannot be late: the next start finds nobody. A process group of
// its own keeps Ctrl-C in a terminal from ending Redis before the pod has stopped.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// shortPath leads to name in the open directory dir, however deep that is.
func shortPath(dir *os.File, name string) (string, error) {
	return fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), dir.Fd(), name), nil
}
