// Package redisproc runs the pod's private redis-server as a child process: on a
// unix socket, with an append-only file, ended with the pod.
package redisproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Process is a redis-server that is kept running until Run or Close ends it. What
// was acknowledged survives kill -9 of the server and of the pod at any moment;
// losing power may cost the last second (see syncLoop).
type Process struct {
	// Immutable.
	program string // path of redis-server
	dir     string // absolute
	addr    string
	log     *slog.Logger

	lock   *os.File // held by this process and by each child (see lockDir)
	handle *os.File // the open dir where addr leads through it, else nil
	output *output

	stop    context.CancelFunc
	running sync.WaitGroup // supervise and syncLoop
	ended   sync.Once
	pid     atomic.Int64
}

const (
	socketName = "redis.sock"

	readyPoll = 10 * time.Millisecond
	// stopWait is what a server gets to end by itself; it writes and syncs its file.
	stopWait = 10 * time.Second

	// The first restart comes at once for a human; one that fails again and again
	// must not take the machine.
	restartFirst  = 20 * time.Millisecond
	restartMost   = 5 * time.Second
	restartForget = 30 * time.Second // a server that lived so long starts over at restartFirst
)

// Start runs redis-server with its files and its socket in dir, which it makes,
// and waits until it answers. ctx bounds the start only: loading a large file may
// take seconds. One process at a time may use dir; Start waits a little for a
// former one to end. The caller ends the server with Run or Close.
func Start(ctx context.Context, dir string, log *slog.Logger) (*Process, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("redis-server is not installed: install it (Debian and Ubuntu: apt install redis-server), or name a Redis of your own in the configuration (redis = \"redis://...\"): %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("directory of redis-server: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of redis-server: %w", err)
	}
	p := &Process{program: program, dir: dir, log: log}
	if p.lock, err = lockDir(ctx, dir); err != nil {
		return nil, err
	}
	if err := p.prepare(); err != nil {
		p.closeFiles()
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	p.stop = stop
	first := make(chan error, 1)
	p.running.Go(func() { p.supervise(running, first) })
	p.running.Go(func() { p.syncLoop(running) })
	if err := p.waitReady(ctx, first); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("start redis-server in %s: %w%s", dir, err, p.output.lastLines())
	}
	return p, nil
}

// Addr is the path of the unix socket, at most 107 bytes long; other processes of
// this user may use it as long as this process lives.
func (p *Process) Addr() string { return p.addr }

// PID is the process id of the server that runs now, 0 between two. Tests kill it.
func (p *Process) PID() int { return int(p.pid.Load()) }

// Run waits until ctx ends and then ends the server. Whoever uses Redis must have
// stopped before.
func (p *Process) Run(ctx context.Context) error {
	<-ctx.Done()
	return p.Close()
}

// Close ends the server: it writes what it has and goes. Close may be called again.
func (p *Process) Close() error {
	p.ended.Do(func() {
		p.stop()
		p.running.Wait()
		p.syncFiles(map[string]int64{})
		p.closeFiles()
	})
	return nil
}

func (p *Process) prepare() (err error) {
	p.addr = filepath.Join(p.dir, socketName)
	if len(p.addr) > maxSocketPath {
		if p.handle, err = os.Open(p.dir); err != nil {
			return fmt.Errorf("directory of redis-server: %w", err)
		}
		if p.addr, err = shortPath(p.handle, socketName); err != nil {
			return err
		}
	}
	// A server that was killed while it rewrote its file leaves the half of a copy.
	left, _ := filepath.Glob(filepath.Join(globEscape(p.dir), "temp-rewriteaof-*.aof"))
	for _, name := range left {
		_ = os.Remove(name)
	}
	p.output, err = newOutput(p.log)
	return err
}

// globEscape keeps a path that has pattern characters in it literal.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (p *Process) closeFiles() {
	if p.output != nil {
		p.output.close()
	}
	if p.handle != nil {
		_ = p.handle.Close()
	}
	_ = p.lock.Close()
}

// supervise keeps a server running until ctx ends. first receives how the first
// one ended.
//
// The kernel ends a child with the parent's *thread* that forked it
// (PR_SET_PDEATHSIG), so this goroutine keeps its thread as long as a child lives.
func (p *Process) supervise(ctx context.Context, first chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for wait := restartFirst; ; wait = min(2*wait, restartMost) {
		began := time.Now()
		err := p.runServer(ctx)
		select {
		case first <- err:
		default:
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > restartForget {
			wait = restartFirst
		}
		p.log.Error("redis-server ended by itself and is started again", "err", err, "wait", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// runServer starts a server and waits until it ends, which it is told to when ctx
// ends.
func (p *Process) runServer(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, p.program, "-")
	cmd.Dir = p.dir
	cmd.Stdin = strings.NewReader(config)
	cmd.Stdout, cmd.Stderr = p.output.w, p.output.w
	cmd.ExtraFiles = []*os.File{p.lock}
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWait
	if err := cmd.Start(); err != nil {
		return err
	}
	p.pid.Store(int64(cmd.Process.Pid))
	err := cmd.Wait()
	p.pid.Store(0)
	if err == nil {
		err = errors.New("exit status 0")
	}
	return err
}

// waitReady returns when the server answers, has ended, or ctx has.
func (p *Process) waitReady(ctx context.Context, first <-chan error) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		select {
		case err := <-first:
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer yet: %w", context.Cause(ctx))
		case <-tick.C:
			if ping(p.addr) {
				return nil
			}
		}
	}
}

// ping says whether a server at addr takes commands. One that loads its file
// answers too, with an error.
func ping(addr string) bool {
	c, err := net.DialTimeout("unix", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && line == "+PONG\r\n"
}
