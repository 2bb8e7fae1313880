package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Some packages bring what no browser runs: go-app its web server, the bencode library
// a toolbox with metrics and databases, and all of them net/http with TLS and HTTP/2.
// The linker cannot leave it away, because package initialization reaches it; together
// it is a fifth of the download. So the app is compiled against copies of those packages
// without these files. It compiles without that as well (go build ./webapp/cmd/app with
// GOOS=js): if an update moves things, this is what fails, by a name that is missing.

// leanModule is a module that is compiled without some of its files.
type leanModule struct {
	path   string
	folder string // of the package in the module
	drop   func(file string) bool
	add    string // a file in their place, "" for none
}

//go:embed lean/goapp.go.txt
var leanGoApp string

func leanModules() []leanModule {
	return []leanModule{
		{
			path: "github.com/maxence-charriere/go-app/v9", folder: "pkg/app", add: leanGoApp,
			drop: func(file string) bool {
				return slices.Contains([]string{"http.go", "resource.go", "route.go", "wasm.go"}, file)
			},
		},
		{
			path: "github.com/anacrolix/missinggo", folder: ".",
			drop: func(file string) bool { return file != "empty_value.go" },
		},
	}
}

// leanStandard says which files stay of net/http: methods and status codes.
func leanStandard(file string) bool { return file == "method.go" || file == "status.go" }

// leanFlags prepares the copies in dir and gives the flags with which the go command
// uses them.
func (b *builder) leanFlags(ctx context.Context, dir string) ([]string, error) {
	mod, err := os.ReadFile(filepath.Join(b.root, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("read go.mod: %w", err)
	}
	for i, m := range leanModules() {
		to := filepath.Join(dir, fmt.Sprint("module", i))
		if err := m.copy(ctx, b.root, to); err != nil {
			return nil, fmt.Errorf("copy %s: %w", m.path, err)
		}
		mod = fmt.Appendf(mod, "\nreplace %s => %s\n", m.path, to)
	}
	sum, err := os.ReadFile(filepath.Join(b.root, "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("read go.sum: %w", err)
	}
	overlay, err := leanOverlay(ctx)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"go.mod": mod, "go.sum": sum, "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return []string{"-modfile=" + filepath.Join(dir, "go.mod"), "-overlay=" + filepath.Join(dir, "overlay.json")}, nil
}

// copy copies a module from the module cache, without what is dropped and its tests.
func (m leanModule) copy(ctx context.Context, root, to string) error {
	// On a new machine nothing has needed the module before.
	if _, err := goOutput(ctx, root, "mod", "download", m.path); err != nil {
		return err
	}
	from, err := goOutput(ctx, root, "list", "-m", "-f", "{{.Dir}}", m.path)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if rel != "go.mod" && !m.keeps(rel) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o644)
	})
	if err != nil || m.add == "" {
		return err
	}
	return os.WriteFile(filepath.Join(to, m.folder, "lean.go"), []byte(m.add), 0o644)
}

// keeps says whether a file stays, by its path in the module.
func (m leanModule) keeps(file string) bool {
	if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
		return false
	}
	return filepath.Dir(file) != filepath.FromSlash(m.folder) || !m.drop(filepath.Base(file))
}

// leanOverlay makes the go command see net/http without most of its files.
func leanOverlay(ctx context.Context) ([]byte, error) {
	goroot, err := goOutput(ctx, ".", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(goroot, "src", "net", "http", "*.go"))
	if err != nil {
		return nil, fmt.Errorf("list net/http: %w", err)
	}
	replace := map[string]string{}
	for _, f := range files {
		if !leanStandard(filepath.Base(f)) {
			replace[f] = "" // is not there
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, fmt.Errorf("write overlay: %w", err)
	}
	return overlay, nil
}
