package webapp

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"

	"kinopod/shared/api"
	"kinopod/webapp/bundle"
	"kinopod/webapp/piecestore"
	"kinopod/webapp/player"
	"kinopod/webapp/static"
)

// Paths of files that are named in more than one place.
const (
	pathStyles   = "/web/app.css"
	pathBoot     = "/web/boot.js"
	pathWasm     = "/web/app.wasm"
	pathManifest = "/manifest.webmanifest"
	pathWorker   = "/app-worker.js"
	iconLarge    = "/web/icons/icon-512.png"
)

// files are the files of the app, ready to be sent.
type files struct{ byPath map[string]*file }

// file is one file in the encodings that are worth it. It does not change.
type file struct {
	contentType      string
	identity, br, gz []byte // identity is nil where only the compressed forms are kept
	version          string // hexadecimal hash of the content
}

// address gives the address of a file, with its version: what it names never changes.
func (f *files) address(path string) string {
	if file, ok := f.byPath[path]; ok {
		return path + "?v=" + file.version
	}
	return path
}

func loadFiles(o Options) (*files, error) {
	f := &files{byPath: map[string]*file{}}
	if err := f.addBundle(o.Bundle); err != nil {
		return nil, err
	}
	f.add(pathStyles, "text/css; charset=utf-8", []byte(static.Styles()))
	f.add(piecestore.WorkerPath, javascript, []byte(piecestore.WorkerScript))
	for name, b := range static.Icons() {
		f.add("/web/icons/"+name, iconType(name), b)
	}
	m, err := manifest(o.Name, f)
	if err != nil {
		return nil, err
	}
	f.add(pathManifest, "application/manifest+json", m)
	f.addWorker()
	return f, nil
}

const javascript = "text/javascript; charset=utf-8"

func iconType(name string) string {
	if path.Ext(name) == ".svg" {
		return "image/svg+xml"
	}
	return "image/png"
}

// addBundle adds the WebAssembly, and the script that starts it.
func (f *files) addBundle(b fs.FS) error {
	info, err := bundle.ReadInfo(b)
	if err != nil {
		return err
	}
	wasm := &file{contentType: "application/wasm", version: short(info.Version)}
	if wasm.br, err = fs.ReadFile(b, bundle.Brotli); err != nil {
		return fmt.Errorf("read bundle: %w", err)
	}
	if wasm.gz, err = fs.ReadFile(b, bundle.Gzip); err != nil {
		return fmt.Errorf("read bundle: %w", err)
	}
	f.byPath[pathWasm] = wasm
	support, err := fs.ReadFile(b, bundle.Support)
	if err != nil {
		return fmt.Errorf("read bundle: %w", err)
	}
	f.add(pathBoot, javascript, append(append(support, '\n'), static.Boot()...))
	return nil
}

// addWorker adds the service worker. Its version changes with any file that it keeps.
func (f *files) addWorker() {
	kept := []string{"/offline", pathManifest, piecestore.WorkerPath}
	for _, p := range slices.Sorted(maps.Keys(f.byPath)) {
		if p != pathWasm && p != pathManifest && p != piecestore.WorkerPath {
			kept = append(kept, f.address(p))
		}
	}
	all := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(f.byPath)) {
		fmt.Fprintln(all, f.address(p))
	}
	list, err := json.Marshal(kept)
	if err != nil {
		panic(err) // strings can be written as JSON
	}
	known := strings.NewReplacer(
		"KINOPOD_VERSION", short(hex.EncodeToString(all.Sum(nil))), "KINOPOD_FILES", string(list), "KINOPOD_WASM", f.address(pathWasm),
		"KINOPOD_HAND_OVER", strconv.Itoa(api.HandOver), "KINOPOD_FIRST_HAND_OVER", strconv.Itoa(api.FirstHandOver),
	)
	f.add(pathWorker, javascript, []byte(known.Replace(player.StreamWorker+"\n"+static.Worker())))
}

// manifest is the web app manifest.
func manifest(name string, f *files) ([]byte, error) {
	type icon struct {
		Src     string `json:"src"`
		Sizes   string `json:"sizes"`
		Type    string `json:"type"`
		Purpose string `json:"purpose,omitempty"`
	}
	type shortcut struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	if name == "" {
		name = "Kinopod"
	}
	b, err := json.Marshal(map[string]any{
		"id": "/", "name": name, "short_name": name, "description": "Videos that every viewer helps to carry.", "lang": "en", "dir": "ltr",
		"start_url": "/", "scope": "/", "display": "standalone", "background_color": colorDark, "theme_color": colorDark,
		"categories": []string{"entertainment", "video"},
		"icons": []icon{
			{f.address("/web/icons/icon.svg"), "any", "image/svg+xml", ""},
			{f.address("/web/icons/icon-192.png"), "192x192", "image/png", ""},
			{f.address(iconLarge), "512x512", "image/png", ""},
			{f.address("/web/icons/maskable-192.png"), "192x192", "image/png", "maskable"},
			{f.address("/web/icons/maskable-512.png"), "512x512", "image/png", "maskable"},
		},
		"shortcuts": []shortcut{{"Upload a video", "/upload"}, {"Your account", "/account"}},
	})
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return b, nil
}

// short is as much of a hash as names a file in an address.
func short(hash string) string { return hash[:min(16, len(hash))] }

// add adds a file and compresses it where that helps.
func (f *files) add(path, contentType string, content []byte) {
	sum := sha256.Sum256(content)
	file := &file{contentType: contentType, identity: content, version: short(hex.EncodeToString(sum[:]))}
	if contentType != "image/png" {
		file.br, file.gz = compressBrotli(content), compressGzip(content)
	}
	f.byPath[path] = file
}

func compressBrotli(b []byte) []byte {
	var out bytes.Buffer
	// The files are small. A greater window takes 32 MB for each, and makes them larger.
	w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 9, LGWin: 16})
	_, _ = w.Write(b) // to memory: does not fail
	_ = w.Close()
	return out.Bytes()
}

func compressGzip(b []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed+4)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = w.Write(b) // to memory: does not fail
	_ = w.Close()
	return out.Bytes()
}

// serve answers a request for the file.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", `"`+f.version+`"`)
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == f.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), f.version) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	body, err := f.encoded(h, r)
	if err != nil {
		http.Error(w, "The file could not be read.", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error is the client's leaving
	}
}

// encoded chooses what to send, and says in h how it is encoded.
func (f *file) encoded(h http.Header, r *http.Request) ([]byte, error) {
	switch {
	case f.br != nil && accepts(r, "br"):
		h.Set("Content-Encoding", "br")
		return f.br, nil
	case f.gz != nil && accepts(r, "gzip"):
		h.Set("Content-Encoding", "gzip")
		return f.gz, nil
	case f.identity != nil:
		return f.identity, nil
	}
	// A client that takes no compression is rare, and the app is large: it is unpacked
	// for each of them.
	z, err := gzip.NewReader(bytes.NewReader(f.gz))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return b, nil
}

// accepts says whether the client takes an encoding.
func accepts(r *http.Request, encoding string) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) == encoding {
			q := strings.ReplaceAll(params, " ", "")
			return !strings.HasPrefix(q, "q=0") || strings.Trim(q[3:], ".0") != ""
		}
	}
	return false
}

// send answers with a page.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	if accepts(r, "gzip") {
		body = compressGzip(body)
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error is the client's leaving
	}
}
