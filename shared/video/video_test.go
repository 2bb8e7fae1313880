package video

import (
	"strings"
	"testing"
	"time"
)

func TestID(t *testing.T) {
	for _, id := range []ID{{}, {15: 1}, NewID("pod.example"), {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
		got, err := ParseID(id.String())
		if err != nil || got != id {
			t.Errorf("ParseID(%s) = %v, %v", id, got, err)
		}
	}
	for _, s := range []string{"", "1", strings.Repeat("1", 21), strings.Repeat("z", 22), strings.Repeat("0", 22), strings.Repeat("1", 23)} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("ParseID(%q) is no error", s)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"  A\tname\n of\x00 two \u202e lines ": "A name of two lines",
		"<script>alert(1)</script>":            "<script>alert(1)</script>",
		strings.Repeat("ü", MaxName):           strings.Repeat("ü", MaxName),
	} {
		if got, err := CleanName(in); err != nil || got != want {
			t.Errorf("CleanName(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", " \n\x01", strings.Repeat("x", MaxName+1), strings.Repeat("x", 10000), "\xff"} {
		if got, err := CleanName(in); err == nil {
			t.Errorf("CleanName(%.20q) = %q, want an error", in, got)
		}
	}
	if got, err := CleanDescription("one\r\ntwo\x00\n\n three "); err != nil || got != "one\ntwo\n\n three" {
		t.Errorf("CleanDescription: %q, %v", got, err)
	}
	if got, err := CleanTags([]string{"#Go", "go ", "", "Two Words"}); err != nil || strings.Join(got, ",") != "go,two words" {
		t.Errorf("CleanTags: %q, %v", got, err)
	}
}

// TestIsLine: what is passed over as clean is what cleaning would leave as it is.
func TestIsLine(t *testing.T) {
	for in, want := range map[string]bool{
		"": true, "a b": true, "é ш 日本": true, "a-b_c": true,
		" ": false, " a": false, "a ": false, "a  b": false, "a\tb": false, "a\u00a0b": false, "a\u202eb": false, "a\x7f": false, "a\u0085": false, "\xff": false, "\ufffd": false,
	} {
		if clean, _ := cleanLine(in, 100); isLine(in, "") != want || want != (clean == in) {
			t.Errorf("%q: %v, cleaned %q", in, isLine(in, ""), clean)
		}
	}
	if isLine("a?b", "?") || !isLine("a?b", "!") {
		t.Error("the characters that are not to be there")
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"clip.MOV":                "clip.mp4",
		"../../etc/passwd":        "passwd.mp4",
		`C:\videos\my clip.mp4`:   "my clip.mp4",
		"":                        "video.mp4",
		"...":                     "video.mp4",
		"a\x00b\n<c>.mp4":         "ab c.mp4",
		"100% #1 & more?.webm":    "100 1 more.mp4",
		strings.Repeat("é", 9999): strings.Repeat("é", 98) + ".mp4",
	} {
		if got := FileName(in, MP4); got != want {
			t.Errorf("FileName(%.40q) = %q, want %q", in, got, want)
		}
	}
	if got := FileName("x.mp4", WebM); got != "x.webm" {
		t.Error(got)
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("../a.mp4")
	f.Fuzz(func(t *testing.T, s string) {
		got := FileName(s, MP4)
		if len(got) > MaxFileName || strings.ContainsAny(got, "/\\\x00") || strings.HasPrefix(got, ".") || FileName(got, MP4) != got {
			t.Fatalf("FileName(%q) = %q, then %q", s, got, FileName(got, MP4))
		}
	})
}

func TestValidate(t *testing.T) {
	good := func() Video {
		return Video{
			ID: NewID("pod.example"), Origin: "pod.example", Name: "n", Uploader: "u", Tags: []string{"a"}, Created: time.Now(), Duration: time.Second,
			Renditions: []Rendition{{Size: 1, MIME: MP4, FileName: "x.mp4"}},
		}
	}
	v := good()
	if err := v.Validate(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*Video){
		"id": func(v *Video) { v.ID = ID{} }, "origin": func(v *Video) { v.Origin = "https://x" }, "name": func(v *Video) { v.Name = " x" },
		"description": func(v *Video) { v.Description = strings.Repeat("x", 1001) }, "tags": func(v *Video) { v.Tags = []string{"a", "a"} },
		"created": func(v *Video) { v.Created = time.Time{} }, "duration": func(v *Video) { v.Duration = -1 }, "thumbnail": func(v *Video) { v.Thumbnail = "../x" },
		"renditions": func(v *Video) { v.Renditions = nil }, "size": func(v *Video) { v.Renditions[0].Size = 0 }, "mime": func(v *Video) { v.Renditions[0].MIME = "text/html" },
		"file name": func(v *Video) { v.Renditions[0].FileName = "../x.mp4" },
	} {
		v := good()
		if spoil(&v); v.Validate() == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
