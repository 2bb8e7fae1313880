package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// family is what some processes have used since it was made: Linux. Those that came and
// went between two looks are missed.
type family struct {
	pids        func() []int
	began, seen map[int]time.Duration
	most        int // KiB
}

func newFamily(pids func() []int) *family {
	f := &family{pids: pids, began: map[int]time.Duration{}, seen: map[int]time.Duration{}}
	for _, pid := range pids() {
		if u, err := used(pid); err == nil {
			f.began[pid] = u.cpu
		}
	}
	return f
}

// look notes the time of processors, and where it weighs the memory, too: that takes long,
// and time from those who are watched.
func (f *family) look(weigh bool) {
	memory := 0
	for _, pid := range f.pids() {
		if u, err := used(pid); err == nil {
			f.seen[pid] = u.cpu - f.began[pid]
			if weigh {
				memory += proportional(pid)
			}
		}
	}
	f.most = max(f.most, memory)
}

// cpu is the time of processors until the last look.
func (f *family) cpu() (sum time.Duration) {
	for _, d := range f.seen {
		sum += d
	}
	return sum
}

// weighEvery is after how many looks of watch the memory is looked at.
const weighEvery = 5

// watch looks every two seconds until end is called.
func (f *family) watch() (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for looks := 0; ; looks++ {
			select {
			case <-stop:
				f.look(false)
				return
			case <-time.After(2 * time.Second):
				f.look(looks%weighEvery == 0)
			}
		}
	}()
	return func() { close(stop); <-done }
}

// descendants are the processes below one, without some of them and what is below those.
func descendants(pid int, without ...int) (all []int) {
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
		if !slices.Contains(without, child) {
			children[parent] = append(children[parent], child)
		}
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

// families are some processes with all that are below them.
func families(pids []int) (all []int) {
	for _, pid := range pids {
		all = append(append(all, pid), descendants(pid)...)
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
