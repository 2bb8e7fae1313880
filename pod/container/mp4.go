package container

import (
	"fmt"
	"math/bits"
	"time"

	"kinopod/shared/video"
)

// Limits of MP4 (ISO/IEC 14496-12).
const (
	maxMovie    = 64 << 20 // bytes of moov: 24 hours at 60 frames a second have room
	maxFragment = 16 << 20 // bytes of one moof
	maxTracks   = 64
)

// box is one box: its type and where its payload lies.
type box struct {
	kind             string
	start, body, end int64
}

// box reads the box at off, which must end at limit or before.
func (w *window) box(off, limit int64) (box, error) {
	if err := w.count(1); err != nil {
		return box{}, err
	}
	if limit-off < 8 {
		return box{}, corrupt("a box is too short")
	}
	h, err := w.at(off, 8)
	if err != nil {
		return box{}, err
	}
	b := box{kind: string(h[4:8]), start: off, body: off + 8}
	size := uint64(h[0])<<24 | uint64(h[1])<<16 | uint64(h[2])<<8 | uint64(h[3])
	switch size {
	case 0:
		size = uint64(limit - off) // to the end
	case 1:
		b.body = off + 16
		if size, err = w.u64(off + 8); err != nil {
			return box{}, err
		}
	}
	if size < uint64(b.body-off) {
		return box{}, corrupt(fmt.Sprintf("box %q claims to be smaller than its header", b.kind))
	}
	if size > uint64(limit-off) {
		if limit == w.size {
			return box{}, truncated(fmt.Sprintf("its part %q should have %d bytes more", b.kind, size-uint64(limit-off)))
		}
		return box{}, corrupt(fmt.Sprintf("box %q is larger than what it is in", b.kind))
	}
	b.end = off + int64(size)
	return b, nil
}

// each calls f for the boxes from off to limit.
func (w *window) each(off, limit int64, f func(box) error) error {
	for limit-off >= 8 {
		b, err := w.box(off, limit)
		if err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
		off = b.end
	}
	return nil
}

// movie is what an MP4 tells of itself.
type movie struct {
	seen      bool // moov
	media     bool // mdat
	timescale uint32
	duration  uint64 // in timescale; 0 is unknown
	tracks    []*track
	fragments bool
}

// track is one trak.
type track struct {
	id            uint32
	enabled       bool
	handler       string // "vide", "soun", ...
	rotated       bool   // by 90 or 270 degrees
	width, height int    // as shown, before rotation
	timescale     uint32
	codec         string // RFC 6381, "" if it is refused
	lengths       int    // bytes of the length of a NAL unit; 0 if it is not H.264
	refused       string // what the codec is called, if it is refused
	encrypted     bool
	samples       uint64
	length        uint64 // sum of sample durations, in timescale
	tables        tables
	fragment      fragmentTimes
	pictures      pictures
}

func probeMP4(w *window) (Info, error) {
	var m movie
	err := w.each(0, w.size, func(b box) error {
		switch b.kind {
		case "moov":
			if m.seen {
				return corrupt("it has two indexes")
			}
			m.seen = true
			return w.movie(&m, b)
		case "moof":
			m.fragments = true
			return w.fragment(&m, b)
		case "mdat":
			m.media = true
		}
		return nil
	})
	switch {
	case err != nil:
		return Info{}, err
	case !m.seen && m.media:
		return Info{}, truncated("its index is missing, as when a recording was not finished")
	case !m.seen:
		return Info{}, corrupt("it has no index")
	}
	in, err := m.info()
	if err != nil {
		return Info{}, err
	}
	if t := m.pick("vide"); t.lengths > 0 {
		for _, picture := range t.pictures {
			if err := w.h264(picture, t.lengths); err != nil {
				return Info{}, err
			}
		}
	}
	return in, nil
}

// movie reads moov.
func (w *window) movie(m *movie, moov box) error {
	if moov.end-moov.start > maxMovie {
		return corrupt("its index is larger than that of any video")
	}
	return w.each(moov.body, moov.end, func(b box) error {
		switch b.kind {
		case "mvhd":
			var err error
			m.timescale, m.duration, err = w.clock(b)
			return err
		case "trak":
			if len(m.tracks) == maxTracks {
				return corrupt("it has too many tracks")
			}
			t := &track{}
			m.tracks = append(m.tracks, t)
			return w.track(t, b)
		case "mvex":
			return w.defaults(m, b)
		}
		return nil
	})
}

// clock reads timescale and duration of mvhd and mdhd, which lie alike.
func (w *window) clock(b box) (timescale uint32, duration uint64, err error) {
	version, err := w.u8(b.body)
	if err != nil {
		return 0, 0, err
	}
	if version == 1 {
		if timescale, err = w.field32(b, 20); err != nil {
			return 0, 0, err
		}
		hi, err := w.field32(b, 24)
		if err != nil {
			return 0, 0, err
		}
		lo, err := w.field32(b, 28)
		if duration = uint64(hi)<<32 | uint64(lo); duration == 1<<64-1 {
			duration = 0
		}
		return timescale, duration, err
	}
	if timescale, err = w.field32(b, 12); err != nil {
		return 0, 0, err
	}
	d, err := w.field32(b, 16)
	if d == 1<<32-1 {
		d = 0
	}
	return timescale, uint64(d), err
}

