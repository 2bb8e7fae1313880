package container

import (
	"fmt"
	"math"
	"strings"
	"time"

	"kinopod/shared/video"
)

// segment is what a WebM tells of itself.
type segment struct {
	scale    uint64  // nanoseconds a unit of time
	duration float64 // in scale; 0 is unknown
	tracks   []webmTrack
	first    cluster
	last     cluster
	clusters int
}

// webmTrack is one TrackEntry.
type webmTrack struct {
	number, kind  uint64
	codec         string // CodecID
	encoded       bool   // encrypted or compressed
	frame         uint64 // nanoseconds of one frame; 0 is unknown
	width, height uint64
	display       [2]uint64 // width and height as shown
	displayUnit   uint64
}

// Kinds of track.
const (
	kindVideo = 1
	kindAudio = 2
)

// cluster is where one cluster lies.
type cluster struct{ body, end int64 }

func probeWebM(w *window) (Info, error) {
	header, err := w.element(0, w.size)
	if err != nil {
		return Info{}, err
	}
	root, err := w.element(header.end, w.size)
	if err != nil {
		return Info{}, err
	}
	if root.id != idSegment {
		return Info{}, corrupt("its header is not followed by a segment")
	}
	limit := root.end
	if limit < 0 {
		limit = w.size
	}
	s := segment{scale: 1e6}
	if err := w.segment(&s, root.body, limit); err != nil {
		return Info{}, err
	}
	return w.webmInfo(&s)
}

// segment reads what lies directly in the segment.
func (w *window) segment(s *segment, off, limit int64) error {
	for off < limit {
		e, err := w.element(off, limit)
		if err != nil {
			return err
		}
		switch e.id {
		case idInfo:
			err = w.segmentInfo(s, e)
		case idTracks:
			err = w.segmentTracks(s, e)
		case idCluster:
			s.clusters++
			if e.end < 0 { // as browsers record: it ends where the next one begins
				e.end, err = w.clusterEnd(e.body, limit)
			}
			s.last = cluster{e.body, e.end}
			if s.clusters == 1 {
				s.first = s.last
			}
		}
		if err != nil {
			return err
		}
		if e.end < 0 {
			return corrupt(fmt.Sprintf("element %x has no size", e.id))
		}
		off = e.end
	}
	return nil
}

// clusterEnd finds where a cluster of unknown size ends: before the next element
// that cannot be in one.
func (w *window) clusterEnd(off, limit int64) (int64, error) {
	for off < limit {
		e, err := w.element(off, limit)
		if err != nil {
			return 0, err
		}
		if e.id > 0xffffff { // elements of the segment have ids of four bytes, those in clusters none
			return off, nil
		}
		if e.end < 0 {
			return 0, corrupt(fmt.Sprintf("element %x has no size", e.id))
		}
		off = e.end
	}
	return off, nil
}

func (w *window) segmentInfo(s *segment, info element) error {
	if info.end < 0 {
		return corrupt("its information has no size")
	}
	return w.children(info.body, info.end, func(e element) (err error) {
		switch e.id {
		case idTimestampScale:
			if s.scale, err = w.uint(e); err == nil && (s.scale == 0 || s.scale > uint64(time.Hour)) {
				err = corrupt("its clock is impossible")
			}
		case idDuration:
			s.duration, err = w.float(e)
			if math.IsNaN(s.duration) || s.duration < 0 {
				s.duration = 0
			}
		}
		return err
	})
}

func (w *window) segmentTracks(s *segment, tracks element) error {
	if tracks.end < 0 {
		return corrupt("its list of tracks has no size")
	}
	return w.children(tracks.body, tracks.end, func(e element) error {
		if e.id != idTrackEntry {
			return nil
		}
		if len(s.tracks) == maxTracks {
			return corrupt("it has too many tracks")
		}
		t, err := w.webmTrack(e)
		s.tracks = append(s.tracks, t)
		return err
	})
}

func (w *window) webmTrack(entry element) (t webmTrack, err error) {
	err = w.children(entry.body, entry.end, func(e element) (err error) {
		switch e.id {
		case idTrackNumber:
			t.number, err = w.uint(e)
		case idTrackType:
			t.kind, err = w.uint(e)
		case idCodecID:
			t.codec, err = w.text(e)
		case idDefaultDuration:
			t.frame, err = w.uint(e)
		case idContentEncodings:
			t.encoded = true
		case idVideo:
			return w.children(e.body, e.end, func(e element) (err error) {
				switch e.id {
				case idPixelWidth:
					t.width, err = w.uint(e)
				case idPixelHeight:
					t.height, err = w.uint(e)
				case idDisplayWidth:
					t.display[0], err = w.uint(e)
				case idDisplayHeight:
					t.display[1], err = w.uint(e)
				case idDisplayUnit:
					t.displayUnit, err = w.uint(e)
				}
				return err
			})
		}
		return err
	})
	return t, err
}

// webmCodec is a codec of WebM by its CodecID, "" for any other.
func webmCodec(id string) string {
	switch id {
	case "V_VP8":
		return "vp8"
	case "V_VP9":
		return "vp9"
	case "V_AV1":
		return "av01"
	case "A_OPUS":
		return "opus"
	case "A_VORBIS":
		return "vorbis"
	}
	return ""
}

