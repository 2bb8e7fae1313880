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
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"kinopod/pod/accounts"
	"kinopod/pod/config"
	"kinopod/pod/redisstore"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// Commands reach a running pod by HTTP through a socket in its data directory,
// which only who may write there can open. serveControl has the requests; answers are
// as in kinopod/shared/api.

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
	others := p.others
	ofHost := func(f func(context.Context, network.Host) error) http.HandlerFunc {
		return p.command(func(r *http.Request) (any, error) {
			h, err := network.ParseHost(r.PathValue("host"))
			if err != nil {
				return nil, &api.Error{Code: api.CodeInvalid, Message: "This is not the host of a pod: host or host:port, without a scheme."}
			}
			return nil, f(r.Context(), h)
		})
	}
	mux.HandleFunc("POST /users", p.command(func(r *http.Request) (any, error) {
		u, err := readCommand[NewUser](r)
		if err != nil {
			return nil, err
		}
		return nil, p.accounts.Create(r.Context(), u.Username, u.Password, u.Role)
	}))
	mux.HandleFunc("PUT /users/{name}/password", p.command(func(r *http.Request) (any, error) {
		u, err := readCommand[NewUser](r)
		if err != nil {
			return nil, err
		}
		return nil, p.accounts.SetPassword(r.Context(), r.PathValue("name"), u.Password)
	}))
	mux.HandleFunc("GET /users", p.command(func(r *http.Request) (any, error) { return p.accounts.List(r.Context()) }))
	mux.HandleFunc("PUT /users/{name}/role", p.command(func(r *http.Request) (any, error) {
		u, err := readCommand[NewUser](r)
		if err != nil {
			return nil, err
		}
		return nil, p.accounts.SetRole(r.Context(), r.PathValue("name"), u.Role)
	}))
	mux.HandleFunc("DELETE /users/{name}", p.command(func(r *http.Request) (any, error) { return nil, p.accounts.Remove(r.Context(), r.PathValue("name")) }))
	mux.HandleFunc("DELETE /users/{name}/videos", p.command(func(r *http.Request) (any, error) { return p.withdrawAll(r.Context(), r.PathValue("name")) }))
	mux.HandleFunc("GET /friends", p.command(func(r *http.Request) (any, error) {
		list, err := others.List(r.Context(), true)
		return api.FriendList{Host: p.host, Friends: list}, err
	}))
	mux.HandleFunc("POST /friends", p.command(func(r *http.Request) (any, error) {
		in, err := readCommand[api.PodsToJoin](r)
		if err != nil {
			return nil, err
		}
		return nil, others.Join(r.Context(), in.Hosts)
	}))
	mux.HandleFunc("DELETE /friends/{host}", ofHost(others.Leave))
	mux.HandleFunc("PUT /friends/{host}/block", ofHost(others.Block))
	mux.HandleFunc("DELETE /friends/{host}/block", ofHost(others.Unblock))
	mux.HandleFunc("POST /key", p.command(func(r *http.Request) (any, error) { return p.changeKey(r.Context()) }))
	mux.HandleFunc("POST /index/check", func(w http.ResponseWriter, r *http.Request) {
		door, end := http.NewResponseController(w), time.Now().Add(checkTime)
		_ = errors.Join(door.SetReadDeadline(end), door.SetWriteDeadline(end)) // that of reading ends the request's context, too
		p.command(func(r *http.Request) (any, error) {
			in, err := readCommand[IndexCheck](r)
			if err != nil {
				return nil, err
			}
			return checkIndex(r.Context(), p.db, p.index, p.host, in.Repair)
		})(w, r)
	})
	server := &http.Server{Handler: mux, ReadTimeout: controlTime, WriteTimeout: controlTime}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(p.control); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Withdrawn is how many uploads and videos of an account a command removed, and whether
// that were all.
type Withdrawn struct {
	Removed int  `json:"removed"`
	More    bool `json:"more"`
}

