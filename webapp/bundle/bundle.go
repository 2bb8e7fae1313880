// Package bundle is the built web app as it goes into the pod's binary.
package bundle

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// Names of the files in a bundle.
const (
	Brotli   = "app.wasm.br"
	Gzip     = "app.wasm.gz"
	Support  = "wasm_exec.js" // of the Go release that compiled the app
	Manifest = "bundle.json"  // an Info
)

// Info says what a bundle is.
type Info struct {
	Version string `json:"version"` // hexadecimal hash of the WebAssembly and its support
	Raw     int64  `json:"raw"`     // bytes of the WebAssembly
	Brotli  int64  `json:"brotli"`  // bytes of it compressed
	Gzip    int64  `json:"gzip"`
	Quality int    `json:"quality"` // of brotli, 11 for what is given to people
	Inputs  string `json:"inputs"`  // hash of what it was built from; of use to the builder only
}

// ErrNotBuilt is what Open wraps when the binary was made without the web app.
var ErrNotBuilt = errors.New("the web app is not built: go run ./build/bundle, then build again")

//go:embed all:files
var files embed.FS

// Open gives the files of the bundle that this program was built with.
func Open() (fs.FS, error) {
	sub, err := fs.Sub(files, "files")
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	if _, err := ReadInfo(sub); err != nil {
		return nil, err
	}
	return sub, nil
}

// ReadInfo reads the Manifest of a bundle.
func ReadInfo(files fs.FS) (Info, error) {
	b, err := fs.ReadFile(files, Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, ErrNotBuilt
	}
	if err != nil {
		return Info{}, fmt.Errorf("read bundle: %w", err)
	}
	var in Info
	if err := json.Unmarshal(b, &in); err != nil || in.Version == "" {
		return Info{}, fmt.Errorf("read %s: %w", Manifest, errors.Join(ErrNotBuilt, err))
	}
	return in, nil
}
