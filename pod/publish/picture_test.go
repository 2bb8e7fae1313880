package publish

import (
	"fmt"
	"os/exec"
	"testing"
)

// picture makes a WebP, another one for each number.
func picture(t testing.TB, number int) []byte {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("color=size=640x360:color=0x%06x", number*4097),
		"-frames:v", "1", "-c:v", "libwebp", "-f", "image2pipe", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg (install it: apt-get install ffmpeg): %v", err)
	}
	return out
}
