package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kinopod/shared/video"
)

// encode makes a file of 3 s, 320x180, by ffmpeg with these arguments for the
// output, the last of which is the file's name.
func encode(t testing.TB, args ...string) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), args[len(args)-1])
	all := []string{
		"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=440", "-t", "3", "-shortest",
	}
	all = append(append(all, args[:len(args)-1]...), name)
	if out, err := exec.Command("ffmpeg", all...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg (install it: apt-get install ffmpeg): %v\n%s", err, out)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// live makes a WebM as browsers record it: nothing has a size that is not known yet.
func live(t testing.TB) []byte {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=440", "-t", "3", "-c:v", "libvpx", "-cpu-used", "8", "-c:a", "libopus",
		"-f", "webm", "-live", "1", "-cluster_time_limit", "1000", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg (install it: apt-get install ffmpeg): %v", err)
	}
	return out
}

var (
	h264 = []string{"-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"}
	vp9  = []string{"-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-c:a", "libopus"}
)

func with(args []string, more ...string) []string {
	return append(append([]string{}, args...), more...)
}

func probe(b []byte) (Info, error) { return Probe(bytes.NewReader(b), int64(len(b))) }

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		what                 string
		file                 []byte
		mime, picture, sound string
		width, height        int
	}{
		{"index at the end", encode(t, with(h264, "a.mp4")...), video.MP4, "avc1.", "mp4a.40.2", 320, 180},
		{"index first", encode(t, with(h264, "-movflags", "+faststart", "a.mp4")...), video.MP4, "avc1.", "mp4a.40.2", 320, 180},
		{"fragments", encode(t, with(h264, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "a.mp4")...), video.MP4, "avc1.", "mp4a.40.2", 320, 180},
		{"fragments with offsets from the file's beginning", encode(t, with(h264, "-movflags", "frag_keyframe+empty_moov", "a.mp4")...), video.MP4, "avc1.", "mp4a.40.2", 320, 180},
		{"wide pixels", encode(t, with(h264, "-vf", "setsar=2", "a.mp4")...), video.MP4, "avc1.", "mp4a.40.2", 640, 180},
		{"MP3", encode(t, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "libmp3lame", "a.mp4"), video.MP4, "avc1.", "mp3", 320, 180},
		{"Opus in MP4", encode(t, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "libopus", "a.mp4"), video.MP4, "avc1.", "opus", 320, 180},
		{"no sound", encode(t, with(h264, "-an", "a.mp4")...), video.MP4, "avc1.", "", 320, 180},
		{"QuickTime", encode(t, with(h264, "a.mov")...), video.MP4, "avc1.", "mp4a.40.2", 320, 180},
		{"rotated", rotated(encode(t, with(h264, "a.mp4")...)), video.MP4, "avc1.", "mp4a.40.2", 180, 320},
		{"VP9 and Opus", encode(t, with(vp9, "a.webm")...), video.WebM, "vp9", "opus", 320, 180},
		{"VP8 and Vorbis", encode(t, "-c:v", "libvpx", "-cpu-used", "8", "-c:a", "libvorbis", "a.webm"), video.WebM, "vp8", "vorbis", 320, 180},
		{"AV1", encode(t, "-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus", "a.webm"), video.WebM, "av01", "opus", 320, 180},
		{"no sizes and no duration", live(t), video.WebM, "vp8", "opus", 320, 180},
	} {
		in, err := probe(c.file)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if in.MIME != c.mime || !strings.HasPrefix(in.Video, c.picture) || in.Audio != c.sound || in.Width != c.width || in.Height != c.height {
			t.Errorf("%s: %+v", c.what, in)
		}
		if off := in.Duration - 3*time.Second; off.Abs() > 150*time.Millisecond {
			t.Errorf("%s: duration %v, want 3s", c.what, in.Duration)
		}
		if mime, err := Sniff(c.file[:1000]); mime != c.mime || err != nil {
			t.Errorf("%s: sniffed as %q, %v", c.what, mime, err)
		}
	}
}

// rotated turns the picture by 90 degrees, as a phone held upright does.
func rotated(mp4 []byte) []byte {
	mp4 = bytes.Clone(mp4)
	matrix := bytes.Index(mp4, []byte("tkhd")) + 4 + 40
	for i, v := range []uint32{0, 1 << 16, 0, 0xffff0000, 0, 0} {
		binary.BigEndian.PutUint32(mp4[matrix+4*i:], v)
	}
	return mp4
}

