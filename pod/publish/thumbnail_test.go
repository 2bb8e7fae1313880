package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/shared/video"
)

func withFFmpeg(c *Config) { c.FFmpeg = "ffmpeg" }

// size asks ffprobe for the sides of a picture.
func size(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestThumbnailIsMade(t *testing.T) {
	w := newWorld(t, withFFmpeg)
	w.run()
	for what, b := range map[string][]byte{
		"MP4": mp4(t), "WebM": webm(t),
		"portrait": media(t, "portrait.mp4", 3, "-vf", "scale=180:320", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"),
		"4K":       media(t, "4k.mp4", 1, "-vf", "scale=3840:2160", "-c:v", "libx264", "-preset", "ultrafast", "-an"),
	} {
		v := w.publish("anna", b)
		eventually(t, what+" has a thumbnail", func() bool {
			v, _ = w.catalog.Get(context.Background(), v.ID)
			return v.Thumbnail != ""
		})
		if got := size(t, w.files.ThumbnailPath(v.Thumbnail)); got != "webp,640,360" {
			t.Errorf("%s: thumbnail is %s", what, got)
		}
	}
}

func TestThumbnailOfTheUploaderStays(t *testing.T) {
	w := newWorld(t, withFFmpeg)
	w.run()
	path := w.create("anna", len(mp4(t)))
	id := idOf(t, path)
	if err := w.pub.SetThumbnail(t.Context(), anna, id, picture(t, 7)); err != nil {
		t.Fatal(err)
	}
	w.patch("anna", path, 0, mp4(t))
	chosen, err := w.catalog.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	// Even if the task is there.
	payload, _ := json.Marshal(thumbnailPayload{Video: id})
	if err := w.pub.doThumbnail(t.Context(), asynq.NewTask(thumbnailTask, payload)); err != nil {
		t.Fatal(err)
	}
	v, _ := w.catalog.Get(t.Context(), id)
	if v.Thumbnail != chosen.Thumbnail || v.Thumbnail == "" {
		t.Errorf("%q was replaced by %q", chosen.Thumbnail, v.Thumbnail)
	}
	// And where both are set at the same time, the uploader's is what remains.
	for range 3 {
		w.catalog.mu.Lock()
		v.Thumbnail = ""
		w.catalog.videos[id] = v
		w.catalog.mu.Unlock()
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.pub.makeThumbnail(context.Background(), id) })
		wg.Go(func() {
			if err := w.pub.SetThumbnail(context.Background(), anna, id, picture(t, 7)); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if v, _ := w.catalog.Get(t.Context(), id); v.Thumbnail != chosen.Thumbnail {
			t.Errorf("%q, want the uploader's %q", v.Thumbnail, chosen.Thumbnail)
		}
	}
	w.onlyThumbnailsInUse()
}

func TestThumbnailOfAVideoThatWent(t *testing.T) {
	w := newWorld(t, withFFmpeg)
	v := w.publish("anna", mp4(t))
	if err := w.pub.Withdraw(t.Context(), anna, v.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.pub.makeThumbnail(t.Context(), v.ID); err != nil {
		t.Errorf("%v", err)
	}
	w.clean("anna")
}

// TestThumbnailOfHostileFile: ffmpeg reads this file alone, as what it was found to
// be, and not for ever.
func TestThumbnailOfHostileFile(t *testing.T) {
	w := newWorld(t, withFFmpeg)
	secret := filepath.Join(t.TempDir(), "secret.mp4")
	if err := os.WriteFile(secret, mp4(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string]string{
		"playlist":      "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://" + secret + "\n#EXT-X-ENDLIST\n",
		"concatenation": "ffconcat version 1.0\nfile '" + secret + "'\n",
		"nothing":       "",
	} {
		path := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, mime := range []string{video.MP4, video.WebM} {
			if got, err := w.pub.still(t.Context(), path, mime, 0); err == nil {
				t.Errorf("%s as %s gives a picture of %d bytes", what, mime, len(got))
			}
		}
	}
	// More than there is to see: the last frames are not at a tenth, but there is one.
	if err := os.WriteFile(secret, mp4(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pub.still(t.Context(), secret, video.MP4, time.Hour); err == nil {
		t.Error("a picture past the end")
	}
}

func TestThumbnailLimits(t *testing.T) {
	for what, script := range map[string]string{
		"much output": "head -c 10000000 /dev/zero",
		"much memory": "sleep 0.3; x=$(head -c 300m /dev/zero | tr '\\0' x); echo ${#x}",
	} {
		cmd := exec.Command("bash", "-c", script)
		out, messages := &limited{most: stillOutput}, &limited{most: stillErrors}
		cmd.Stdout, cmd.Stderr = out, messages
		if err := runLimited(cmd, 100<<20); err == nil || out.buf.Len() > stillOutput {
			t.Errorf("%s: %d bytes, %v", what, out.buf.Len(), err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	cmd := exec.CommandContext(ctx, "sleep", "60")
	if err := runLimited(cmd, 100<<20); err == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// TestNoFFmpeg: videos simply have no thumbnail, and the operator is told once.
func TestNoFFmpeg(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for range 2 {
		v := w.publish("anna", mp4(t))
		if err := w.pub.makeThumbnail(t.Context(), v.ID); err != nil {
			t.Error(err)
		}
		inspector := asynq.NewInspector(redisOpt())
		if _, err := inspector.GetTaskInfo(thumbnailQueue, "thumbnail:"+v.ID.String()); err == nil {
			t.Error("a task that nobody can do is in the queue")
		}
		inspector.Close()
	}
	if n := strings.Count(log.String(), "install ffmpeg"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}

// TestThumbnailTaskIsTriedAgain: once a video, a few times, and then no more.
func TestThumbnailTaskIsTriedAgain(t *testing.T) {
	w := newWorld(t, withFFmpeg)
	v := w.publish("anna", mp4(t))
	w.pub.enqueueThumbnail(t.Context(), v.ID)
	inspector := asynq.NewInspector(redisOpt())
	defer inspector.Close()
	task, err := inspector.GetTaskInfo(thumbnailQueue, "thumbnail:"+v.ID.String())
	if err != nil || task.MaxRetry != thumbnailRetries {
		t.Fatalf("%+v, %v", task, err)
	}
	w.restart() // the task outlives the pod
	w.run()
	eventually(t, "the thumbnail is made", func() bool { v, _ := w.catalog.Get(context.Background(), v.ID); return v.Thumbnail != "" })
	eventually(t, "the task is gone", func() bool {
		_, err := inspector.GetTaskInfo(thumbnailQueue, "thumbnail:"+v.ID.String())
		return err != nil
	})
}
