package federation

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"kinopod/shared/video"
)

func viewsMessages() map[string]any {
	counts := []ViewCount{{ID: film().ID, Count: 3}}
	return map[string]any{
		"views.request": ViewsRequest{Batch: 1_700_000_000_001, Views: counts, After: "1700000000000-7"},
		"views":         Views{Totals: []ViewCount{{ID: film().ID, Count: 0}}, Next: "1700000000000-8", More: true},
	}
}

func parseViewsMessage(name string, b []byte) (any, error) {
	if name == "views" {
		return ParseViews(b)
	}
	return ParseViewsRequest(b)
}

func TestGoldenViews(t *testing.T) {
	for name, want := range viewsMessages() {
		golden(t, name, want, func(b []byte) (any, error) { return parseViewsMessage(name, b) })
	}
}

func TestViewsThatAreNone(t *testing.T) {
	id := film().ID.String()
	many := make([]ViewCount, MaxViews)
	for i := range many {
		many[i] = ViewCount{ID: video.NewID("pod.example"), Count: maxCount}
	}
	for _, name := range []string{"views.request", "views"} {
		list := map[string]string{"views.request": "views", "views": "totals"}[name]
		for _, body := range []string{
			"", "[]", `{"` + list + `":[{}],"batch":1}`, `{"` + list + `":[{"id":"` + id + `","n":-1}],"batch":1}`,
			`{"` + list + `":[{"id":"` + id + `","n":1},{"id":"` + id + `","n":1}],"batch":1}`,
			`{"` + list + `":[{"id":"` + id + `","n":1e15}],"batch":1}`, `{"` + list + `":[{"id":"` + id + `","n":2000000000000000}],"batch":1}`,
			`{"` + list + `":` + string(mustJSON(append(many, ViewCount{ID: film().ID, Count: 1}))) + `,"batch":1}`,
			`{"after":"` + strings.Repeat("x", maxPlace+1) + `","next":"` + strings.Repeat("x", maxPlace+1) + `"}`,
		} {
			var r *Refusal
			if _, err := parseViewsMessage(name, []byte(body)); !errors.As(err, &r) || r.Reason != BadBody {
				t.Errorf("%s %.90s: %v", name, body, err)
			}
		}
	}
	for _, body := range []string{`{"batch":-1}`, `{"batch":9007199254740993}`, `{"views":[{"id":"` + id + `","n":1}]}`, `{"batch":1,"views":[{"id":"` + id + `","n":0}]}`} {
		var r *Refusal
		if _, err := ParseViewsRequest([]byte(body)); !errors.As(err, &r) || r.Reason != BadBody {
			t.Errorf("%s: %v", body, err)
		}
	}
	if b := mustJSON(ViewsRequest{Batch: maxMillis, Views: many, After: strings.Repeat("x", maxPlace)}); len(b) > MaxBody {
		t.Errorf("the longest batch is a body of %d bytes", len(b))
	}
}

func FuzzParseViews(f *testing.F) {
	for _, m := range viewsMessages() {
		f.Add(mustJSON(m))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, name := range []string{"views.request", "views"} {
			m, err := parseViewsMessage(name, body)
			if err != nil {
				continue
			}
			if again, err := parseViewsMessage(name, mustJSON(m)); err != nil || !bytes.Equal(mustJSON(again), mustJSON(m)) {
				t.Fatalf("%+v became %+v (%v)", m, again, err)
			}
		}
	})
}
