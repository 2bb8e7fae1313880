package publish

import (
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// background is the priority of ffmpeg: viewers come first.
const background = 10

// endWithUs has cmd killed when the pod dies.
func endWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// limit bounds the memory and the priority of a process that has just begun.
func limit(pid int, memory uint64) error {
	if err := unix.Prlimit(pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: memory, Max: memory}, nil); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, pid, background); err != nil {
		return fmt.Errorf("lower priority: %w", err)
	}
	return nil
}
