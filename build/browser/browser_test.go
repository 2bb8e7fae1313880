package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Both browsers, through what they share.
func TestPagesShareNothing(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><title>x</title><script>console.log("hello", window.before); fetch("/other"); setTimeout(() => { throw new Error("oops") })</script>`))
	}))
	defer srv.Close()
	for name, open := range map[string]func(t *testing.T) func() (Tab, func(), error){"Chromium": chromium, "Firefox": firefox} {
		t.Run(name, func(t *testing.T) {
			page := open(t)
			var keys [2]int
			for i := range keys {
				p, done, err := page()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(done)
				must(t, p.OnNewDocument(`window.before = "you";`))
				must(t, p.Front())
				must(t, p.Size(360, 740))
				must(t, p.Open(srv.URL))
				if keys[i], err = Eval[int](p, `(localStorage.setItem("n" + Math.random(), "x"), localStorage.length)`); err != nil {
					t.Fatal(err)
				}
				must(t, p.Until(2*time.Minute, `document.title === "x" && innerWidth === 360`))
				end := time.Now().Add(2 * time.Minute)
				for _, want := range []string{"log: hello you", "exception: "} {
					for !strings.Contains(strings.Join(p.Console(), "\n"), want) {
						if time.Now().After(end) {
							t.Fatalf("console: %q", p.Console())
						}
						time.Sleep(10 * time.Millisecond)
					}
				}
				if want := []string{srv.URL + "/", srv.URL + "/other"}; !slices.Contains(p.Requests(), want[0]) || !slices.Contains(p.Requests(), want[1]) {
					t.Errorf("requests: %q", p.Requests())
				}
				if _, err := Eval[int](p, `undefined`); err == nil {
					t.Error("undefined is a number")
				}
				if v, err := Eval[any](p, `Promise.resolve(null)`); v != nil || err != nil {
					t.Errorf("null is %v, %v", v, err)
				}
				if _, err := Eval[int](p, `Promise.reject(new Error("no"))`); err == nil || !strings.Contains(err.Error(), "no") {
					t.Errorf("what was thrown: %v", err)
				}
				file := filepath.Join(t.TempDir(), "look.png")
				must(t, p.Screenshot(file))
				if png, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
					t.Errorf("the screenshot: %v", err)
				}
			}
			if keys != [2]int{1, 1} {
				t.Errorf("keys in local storage: %v", keys)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func chromium(t *testing.T) func() (Tab, func(), error) {
	b, err := Start(context.Background())
	must(t, err)
	t.Cleanup(b.Close)
	return func() (Tab, func(), error) { return b.Page() }
}

func firefox(t *testing.T) func() (Tab, func(), error) {
	f, err := StartFirefox(context.Background())
	must(t, err)
	t.Cleanup(func() {
		f.Close()
		if _, err := os.Stat(f.profile); !os.IsNotExist(err) {
			t.Errorf("the profile is still there: %v", err)
		}
	})
	return func() (Tab, func(), error) { return f.Page() }
}

func TestTabsOfOneViewer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><title>x</title>`))
	}))
	defer srv.Close()
	b, err := Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, done, err := b.Page()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Open(srv.URL); err != nil {
		t.Fatal(err)
	}
	if _, err := Eval[any](p, `localStorage.setItem("x", "1")`); err != nil {
		t.Fatal(err)
	}
	tab, closeTab, err := p.Beside()
	if err != nil {
		t.Fatal(err)
	}
	defer closeTab()
	if err := tab.Open(srv.URL); err != nil {
		t.Fatal(err)
	}
	if n, err := Eval[int](tab, `localStorage.length`); err != nil || n != 1 {
		t.Errorf("%d keys, %v", n, err)
	}
	done()
}