// withdrawAll removes what an account has uploaded, for as long as a command may take.
func (p *Pod) withdrawAll(ctx context.Context, name string) (done Withdrawn, err error) {
	ids, err := p.accounts.Booked(ctx, name)
	if err != nil {
		return done, err
	}
	operator := accounts.Actor{Username: "the operator", Role: api.RoleAdmin}
	for began := time.Now(); len(ids) > 0; ids = ids[1:] {
		if done.More = time.Since(began) > controlTime/2; done.More {
			break
		}
		err := p.uploads.Withdraw(ctx, operator, ids[0])
		if api.Is(err, api.CodeNotFound) { // of an upload that begins, or nothing is left of it
			continue
		}
		if err != nil {
			return done, err
		}
		done.Removed++
	}
	_, err = p.accounts.ReleaseVanished(ctx, p.uploads.Exists)
	return done, err
}

// command answers one request: with what do gives as JSON, or with its error.
func (p *Pod) command(do func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := do(r)
		status := http.StatusOK
		if err != nil {
			e := api.AsError(err)
			if e.Code == api.CodeInternal {
				p.log.Error("command failed", "err", err)
			}
			out, status = e, e.Status()
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out)
	}
}

func readCommand[T any](r *http.Request) (in T, err error) {
	if err := json.NewDecoder(io.LimitReader(r.Body, api.MaxBody)).Decode(&in); err != nil {
		return in, &api.Error{Code: api.CodeInvalid, Message: "The command cannot be read.", Cause: err}
	}
	return in, nil
}

// CreateUser makes an account: at the pod that runs with cfg's data directory, or
// where none runs, in its Redis. Errors are *api.Error where the account cannot be.
func CreateUser(ctx context.Context, cfg config.Config, u NewUser, log *slog.Logger) error {
	dir, err := cfg.DataDir()
	if err != nil {
		return err
	}
	err = askRunning(ctx, dir, controlTime, http.MethodPost, "/users", u, nil)
	if err == nil || !errors.Is(err, ErrNotRunning) {
		return err
	}
	return offline(ctx, cfg, log, func(db *redisstore.DB) error {
		return accounts.New(db, accounts.Policy{}, time.Now).Create(ctx, u.Username, u.Password, u.Role)
	})
}

// SetPassword gives an account another password, as CreateUser makes one.
func SetPassword(ctx context.Context, cfg config.Config, u NewUser, log *slog.Logger) error {
	err := Command(ctx, cfg, http.MethodPut, "/users/"+url.PathEscape(u.Username)+"/password", u, nil)
	if err == nil || !errors.Is(err, ErrNotRunning) {
		return err
	}
	return offline(ctx, cfg, log, func(db *redisstore.DB) error {
		return accounts.New(db, accounts.Policy{}, time.Now).SetPassword(ctx, u.Username, u.Password)
	})
}

// ErrNotRunning is what Command answers where there is nobody to ask.
var ErrNotRunning = errors.New("no pod runs with this data directory")

// Command asks the pod that runs with cfg's data directory; out takes the answer where
// it is not nil. Errors of the pod are *api.Error.
func Command(ctx context.Context, cfg config.Config, method, path string, in, out any) error {
	dir, err := cfg.DataDir()
	if err != nil {
		return err
	}
	return askRunning(ctx, dir, controlTime, method, path, in, out)
}

func askRunning(ctx context.Context, dir string, most time.Duration, method, path string, in, out any) error {
	body, err := json.Marshal(in)
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
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://pod"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := transport.RoundTrip(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("ask the running pod: %w", err)
	}
	defer res.Body.Close()
	answer := io.LimitReader(res.Body, maxCommandAnswer)
	if res.StatusCode == http.StatusOK {
		if out == nil {
			return nil
		}
		return json.NewDecoder(answer).Decode(out)
	}
	var e api.Error
	if err := json.NewDecoder(answer).Decode(&e); err != nil || e.Code == "" {
		return fmt.Errorf("the running pod answered %s", res.Status)
	}
	return &e
}

// maxCommandAnswer bounds what a running pod answers, in bytes.
const maxCommandAnswer = 16 << 20

// offline works with nothing of a pod but its Redis.
func offline(ctx context.Context, cfg config.Config, log *slog.Logger, do func(*redisstore.DB) error) (err error) {
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
	return do(db)
}
