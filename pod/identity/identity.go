// Package identity is who this pod is to other pods: its host and its RSA key
// (design.md, 4).
package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kinopod/shared/network"
)

// keyBits is the size of a new key.
const keyBits = 3072

// KeyFile is the name of the key in the data directory.
const KeyFile = "key.pem"

// pemType is that of PKCS #8.
const pemType = "PRIVATE KEY"

// Identity is a pod's host and key. It does not change while the pod runs.
type Identity struct {
	Host network.Host
	Key  *rsa.PrivateKey
}

// Open reads the key in dir, or makes one on the first run: mode 0600, whole or
// not there at all. A key that cannot be read is an error and stays as it is: a
// new one would be another pod.
func Open(dir string, host network.Host) (*Identity, error) {
	path := filepath.Join(dir, KeyFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = create(dir, path); err != nil {
			return nil, fmt.Errorf("make the pod's key: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read the pod's key: %w", err)
	}
	key, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("read the pod's key %s: %w", path, err)
	}
	return &Identity{Host: host, Key: key}, nil
}

func parse(b []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemType {
		return nil, errors.New("not a PEM block of a private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T, not an RSA key", parsed)
	}
	return key, nil
}

func create(dir, path string) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	f, err := os.CreateTemp(dir, KeyFile+".*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // nothing is left of it after the rename
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return b, os.Rename(f.Name(), path)
}
