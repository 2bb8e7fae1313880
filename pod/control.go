package pod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"kinopod/pod/accounts"
	"kinopod/pod/config"
	"kinopod/shared/api"
)

// Commands reach a running pod by HTTP through a socket in its data directory,
// which only who may write there can open. There is one request, NewUser, at
// POST /users; answers are as in kinopod/shared/api.

const (
	controlSocket = "control.sock"
	lockFile      = "lock"
	// maxSocketPath is what a unix socket's address holds, without the last zero.
	maxSocketPath = 107
	controlTime   = 30 * time.Second
)

// NewUser is an account that an operator makes, whatever the policy is.
type NewUser struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	Role     api.Role `json:"role"`
}

// errInUse is that another pod has the data directory.
var errInUse = errors.New("another pod runs with this data directory")

// lockDir keeps a second pod out of dir until the file is closed or the process
// ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, errInUse)
		}
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	return f, nil
}

// inDir gives use a path of the control socket that a socket's address can hold.
func inDir(dir string, use func(path string) error) error {
	path := filepath.Join(dir, controlSocket)
	if len(path) <= maxSocketPath {
		return use(path)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return use(filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), controlSocket))
}

// listenControl makes the socket anew: who holds the lock owns what is left of it.
func listenControl(dir string) (l net.Listener, err error) {
	if err := os.Remove(filepath.Join(dir, controlSocket)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old control socket: %w", err)
	}
	err = inDir(dir, func(path string) error {
		l, err = net.Listen("unix", path)
		return err
	})
	if err == nil {
		err = os.Chmod(filepath.Join(dir, controlSocket), 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	return l, nil
}

// serveControl answers commands until ctx ends.
func (p *Pod) serveControl(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users", func(w http.ResponseWriter, r *http.Request) {
		var u NewUser
		err := json.NewDecoder(io.LimitReader(r.Body, api.MaxBody)).Decode(&u)
		if err != nil {
			err = &api.Error{Code: api.CodeInvalid, Message: "The command cannot be read.", Cause: err}
		} else {
			err = p.accounts.Create(r.Context(), u.Username, u.Password, u.Role)
		}
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		e := api.AsError(err)
		if e.Code == api.CodeInternal {
			p.log.Error("command failed", "err", err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(e.Status())
		_ = json.NewEncoder(w).Encode(e)
	})
	server := &http.Server{Handler: mux, ReadTimeout: controlTime, WriteTimeout: controlTime}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(p.control); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// CreateUser makes an account: at the pod that runs with cfg's data directory, or
// where none runs, in its Redis. Errors are *api.Error where the account cannot be.
func CreateUser(ctx context.Context, cfg config.Config, u NewUser, log *slog.Logger) error {
	dir, err := cfg.DataDir()
	if err != nil {
		return err
	}
	err = askRunning(ctx, dir, u)
	if err == nil || !errors.Is(err, errNotRunning) {
		return err
	}
	return createOffline(ctx, cfg, u, log)
}

var errNotRunning = errors.New("no pod runs with this data directory")

func askRunning(ctx context.Context, dir string, u NewUser) error {
	body, err := json.Marshal(u)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		err = inDir(dir, func(path string) error {
			c, err = (&net.Dialer{}).DialContext(ctx, "unix", path)
			return err
		})
		return c, err
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://pod/users", bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := transport.RoundTrip(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return errNotRunning
	}
	if err != nil {
		return fmt.Errorf("ask the running pod: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		return nil
	}
	var e api.Error
	if err := json.NewDecoder(io.LimitReader(res.Body, api.MaxBody)).Decode(&e); err != nil || e.Code == "" {
		return fmt.Errorf("the running pod answered %s", res.Status)
	}
	return &e
}

// createOffline makes the account with nothing of a pod but its Redis.
func createOffline(ctx context.Context, cfg config.Config, u NewUser, log *slog.Logger) (err error) {
	p := &Pod{cfg: cfg, log: log}
	defer func() { err = errors.Join(err, p.Close()) }()
	if p.cfg.Data, err = cfg.DataDir(); err != nil {
		return err
	}
	if err := p.takeData(); err != nil {
		return err
	}
	db, _, err := p.openRedis(ctx)
	if err != nil {
		return err
	}
	return accounts.New(db, accounts.Policy{}, time.Now).Create(ctx, u.Username, u.Password, u.Role)
}
