package redisproc

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kinopod/build/leak"
)

// helperDir makes the test program a pod that starts a server there, prints its
// pid, and waits to be killed.
const helperDir = "KINOPOD_TEST_REDIS_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		p, err := Start(context.Background(), dir, slog.New(slog.DiscardHandler))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.PID())
		_ = p.Run(context.Background())
	}
	os.Exit(leak.Run(m))
}

func start(t *testing.T, dir string) *Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p, err := Start(ctx, dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// client speaks just enough of the protocol.
type client struct {
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !ping(addr) {
			continue
		}
		if c, err := net.Dial("unix", addr); err == nil {
			t.Cleanup(func() { _ = c.Close() })
			return &client{c, bufio.NewReader(c)}
		}
	}
	t.Fatalf("no answer at %s", addr)
	return nil
}

// do sends a command and gives the first line of the answer; for a bulk string,
// the string.
func (c *client) do(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(c, format+"\r\n", args...); err != nil {
		return "", err
	}
	line, err := c.r.ReadString('\n')
	if err == nil && line[0] == '$' && line != "$-1\r\n" {
		line, err = c.r.ReadString('\n')
	}
	return strings.TrimSpace(line), err
}

func (c *client) must(t *testing.T, want, format string, args ...any) {
	t.Helper()
	if got, err := c.do(format, args...); err != nil || got != want {
		t.Fatalf("%s: %q, %v; want %q", fmt.Sprintf(format, args...), got, err, want)
	}
}

func gone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

func TestStopAndStartKeepsData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a dir [with] 'odd\" *names?", "redis")
	p := start(t, dir)
	pid := p.PID()
	c := dial(t, p.Addr())
	c.must(t, "+OK", "SET k v")
	info, err := os.Stat(filepath.Join(dir, socketName))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("socket: %v, %v; want it for this user only", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !gone(pid) {
		t.Errorf("server %d lives after Run", pid)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	dial(t, start(t, dir).Addr()).must(t, "v", "GET k")
}

func TestSettings(t *testing.T) {
	c := dial(t, start(t, t.TempDir()).Addr())
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "no", "save": "", "maxmemory-policy": "noeviction", "port": "0",
		"hash-max-listpack-value": "4096", "set-max-intset-entries": "65536", "latency-tracking": "no",
	} {
		if head, err := c.do("CONFIG GET %s", name); err != nil || head != "*2" {
			t.Fatalf("CONFIG GET %s: %q, %v", name, head, err)
		}
		var got [4]string
		for i := range got {
			line, err := c.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			got[i] = strings.TrimSpace(line)
		}
		if got[3] != want {
			t.Errorf("%s is %q, want %q", name, got[3], want)
		}
	}
}

func TestDeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	p := start(t, dir)
	if len(p.Addr()) > maxSocketPath {
		t.Errorf("socket path has %d bytes", len(p.Addr()))
	}
	dial(t, p.Addr()).must(t, "+OK", "SET k v")
}

// TestKilledLosesNothing writes from several connections, kills the server with
// kill -9, and looks for each write that was acknowledged.
func TestKilledLosesNothing(t *testing.T) {
	p := start(t, t.TempDir())
	const writers = 3
	var acked [writers]int
	for range 4 {
		var wg sync.WaitGroup
		pid := p.PID()
		for w := range writers {
			c := dial(t, p.Addr())
			wg.Go(func() {
				for {
					answer, err := c.do("SET %d:%d %s", w, acked[w], strings.Repeat("x", 200))
					if err != nil || answer != "+OK" {
						return
					}
					acked[w]++
				}
			})
		}
		time.Sleep(1100 * time.Millisecond) // a sync falls into it
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		c := dial(t, p.Addr())
		if p.PID() == pid {
			t.Fatal("the server was not started again")
		}
		for w, n := range acked {
			if n == 0 {
				t.Fatalf("writer %d wrote nothing", w)
			}
			for i := max(0, n-2000); i < n; i++ {
				c.must(t, ":1", "EXISTS %d:%d", w, i)
			}
		}
	}
}