// field32 reads four bytes at an offset in a box's payload.
func (w *window) field32(b box, at int64) (uint32, error) {
	if b.body+at+4 > b.end {
		return 0, corrupt(fmt.Sprintf("box %q is too short", b.kind))
	}
	return w.u32(b.body + at)
}

// track reads trak.
func (w *window) track(t *track, trak box) error {
	return w.each(trak.body, trak.end, func(b box) error {
		switch b.kind {
		case "tkhd":
			return w.trackHeader(t, b)
		case "mdia":
			return w.trackMedia(t, b)
		}
		return nil
	})
}

func (w *window) trackHeader(t *track, b box) error {
	first, err := w.field32(b, 0)
	if err != nil {
		return err
	}
	id, matrix := int64(12), int64(40)
	if first>>24 == 1 {
		id, matrix = 20, 52
	}
	t.enabled = first&1 != 0
	var f [6]uint32 // id, a, b, c at 4*0,1,3 of the matrix, then width and height
	for i, at := range []int64{id, matrix, matrix + 4, matrix + 12, matrix + 36, matrix + 40} {
		if f[i], err = w.field32(b, at); err != nil {
			return err
		}
	}
	t.id = f[0]
	t.rotated = f[1] == 0 && f[2] != 0 && f[3] != 0
	t.width, t.height = int(f[4]>>16), int(f[5]>>16)
	return nil
}

func (w *window) trackMedia(t *track, mdia box) error {
	err := w.each(mdia.body, mdia.end, func(b box) error {
		switch b.kind {
		case "mdhd":
			var err error
			t.timescale, _, err = w.clock(b)
			return err
		case "hdlr":
			v, err := w.field32(b, 8)
			t.handler = string([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
			return err
		case "minf":
			return w.each(b.body, b.end, func(b box) error {
				if b.kind != "stbl" {
					return nil
				}
				return w.sampleTable(t, b)
			})
		}
		return nil
	})
	if err != nil || t.tables.entries.kind == "" {
		return err
	}
	// Not before: what an entry means depends on hdlr, which may come last.
	return w.sampleEntry(t, t.tables.entries)
}

// pick gives the track that browsers show: the first enabled one, else the first.
func (m *movie) pick(handler string) *track {
	var first *track
	for _, t := range m.tracks {
		if t.handler != handler {
			continue
		}
		if t.enabled {
			return t
		}
		if first == nil {
			first = t
		}
	}
	return first
}

// info joins what was read.
func (m *movie) info() (Info, error) {
	v, a := m.pick("vide"), m.pick("soun")
	if v == nil {
		return Info{}, refuse(NotVideo, "The file has no moving pictures in it.")
	}
	for _, t := range []*track{v, a} {
		switch {
		case t == nil:
		case t.encrypted:
			return Info{}, refuse(Codec, "The file is copy-protected (encrypted) and cannot be played.")
		case t.codec == "" && t.refused == "":
			return Info{}, corrupt("its index does not name its codecs")
		case t.codec == "" && t == v:
			return Info{}, refuse(Codec, "The pictures in this file are %s, which not every browser plays. Export it as MP4 with H.264 video.", t.refused)
		case t.codec == "":
			return Info{}, refuse(Codec, "The sound in this file is %s, which browsers do not play. Export it as MP4 with AAC sound.", t.refused)
		}
	}
	in := Info{MIME: video.MP4, Width: v.width, Height: v.height, Video: v.codec}
	if v.rotated {
		in.Width, in.Height = in.Height, in.Width
	}
	if v.samples > 0 {
		in.Duration = m.length(v)
	}
	if a != nil {
		in.Audio = a.codec
		if in.Duration > 0 {
			in.Duration = max(in.Duration, m.length(a))
		}
	}
	// Edit lists are in the movie's own duration only: a trimmed recording is shorter than its tracks.
	if d := seconds(m.duration, m.timescale); d > 0 && d < in.Duration {
		in.Duration = d
	}
	return checked(in)
}

func (m *movie) length(t *track) time.Duration {
	return max(seconds(t.length, t.timescale), seconds(t.fragment.length(), t.timescale))
}

// seconds is n units of 1/scale seconds; more than maxDuration becomes just that.
func seconds(n uint64, scale uint32) time.Duration {
	if scale == 0 {
		return 0
	}
	hi, lo := bits.Mul64(n, uint64(time.Second))
	if hi >= uint64(scale) {
		return maxDuration + 1
	}
	q, _ := bits.Div64(hi, lo, uint64(scale))
	return time.Duration(min(q, uint64(maxDuration+1)))
}
