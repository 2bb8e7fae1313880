package identity

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kinopod/shared/api"
)

var update = flag.Bool("update", false, "write the golden file anew")

// atNoon is when keys are replaced.
var atNoon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, dir string) *Identity {
	t.Helper()
	id, err := Open(dir, "pod.example")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func same(a, b []*rsa.PrivateKey) bool {
	return slices.EqualFunc(a, b, func(a, b *rsa.PrivateKey) bool { return a.Equal(b) })
}

// onlyFile checks that a directory has the keys and nothing else.
func onlyFile(t *testing.T, dir string) {
	t.Helper()
	if info, err := os.Stat(filepath.Join(dir, KeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files in the directory", len(left))
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	keys := first.Keys()
	if len(keys) != 1 || keys[0].N.BitLen() != keyBits || first.Host != "pod.example" {
		t.Errorf("%d keys, host %s", len(keys), first.Host)
	}
	onlyFile(t, dir)
	if again := open(t, dir); !same(again.Keys(), keys) {
		t.Error("the second start has another key")
	}
}

func TestOpenKeepsABadKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, KeyFile)
	golden, err := os.ReadFile(filepath.Join("testdata", KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "text": "not a key", "no key inside": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"something after it": string(golden) + "x", "cut off": string(golden[:len(golden)-100]),
		"an old key without a date": string(bytes.ReplaceAll(golden, []byte("Replaced: "), []byte("Since: "))),
		"too many":                  string(bytes.Repeat(golden, MostKeys)),
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, "pod.example"); err == nil {
			t.Errorf("%s: it is taken as a key", name)
		}
		if b, _ := os.ReadFile(path); string(b) != bad {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestChange(t *testing.T) {
	dir := t.TempDir()
	id := open(t, dir)
	before := id.Keys()
	for range 2 {
		if err := id.Change(atNoon); err != nil {
			t.Fatal(err)
		}
		now := id.Keys()
		if len(now) != len(before)+1 || now[0].Equal(before[0]) || !same(now[1:], before) {
			t.Fatalf("%d keys, %d before", len(now), len(before))
		}
		onlyFile(t, dir)
		if again := open(t, dir); !same(again.Keys(), now) {
			t.Fatal("after a restart it has other keys")
		}
		before = now
	}
	// One that cannot be written down is none.
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := id.Change(atNoon); !errors.Is(err, fs.ErrNotExist) || !same(id.Keys(), before) {
		t.Errorf("without a directory: %v, %d keys", err, len(id.Keys()))
	}
}

// TestKilled: a pod that was killed while it wrote has the keys of before, and leaves
// no key about.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	keys := open(t, dir).Keys()
	if err := os.WriteFile(filepath.Join(dir, KeyFile+".123"), []byte("-----BEGIN PRIVATE"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := open(t, dir); !same(again.Keys(), keys) {
		t.Error("it has another key")
	}
	onlyFile(t, dir)
}

func TestForget(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, KeyFile)
	golden, err := os.ReadFile(filepath.Join("testdata", KeyFile)) // two old keys
	if err == nil {
		err = os.WriteFile(path, golden, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	id := open(t, dir)
	keys := id.Keys()
	nobody := func(*rsa.PublicKey) bool { return false }
	later := atNoon.Add(time.Hour)
	for name, c := range map[string]struct {
		before time.Time
		needed func(*rsa.PublicKey) bool
	}{
		"too early": {atNoon, nobody},
		"needed":    {later, func(k *rsa.PublicKey) bool { return k.Equal(&keys[2].PublicKey) }},
	} {
		if n, err := id.Forget(c.before, c.needed); n != 0 || err != nil || !same(id.Keys(), keys) {
			t.Errorf("%s: %d are gone, %v", name, n, err)
		}
	}
	n, err := id.Forget(later, func(k *rsa.PublicKey) bool { return k.Equal(&keys[1].PublicKey) })
	if n != 1 || err != nil || !same(id.Keys(), keys[:2]) || !same(open(t, dir).Keys(), keys[:2]) {
		t.Errorf("the oldest: %d are gone, %v", n, err)
	}
	n, err = id.Forget(later, nobody)
	if n != 1 || err != nil || !same(id.Keys(), keys[:1]) || !same(open(t, dir).Keys(), keys[:1]) {
		t.Errorf("all but the one in use: %d are gone, %v", n, err)
	}
	onlyFile(t, dir)
}

func TestMostKeys(t *testing.T) {
	id := open(t, t.TempDir())
	for len(id.keys) < MostKeys {
		id.keys = append(id.keys, id.keys[0])
	}
	if err := id.Change(atNoon); !api.Is(err, api.CodeConflict) {
		t.Error(err)
	}
}

// What an older pod wrote is read for ever.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", KeyFile)
	if *update {
		id := open(t, t.TempDir())
		for range 2 {
			if err := id.Change(atNoon); err != nil {
				t.Fatal(err)
			}
		}
		b, _ := format(id.keys)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := parse(golden)
	if err != nil || len(keys) != 3 || !keys[0].replaced.IsZero() || !keys[1].replaced.Equal(atNoon) || !keys[2].replaced.Equal(atNoon) {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	if again, err := format(keys); err != nil || !bytes.Equal(again, golden) {
		t.Errorf("%s, %v", again, err)
	}
}

func FuzzParse(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", KeyFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parse(b)
		if err != nil {
			return
		}
		again, err := format(keys)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := parse(again)
		if err != nil || len(twice) != len(keys) {
			t.Fatalf("%d keys, %d before: %v", len(twice), len(keys), err)
		}
	})
}
