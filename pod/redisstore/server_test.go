package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kinopod/build/leak"
	"kinopod/pod/accounts"
	"kinopod/pod/accounts/accountstest"
	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
)

// TestMain makes the one certificate that this process trusts: roots are read once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "redis")
	if err == nil {
		err = errors.Join(writeCertificate(dir), os.Setenv("SSL_CERT_FILE", filepath.Join(dir, certFile)), os.Setenv("SSL_CERT_DIR", dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	trusted = dir
	code := leak.Run(m)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// trusted is the directory of the certificate that TestMain made.
var trusted string

// server is a real redis-server that a test can stop, freeze and kill.
type server struct {
	dir, settings string
	cmd           *exec.Cmd
}

// startServer runs one with the settings of a pod's own, and these besides.
func startServer(t testing.TB, settings ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: dir, settings: "unixsocket s\nappendonly yes\nappendfsync no\nsave \"\"\nhash-max-listpack-value 4096\nset-max-intset-entries 65536\n" + strings.Join(settings, "\n") + "\n"}
	if !strings.Contains(s.settings, "port ") {
		s.settings += "port 0\n"
	}
	s.start(t)
	t.Cleanup(func() {
		s.kill()
		_ = os.RemoveAll(dir)
	})
	return s
}

func (s *server) socket() string { return filepath.Join(s.dir, "s") }

func (s *server) start(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command("redis-server", "-")
	s.cmd.Dir, s.cmd.Stdin = s.dir, strings.NewReader(s.settings)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Errorf("%v: the tests need redis-server (apt install redis-server)", err)
		return
	}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", s.socket())
		if err != nil {
			continue
		}
		_ = c.Close()
		return
	}
	t.Error("redis-server does not listen")
}

// startIn starts a server that was killed after a while; the channel is closed then.
func (s *server) startIn(t testing.TB, wait time.Duration) <-chan struct{} {
	started := make(chan struct{})
	go func() {
		defer close(started)
		time.Sleep(wait)
		s.start(t)
	}()
	return started
}

func (s *server) signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
}

func open(t testing.TB, where string) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	db, err := Open(ctx, where, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// fresh gives empty stores, one after the other, of one server.
func fresh(t *testing.T) func(testing.TB) *DB {
	db := open(t, startServer(t).socket())
	return func(t testing.TB) *DB {
		t.Helper()
		if err := db.redis.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return db
	}
}

func TestAccountsStore(t *testing.T) {
	db := fresh(t)
	accountstest.TestStore(t, func(t testing.TB) accounts.Store { return db(t) })
}

func TestCatalogStore(t *testing.T) {
	db := fresh(t)
	catalogtest.TestStore(t, func(t testing.TB) catalog.Store { return db(t) })
}
