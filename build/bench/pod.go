package main

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
)

// binary is the pod that is measured.
const binary = "build/out/kinopod"

// running is a pod with an uploader, in a directory of its own.
type running struct {
	api  *api.Client
	base string // http://localhost:PORT
	dir  string
	cmd  *exec.Cmd
	line *line // nil where the pod is reached directly
}

// startPod starts a pod. With bytesPerSecond it is reached through a line that gives
// each connection that much.
func startPod(ctx context.Context, bytesPerSecond int) (_ *running, err error) {
	if _, err := os.Stat(binary); err != nil {
		return nil, errors.New(binary + " is missing: make build")
	}
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return nil, err
	}
	p := &running{dir: dir}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(listen)
	if bytesPerSecond > 0 {
		if p.line, err = newLine(listen, bytesPerSecond); err != nil {
			return nil, err
		}
		_, port, _ = net.SplitHostPort(p.line.addr())
	}
	p.base = "http://localhost:" + port
	log, err := os.Create(filepath.Join(dir, "pod.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(binary, "serve", "--listen", listen, "--host", "localhost:"+port, "--data", filepath.Join(dir, "data"), "--rtc-listen", "127.0.0.1:0",
		"--bt-listen", "127.0.0.1:0", "--allow-http", "--limits-requests-per-second", "0", "--limits-tracker-connections-per-address", "0", "--limits-tracker-messages-per-second", "0")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the pod: %w", err)
	}
	if err := p.ready(ctx, 30*time.Second); err != nil {
		return nil, err
	}
	return p, p.account(ctx)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (p *running) ready(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); ; time.Sleep(50 * time.Millisecond) {
		if _, err := api.NewClient(p.base, "").Pod(ctx); err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			out, _ := os.ReadFile(filepath.Join(p.dir, "pod.log"))
			return fmt.Errorf("the pod did not come up: %s", out)
		}
	}
}

func (p *running) account(ctx context.Context) error {
	const name, password = "bench", "a password for benches"
	c := exec.CommandContext(ctx, binary, "user", "create", name, "--password-stdin", "--data", filepath.Join(p.dir, "data"))
	c.Stdin = strings.NewReader(password + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("make an account: %w: %s", err, out)
	}
	s, err := api.NewClient(p.base, "").Login(ctx, api.Credentials{Username: name, Password: password})
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	p.api = api.NewClient(p.base, s.Token)
	return p.setToken(s.Token)
}

func (p *running) setToken(token string) error {
	return os.WriteFile(filepath.Join(p.dir, "token"), []byte(token), 0o600)
}

// upload sends a file by tus and gives the video.
func (p *running) upload(ctx context.Context, file string) (v api.Video, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return v, err
	}
	token, err := os.ReadFile(filepath.Join(p.dir, "token"))
	if err != nil {
		return v, err
	}
	send := func(method, url string, body []byte, header map[string]string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Tus-Resumable", "1.0.0")
		req.Header.Set("Authorization", "Bearer "+string(token))
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
	name := base64.StdEncoding.EncodeToString([]byte(filepath.Base(file)))
	res, err := send(http.MethodPost, p.base+api.PathUploads, nil, map[string]string{"Upload-Length": strconv.Itoa(len(b)), "Upload-Metadata": api.MetaFileName + " " + name})
	if err != nil {
		return v, err
	}
	at, err := res.Location()
	if err != nil {
		return v, err
	}
	if _, err := send(http.MethodPatch, at.String(), b, map[string]string{"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}); err != nil {
		return v, err
	}
	page, err := p.api.Videos(ctx, api.VideosQuery{Limit: 1})
	if err != nil || len(page.Videos) == 0 {
		return v, fmt.Errorf("the video is not listed: %w", err)
	}
	return page.Videos[0], nil
}

// stop ends the pod and removes what it kept.
func (p *running) stop() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { defer close(done); _ = p.cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = p.cmd.Process.Kill()
			<-done
		}
	}
	if p.line != nil {
		p.line.close()
	}
	_ = os.RemoveAll(p.dir)
}

// film makes an MP4 (H.264, AAC) of a wanted bit rate with a picture that is cheap to
// decode, and gives its path.
func film(ctx context.Context, dir string, seconds int, megabits float64) (string, error) {
	file := filepath.Join(dir, "film.mp4")
	rate := fmt.Sprintf("%dk", int(megabits*1000))
	c := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "nullsrc=size=480x270:rate=25,geq=random(1)*255:128:128", "-f", "lavfi", "-i", "sine=440",
		"-t", strconv.Itoa(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac",
		"-movflags", "+faststart", file)
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make a film with ffmpeg: %w: %s", err, out)
	}
	return file, nil
}
