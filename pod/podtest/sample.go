package podtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"kinopod/shared/video"
)

// Sample is a film that ffmpeg makes: a moving test picture and a tone.
type Sample struct {
	MIME          string        // video.MP4 (H.264, AAC) or video.WebM (VP8, Opus)
	Length        time.Duration // whole seconds
	Width, Height int
	Bitrate       int // bits a second of the picture
}

// Samples that most tests can share.
var (
	MP4  = Sample{video.MP4, 10 * time.Second, 320, 180, 1_000_000}
	WebM = Sample{video.WebM, 10 * time.Second, 320, 180, 1_000_000}
)

// samplesVersion is in the names of kept samples; a change of what arguments makes
// needs another one.
const samplesVersion = 1

// Path makes the film where it is not kept from before, below the system's
// directory for temporary files.
func (s Sample) Path(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "kinopod-samples")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ext := ".mp4"
	if s.MIME == video.WebM {
		ext = ".webm"
	}
	path := filepath.Join(dir, fmt.Sprintf("v%d-%v-%dx%d-%d%s", samplesVersion, s.Length, s.Width, s.Height, s.Bitrate, ext))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	temp, err := os.MkdirTemp(dir, "making-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	made := filepath.Join(temp, "film"+ext)
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", s.arguments(made)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	if err := os.Rename(made, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s Sample) arguments(to string) []string {
	seconds, rate := strconv.Itoa(int(s.Length/time.Second)), strconv.Itoa(s.Bitrate)
	args := []string{
		"-hide_banner", "-loglevel", "error", "-nostdin",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=25:duration=%s", s.Width, s.Height, seconds),
		"-f", "lavfi", "-i", "sine=frequency=440:duration=" + seconds,
		// noise, so that the picture fills its bit rate
		"-vf", "noise=alls=40:allf=t", "-pix_fmt", "yuv420p", "-g", "50", "-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate,
	}
	if s.MIME == video.WebM {
		args = append(args, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus", "-b:a", "64k")
	} else {
		args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart")
	}
	return append(args, to)
}