// foreignCodec is what people call a codec that WebM does not have.
func foreignCodec(id string) string {
	for _, c := range []struct{ prefix, name string }{
		{"V_MPEG4/ISO/AVC", "H.264"},
		{"V_MPEGH/ISO/HEVC", "HEVC (H.265)"},
		{"V_MPEG4", "MPEG-4 Part 2 (DivX, Xvid)"},
		{"V_THEORA", "Theora"},
		{"V_MPEG", "MPEG-1 or MPEG-2"},
		{"V_PRORES", "Apple ProRes"},
		{"V_MJPEG", "Motion JPEG"},
		{"A_AAC", "AAC"},
		{"A_AC3", "Dolby Digital (AC-3)"},
		{"A_EAC3", "Dolby Digital Plus (E-AC-3)"},
		{"A_DTS", "DTS"},
		{"A_FLAC", "FLAC"},
		{"A_PCM", "uncompressed (PCM)"},
		{"A_MPEG", "MP3"},
	} {
		if strings.HasPrefix(id, c.prefix) {
			return c.name
		}
	}
	return codecName(id)
}

func (s *segment) pick(kind uint64) *webmTrack {
	for i := range s.tracks {
		if s.tracks[i].kind == kind {
			return &s.tracks[i]
		}
	}
	return nil
}

func (w *window) webmInfo(s *segment) (Info, error) {
	v, a := s.pick(kindVideo), s.pick(kindAudio)
	if v == nil {
		return Info{}, refuse(NotVideo, "The file has no moving pictures in it.")
	}
	if s.clusters == 0 {
		return Info{}, truncated("it ends before the pictures begin")
	}
	in := Info{MIME: video.WebM, Width: int(min(v.width, maxSide+1)), Height: int(min(v.height, maxSide+1)), Video: webmCodec(v.codec)}
	if v.displayUnit == 0 && v.display[0] > 0 && v.display[1] > 0 {
		in.Width, in.Height = int(min(v.display[0], maxSide+1)), int(min(v.display[1], maxSide+1))
	}
	switch {
	case v.encoded || a != nil && a.encoded:
		return Info{}, refuse(Codec, "The file is encrypted or packed in a way that browsers do not play.")
	case !strings.HasPrefix(v.codec, "V_") || in.Video == "":
		return Info{}, refuse(Codec, "The pictures in this file are %s. A WebM has VP8, VP9 or AV1.", foreignCodec(v.codec))
	}
	if a != nil {
		in.Audio = webmCodec(a.codec)
		if !strings.HasPrefix(a.codec, "A_") || in.Audio == "" {
			return Info{}, refuse(Codec, "The sound in this file is %s. A WebM has Opus or Vorbis.", foreignCodec(a.codec))
		}
	}
	if err := w.firstFrame(s.first, v.number, in.Video); err != nil {
		return Info{}, err
	}
	units := s.duration
	if units == 0 {
		var err error
		if units, err = w.clusterTime(s, v); err != nil {
			return Info{}, err
		}
	}
	ns := units * float64(s.scale)
	in.Duration = time.Duration(min(ns, float64(maxDuration+1)))
	return checked(in)
}

// block reads the head of a SimpleBlock or Block: its track, its time after the
// cluster's, and the size of the head.
func (w *window) block(e element) (track uint64, at int16, head int64, err error) {
	track, n, err := w.vint(e.body, e.end, 8)
	if err != nil {
		return 0, 0, 0, err
	}
	head = n + 3 // two bytes of time, one of flags
	if e.body+head > e.end {
		return 0, 0, 0, corrupt("a block is too short")
	}
	rel, err := w.u16(e.body + n)
	return track &^ (1 << (7 * n)), int16(rel), head, err // without the length marker
}

// firstFrame checks the first frame of a track in a cluster.
func (w *window) firstFrame(c cluster, track uint64, codec string) error {
	seen := false
	look := func(e element) error {
		of, _, head, err := w.block(e)
		if err != nil || of != track || seen {
			return err
		}
		seen = true
		return w.webmPicture(codec, span{uint64(e.body + head), e.end - e.body - head})
	}
	return w.children(c.body, c.end, func(e element) error {
		switch {
		case seen:
			return nil
		case e.id == idSimpleBlock:
			return look(e)
		case e.id == idBlockGroup:
			return w.children(e.body, e.end, func(e element) error {
				if e.id != idBlock {
					return nil
				}
				return look(e)
			})
		}
		return nil
	})
}

// clusterTime is when the last cluster ends, in the segment's unit: for files that
// do not say how long they are.
func (w *window) clusterTime(s *segment, v *webmTrack) (float64, error) {
	var base, last, before, length uint64
	frame := func(block element) error {
		_, rel, _, err := w.block(block)
		if err != nil {
			return err
		}
		// Relative times are signed; a block before the cluster's own time is at it.
		at := base + uint64(max(0, rel))
		if at > last {
			before, last = last, at
		}
		return nil
	}
	err := w.children(s.last.body, s.last.end, func(e element) (err error) {
		switch e.id {
		case idTimestamp:
			base, err = w.uint(e)
			base = min(base, 1<<62)
			last, before = base, base
		case idSimpleBlock:
			err = frame(e)
		case idBlockGroup:
			err = w.children(e.body, e.end, func(e element) (err error) {
				switch e.id {
				case idBlock:
					err = frame(e)
				case idBlockDuration:
					length, err = w.uint(e)
				}
				return err
			})
		}
		return err
	})
	if length == 0 {
		length = last - before
		if v.frame > 0 {
			length = v.frame / s.scale
		}
	}
	return float64(last) + float64(min(length, 1<<62)), err
}
