//go:build !linux

package browser

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return nil }

// endGroup ends the browser; those it started see it gone and end as well.
func endGroup(p *os.Process) { _ = p.Kill() }
