package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"os/exec"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/filestore"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

// childEnv is set for a test binary that is to be a pod that gets killed: a
// childConfig as JSON.
const childEnv = "KINOPOD_PUBLISH_CHILD"

// childConfig says where a child finds its data, its Redis, and the catalogue and
// the quotas, which the parent keeps: they are Redis's in a real pod and do not die
// with it.
type childConfig struct{ Dir, Redis, Parent string }

// runChild is a pod: it prints its address and serves until it is killed.
func runChild() {
	if err := serveChild(); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

func serveChild() error {
	var cfg childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &cfg); err != nil {
		return err
	}
	files, err := filestore.Open(cfg.Dir, filestore.Limits{})
	if err != nil {
		return err
	}
	client, err := rpc.Dial("unix", cfg.Parent)
	if err != nil {
		return err
	}
	p, err := New(Config{Host: "pod.example", SpareBytes: 1, FFmpeg: "none", Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))},
		files, remote{client}, remote{client}, asynq.RedisClientOpt{Network: "unix", Addr: cfg.Redis})
	if err != nil {
		return err
	}
	p.settled = 300 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the parent has gone
		os.Exit(0)
	}()
	go func() { _ = p.Run(context.Background()) }()
	return http.Serve(smallBuffers{l}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Handler().ServeHTTP(w, r.WithContext(WithActor(r.Context(), accounts.Actor{Username: "anna", Role: api.RoleUser})))
	}))
}

const clientBuffer, podBuffer = 16 << 10, 64 << 10

// smallBuffers keeps the kernel from taking bytes that a pod never sees: what is
// in a connection when a pod is killed was sent for nothing.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetReadBuffer(podBuffer)
	}
	return c, err
}

// startChild begins a child and waits for its address.
func startChild(cfg childConfig) (cmd *exec.Cmd, addr string, err error) {
	b, err := json.Marshal(cfg)
	if err != nil {
		return nil, "", err
	}
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(b))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		return nil, "", fmt.Errorf("child's address: %w", err)
	}
	return cmd, addr, nil
}

// Parent serves a catalogue and quotas to children.
type Parent struct {
	catalog *fakeCatalog
	quota   *fakeQuota
}

// Call is the arguments of one call; Reply its answer.
type Call struct {
	Video video.Video
	ID    video.ID
	User  string
	Bytes int64
}

// Reply has the error's code: of errors, rpc only passes texts.
type Reply struct {
	Video video.Video
	Added bool
	Code  api.Code
}

func (r *Reply) set(err error) error {
	if err != nil {
		r.Code = api.AsError(err).Code
	}
	return nil
}

// Add is catalog.Add.
func (p *Parent) Add(c Call, r *Reply) (err error) {
	r.Added, err = p.catalog.Add(context.Background(), c.Video)
	return r.set(err)
}

// Get is catalog.Get.
func (p *Parent) Get(c Call, r *Reply) (err error) {
	r.Video, err = p.catalog.Get(context.Background(), c.ID)
	return r.set(err)
}

// Reserve is quota.Reserve.
func (p *Parent) Reserve(c Call, r *Reply) error {
	return r.set(p.quota.Reserve(context.Background(), c.User, c.ID, c.Bytes))
}

// remote is the parent's catalogue and quotas in a child.
type remote struct{ client *rpc.Client }

func (c remote) call(method string, in Call) (Reply, error) {
	var r Reply
	if err := c.client.Call("Parent."+method, in, &r); err != nil {
		return r, err
	}
	if r.Code != "" {
		return r, &api.Error{Code: r.Code, Message: "The parent says no."}
	}
	return r, nil
}

func (c remote) Add(_ context.Context, v video.Video) (bool, error) {
	r, err := c.call("Add", Call{Video: v})
	return r.Added, err
}

func (c remote) Get(_ context.Context, id video.ID) (video.Video, error) {
	r, err := c.call("Get", Call{ID: id})
	return r.Video, err
}

func (c remote) Reserve(_ context.Context, user string, id video.ID, n int64) error {
	_, err := c.call("Reserve", Call{User: user, ID: id, Bytes: n})
	return err
}

var errNotInChild = fmt.Errorf("not in a child")

func (remote) SetThumbnail(context.Context, video.ID, string) error { return errNotInChild }
func (remote) Withdraw(context.Context, catalog.Editor, video.ID) (video.Video, error) {
	return video.Video{}, errNotInChild
}
func (remote) Withdrawn(context.Context) ([]magnet.InfoHash, error)   { return nil, nil }
func (remote) Deleted(context.Context, magnet.InfoHash) error         { return nil }
func (remote) UnusedThumbnails(context.Context) ([]string, error)     { return nil, nil }
func (remote) Unclaimed(context.Context, []string) ([]string, error)  { return nil, nil }
func (remote) ThumbnailDeleted(context.Context, string) error         { return nil }
func (remote) Release(context.Context, string, video.ID) error        { return nil }
func (remote) ReleaseVanished(context.Context, vanished) (int, error) { return 0, nil }

type vanished = func(context.Context, video.ID) (bool, error)
