package rules

import (
	"slices"
	"strings"
	"testing"
)

// TestTree is the import rule itself.
func TestTree(t *testing.T) {
	files, err := Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d files found: the check looks in the wrong place", len(files))
	}
	for _, b := range Check(files) {
		t.Error(b)
	}
}

func TestCheck(t *testing.T) {
	file := func(path string, imports ...string) File {
		return File{Path: path, Package: path[:strings.LastIndexByte(path, '/')], Imports: imports}
	}
	good := []File{
		file("shared/api/api.go", "net/http", "shared/video"),
		file("shared/video/video.go"),
		file("pod/catalog/catalog.go", "shared/video"),
		file("pod/catalog/catalogtest/suite.go", "pod/catalog"),
		file("pod/httpapi/server.go", "github.com/gofiber/fiber/v2", "pod/catalog"),
		file("pod/tracker/tracker.go", "github.com/gofiber/fiber/v2"),
		file("pod/pod.go", "pod/httpapi", "pod/catalog"),
		file("pod/cmd/kinopod/main.go", "pod", "webapp"),
		file("pod/podtest/podtest.go", "pod", "pod/httpapi", "webapp/page"),
		file("webapp/handler.go", "webapp/page", "github.com/maxence-charriere/go-app/v9/pkg/app"),
		file("webapp/page/page.go", "shared/api"),
		file("webapp/page/page_js.go", "syscall/js"),
		file("pod/httpapi/server_test.go", "pod/tracker", "github.com/chromedp/chromedp"),
	}
	if got := Check(good); len(got) > 0 {
		t.Errorf("refused: %q", got)
	}
	for _, bad := range []File{
		file("shared/api/bad.go", "pod/catalog"),
		file("shared/api/bad.go", "os"),
		file("pod/catalog/bad.go", "pod/httpapi"),
		file("pod/catalog/bad.go", "github.com/redis/go-redis/v9"),
		file("pod/httpapi/bad.go", "pod/tracker"),
		file("pod/httpapi/bad.go", "pod"),
		file("pod/bad.go", "webapp"),
		file("pod/bad.go", "github.com/gofiber/fiber/v2"),
		file("webapp/page/bad.go", "pod/catalog"),
		file("webapp/page/bad.go", "syscall/js"),
		file("pod/cmd/kinopod/bad.go", "pod/httpapi"),
		file("pod/seeder/bad.go", "github.com/chromedp/chromedp"),
	} {
		if got := Check(append(slices.Clone(good), bad)); len(got) != 1 {
			t.Errorf("%s with %q: %q", bad.Path, bad.Imports, got)
		}
	}
}
