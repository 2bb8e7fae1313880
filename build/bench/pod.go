package main

import (
	"context"
	"fmt"
	"net"
	"os"
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

// startPod starts a pod. With a shape it is reached through a line that has it.
func startPod(ctx context.Context, s shape, args ...string) (*running, error) {
	return startPodWith(ctx, s, pods.Options{Args: args})
}

// startPodWith is startPod with options; those of addresses and limits are not taken.
func startPodWith(ctx context.Context, s shape, o pods.Options) (_ *running, err error) {
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
	if s != (shape{}) {
		if p.line, err = newLine(listen, s); err != nil {
			return nil, err
		}
		_, port, _ = net.SplitHostPort(p.line.addr())
	}
	p.base = "http://localhost:" + port
	o.Dir, o.Listen, o.Host = filepath.Join(dir, "data"), listen, "localhost:"+port
	o.Args = append([]string{"--limits-requests-per-second", "0", "--limits-tracker-connections-per-address", "0", "--limits-tracker-messages-per-second", "0"}, o.Args...)
	p.Pod, err = pods.Start(ctx, o)
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
	return file, ffmpeg(ctx, "-f", "lavfi", "-i", "nullsrc=size=480x270:rate=25,geq=random(1)*255:128:128", "-f", "lavfi", "-i", "sine=440",
		"-t", strconv.Itoa(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac",
		"-movflags", "+faststart", file)
}

// tempFilm is a film of its own in a temporary folder, and its length in bytes; remove
// takes both away.
func tempFilm(ctx context.Context, seconds int, megabits float64) (file string, size int64, remove func(), err error) {
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return "", 0, nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if file, err = film(ctx, dir, seconds, megabits); err != nil {
		remove()
		return "", 0, nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		remove()
		return "", 0, nil, err
	}
	return file, info.Size(), remove, nil
}
