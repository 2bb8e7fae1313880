//go:build !js

package upload

import (
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Five parts in a row are lost whole, and all that was sent stays within 101 %.
func TestPaceStaysInBudget(t *testing.T) {
	for _, size := range []int64{1 << 20, 3 << 20, 20 << 20, 100 << 20, 1 << 30, 20 << 30} {
		for _, p := range []pace{{}, {rate: 1e5, trip: 10 * time.Millisecond}, {rate: 1e8, trip: 300 * time.Millisecond}} {
			l := ledger{size: size, received: size / 3, sent: size / 3}
			for range 5 {
				n := p.next(l)
				if n < minPart(size) || n > maxPart {
					t.Fatalf("a part of %d bytes", n)
				}
				l.sent += n // lost
			}
			if l.wasted() > size/100 {
				t.Fatalf("%d bytes of %d were wasted", l.wasted(), size)
			}
		}
	}
}

func TestPaceFollowsTheLine(t *testing.T) {
	l := ledger{size: 4 << 30}
	slow := pace{rate: 200e3, trip: 30 * time.Millisecond}
	far := pace{rate: 12e6, trip: 200 * time.Millisecond}
	if n := slow.next(l); time.Duration(float64(n)/slow.rate*float64(time.Second)) > longest {
		t.Errorf("a part of %d bytes lasts too long", n)
	}
	if n := far.next(l); n != maxPart {
		t.Errorf("a far line gets parts of %d bytes", n)
	}
	if n := (&pace{}).next(l); n != firstPart {
		t.Errorf("the first part has %d bytes", n)
	}
	l.received = l.size - 5
	if n := far.next(l); n != 5 {
		t.Errorf("the last part has %d bytes", n)
	}
	far.failed()
	l.received = 0
	if n := far.next(l); n != probePart {
		t.Errorf("after a failure a part has %d bytes", n)
	}
	far.finished(probePart, time.Second)
	if far.next(l) == probePart || far.rate != 12e6 {
		t.Error("a part that only tried changed the rate")
	}
}

func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(0, 0)
	m.add(0, now)
	for range 40 {
		now = now.Add(100 * time.Millisecond)
		m.add(100_000, now)
	}
	if m.rate < 0.95e6 || m.rate > 1.05e6 {
		t.Fatalf("%.0f bytes a second", m.rate)
	}
	if left := m.left(10_000_000); left < 9*time.Second || left > 11*time.Second {
		t.Fatalf("%s left", left)
	}
	for range 100 { // ten times slower
		now = now.Add(100 * time.Millisecond)
		m.add(10_000, now)
	}
	if m.rate > 0.2e6 {
		t.Fatalf("%.0f bytes a second, long after the line became slow", m.rate)
	}
	if (&meter{}).left(1) != 0 {
		t.Fatal("a time without a rate")
	}
}

func TestKindOf(t *testing.T) {
	webm := "\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1fB\x86\x81\x01B\x82\x84webm"
	for name, c := range map[string]struct{ head, mime, says string }{
		"mp4":     {"\x00\x00\x00\x18ftypisom", video.MP4, ""},
		"mov":     {"\x00\x00\x00\x14ftypqt  ", video.MP4, ""}, // the pod looks into it
		"webm":    {webm, video.WebM, ""},
		"mkv":     {strings.Replace(webm, "webm", "matroska", 1), "", "Matroska"},
		"avi":     {"RIFF\x00\x00\x00\x00AVI LIST", "", "AVI"},
		"heic":    {"\x00\x00\x00\x18ftypheic", "", "picture"},
		"mp3":     {"ID3\x03\x00", "", "sound"},
		"html":    {"<!doctype html>", "", "not a video"},
		"short":   {"a", "", "not a video"},
		"nothing": {"", "", "not a video"},
	} {
		mime, err := kindOf("file", []byte(c.head))
		if mime != c.mime || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v", name, mime, err)
		}
		if err != nil && !api.Is(err, api.CodeUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDetails(t *testing.T) {
	for file, name := range map[string]string{
		"My_film.final.mp4":             "My film.final",
		".mp4":                          ".mp4",
		"___.webm":                      "Untitled",
		"a\x00b\u202ec.mp4":             "a b c",
		strings.Repeat("ü", 300) + ".m": strings.Repeat("ü", video.MaxName),
	} {
		if d := detailsOf(file); d.Name != name {
			t.Errorf("%q: %q", file, d.Name)
		}
		if _, err := detailsOf(file).clean(10, fields{}); err != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
	for _, bad := range []Details{
		{},
		{Name: " \n"},
		{Name: strings.Repeat("a", 121)},
		{Name: "a", Description: strings.Repeat("a", 11)},
		{Name: "a", Tags: strings.Repeat("t", 32)},
		{Name: "a", Tags: "1,2,3,4,5,6,7,8,9,10,11,12,13"},
	} {
		if _, err := bad.clean(10, fields{}); !api.Is(err, api.CodeInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	f, err := Details{Name: " A  name ", Description: " About\n", Tags: "#Sea, sea,, Sky"}.clean(10, fields{})
	if err != nil || f.name != "A name" || f.description != "About" || strings.Join(f.tags, "|") != "sea|sky" {
		t.Fatalf("%+v, %v", f, err)
	}
	if _, ok := f.edit(f); ok {
		t.Error("nothing changed, and there is an edit")
	}
	if in, ok := (fields{name: "A name", description: "About"}).edit(f); !ok || in.Name != nil || in.Description != nil || in.Tags == nil || *in.Tags == nil || len(*in.Tags) != 0 {
		t.Errorf("tags were taken away: %+v", in)
	}
}

func TestBestPicture(t *testing.T) {
	black, gray, film := make([]byte, 4*100), make([]byte, 4*100), make([]byte, 4*100)
	for i := range film {
		gray[i] = 128
		film[i] = byte(i * 7)
	}
	p := func(rgba ...[]byte) (out []Picture) {
		for _, b := range rgba {
			out = append(out, Picture{Contrast: contrast(b)})
		}
		return out
	}
	for _, c := range []struct {
		pictures []Picture
		want     int
	}{
		{p(film, film, film), 0}, {p(black, film, film), 1}, {p(black, gray, film), 2}, {p(black, black, black), 0}, {p(), 0},
	} {
		if got := best(c.pictures); got != c.want {
			t.Errorf("%v: %d, not %d", c.pictures, got, c.want)
		}
	}
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 KiB", 4 << 20: "4.0 MiB", 99_960_000: "95 MiB", 1023 << 20: "1.0 GiB", 20 << 30: "20 GiB", 7 << 40: "7.0 TiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
