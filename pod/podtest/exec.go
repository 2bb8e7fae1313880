package podtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kinopod/pod"
	"kinopod/shared/api"
)

// Binary is the path of kinopod, built once for a test process, from the tree as it
// is.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kinopod-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kinopod")
	out, err := exec.Command("go", "build", "-o", path, "kinopod/pod/cmd/kinopod").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build kinopod: %w\n%s", err, out)
	}
	return path, nil
})

// Command runs a command of the binary and gives what it printed. status is its
// exit status.
func Command(t testing.TB, input string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Binary(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	cmd.Env = plainEnv()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("run kinopod %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// plainEnv is the environment without what configures a pod.
func plainEnv() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "KINOPOD_") {
			env = append(env, v)
		}
	}
	return env
}

// Process is a pod that runs as the built binary.
type Process struct {
	URL     string
	Welcome pod.Welcome
	Dir     string // its data directory
	Args    []string
	Env     []string // besides the test's own

	cmd *exec.Cmd
	log *lockedBuffer
}

// Exec runs `kinopod serve` on an address of its own with a new data directory, and
// waits until it serves. It is killed when the test ends.
func Exec(t testing.TB, args ...string) *Process {
	t.Helper()
	address := FreePort(t)
	p := newProcess(t.TempDir(), address, address, args...)
	giveKey(t, p.Dir)
	t.Cleanup(p.Kill) // before Start, which may fail with a process that runs
	p.Start(t)
	return p
}

func newProcess(dir, listen, host string, args ...string) *Process {
	return &Process{Dir: dir, Args: append([]string{
		"serve", "--json", "--listen", listen, "--host", host, "--data", dir, "--allow-http",
		"--rtc-listen", "127.0.0.1:0", "--bt-listen", "127.0.0.1:0", "--trusted-proxies", "",
		"--limits-requests-per-second", "0", "--limits-connections-per-address", "0", "--limits-logins-per-minute", "0",
		"--limits-tracker-connections-per-address", "0", "--limits-tracker-messages-per-second", "0", "--limits-seeder-peers-per-address", "0",
	}, args...)}
}

// Start starts the process again after Kill or Stop.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	p.cmd, p.log = exec.Command(Binary(t), p.Args...), &lockedBuffer{}
	p.cmd.Stderr, p.cmd.Env = p.log, append(plainEnv(), p.Env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Welcome = pod.Welcome{}
	if err := json.NewDecoder(out).Decode(&p.Welcome); err != nil {
		p.Kill()
		t.Fatalf("the pod does not start: %v\n%s", err, p.log)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // until the process ends
	p.URL = p.Welcome.URL
	waitFor(t, p.URL+api.PathPod)
}

// Kill ends the process at once, as the kernel would (kill -9).
func (p *Process) Kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// Stop ends the process as an operator does, with SIGTERM, and gives its exit
// status and how long it took.
func (p *Process) Stop(t testing.TB) (status int, took time.Duration) {
	t.Helper()
	start := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode(), time.Since(start)
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what the pod has logged.
func (p *Process) Log() string { return p.log.String() }

// User makes an account by the command and logs in.
func (p *Process) User(t testing.TB, name string) *Client {
	t.Helper()
	if _, errs, status := Command(t, Password+"\n", "user", "create", name, "--password-stdin", "--data", p.Dir); status != 0 {
		t.Fatalf("make account %s: %s", name, errs)
	}
	return Login(t, p.URL, name)
}

// lockedBuffer is written by a process and read by a test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