// edited lets f change a copy of b.
func edited(b []byte, f func(b []byte) []byte) []byte { return f(bytes.Clone(b)) }

func TestProbeRefuses(t *testing.T) {
	end := encode(t, with(h264, "a.mp4")...)
	fast := encode(t, with(h264, "-movflags", "+faststart", "a.mp4")...)
	frag := encode(t, with(h264, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-g", "25", "a.mp4")...)
	webm := encode(t, with(vp9, "a.webm")...)
	endless := live(t)
	for _, c := range []struct {
		what    string
		file    []byte
		problem Problem
		says    string
	}{
		{"nothing", nil, NotVideo, "not a video"},
		{"text", []byte(strings.Repeat("Hello. ", 1000)), NotVideo, "not a video"},
		{"picture", []byte("\x89PNG\r\n\x1a\n0000000000"), NotVideo, "a picture"},
		{"AVI", encode(t, "-c:v", "mpeg4", "-c:a", "mp3", "a.avi"), NotVideo, "AVI"},
		{"Matroska", encode(t, with(h264, "a.mkv")...), NotVideo, "Matroska"},
		{"sound only", encode(t, "-vn", "-c:a", "aac", "a.mp4"), NotVideo, "no moving pictures"},
		{"sound only, WebM", encode(t, "-vn", "-c:a", "libopus", "a.webm"), NotVideo, "no moving pictures"},
		{"HEVC", encode(t, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-c:a", "aac", "a.mp4"), Codec, "HEVC (H.265)"},
		{"MPEG-4 Part 2", encode(t, "-c:v", "mpeg4", "-c:a", "aac", "a.mp4"), Codec, "MPEG-4 Part 2"},
		{"Dolby", encode(t, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "ac3", "a.mp4"), Codec, "Dolby Digital (AC-3)"},
		{"FLAC", encode(t, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac", "-strict", "-2", "a.mp4"), Codec, "FLAC"},
		{"index at the end, cut in the media", end[:len(end)/2], Truncated, "cut off"},
		{"index at the end, cut in the index", end[:len(end)-100], Truncated, "cut off"},
		{"index first, cut in the media", fast[:len(fast)-1000], Truncated, "cut off"},
		{"index first, media box shortened to fit", edited(fast, func(b []byte) []byte {
			mdat := bytes.Index(b, []byte("mdat")) - 4
			b = b[:len(b)-1000]
			binary.BigEndian.PutUint32(b[mdat:], uint32(len(b)-mdat))
			return b
		}), Truncated, "points past its end"},
		{"no index", end[:bytes.Index(end, []byte("moov"))-4], Truncated, "not finished"},
		{"fragments, cut", frag[:len(frag)-5000], Truncated, "cut off"},
		{"huge sample", edited(end, func(b []byte) []byte {
			at := bytes.Index(b, []byte("stsz"))
			binary.BigEndian.PutUint32(b[at+4+12:], 0xffffffff)
			return b
		}), Truncated, "points past its end"},
		{"more rows than there are", edited(end, func(b []byte) []byte {
			at := bytes.Index(b, []byte("stsz"))
			binary.BigEndian.PutUint32(b[at+4+8:], 0xfffffff0)
			return b
		}), Corrupt, "more rows"},
		{"box smaller than its header", edited(end, func(b []byte) []byte {
			at := bytes.Index(b, []byte("trak")) - 4
			binary.BigEndian.PutUint32(b[at:], 4)
			return b
		}), Corrupt, "smaller than its header"},
		{"box larger than its parent", edited(fast, func(b []byte) []byte {
			at := bytes.Index(b, []byte("trak")) - 4
			binary.BigEndian.PutUint32(b[at:], 0x7fffffff)
			return b
		}), Corrupt, "larger than what it is in"},
		{"index of 100 GB", append([]byte("\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x01moov\x00\x00\x00\x17\x48\x76\xe8\x00"), end...), Truncated, "cut off"},
		{"a month", edited(end, func(b []byte) []byte {
			for _, name := range []string{"mvhd", "mdhd"} {
				for at := 0; ; at += 4 {
					i := bytes.Index(b[at:], []byte(name))
					if i < 0 {
						break
					}
					at += i
					binary.BigEndian.PutUint32(b[at+4+12:], 1)          // one unit a second
					binary.BigEndian.PutUint32(b[at+4+16:], 0x7fffffff) // of these many
				}
			}
			return b
		}), 0, ""},
		{"WebM, cut", webm[:len(webm)-1000], Truncated, "cut off"},
		{"WebM, cut in the header", webm[:200], Truncated, "cut off"},
		{"WebM without sizes, cut", endless[:len(endless)-10], Truncated, "cut off"},
		{"WebM, cut before the pictures", endless[:bytes.Index(endless, []byte{0x1f, 0x43, 0xb6, 0x75})], Truncated, "before the pictures"},
		{"H.264 called WebM", edited(encode(t, with(h264, "a.mkv")...), func(b []byte) []byte {
			return bytes.Replace(b, []byte("\x42\x82\x88matroska"), []byte("\x42\x82\x88webm\x00\x00\x00\x00"), 1)
		}), Codec, "H.264"},
	} {
		in, err := probe(c.file)
		if c.problem == 0 { // only must not take the claim for true
			if err == nil && in.Duration > maxDuration {
				t.Errorf("%s: %+v", c.what, in)
			}
			continue
		}
		var r *Refusal
		if !errors.As(err, &r) || r.Problem != c.problem || !strings.Contains(r.Sentence, c.says) {
			t.Errorf("%s: %+v, %v; want problem %d about %q", c.what, in, err, c.problem, c.says)
		}
	}
}

// TestNoPictures replaces the media of films by noise: their indexes alone make no
// film.
func TestNoPictures(t *testing.T) {
	fragments := with(h264, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-g", "25", "a.mp4")
	for what, c := range map[string]struct {
		file []byte
		mark string // the noise begins here
		skip int
	}{
		"index at the end": {encode(t, with(h264, "a.mp4")...), "mdat", 4},
		"index first":      {encode(t, with(h264, "-movflags", "+faststart", "a.mp4")...), "mdat", 4},
		"fragments":        {encode(t, fragments...), "mdat", 4},
		"VP9":              {encode(t, with(vp9, "a.webm")...), "\x49\x83\x42", -1},
		"VP8":              {live(t), "\x9d\x01\x2a", -3},
		"AV1":              {encode(t, "-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus", "a.webm"), "\x1f\x43\xb6\x75", 0},
	} {
		if _, err := probe(c.file); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		at := bytes.Index(c.file, []byte(c.mark))
		if at < 0 {
			t.Fatalf("%s: no media found", what)
		}
		at += c.skip
		if what == "AV1" { // the first block of the first cluster
			at += bytes.Index(c.file[at:], []byte{0x80, 0x0a, 0x0b}) + 1
		}
		end := min(at+2000, len(c.file))
		if i := bytes.Index(c.file[at:], []byte("moov")); i >= 0 {
			end = min(end, at+i-4)
		}
		noise := rand.New(rand.NewPCG(1, 2))
		for i := at; i < end; i++ {
			c.file[i] = byte(noise.Uint32())
		}
		var r *Refusal
		if in, err := probe(c.file); !errors.As(err, &r) || r.Problem != Corrupt || !strings.Contains(r.Sentence, "pictures is something else") {
			t.Errorf("%s: %+v, %v", what, in, err)
		}
	}
}

// TestEveryCut cuts files everywhere: a file that misses its end is never taken.
func TestEveryCut(t *testing.T) {
	for what, b := range map[string][]byte{
		"index at the end": encode(t, with(h264, "a.mp4")...), "index first": encode(t, with(h264, "-movflags", "+faststart", "a.mp4")...),
		"WebM": encode(t, with(vp9, "a.webm")...),
	} {
		for n := 0; n < len(b); n += 997 {
			if in, err := probe(b[:n]); err == nil {
				t.Errorf("%s, %d of %d bytes: taken as %+v", what, n, len(b), in)
			}
		}
	}
}

// sparse is a file of any size that costs nothing: parts, and zeros between them.
type sparse struct {
	parts map[int64][]byte
	size  int64
	read  int64
}

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for at, part := range s.parts {
		if at < off+int64(len(p)) && off < at+int64(len(part)) {
			if at >= off {
				copy(p[at-off:], part)
			} else {
				copy(p, part[off-at:])
			}
		}
	}
	n := min(int64(len(p)), s.size-off)
	s.read += n
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// TestReadsNoMedia puts 64 GiB of media into a file: what is read stays small.
func TestReadsNoMedia(t *testing.T) {
	const media = 64 << 30
	b := encode(t, with(h264, "a.mp4")...)
	mdat := int64(bytes.Index(b, []byte("mdat")) - 4)
	moov := int64(bytes.Index(b, []byte("moov")) - 4)
	// ffmpeg leaves an empty "free" box of 8 bytes before mdat: room for a size of 64 bits.
	head := append([]byte{}, b[:mdat-8]...)
	head = append(head, 0, 0, 0, 1, 'm', 'd', 'a', 't')
	head = binary.BigEndian.AppendUint64(head, media)
	head = append(head, b[mdat+8:moov]...)
	s := &sparse{parts: map[int64][]byte{0: head, mdat - 8 + media: b[moov:]}, size: mdat - 8 + media + int64(len(b)) - moov}
	in, err := Probe(s, s.size)
	if err != nil || in.Width != 320 {
		t.Fatalf("%+v, %v", in, err)
	}
	if s.read > 256<<10 {
		t.Errorf("read %d bytes", s.read)
	}
}

// TestBombs gives files of nothing but structure: refused within seconds, with
// little memory.
func TestBombs(t *testing.T) {
	ftyp := []byte("\x00\x00\x00\x10ftypisom\x00\x00\x00\x00")
	nested := bytes.Clone(ftyp)
	for i := range 100_000 {
		nested = append(binary.BigEndian.AppendUint32(nested, uint32(8*(100_000-i))), "moov"...)
	}
	boxes := bytes.Clone(ftyp)
	for range 5 << 20 {
		boxes = append(boxes, "\x00\x00\x00\x08free"...)
	}
	ebml := encode(t, with(vp9, "a.webm")...)[:31+8]
	elements := append(append([]byte{}, live(t)[:31+5]...), 0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	elements = append(elements, bytes.Repeat([]byte{0xec, 0x80}, 5<<20)...)
	for what, b := range map[string][]byte{"nested": nested, "boxes": boxes, "elements": elements, "header only": ebml} {
		begin := cpuTime(t)
		in, err := probe(b)
		var r *Refusal
		if spent := cpuTime(t) - begin; !errors.As(err, &r) || spent > 15*time.Second {
			t.Errorf("%s: %+v, %v after %v", what, in, err, spent)
		}
	}
}

// cpuTime is what this process has computed: it does not depend on what else the
// machine does.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrNoProgress }

func TestDiskErrorIsNoRefusal(t *testing.T) {
	_, err := Probe(broken{}, 1000)
	var r *Refusal
	if errors.As(err, &r) || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v, want the disk's own error", err)
	}
}

func fuzz(f *testing.F, small ...[]byte) {
	for _, b := range small {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := probe(b)
		var r *Refusal
		switch {
		case err != nil && (!errors.As(err, &r) || r.Sentence == "" || r.Problem == 0):
			t.Fatalf("no refusal: %v", err)
		case err == nil && (in.Duration <= 0 || in.Duration > maxDuration || in.Width <= 0 || in.Height <= 0 || in.Video == ""):
			t.Fatalf("%+v", in)
		}
		_, _ = Sniff(b)
	})
}

// Short pictures: a corpus of small files finds more.
var tiny = []string{"-vf", "scale=32:32", "-r", "5", "-t", "1", "-b:a", "8k"}

func FuzzProbeMP4(f *testing.F) {
	fuzz(f, encode(f, with(h264, append(tiny, "a.mp4")...)...), encode(f, with(h264, append(tiny, "-movflags", "frag_keyframe+empty_moov", "a.mp4")...)...),
		encode(f, with(h264, append(tiny, "a.mov")...)...))
}

func FuzzProbeWebM(f *testing.F) {
	fuzz(f, encode(f, with(vp9, append(tiny, "a.webm")...)...), live(f)[:4000])
}

func BenchmarkProbe(b *testing.B) {
	file := encode(b, with(h264, "a.mp4")...)
	for b.Loop() {
		if _, err := probe(file); err != nil {
			b.Fatal(err)
		}
	}
}
