//go:build !unix

package pods

import "syscall"

// ownGroup keeps signals of the terminal from a process, where there are any.
func ownGroup() *syscall.SysProcAttr { return nil }
