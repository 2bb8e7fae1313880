// Command bundle builds the web app: the WebAssembly, compressed, and the script of
// the Go release that starts it, where kinopod/webapp/bundle embeds them. It prints
// what that weighs and what it is made of. Nothing is built twice: with unchanged
// sources it only looks, with an unchanged WebAssembly it does not compress again.
//
//	go run ./build/bundle
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"

	"kinopod/webapp/bundle"
)

// budget is the most that the compressed app may weigh, in bytes.
const budget = 1_800_000

func main() {
	out := flag.String("out", filepath.FromSlash(outDir), "folder for the bundle")
	quality := flag.Int("quality", brotli.BestCompression, "of brotli, 0 to 11; less than 11 is for trying things out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *out, *quality); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

// Places in the repository.
const (
	outDir  = "webapp/bundle/files"
	command = "./webapp/cmd/app"
)

// inputs are what the WebAssembly is made of, beside the modules that go.sum names.
var inputs = []string{"go.mod", "go.sum", "shared", "webapp", "build/bundle"}

func run(ctx context.Context, out io.Writer, dir string, quality int) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root, dir)
	}
	b := builder{root: root, dir: dir, quality: quality}
	b.old, _ = bundle.ReadInfo(os.DirFS(dir)) // none, or of no use: it is built
	stamp, err := b.stamp()
	if err != nil {
		return err
	}
	if stamp == b.old.Inputs {
		return report(out, b.old)
	}
	info, parts, err := b.build(ctx)
	if err != nil {
		return err
	}
	info.Inputs, info.Quality = stamp, quality
	if err := b.writeInfo(info); err != nil {
		return err
	}
	printParts(out, parts)
	return report(out, info)
}

// findRoot gives the folder of go.mod, at or above where the command runs.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("there is no go.mod here or above")
		}
		dir = up
	}
}

type builder struct {
	root    string // of the repository
	dir     string // where the bundle goes
	quality int    // of brotli
	old     bundle.Info
}

// stamp is a hash over what the app is built from.
func (b *builder) stamp() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), b.quality) // the go command that runs this compiles the app too
	for _, input := range inputs {
		err := filepath.WalkDir(filepath.Join(b.root, input), func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() || !isInput(path) {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("read source: %w", err)
			}
			fmt.Fprintf(sum, "%s %x\n", strings.TrimPrefix(path, b.root), sha256.Sum256(content))
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("walk sources: %w", err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// isInput holds for files that can be compiled or embedded into the app. What serves it
// is not: package webapp itself, static and bundle.
func isInput(path string) bool {
	path = filepath.ToSlash(path)
	for _, not := range []string{"/webapp/bundle/", "/webapp/static/", "/testdata/"} {
		if strings.Contains(path, not) {
			return false
		}
	}
	return !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(filepath.ToSlash(filepath.Dir(path)), "/webapp")
}

// build compiles, and compresses if what comes out is new.
func (b *builder) build(ctx context.Context) (bundle.Info, []part, error) {
	var info bundle.Info
	compiled, support, err := b.compile(ctx)
	if err != nil {
		return info, nil, err
	}
	parts, err := partsOf(compiled)
	if err != nil {
		return info, nil, err
	}
	stripped, err := withoutNames(compiled)
	if err != nil {
		return info, nil, err
	}
	sum := sha256.Sum256(append(bytes.Clone(stripped), support...))
	info = bundle.Info{Version: hex.EncodeToString(sum[:]), Raw: int64(len(stripped)), Brotli: b.old.Brotli, Gzip: b.old.Gzip}
	if info.Version == b.old.Version && b.quality == b.old.Quality {
		return info, parts, nil
	}
	br, err := packBrotli(stripped, b.quality)
	if err != nil {
		return info, nil, err
	}
	gz, err := packGzip(stripped)
	if err != nil {
		return info, nil, err
	}
	info.Brotli, info.Gzip = int64(len(br)), int64(len(gz))
	for name, content := range map[string][]byte{bundle.Brotli: br, bundle.Gzip: gz, bundle.Support: support} {
		if err := b.write(name, content); err != nil {
			return info, nil, err
		}
	}
	return info, parts, nil
}

// compile gives the WebAssembly with the names of its functions, and the script that
// the Go release has for starting it.
func (b *builder) compile(ctx context.Context) (wasm, support []byte, err error) {
	dir, err := os.MkdirTemp("", "kinopod-bundle-*")
	if err != nil {
		return nil, nil, fmt.Errorf("make temporary folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays is in the system's temporary folder
	lean, err := b.leanFlags(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "app.wasm")
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-trimpath", "-ldflags=-w -buildid=", "-o", file}, lean, []string{command})...)
	cmd.Dir, cmd.Stderr = b.root, os.Stderr
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return nil, nil, fmt.Errorf("compile %s: %w", command, err)
	}
	if wasm, err = os.ReadFile(file); err != nil {
		return nil, nil, fmt.Errorf("read what was compiled: %w", err)
	}
	goroot, err := goOutput(ctx, b.root, "env", "GOROOT")
	if err != nil {
		return nil, nil, err
	}
	if support, err = os.ReadFile(filepath.Join(goroot, "lib", "wasm", bundle.Support)); err != nil {
		return nil, nil, fmt.Errorf("read the script of this Go release: %w", err)
	}
	return wasm, support, nil
}

func goOutput(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func packBrotli(b []byte, quality int) ([]byte, error) {
	var out bytes.Buffer
	// A window of 16 MiB holds the whole app; 24 is the most that browsers take.
	w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: quality, LGWin: 24})
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes(), nil
}

func packGzip(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes(), nil
}

// writeInfo is the last step: with it the bundle is whole.
func (b *builder) writeInfo(info bundle.Info) error {
	content, err := json.MarshalIndent(info, "", "\t")
	if err != nil {
		return fmt.Errorf("write %s: %w", bundle.Manifest, err)
	}
	return b.write(bundle.Manifest, append(content, '\n'))
}

func (b *builder) write(name string, content []byte) error {
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path+".new", content, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// report prints the weight, and fails where it is over the budget.
func report(out io.Writer, i bundle.Info) error {
	fmt.Fprintf(out, "web app %s: brotli %.3f MB, gzip %.3f MB, unpacked %.1f MB (budget: brotli %.1f MB)\n",
		i.Version[:8], mega(i.Brotli), mega(i.Gzip), mega(i.Raw), mega(budget))
	if i.Brotli > budget && i.Quality == brotli.BestCompression {
		return fmt.Errorf("the web app weighs %d bytes, the budget is %d", i.Brotli, budget)
	}
	return nil
}

func mega(n int64) float64 { return float64(n) / 1e6 }
