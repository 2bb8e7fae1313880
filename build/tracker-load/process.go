package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// usage of a process: CPU time in seconds, memory in bytes.
type usage struct {
	cpu float64
	rss int64
}

const clockTicks = 100 // a second, on every Linux that we know

// used reads /proc; zeros where it cannot.
func used(pid int) (u usage) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid == 0 || err != nil {
		return u
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var user, system float64
	var pages int64
	_, _ = fmt.Sscan(fields[11], &user)
	_, _ = fmt.Sscan(fields[12], &system)
	_, _ = fmt.Sscan(fields[21], &pages)
	return usage{cpu: (user + system) / clockTicks, rss: pages * int64(os.Getpagesize())}
}

// busy is the CPU time of the whole machine, in seconds, with what its host kept.
func busy() (seconds float64) {
	stat, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, f := range strings.Fields(line) {
		if i == 0 || 4 <= i && i <= 7 || i > 8 { // the name; idle, waiting; what nobody is charged with (networks); guests, counted before
			continue
		}
		var v float64
		_, _ = fmt.Sscan(f, &v)
		seconds += v / clockTicks
	}
	return seconds
}
