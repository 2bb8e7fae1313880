package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
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

// still makes a WebP picture of the frame at a time in a video file: 640x360, the
// middle of it where the video has another shape.
func (p *Publisher) still(ctx context.Context, path, mime string, at time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stillTime)
	defer cancel()
	demuxer := "mov"
	if mime == video.WebM {
		demuxer = "matroska"
	}
	side := strconv.Itoa(api.ThumbnailWidth) + ":" + strconv.Itoa(api.ThumbnailHeight)
	cmd := exec.CommandContext(ctx, p.ffmpeg, "-nostdin", "-v", "error", "-threads", "1",
		// Only this file, only as what it was found to be: no playlists, no addresses.
		"-protocol_whitelist", "file", "-f", demuxer,
		"-ss", strconv.FormatFloat(at.Seconds(), 'f', 3, 64), "-i", "file:"+path,
		"-map", "0:v:0", "-frames:v", "1", "-an", "-sn", "-dn",
		"-vf", "scale="+side+":force_original_aspect_ratio=increase,crop="+side+",setsar=1,format=yuv420p",
		"-c:v", "libwebp", "-quality", "75", "-threads", "1", "-f", "image2pipe", "pipe:1")
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
