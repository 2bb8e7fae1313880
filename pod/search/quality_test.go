package search

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kinopod/shared/network"
)

// lines are those of a file of testdata that say something.
func lines(t testing.TB, name string) (out []string) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := s.Text(); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// corpus is testdata/videos.txt: keys, and the videos, whose ids are 1 and so on.
func corpus(t testing.TB) (keys []string, videos []Document) {
	t.Helper()
	for i, line := range lines(t, "videos.txt") {
		f := strings.Split(line, " | ")
		if len(f) != 7 {
			t.Fatalf("%q has %d fields", line, len(f))
		}
		by, origin, _ := strings.Cut(f[2], "@")
		duration, err := time.ParseDuration(f[4])
		if err != nil {
			t.Fatal(err)
		}
		created, err := time.Parse(time.DateOnly, f[5])
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(keys, f[0]) {
			t.Fatalf("%s is there twice", f[0])
		}
		keys = append(keys, f[0])
		videos = append(videos, Document{
			ID: uint32(i + 1), Name: f[1], Uploader: by, Origin: network.Host(origin),
			Tags: strings.Split(f[3], ", "), Duration: duration, Created: created, Description: f[6],
		})
	}
	return keys, videos
}

// TestQuality asks the questions of testdata/queries.txt: with all videos still fresh,
// in one segment, and in several.
func TestQuality(t *testing.T) {
	keys, videos := corpus(t)
	for how, settle := range map[string]int{"fresh": len(videos) + 1, "one segment": len(videos), "several": 40} {
		x := newIndex(t)
		for i, v := range videos {
			if x.Put(v); (i+1)%settle == 0 {
				x.settle(1)
			}
		}
		for _, line := range lines(t, "queries.txt") {
			query, want, ok := strings.Cut(line, " => ")
			if !ok {
				t.Fatalf("%q is no line of queries", line)
			}
			query = strings.ReplaceAll(query, "_", " ")
			var got []string
			for _, id := range find(t, x, query) {
				got = append(got, keys[id-1])
			}
			shown := got[:min(len(got), 6)]
			want, not, _ := strings.Cut(want, " !")
			if want == "none" {
				if len(got) > 0 {
					t.Errorf("%s: %q finds %q", how, query, shown)
				}
				continue
			}
			first := strings.Split(want, ", ")
			if len(got) < len(first) || !slices.Equal(got[:len(first)], first) {
				t.Errorf("%s: %q finds %q, want %q first", how, query, shown, first)
			}
			for _, key := range strings.Split(not, " !") {
				if key != "" && slices.Contains(got, key) {
					t.Errorf("%s: %q finds %s", how, query, key)
				}
			}
		}
	}
}
