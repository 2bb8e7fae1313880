package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// family is what all processes that this one started have used: Linux. Those that came
// and went between two looks are missed.
type family struct {
	began, seen map[int]time.Duration
	looks       int
	most        int // KiB
	stop, done  chan struct{}
}

func watchFamily() *family {
	f := &family{began: map[int]time.Duration{}, seen: map[int]time.Duration{}, stop: make(chan struct{}), done: make(chan struct{})}
	for _, pid := range descendants(os.Getpid()) {
		if u, err := used(pid); err == nil {
			f.began[pid] = u.cpu
		}
	}
	go func() {
		defer close(f.done)
		for {
			select {
			case <-f.stop:
				f.look()
				return
			case <-time.After(2 * time.Second):
				f.look()
			}
		}
	}()
	return f
}

// weighEvery is after how many looks the memory is looked at, too: it takes long, and time
// from those who are watched.
const weighEvery = 5

func (f *family) look() {
	memory, weigh := 0, f.looks%weighEvery == 0
	f.looks++
	for _, pid := range descendants(os.Getpid()) {
		if u, err := used(pid); err == nil {
			f.seen[pid] = u.cpu - f.began[pid]
			if weigh {
				memory += proportional(pid)
			}
		}
	}
	f.most = max(f.most, memory)
}

// end gives the time of processors since the beginning, and the most memory at once.
func (f *family) end() (cpu time.Duration, kib int) {
	close(f.stop)
	<-f.done
	for _, d := range f.seen {
		cpu += d
	}
	return cpu, f.most
}

// descendants are the processes below one.
func descendants(pid int) (all []int) {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], child)
	}
	for next := children[pid]; len(next) > 0; {
		all = append(all, next...)
		var below []int
		for _, p := range next {
			below = append(below, children[p]...)
		}
		next = below
	}
	return all
}

// proportional is the memory of a process with its share of what it shares, KiB.
func proportional(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}
