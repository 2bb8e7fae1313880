// Package identity is who this pod is to other pods: its host and its RSA key
// (design.md, 4).
package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// keyBits is the size of a new key.
const keyBits = 3072

// KeyFile is the name of the keys in the data directory: blocks of PEM (PKCS #8), the
// key in use first, and after it those before, the newest first. Those say when they
// were replaced.
const KeyFile = "key.pem"

const (
	pemType        = "PRIVATE KEY"
	headerReplaced = "Replaced" // RFC 3339
)

// MostKeys is how many keys a pod has at most.
const MostKeys = 8

// Identity is a pod's host and keys. The host does not change while the pod runs.
type Identity struct {
	Host network.Host
	dir  string

	changing sync.Mutex // held by who writes the file
	mu       sync.Mutex
	keys     []held // guarded by mu; not changed, but replaced
}

// held is a key and when it was replaced, the zero time for the one in use.
type held struct {
	*rsa.PrivateKey
	replaced time.Time
}

// Open reads the keys in dir, or makes one on the first run: mode 0600, whole or
// not there at all. A file that cannot be read is an error and stays as it is: a
// new key would be another pod. Nobody else may use dir.
func Open(dir string, host network.Host) (*Identity, error) {
	id := &Identity{Host: host, dir: dir}
	left, _ := filepath.Glob(filepath.Join(dir, KeyFile+".*")) // of who was killed while it wrote
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove what is left of a key: %w", err)
		}
	}
	path := filepath.Join(dir, KeyFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := id.Change(time.Time{}); err != nil {
			return nil, fmt.Errorf("make the pod's key: %w", err)
		}
		return id, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the pod's key: %w", err)
	}
	if id.keys, err = parse(b); err != nil {
		return nil, fmt.Errorf("read the pod's key %s: %w", path, err)
	}
	return id, nil
}

// Keys are the key in use, and those before it, the newest first.
func (id *Identity) Keys() []*rsa.PrivateKey {
	id.mu.Lock()
	defer id.mu.Unlock()
	out := make([]*rsa.PrivateKey, len(id.keys))
	for i, k := range id.keys {
		out[i] = k.PrivateKey
	}
	return out
}

// Change makes a new key, which is the one in use when it is durable. The one before is
// kept until Forget.
func (id *Identity) Change(now time.Time) error {
	id.changing.Lock()
	defer id.changing.Unlock()
	keys := slices.Clone(id.keys) // only who has changing writes them
	if len(keys) == MostKeys {
		return &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("The key was changed %d times lately. Change it again when all friends know, or in some weeks.", MostKeys-1)}
	}
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		keys[0].replaced = now.UTC().Truncate(time.Second)
	}
	return id.set(slices.Insert(keys, 0, held{PrivateKey: key}))
}

// Forget removes old keys, the oldest first, up to one that is needed or was replaced
// after a time.
func (id *Identity) Forget(before time.Time, needed func(*rsa.PublicKey) bool) (n int, err error) {
	id.changing.Lock()
	defer id.changing.Unlock()
	keys := id.keys
	for last := len(keys) - 1; last > 0 && keys[last].replaced.Before(before) && !needed(&keys[last].PublicKey); last-- {
		keys = keys[:last]
		n++
	}
	if n == 0 {
		return 0, nil
	}
	return n, id.set(keys)
}

// set replaces the file, and then the keys.
func (id *Identity) set(keys []held) error {
	b, err := format(keys)
	if err != nil {
		return err
	}
	if err := replace(id.dir, b); err != nil {
		return err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.keys = keys
	return nil
}

func parse(b []byte) (keys []held, err error) {
	for {
		block, rest := pem.Decode(b)
		if block == nil && len(keys) > 0 && len(bytes.TrimSpace(b)) == 0 {
			return keys, nil
		}
		if block == nil || block.Type != pemType {
			return nil, errors.New("not a PEM block of a private key")
		}
		if len(keys) == MostKeys {
			return nil, errors.New("too many keys")
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		key, ok := parsed.(*rsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("a %T, not an RSA key", parsed)
		}
		k := held{PrivateKey: key}
		if len(keys) > 0 {
			if k.replaced, err = time.Parse(time.RFC3339, block.Headers[headerReplaced]); err != nil {
				return nil, fmt.Errorf("when an old key was replaced: %w", err)
			}
		}
		keys, b = append(keys, k), rest
	}
}

func format(keys []held) ([]byte, error) {
	var out bytes.Buffer
	for i, k := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(k.PrivateKey)
		if err != nil {
			return nil, err
		}
		block := &pem.Block{Type: pemType, Bytes: der}
		if i > 0 {
			block.Headers = map[string]string{headerReplaced: k.replaced.Format(time.RFC3339)}
		}
		if err := pem.Encode(&out, block); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// replace writes the file whole or not at all, and returns when it is durable.
func replace(dir string, b []byte) error {
	f, err := os.CreateTemp(dir, KeyFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is left of it after the rename
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, KeyFile)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
