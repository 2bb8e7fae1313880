package search

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"  two   words ":                  "two words ",
		"two words":                       "two words",
		`"a phrase" more`:                 `"a phrase" more`,
		`“a phrase” -„not so“`:            `-"not so" "a phrase"`,
		`open "phrase`:                    `open "phrase"`,
		"Tag:Music":                       "tag:music",
		`tag:"Science  Fiction" by:"A B"`: `tag:"science fiction" by:"a b"`,
		"-origin:POD.example:8080 x":      "-origin:pod.example:8080 x",
		"by:Élodie@pod.example":           "by:elodie origin:pod.example",
		"duration:<10m":                   "duration:..599s",
		"duration:10m..1h age:<=7d":       "duration:600s..3600s age:..604800s",
		"length:>1h30m duration:<2h":      "duration:5401s..7199s",
		"duration:5":                      "duration:300s..359s",
		"duration:1:30:00..":              "duration:5400s..",
		"after:2026-01 before:2027":       "after:2026-01-01 before:2027-01-01",
		"age:<1y since:2020-02-02":        "age:..31535999s after:2020-02-02",
		"colour:red":                      "colour:red",
		"duration:long":                   "duration:long",
		"duration:<0s":                    "duration:<0s",
		"origin:no/host":                  "origin:no/host",
		"tag: x":                          "tag: x",
		"-":                               "",
		"- -- !!! ?":                      "",
		"a\x00b\xffc":                     "a b c",
		"after:0001-01-01":                "after:0001-01-01",
	} {
		q := Parse(text)
		if got := q.String(); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
		if again := Parse(want); !reflect.DeepEqual(again, q) {
			t.Errorf("%q: %+v is not %+v", text, again, q)
		}
	}
	long := Parse(strings.Repeat("word ", 1000) + strings.Repeat("-no ", 50))
	if n := len(long.Texts); n != MaxWords {
		t.Errorf("%d words are left", n)
	}
}

// FuzzParse reads any text as a query, which is the same when it is written and read
// again, and can be searched.
func FuzzParse(f *testing.F) {
	x := newIndex(f)
	_, videos := corpus(f)
	for i, v := range videos {
		if x.Put(v); i%30 == 0 {
			x.settle(1)
		}
	}
	for _, line := range lines(f, "queries.txt") {
		query, _, _ := strings.Cut(line, " => ")
		f.Add(query, "")
	}
	f.Add(`by:"x" -tag:y duration:1..2 "`, "AQAAAAAA")
	f.Fuzz(func(t *testing.T, text, cursor string) {
		q := Parse(text)
		s := q.String()
		if !utf8.ValidString(s) {
			t.Fatalf("%q is written %q", text, s)
		}
		if again := Parse(s); len(s) <= MaxQuery && !reflect.DeepEqual(again, q) {
			t.Fatalf("%q is written %q:\n%+v\n%+v", text, s, q, again)
		}
		if _, err := x.Search(context.Background(), q, cursor, 10); err != nil && cursor == "" {
			t.Fatal(err)
		}
		x.Suggest(context.Background(), text, 5)
	})
}

func TestSuggest(t *testing.T) {
	keys, videos := corpus(t)
	x := newIndex(t)
	for i, v := range videos {
		if x.Put(v); i == 70 {
			x.settle(1)
		}
	}
	for _, c := range []struct{ text, queries, first string }{
		{"kub", "kubernetes", "kubernetes"},
		{"guitar le", "guitar lesson", "guitar2"},
		{"Quantum me", "Quantum mechanics", "quantum2"},
		{`"new york" wa`, `"new york" walking`, "newyork"},
		{"reyk", "reykjavik", "reykjavik"},
		{"iceland volc", "iceland volcano", "volcano"},
		{"東京タ", "", "tokyotower"},
		{"犬", "", "akita"},
		{"x", "", ""},
		{"", "", ""},
		{"done ", "", ""},
		{"xyzxyz", "", ""},
	} {
		s := x.Suggest(context.Background(), c.text, 3)
		if got := strings.Join(s.Queries, ", "); got != c.queries {
			t.Errorf("%q is completed %q, want %q", c.text, got, c.queries)
		}
		first := ""
		if len(s.IDs) > 0 {
			first = keys[s.IDs[0]-1]
		}
		if c.first != "" && first != c.first {
			t.Errorf("%q finds %q first, want %q", c.text, first, c.first)
		}
		for _, q := range s.Queries {
			if len(find(t, x, q+" ")) == 0 {
				t.Errorf("%q is suggested, and finds nothing", q)
			}
		}
	}
}

// TestBounded asks what takes long: the work is limited, the newest videos are answered,
// and an ended context ends the search.
func TestBounded(t *testing.T) {
	x := newIndex(t)
	const n = 20_000
	for id := range uint32(n) {
		x.Put(Document{ID: id + 1, Name: fmt.Sprintf("aaa bbb ccc %d", id), Description: fmt.Sprintf("abc%d", id), Created: noon.Add(time.Duration(id) * time.Second)})
	}
	x.settle(1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v := x.view()
	defer v.release()
	p := compile(Parse("aaa bbb ab"), noon, 2)
	s := &search{ctx: ctx, plan: p, top: &top{limit: 10, after: hit{rank: ^uint64(0)}}, videos: make([]int, 3)}
	p.weights = []uint8{1, 1, 1}
	for _, seg := range v.segments {
		s.lookUp(seg)
	}
	s.work = maxWork - 3*n
	for _, part := range s.parts {
		if s.enough() {
			break
		}
		s.in(part)
	}
	if !s.cut || s.work > maxWork+8192*(judging+8) {
		t.Errorf("cut is %v after %d", s.cut, s.work-maxWork)
	}
	if r, err := x.Search(context.Background(), Parse("aaa -zzz duration:<1h"), "", 10); err != nil || r.Cut || len(r.IDs) != 10 || r.IDs[0] != n {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := x.Search(context.Background(), Query{}, "", 10); err != nil || len(r.IDs) > 0 {
		t.Errorf("the empty query finds %v, %v", r, err)
	}
	if r, err := x.Search(context.Background(), Parse("-aaa"), "", 10); err != nil || len(r.IDs) > 0 {
		t.Errorf("everything without everything finds %v, %v", r, err)
	}
}
