package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPagesShareNothing(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><title>x</title><script>console.log("hello")</script>`))
	}))
	defer srv.Close()
	b, err := Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var keys [2]int
	for i := range keys {
		p, done, err := b.Page()
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		if err := p.Open(srv.URL); err != nil {
			t.Fatal(err)
		}
		if keys[i], err = Eval[int](p, `(localStorage.setItem("n" + Math.random(), "x"), localStorage.length)`); err != nil {
			t.Fatal(err)
		}
		if err := p.Until(time.Second, `document.title === "x"`); err != nil {
			t.Error(err)
		}
		if got := strings.Join(p.Console(), "\n"); !strings.Contains(got, "log: hello") {
			t.Errorf("console: %q", got)
		}
	}
	if keys != [2]int{1, 1} {
		t.Errorf("keys in local storage: %v", keys)
	}
}
