package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"kinopod/shared/video"
)

// record is what Memory keeps of an unfinished upload.
type record struct {
	ID   video.ID `json:"id"`
	Sent int64    `json:"sent"` // bytes, in vain ones included
	// Which of the preview's pictures was chosen, and which the pod has; from 1, 0 is
	// none. They are the same each time a file is looked at.
	Chosen int       `json:"chosen"`
	Shown  int       `json:"shown"`
	At     time.Time `json:"at"`
}

// headBytes is how much of a file's beginning is looked at.
const headBytes = 64 << 10

// head reads the file's first bytes.
func head(ctx context.Context, f *File) ([]byte, error) {
	return f.Bytes(ctx, 0, min(f.Size(), headBytes))
}

// fingerprint names a file on this device: name, size, time of change and first
// bytes.
func fingerprint(f *File, head []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %d\n", f.Name(), f.Size(), f.Modified().UnixMilli())
	h.Write(head)
	return hex.EncodeToString(h.Sum(nil)[:16])
}
