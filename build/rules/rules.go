// Package rules checks what the tree promises of its imports (kinopod/pod,
// "Import rule"): which package may import which, and the one home of a library.
// Its test is the check.
package rules

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// File is one Go file and what it imports. Paths of the module are without
// "kinopod/".
type File struct {
	Path    string // slash-separated, from the module's root
	Package string // its directory
	Imports []string
}

// Test says whether the file is of a test. Tests join what they like: they run the
// real other end.
func (f File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Read parses the imports of every Go file below root.
func Read(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == "node_modules" || name == "testdata" || name == "data" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("read imports: %w", err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f := File{Path: filepath.ToSlash(rel), Package: filepath.ToSlash(filepath.Dir(rel))}
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.Imports = append(f.Imports, strings.TrimPrefix(name, "kinopod/"))
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// layer is a group of packages that may import what its row allows.
type layer string

const (
	shared    layer = "shared"
	knowledge layer = "what a pod knows"
	door      layer = "a door"
	joint     layer = "pod"
	command   layer = "the command"
	app       layer = "the web app"
	appServed layer = "the web app's handler"
	building  layer = "build"
	forTests  layer = "tests"
)

// mayImport says what each layer may import of this module. A package may always
// import those below itself (catalog and catalog/catalogtest).
var mayImport = map[layer][]layer{
	shared:    {shared},
	knowledge: {shared},
	door:      {shared, knowledge},
	joint:     {shared, knowledge, door},
	command:   {shared, knowledge, joint, appServed},
	app:       {shared, app, appServed},
	appServed: {shared, app, appServed},
	building:  {shared, knowledge, door, joint, command, app, appServed, building, forTests},
	forTests:  {shared, knowledge, door, joint, app, appServed, building, forTests},
}

// knows are the packages of rules: no Fiber, Redis, asynq or sockets.
var knows = []string{"config", "identity", "friends", "catalog", "search", "accounts", "federation", "container", "viewing", "views", "feed", "household"}

func layerOf(pkg string) layer {
	first, rest, _ := strings.Cut(pkg, "/")
	sub, _, _ := strings.Cut(rest, "/")
	switch {
	case first == "shared":
		return shared
	case first == "build":
		return building
	case pkg == "webapp":
		return appServed
	case first == "webapp":
		return app
	case pkg == "pod":
		return joint
	case sub == "cmd":
		return command
	case sub == "podtest" || sub == "e2e":
		return forTests
	case slices.Contains(knows, sub):
		return knowledge
	}
	return door
}

// joiner is package pod alone, without those below it.
const joiner = "=pod"

// homes are the packages that may import a library, by the prefix of its path.
var homes = map[string][]string{
	"github.com/gofiber/":                  {"pod/httpapi", "pod/tracker", "pod/inbox"},
	"github.com/valyala/fasthttp":          {"pod/httpapi", "pod/tracker"},
	"github.com/hibiken/asynq":             {"pod/publish", "pod/outbox", joiner}, // pod says where its Redis is
	"github.com/redis/go-redis/":           {"pod/redisstore"},
	"github.com/pion/":                     {"pod/seeder"},
	"github.com/go-jose/":                  {"pod/federation"},
	"github.com/tus/tusd/":                 {"pod/publish"},
	"github.com/prometheus/":               {"pod/httpapi"},
	"github.com/maxence-charriere/go-app/": {"webapp"},
	"github.com/alecthomas/kong":           {"pod/config", "pod/cmd"},
	"github.com/pelletier/go-toml/":        {"pod/config"},
	"github.com/chromedp/":                 {},
	"golang.org/x/text/":                   {"pod/search"},
	// bencode and metainfo are shared/torrent's; the client is the seeder's.
	"github.com/anacrolix/torrent/bencode":  {"shared/torrent", "shared/wire", "shared/announce", "pod/tracker"},
	"github.com/anacrolix/torrent/metainfo": {"shared/torrent", "pod/seeder"},
	"github.com/anacrolix/":                 {"pod/seeder"},
}

// notShared are packages of the standard library that open sockets or files:
// shared does neither (api.Client goes by net/http).
var notShared = []string{"net", "os", "os/exec", "database/sql", "syscall"}

// Check says what in files breaks the rules, one line each, sorted.
func Check(files []File) []string {
	var broken []string
	say := func(f File, format string, args ...any) {
		broken = append(broken, f.Path+": "+fmt.Sprintf(format, args...))
	}
	packages := map[string]bool{}
	for _, f := range files {
		packages[f.Package] = true
	}
	for _, f := range files {
		if f.Test() || layerOf(f.Package) == forTests {
			continue
		}
		for _, i := range f.Imports {
			if packages[i] {
				if why := wrongImport(f.Package, i); why != "" {
					say(f, "%s", why)
				}
				continue
			}
			if home, ok := homeOf(i); ok && !within(f.Package, home) && layerOf(f.Package) != building {
				say(f, "imports %s, whose home is %s", i, strings.Join(home, ", "))
			}
			if layerOf(f.Package) == shared && slices.Contains(notShared, i) {
				say(f, "imports %s: shared does no I/O", i)
			}
			if i == "syscall/js" && !strings.HasSuffix(f.Path, "_js.go") && layerOf(f.Package) != building {
				say(f, "imports syscall/js, whose home is *_js.go")
			}
		}
	}
	slices.Sort(broken)
	return broken
}

func wrongImport(from, to string) string {
	a, b := layerOf(from), layerOf(to)
	if strings.HasPrefix(to, from+"/") && from != "pod" && from != "webapp" || strings.HasPrefix(from, to+"/") && a == b {
		return ""
	}
	if !slices.Contains(mayImport[a], b) {
		return fmt.Sprintf("%s (%s) imports %s (%s)", from, a, to, b)
	}
	return ""
}

// homeOf is the home of the longest prefix.
func homeOf(path string) (home []string, ok bool) {
	longest := ""
	for prefix := range homes {
		if strings.HasPrefix(path, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return homes[longest], longest != ""
}

func within(pkg string, home []string) bool {
	return slices.ContainsFunc(home, func(h string) bool { return pkg == h || "="+pkg == h || strings.HasPrefix(pkg, h+"/") })
}
