// Package pods runs the built binary for benchmarks and for the network to play with.
package pods

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Binary is the pod that runs.
const Binary = "build/out/kinopod"

// Name and Password are of the account that each pod gets, an administrator.
const (
	Name     = "admin"
	Password = "a long password"
)

// Pod is a pod with an account, in a directory of its own.
type Pod struct {
	API  *api.Client
	Base string // http://localhost:PORT
	Host network.Host
	Dir  string

	token string
	cmd   *exec.Cmd
}

// Options say how a pod runs.
type Options struct {
	Dir    string // of its data; is kept
	Listen string // 127.0.0.1:PORT
	Host   string // localhost:PORT, where others reach it
	Args   []string
	Bare   bool // nobody has an account, and nothing was hashed for one
}

// Start runs a pod and makes its account where there is none.
func Start(ctx context.Context, o Options) (_ *Pod, err error) {
	if _, err := os.Stat(Binary); err != nil {
		return nil, errors.New(Binary + " is missing: make build")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	p := &Pod{Base: "http://" + o.Host, Host: network.Host(o.Host), Dir: o.Dir}
	defer func() {
		if err != nil {
			p.Stop()
		}
	}()
	log, err := os.Create(filepath.Join(o.Dir, "pod.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(Binary, append([]string{
		"serve", "--listen", o.Listen, "--host", o.Host, "--data", o.Dir, "--rtc-listen", "127.0.0.1:0", "--bt-listen", "127.0.0.1:0", "--allow-http",
	}, o.Args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = ownGroup() // Ctrl-C is ours to pass on
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the pod: %w", err)
	}
	if err := p.ready(ctx, 30*time.Second); err != nil {
		return nil, err
	}
	if o.Bare {
		return p, nil
	}
	return p, p.account(ctx)
}

// FreeAddress is an address on loopback that nobody has.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (p *Pod) ready(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); ; time.Sleep(50 * time.Millisecond) {
		if _, err := api.NewClient(p.Base, "").Pod(ctx); err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			out, _ := os.ReadFile(filepath.Join(p.Dir, "pod.log"))
			return fmt.Errorf("the pod did not come up: %s", out)
		}
	}
}

func (p *Pod) account(ctx context.Context) error {
	c := exec.CommandContext(ctx, Binary, "user", "create", Name, "--admin", "--password-stdin", "--data", p.Dir)
	c.Stdin = strings.NewReader(Password + "\n")
	if out, err := c.CombinedOutput(); err != nil && !bytes.Contains(out, []byte("taken")) {
		return fmt.Errorf("make an account: %w: %s", err, out)
	}
	s, err := api.NewClient(p.Base, "").Login(ctx, api.Credentials{Username: Name, Password: Password})
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	p.API, p.token = api.NewClient(p.Base, s.Token), s.Token
	return nil
}

// PID is the process id.
func (p *Pod) PID() int { return p.cmd.Process.Pid }

// Join has the pod ask another one, and the network that it is of, for friendship.
func (p *Pod) Join(ctx context.Context, h network.Host) error {
	out, err := exec.CommandContext(ctx, Binary, "friends", "join", string(h), "--data", p.Dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("join %s: %w: %s", h, err, out)
	}
	return nil
}

// Upload sends a file by tus under a name and gives the video.
func (p *Pod) Upload(ctx context.Context, file, name string) (v api.Video, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return v, err
	}
	meta := []string{}
	for key, value := range map[string]string{api.MetaFileName: filepath.Base(file), api.MetaName: name} {
		meta = append(meta, key+" "+base64.StdEncoding.EncodeToString([]byte(value)))
	}
	res, err := p.send(ctx, http.MethodPost, p.Base+api.PathUploads, nil, map[string]string{"Upload-Length": strconv.Itoa(len(b)), "Upload-Metadata": strings.Join(meta, ",")})
	if err != nil {
		return v, err
	}
	at, err := res.Location()
	if err != nil {
		return v, err
	}
	if res, err = p.send(ctx, http.MethodPatch, at.String(), b, map[string]string{"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}); err != nil {
		return v, err
	}
	id, err := video.ParseID(res.Header.Get(api.HeaderVideoID))
	if err != nil {
		return v, fmt.Errorf("the upload became no video: %w", err)
	}
	return p.API.Video(ctx, id)
}

func (p *Pod) send(ctx context.Context, method, url string, body []byte, header map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Authorization", "Bearer "+p.token)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, res.Status, text)
	}
	return res, nil
}

// Stop ends the pod.
func (p *Pod) Stop() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { defer close(done); _ = p.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
	p.cmd = nil
}
