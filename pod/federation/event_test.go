package federation

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

var update = flag.Bool("update", false, "write the golden files anew")

func film() video.Video {
	id := video.NewID(friend)
	copy(id[:], "12345678")
	h, _ := magnet.ParseInfoHash("0123456789abcdef0123456789abcdef01234567")
	return video.Video{
		ID: id, Origin: friend, Revision: 1_700_000_000_456, Name: "Ein Film <b>", Description: "Zwei\nZeilen", Uploader: "anna", Tags: []string{"a", "b"},
		Created: time.UnixMilli(1_700_000_000_123).UTC(), Duration: 61500 * time.Millisecond, Thumbnail: strings.Repeat("ab", 32),
		Renditions: []video.Rendition{{InfoHash: h, Size: 12345, Width: 640, Height: 360, MIME: video.MP4, FileName: "film.mp4"}},
	}
}

func events() map[string]Event {
	v := VideoOf(film())
	key := Key{&keys()[us].PublicKey}
	return map[string]Event{
		"video.put":    {Kind: VideoPut, Video: &v},
		"video.remove": {Kind: VideoRemove, ID: &v.ID},
		"pod.key":      {Kind: PodKey, Key: &key},
		"pod.leave":    {Kind: PodLeave},
	}
}

// What version 1 writes is read for as long as there is version 1.
func TestGolden(t *testing.T) {
	for name, e := range events() {
		path := filepath.Join("testdata", "v1", name+".json")
		if *update && name != "pod.key" {
			b, _ := json.MarshalIndent(Batch{Events: []Event{e}}, "", "\t")
			if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseBatch(golden)
		if err != nil || len(b.Events) != 1 || string(b.Events[0].Kind) != name {
			t.Errorf("%s: %+v, %v", name, b, err)
			continue
		}
		again, _ := json.Marshal(b)
		var compact bytes.Buffer
		_ = json.Compact(&compact, golden)
		if !bytes.Equal(again, compact.Bytes()) {
			t.Errorf("%s: %s, want %s", name, again, compact.Bytes())
		}
	}
}

// golden sees that the file of this name is read as want, and written so again.
func golden(t *testing.T, name string, want any, parse func([]byte) (any, error)) {
	t.Helper()
	path := filepath.Join("testdata", "v1", name+".json")
	if *update {
		b, _ := json.MarshalIndent(want, "", "\t")
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(file)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, file)
	if again := mustJSON(got); !bytes.Equal(again, compact.Bytes()) {
		t.Errorf("%s: %s, want %s", name, again, compact.Bytes())
	}
}

func TestVideoGoesAndComes(t *testing.T) {
	v := film()
	got, err := VideoOf(v).From(friend)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(v)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) {
		t.Errorf("%s, want %s", b, a)
	}
	for name, spoil := range map[string]func(*Video){
		"no id": func(v *Video) { v.ID = video.ID{} }, "another's id": func(v *Video) { v.ID = video.NewID("other.example") }, "no revision": func(v *Video) { v.Revision = 0 }, "a revision for ever": func(v *Video) { v.Revision = 1 << 60 },
		"no time": func(v *Video) { v.Created = 0 }, "a time beyond all": func(v *Video) { v.Created = 1 << 62 }, "a long duration": func(v *Video) { v.Duration = 1 << 62 },
		"less than none": func(v *Video) { v.Duration = -1 }, "a path": func(v *Video) { v.Renditions[0].FileName = "../film.mp4" }, "no file": func(v *Video) { v.Renditions = nil },
		"another type": func(v *Video) { v.Renditions[0].MIME = "text/html" }, "a name of two lines": func(v *Video) { v.Name = "a\nb" }, "no picture": func(v *Video) { v.Thumbnail = "../../etc" },
	} {
		bad := VideoOf(film())
		spoil(&bad)
		if _, err := bad.From(friend); !errors.Is(err, video.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBodiesThatAreNone(t *testing.T) {
	for _, body := range []string{
		"", "null x", "[]", `"events"`, `{"events":{}}`, `{"events":[{}]}`, `{"events":[{"kind":"video.put"}]}`, `{"events":[{"kind":"video.remove"}]}`,
		`{"events":[{"kind":"pod.key"}]}`, `{"events":[{"kind":"pod.key","key":{"kty":"oct","k":"AAAA"}}]}`, `{"events":[{"kind":"video.remove","id":"../.."}]}`,
		`{"events":[` + strings.Repeat(`{"kind":"x"},`, MaxBatch) + `{"kind":"x"}]}`, strings.Repeat("[", 100_000),
	} {
		var r *Refusal
		if _, err := ParseBatch([]byte(body)); !errors.As(err, &r) || r.Reason != BadBody {
			t.Errorf("%.60s: %v", body, err)
		}
	}
	if b, err := ParseBatch([]byte(`{"events":[{"kind":"of.tomorrow","more":1}],"and":2}`)); err != nil || len(b.Events) != 1 {
		t.Errorf("who is newer: %+v, %v", b, err)
	}
}

func TestDigest(t *testing.T) {
	var a, b Hashes
	ids := []video.ID{video.NewID("pod.example"), video.NewID("pod.example"), video.NewID("pod.example")}
	for _, id := range ids {
		a.Add(id, 7)
	}
	b.Add(ids[2], 7)
	b.Add(ids[0], 7)
	b.Add(ids[1], 7)
	if a != b {
		t.Error("the order matters")
	}
	b.Add(ids[1], 7)
	b.Add(ids[1], 8)
	if a == b || a[ids[1][0]] == b[ids[1][0]] {
		t.Error("a revision does not matter")
	}
	text, _ := json.Marshal(Digest{3, b})
	if d, err := ParseDigest(text); err != nil || d.Hashes != b || d.Count != 3 {
		t.Errorf("%v", err)
	}
}

func FuzzParseBatch(f *testing.F) {
	for _, e := range events() {
		b, _ := json.Marshal(Batch{Events: []Event{e}})
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := ParseBatch(body)
		if err != nil {
			return
		}
		for _, e := range b.Events {
			if e.Video == nil {
				continue
			}
			v, err := e.Video.From(friend)
			if err != nil {
				continue
			}
			again, err := VideoOf(v).From(friend)
			if x, y := mustJSON(v), mustJSON(again); err != nil || !bytes.Equal(x, y) {
				t.Fatalf("%s became %s (%v)", x, y, err)
			}
		}
		_, _ = ParsePage(body)
		_, _ = ParseDigest(body)
		_, _ = ParsePageRequest(body)
	})
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
