package redisproc

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// output passes on what the servers print, one after the other, and keeps the last
// lines for an error. It is a pipe of our own: one of os/exec would be waited for
// as long as a grandchild, which rewrites the file, holds it.
type output struct {
	w    *os.File // for the children
	r    *os.File
	done chan struct{} // closed when r has ended

	mu   sync.Mutex
	last []string
}

const keptLines = 12

func newOutput(log *slog.Logger) (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe for redis-server: %w", err)
	}
	o := &output{w: w, r: r, done: make(chan struct{})}
	go o.read(log)
	return o, nil
}

func (o *output) read(log *slog.Logger) {
	defer close(o.done)
	lines, ready := bufio.NewReader(o.r), false
	for {
		line, _, err := lines.ReadLine() // a line beyond the buffer comes in parts
		if err != nil {
			return
		}
		text, level := parseLine(string(line))
		switch {
		case text == "":
			continue
		case strings.HasPrefix(text, "Ready to accept connections"):
			ready = true
		case strings.HasSuffix(text, "Redis is starting oO0OoO0OoO0Oo"):
			ready = false
		}
		if !ready { // the greeting has the level of warnings
			level = slog.LevelDebug
		}
		o.mu.Lock()
		if o.last = append(o.last, text); len(o.last) > keptLines {
			o.last = o.last[1:]
		}
		o.mu.Unlock()
		log.Log(context.Background(), level, "redis-server says", "line", text)
	}
}

// lastLines gives what was printed last, for the end of an error.
func (o *output) lastLines() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.last) == 0 {
		return ""
	}
	return "; it said: " + strings.Join(o.last, " / ")
}

// close waits for the last words of a server that has ended, but not for a
// grandchild that still holds the pipe.
func (o *output) close() {
	_ = o.w.Close()
	select {
	case <-o.done:
	case <-time.After(time.Second):
	}
	_ = o.r.Close()
	<-o.done
}

// parseLine takes pid, role and time off a line of redis-server's log,
// "123:M 22 Nov 2026 11:09:00.123 * Ready to accept connections". The mark before
// the text is its level.
func parseLine(line string) (text string, level slog.Level) {
	line = strings.TrimSpace(line)
	fields := strings.SplitN(line, " ", 7)
	if len(fields) < 7 || !strings.Contains(fields[0], ":") || len(fields[5]) != 1 {
		return line, slog.LevelInfo // the words of a fatal error
	}
	if fields[5] == "#" {
		return fields[6], slog.LevelInfo
	}
	return fields[6], slog.LevelDebug
}
