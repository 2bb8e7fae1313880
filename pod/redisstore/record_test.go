package redisstore

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

var at = time.Date(2026, 3, 14, 15, 9, 26, 535_000_000, time.UTC)

func goldenVideo() video.Video {
	return video.Video{
		ID: video.ID{1, 2, 3, 15: 0xff}, Origin: "pod.example:8443", Revision: at.UnixMilli() + 5, Name: "Der größte Film", Description: "One line.\nAnother.",
		Uploader: "anna", Tags: []string{"one", "two words"}, Created: at, Duration: 83*time.Second + 250*time.Millisecond,
		Thumbnail: strings.Repeat("0123456789abcdef", 4),
		Renditions: []video.Rendition{
			{InfoHash: magnet.InfoHash{0xaa, 19: 0xbb}, Size: 1 << 33, Width: 1920, Height: 1080, MIME: video.MP4, FileName: "Film.mp4"},
			{InfoHash: magnet.InfoHash{0xcc}, Size: 1, MIME: video.WebM, FileName: "Film.webm"},
			{InfoHash: magnet.InfoHash{0xdd}, Size: 2, MIME: "video/x-other", FileName: "Film.x"},
			{InfoHash: magnet.InfoHash{0xee}, Size: 3, MIME: video.MP4, FileName: "Der größte Film.mp4"},
		},
	}
}

var (
	goldenUser        = accounts.User{Name: "Anna.B", Role: api.RoleModerator, Password: "$argon2id$v=19$m=8,t=1,p=1$AAAA$BBBB", Created: at}
	goldenSession     = accounts.Session{ID: accounts.TokenHash{7}, User: "Anna.B", Client: "Firefox on Linux", Created: at, LastSeen: at.Add(time.Hour), Expires: at.Add(30 * 24 * time.Hour)}
	goldenProfile     = video.Profile{Name: "Anna B.", About: "Zwei\nZeilen."}
	goldenReservation = accounts.Reservation{ID: video.ID{7}, Bytes: 1 << 40, At: at}
)

// TestGolden reads the records of each version, and writes those of the last. A file of testdata never
// changes: pods have such records.
func TestGolden(t *testing.T) {
	v := goldenVideo()
	second := v // as it was written then
	second.Renditions = v.Renditions[:3]
	first := second // version 1 had no revision
	first.Revision = first.Created.UnixMilli()
	record, err := encodeVideo(&v)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		value  any
		record []byte // nil where nobody writes it any more
		decode func(string) (any, error)
	}{
		"video-1":       {first, nil, func(s string) (any, error) { return decodeVideo(s) }},
		"video-2":       {second, nil, func(s string) (any, error) { return decodeVideo(s) }},
		"video-3":       {v, record, func(s string) (any, error) { return decodeVideo(s) }},
		"user-1":        {goldenUser, encodeUser(&goldenUser), func(s string) (any, error) { return decodeUser(s) }},
		"session-1":     {goldenSession, encodeSession(&goldenSession), func(s string) (any, error) { return decodeSession(accounts.TokenHash{7}, s) }},
		"profile-1":     {goldenProfile, encodeProfile(&goldenProfile), func(s string) (any, error) { return decodeProfile(s) }},
		"reservation-1": {goldenReservation, encodeReservation(&goldenReservation), func(s string) (any, error) { return decodeReservation(video.ID{7}, s) }},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		golden, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatal(err)
		}
		if test.record != nil && string(test.record) != string(golden) {
			t.Errorf("%s is written as %x, want %x", name, test.record, golden)
		}
		if got, err := test.decode(string(golden)); err != nil || !reflect.DeepEqual(got, test.value) {
			t.Errorf("%s reads as %+v, %v; want %+v", name, got, err, test.value)
		}
		for n := range golden {
			if got, err := test.decode(string(golden[:n])); err == nil {
				t.Fatalf("%d bytes of %s read as %+v", n, name, got)
			}
		}
		if _, err := test.decode(string(golden) + "\x00"); err == nil {
			t.Errorf("%s with a byte too much is read", name)
		}
		if _, err := test.decode("\x07" + string(golden[1:])); err == nil {
			t.Errorf("%s of a later version is read", name)
		}
	}
}

// fuzzRecord checks that what is read of any bytes is written and read the same.
func fuzzRecord[T any](t *testing.T, record string, decode func(string) (T, error), encode func(*T) ([]byte, error)) {
	v, err := decode(record)
	if err != nil {
		return
	}
	again, err := encode(&v)
	if err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	if w, err := decode(string(again)); err != nil || !reflect.DeepEqual(v, w) {
		t.Fatalf("%+v was written and read as %+v, %v", v, w, err)
	}
}

func FuzzRecords(f *testing.F) {
	v := goldenVideo()
	first := v // version 1 had no revision
	first.Revision = first.Created.UnixMilli()
	record, err := encodeVideo(&v)
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{record, encodeUser(&goldenUser), encodeSession(&goldenSession), encodeProfile(&goldenProfile), encodeReservation(&goldenReservation), {1}, {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		f.Add(string(b))
	}
	// A duration beyond what fits.
	long := "\x01" + strings.Repeat("\x00", 16+4+1+1) + "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + "\x00\x00"
	if v, err := decodeVideo(long); err == nil {
		f.Errorf("a duration of %d is read", v.Duration)
	}
	f.Add(long)
	f.Fuzz(func(t *testing.T, s string) {
		fuzzRecord(t, s, decodeVideo, encodeVideo)
		fuzzRecord(t, s, decodeUser, func(u *accounts.User) ([]byte, error) { return encodeUser(u), nil })
		fuzzRecord(t, s, decodeProfile, func(p *video.Profile) ([]byte, error) { return encodeProfile(p), nil })
		fuzzRecord(t, s, func(s string) (accounts.Session, error) { return decodeSession(accounts.TokenHash{}, s) },
			func(v *accounts.Session) ([]byte, error) { return encodeSession(v), nil })
		fuzzRecord(t, s, func(s string) (accounts.Reservation, error) { return decodeReservation(video.ID{}, s) },
			func(v *accounts.Reservation) ([]byte, error) { return encodeReservation(v), nil })
	})
}

func TestLocals(t *testing.T) {
	for text, want := range map[string][]uint32{"": nil, "7": {7}, "7,12": {7, 12}, "4294967295": {4294967295}} {
		got := parseLocals(text)
		if !reflect.DeepEqual(got, want) || joinLocals(got) != text {
			t.Errorf("%q reads as %v, which is %q", text, got, joinLocals(got))
		}
	}
}
