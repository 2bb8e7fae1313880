package browser

import (
	"os"
	"syscall"
)

// ownGroup puts a process into a group with those it starts. It ends with the thread
// that started it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// endGroup ends such a process and those it started.
func endGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