func TestRestartedAgainAndAgain(t *testing.T) {
	p := start(t, t.TempDir())
	dial(t, p.Addr()).must(t, "+OK", "SET k v")
	for range 3 {
		pid := p.PID()
		_ = syscall.Kill(pid, syscall.SIGKILL)
		for end := time.Now().Add(time.Minute); p.PID() == pid && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		dial(t, p.Addr()).must(t, "v", "GET k")
	}
}

// TestPodKilled kills a pod with kill -9: its server goes at once and the next pod
// starts with the data, whatever was left lying there.
func TestPodKilled(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		pod := exec.Command(os.Args[0])
		pod.Env = append(os.Environ(), helperDir+"="+dir)
		out, err := pod.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := pod.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		pid, badPID := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || badPID != nil {
			_ = pod.Process.Kill()
			t.Fatalf("the pod did not start: %q, %v", line, err)
		}
		c := dial(t, filepath.Join(dir, socketName))
		if round > 0 {
			c.must(t, strconv.Itoa(round-1), "GET round")
		}
		c.must(t, "+OK", "SET round %d", round)
		if round == 1 { // stopped, it can do nothing for its own end
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		_ = pod.Process.Kill()
		_ = pod.Wait()
		for end := time.Now().Add(time.Minute); !gone(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("server %d outlives its pod", pid)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "temp-rewriteaof-1.aof"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, socketName)); err != nil {
		t.Errorf("no stale socket to test with: %v", err)
	}
	dial(t, start(t, dir).Addr()).must(t, "2", "GET round")
	if left, _ := filepath.Glob(filepath.Join(dir, "temp-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTwoPodsOneDirectory(t *testing.T) {
	p := start(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, p.dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "another pod") {
		t.Fatalf("second Start: %v", err)
	}
	dial(t, p.Addr()).must(t, "+OK", "SET k v")
}

// TestLeftOverServer: where a server outlives its pod all the same, no second one
// writes its file.
func TestLeftOverServer(t *testing.T) {
	p := start(t, t.TempDir())
	_ = p.lock.Close() // as when the pod is gone
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, p.dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Fatalf("Start beside a server that is left: %v", err)
	}
	_ = p.Close()
	start(t, p.dir)
}

func TestNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Start(t.Context(), t.TempDir(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "apt install redis-server") {
		t.Fatalf("Start without redis-server: %v", err)
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	dial(t, p.Addr()).must(t, "+OK", "SET k v")
	_ = p.Close()
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("*x\r\nnonsense and more of it\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Start(t.Context(), dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "Bad file format") {
		t.Fatalf("Start: %v; want redis-server's own words", err)
	}
}

func TestStartIsCancelled(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
	defer cancel()
	if _, err := Start(ctx, dir, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("Start with a context that has ended succeeds")
	}
	start(t, dir) // nothing was left that holds the directory
}

func TestSyncFollowsTheFile(t *testing.T) {
	p := start(t, t.TempDir())
	c, synced := dial(t, p.Addr()), map[string]int64{}
	sizes := func() (n int64) {
		p.syncFiles(synced)
		for _, size := range synced {
			n += size
		}
		return n
	}
	c.must(t, "+OK", "SET k v")
	before := sizes()
	c.must(t, "+OK", "SET k %s", strings.Repeat("v", 1000))
	if after := sizes(); before == 0 || after < before+1000 {
		t.Errorf("synced %d bytes, then %d", before, after)
	}
	c.must(t, "+Background append only file rewriting started", "BGREWRITEAOF")
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && sizes() > 0; {
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(synced); n > 1 {
		t.Errorf("%d increments remembered after a rewrite", n)
	}
}

func TestParseLine(t *testing.T) {
	for line, want := range map[string]struct {
		text  string
		level slog.Level
	}{
		"812:M 22 Nov 2026 11:09:00.123 * Ready to accept connections": {"Ready to accept connections", slog.LevelDebug},
		"812:M 22 Nov 2026 11:09:00.123 # Error writing to the file":   {"Error writing to the file", slog.LevelInfo},
		"*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***":               {"*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***", slog.LevelInfo},
		"Bad directive or wrong number of arguments in a line":         {"Bad directive or wrong number of arguments in a line", slog.LevelInfo},
		"": {"", slog.LevelInfo},
	} {
		if text, level := parseLine(line); text != want.text || level != want.level {
			t.Errorf("parseLine(%q) = %q, %v", line, text, level)
		}
	}
}
