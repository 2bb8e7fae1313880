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

// usage is what a process has used: Linux.
type usage struct {
	cpu time.Duration
	rss int // KiB now
}

// used reads /proc.
func used(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:])) // from the third on
	const ticks = 100                                                         // a second, on every Linux that we know
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	u.cpu = time.Duration(user+system) * time.Second / ticks
	pages, _ := strconv.Atoi(fields[21])
	u.rss = pages * os.Getpagesize() >> 10
	return u, nil
}

// childOf finds a child of a process by its name.
func childOf(pid int, name string) (int, error) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		fields := strings.Fields(string(stat[end+2:]))
		if parent, _ := strconv.Atoi(fields[1]); parent == pid && string(stat[open+1:end]) == name {
			return strconv.Atoi(strings.TrimSpace(string(stat[:open])))
		}
	}
	return 0, fmt.Errorf("process %d has no child %s", pid, name)
}

// peak is the most memory that two processes had until it was stopped, KiB.
type peak struct {
	pod, redis int
	stop, done chan struct{}
}

func watchPeak(pod, redis int) *peak {
	p := &peak{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for {
			a, _ := used(pod)
			b, _ := used(redis)
			p.pod, p.redis = max(p.pod, a.rss), max(p.redis, b.rss)
			select {
			case <-p.stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return p
}

func (p *peak) end() (pod, redis int) {
	close(p.stop)
	<-p.done
	return p.pod, p.redis
}
