//go:build !linux

package tracker

import "log/slog"

// newPoller makes the poller of this system.
func newPoller(*slog.Logger) poller { return newBell() }
