package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"kinopod/build/pods"
	"kinopod/shared/api"
)

// running is a pod in a directory that goes with it.
type running struct {
	*pods.Pod
	base string // where viewers reach it
	dir  string
	line *line // nil where the pod is reached directly
}

// startPod starts a pod. With bytesPerSecond it is reached through a line that gives
// each connection that much.
func startPod(ctx context.Context, bytesPerSecond int) (_ *running, err error) {
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
	listen, err := pods.FreeAddress()
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
	p.Pod, err = pods.Start(ctx, pods.Options{
		Dir: filepath.Join(dir, "data"), Listen: listen, Host: "localhost:" + port,
		Args: []string{"--limits-requests-per-second", "0", "--limits-tracker-connections-per-address", "0", "--limits-tracker-messages-per-second", "0"},
	})
	return p, err
}

// upload sends a file and gives the video.
func (p *running) upload(ctx context.Context, file string) (api.Video, error) {
	return p.Upload(ctx, file, "Film")
}

// stop ends the pod and removes what it kept.
func (p *running) stop() {
	if p.Pod != nil {
		p.Stop()
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
