package podtest

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"kinopod/pod/identity"
)

// keys are those of pods whose tests have ended. To make one takes a second; no two pods
// have the same at a time.
var keys struct {
	sync.Mutex
	free [][]byte
}

// giveKey puts such a key, if there is one, where a pod with the data directory dir looks
// for its own, and takes the pod's key when the test ends.
func giveKey(t testing.TB, dir string) {
	t.Helper()
	path := filepath.Join(dir, identity.KeyFile)
	keys.Lock()
	defer keys.Unlock()
	_, err := os.Stat(path)
	if last := len(keys.free) - 1; last >= 0 && err != nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, keys.free[last], 0o600); err != nil {
			t.Fatal(err)
		}
		keys.free = keys.free[:last]
	}
	t.Cleanup(func() {
		b, err := os.ReadFile(path)
		if err != nil || bytes.Count(b, []byte("-----BEGIN")) != 1 {
			return // there is none, or it was changed
		}
		keys.Lock()
		defer keys.Unlock()
		keys.free = append(keys.free, b)
	})
}
