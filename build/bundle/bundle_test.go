package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kinopod/webapp/bundle"
)

// compileHello compiles a small program for browsers.
func compileHello(t *testing.T, ldflags string) []byte {
	t.Helper()
	dir := t.TempDir()
	source, out := filepath.Join(dir, "hello.go"), filepath.Join(dir, "hello.wasm")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"encoding/json\"\n\nfunc main() { println(json.Valid(nil)) }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags="+ldflags, "-o", out, source)
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is given to people is what the linker makes with -s -w.
func TestWithoutNames(t *testing.T) {
	named, stripped := compileHello(t, "-w -buildid="), compileHello(t, "-s -w -buildid=")
	got, err := withoutNames(named)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, stripped) {
		t.Errorf("%d bytes with names, %d without, the linker makes %d", len(named), len(got), len(stripped))
	}
	parts, err := partsOf(named)
	if err != nil {
		t.Fatal(err)
	}
	sum, names := int64(0), map[string]bool{}
	for _, p := range parts {
		sum += p.bytes
		names[p.name] = true
	}
	if whole := int64(len(stripped)); sum < whole*9/10 || sum > whole {
		t.Errorf("the parts are %d bytes of %d", sum, whole)
	}
	if !names["data of all"] || !names["code of runtime"] || !names["code of encoding/json"] {
		t.Errorf("parts: %v", names)
	}
}

func TestNotAModule(t *testing.T) {
	for _, s := range []string{"", "\x00asm", "not a module at all", "\x00asm\x01\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x00asm\x01\x00\x00\x00\x0a\x7fx"} {
		if _, err := withoutNames([]byte(s)); err == nil {
			t.Errorf("%q: taken", s)
		}
	}
}

func TestGroup(t *testing.T) {
	for in, want := range map[string]string{
		"kinopod_webapp_page.__watch_.Render": "kinopod/webapp/page", "kinopod_shared_api.get": "the rest of kinopod", "runtime.gcStart": "runtime",
		"encoding_json.Marshal": "encoding/json", "github.com_google_uuid.New": "other modules", "net_url.Parse": "the rest of the standard library",
	} {
		if got := group(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// An unchanged tree is only looked at; whatever the app is compiled from changes the
// stamp, and what is served beside it does not.
func TestStamp(t *testing.T) {
	root := t.TempDir()
	put := func(path, content string) {
		t.Helper()
		file := filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"go.mod", "go.sum", "shared/api/api.go", "webapp/page/home.go", "webapp/webapp.go", "webapp/static/boot.js", "build/bundle/lean.go", "webapp/page/home_test.go"} {
		put(path, path)
	}
	b := builder{root: root, quality: 11}
	stamp := func() string {
		t.Helper()
		s, err := b.stamp()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := stamp()
	for path, changes := range map[string]bool{
		"webapp/static/boot.js": false, "webapp/webapp.go": false, "webapp/page/home_test.go": false, "webapp/bundle/files/app.wasm.br": false,
		"webapp/page/home.go": true, "shared/api/api.go": true, "go.sum": true, "webapp/player/stream_worker.js": true,
	} {
		put(path, "changed")
		if second := stamp(); (second != first) != changes {
			t.Errorf("%s changes the stamp: %v, want %v", path, !changes, changes)
		} else {
			first = second
		}
	}
}

func TestReport(t *testing.T) {
	over := bundle.Info{Version: strings.Repeat("0", 64), Brotli: budget + 1, Quality: 11}
	if report(io.Discard, over) == nil {
		t.Error("over the budget and no error")
	}
	over.Brotli = budget
	if err := report(io.Discard, over); err != nil {
		t.Error(err)
	}
}
