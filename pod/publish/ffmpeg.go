package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Limits of the ffmpeg that makes a thumbnail. Its file is a stranger's.
const (
	stillTime   = 20 * time.Second
	stillMemory = 2 << 30 // bytes of address space: an 8K frame has room
	stillOutput = api.MaxThumbnail
	stillErrors = 4 << 10 // bytes of its messages that are kept
)

// stillMost leaves room for what filestore adds.
const stillMost = api.MaxPicture - 1<<10

// still makes a WebP picture of the frame at a time in a video file: 640x360, or half of
// that where it would be too large for other pods; the middle of it where the video has
// another shape.
func (p *Publisher) still(ctx context.Context, path, mime string, at time.Duration) (picture []byte, err error) {
	width, height := api.ThumbnailWidth, api.ThumbnailHeight
	for {
		for _, quality := range []int{75, 60, 45, 30} {
			if picture, err = p.stillOf(ctx, path, mime, at, width, height, quality); err != nil || len(picture) <= stillMost {
				return picture, err
			}
		}
		if width, height = width/2, height/2; height < 90 {
			return nil, fmt.Errorf("the smallest picture has %d bytes", len(picture))
		}
	}
}

// smaller writes a picture of an uploader, which was checked, anew where other pods would
// not take it: one at a time, because anybody with an account can ask for it.
func (p *Publisher) smaller(ctx context.Context, webp []byte) (picture []byte, err error) {
	if len(webp) <= stillMost || p.ffmpeg == "" {
		return webp, nil
	}
	wait := time.NewTimer(stillTime)
	defer wait.Stop()
	select {
	case p.shrinks <- struct{}{}:
		defer func() { <-p.shrinks }()
	case <-wait.C:
		return nil, &api.Error{Code: api.CodeUnavailable, Message: "Many pictures are made at this moment. Try again in a moment."}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	dir, err := os.MkdirTemp("", "kinopod-picture")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "picture.webp")
	if err := os.WriteFile(path, webp, 0o600); err != nil {
		return nil, err
	}
	if picture, err = p.still(ctx, path, mimeWebP, 0); err != nil {
		return nil, &api.Error{Code: api.CodeInvalid, Message: "The picture is not a WebP that can be used.", Cause: err}
	}
	return picture, nil
}

const mimeWebP = "image/webp"

func (p *Publisher) stillOf(ctx context.Context, path, mime string, at time.Duration, width, height, quality int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stillTime)
	defer cancel()
	demuxer := "mov"
	switch mime {
	case video.WebM:
		demuxer = "matroska"
	case mimeWebP:
		demuxer = "webp_pipe"
	}
	side := strconv.Itoa(width) + ":" + strconv.Itoa(height)
	cmd := exec.CommandContext(ctx, p.ffmpeg, "-nostdin", "-v", "error", "-threads", "1",
		// Only this file, only as what it was found to be: no playlists, no addresses.
		"-protocol_whitelist", "file", "-f", demuxer,
		"-ss", strconv.FormatFloat(at.Seconds(), 'f', 3, 64), "-i", "file:"+path,
		"-map", "0:v:0", "-frames:v", "1", "-an", "-sn", "-dn",
		"-vf", "scale="+side+":force_original_aspect_ratio=increase,crop="+side+",setsar=1,format=yuv420p",
		"-c:v", "libwebp", "-quality", strconv.Itoa(quality), "-threads", "1", "-f", "image2pipe", "pipe:1")
	out, messages := &limited{most: stillOutput}, &limited{most: stillErrors}
	cmd.Stdout, cmd.Stderr = out, messages
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"HOME=/nonexistent", "LC_ALL=C"}
	if err := runLimited(cmd, stillMemory); err != nil {
		return nil, fmt.Errorf("ffmpeg: %w: %s", err, messages.buf.Bytes())
	}
	if out.buf.Len() == 0 {
		return nil, errors.New("ffmpeg gave no picture")
	}
	return out.buf.Bytes(), nil
}

// runLimited runs cmd with limits on what it may use; it ends with the pod.
func runLimited(cmd *exec.Cmd, memory uint64) error {
	// A child that dies with its parent dies with the thread that made it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	endWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := limit(cmd.Process.Pid, memory); err != nil {
		_ = cmd.Process.Kill()
		return errors.Join(err, cmd.Wait())
	}
	return cmd.Wait()
}

// errTooMuch ends a program that writes more than it should.
var errTooMuch = errors.New("too much output")

// limited keeps what is written, up to most bytes. It is a Writer and nothing else:
// bytes.Buffer's ReadFrom would go past the limit.
type limited struct {
	buf  bytes.Buffer
	most int
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if l.buf.Len()+len(p) > l.most {
		return 0, errTooMuch
	}
	return l.buf.Write(p)
}
