package identity

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir, "pod.example")
	if err != nil {
		t.Fatal(err)
	}
	if got := first.Key.N.BitLen(); got != keyBits || first.Host != "pod.example" {
		t.Errorf("%d bits, host %s", got, first.Host)
	}
	path := filepath.Join(dir, KeyFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files in the directory", len(left))
	}
	again, err := Open(dir, "pod.example")
	if err != nil || !again.Key.Equal(first.Key) {
		t.Errorf("the second start has another key (%v)", err)
	}
}

func TestOpenKeepsABadKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, KeyFile)
	for _, bad := range []string{"", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, "pod.example"); err == nil {
			t.Errorf("%q is taken as a key", bad)
		}
		if b, _ := os.ReadFile(path); string(b) != bad {
			t.Errorf("%q became %q", bad, b)
		}
	}
}
