// Package static is the files of the web app that are written by hand: style sheets,
// scripts, pictures.
package static

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed boot.js worker.js css icons
var files embed.FS

// Boot starts the app in a page.
func Boot() string { return read("boot.js") }

// Worker is the service worker but for what answers /stream/. KINOPOD_VERSION,
// KINOPOD_FILES and KINOPOD_WASM stand in it for what only the server knows.
func Worker() string { return read("worker.js") }

// Styles is the style sheet.
func Styles() string {
	names, err := fs.Glob(files, "css/*.css")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	var b strings.Builder
	for _, name := range names { // sorted: the numbers in the names are the order
		b.WriteString(read(name))
	}
	return b.String()
}

// Icons gives the pictures of the app by file name.
func Icons() map[string][]byte {
	icons := map[string][]byte{}
	entries, err := fs.ReadDir(files, "icons")
	if err != nil {
		panic(err) // the folder is embedded
	}
	for _, e := range entries {
		icons[e.Name()] = []byte(read("icons/" + e.Name()))
	}
	return icons
}

func read(name string) string {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err) // only names of what is embedded
	}
	return string(b)
}
