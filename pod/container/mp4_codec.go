package container

import (
	"fmt"
	"strings"
)

// sampleEntry reads the first entry of stsd.
func (w *window) sampleEntry(t *track, stsd box) error {
	if _, err := w.field32(stsd, 4); err != nil {
		return err
	}
	if stsd.body+8 == stsd.end {
		return nil
	}
	e, err := w.box(stsd.body+8, stsd.end)
	if err != nil {
		return err
	}
	switch t.handler {
	case "vide":
		return w.visualEntry(t, e)
	case "soun":
		return w.audioEntry(t, e)
	}
	return nil
}

func (w *window) visualEntry(t *track, e box) error {
	size, err := w.field32(e, 24) // coded width and height, 16 bits each
	if err != nil {
		return err
	}
	if t.width == 0 || t.height == 0 {
		t.width, t.height = int(size>>16), int(size&0xffff)
	}
	switch e.kind {
	case "avc1", "avc3":
	case "encv":
		t.encrypted = true
		return nil
	default:
		t.refused = codecName(e.kind)
		return nil
	}
	t.codec = e.kind
	return w.each(e.body+78, e.end, func(b box) error {
		if b.kind != "avcC" {
			return nil
		}
		v, err := w.field32(b, 0) // version, profile, compatibility, level
		if err != nil {
			return err
		}
		t.codec = fmt.Sprintf("%s.%06x", e.kind, v&0xffffff)
		if b.end-b.body < 5 {
			return corrupt("the description of its pictures is too short")
		}
		lengths, err := w.u8(b.body + 4)
		t.lengths = int(lengths&3) + 1
		return err
	})
}

func (w *window) audioEntry(t *track, e box) error {
	version, err := w.field32(e, 8)
	if err != nil {
		return err
	}
	children := e.body + 28
	switch version >> 16 { // QuickTime's later versions have more fields
	case 1:
		children += 16
	case 2:
		children += 36
	}
	switch e.kind {
	case "mp4a":
		t.refused = "of an unknown kind"
		return w.each(children, e.end, func(b box) error {
			switch b.kind {
			case "esds":
				return w.audioDescriptor(t, b)
			case "wave": // QuickTime wraps esds once more
				return w.each(b.body, b.end, func(b box) error {
					if b.kind != "esds" {
						return nil
					}
					return w.audioDescriptor(t, b)
				})
			}
			return nil
		})
	case "Opus":
		t.codec = "opus"
	case ".mp3":
		t.codec = "mp3"
	case "enca":
		t.encrypted = true
	default:
		t.refused = codecName(e.kind)
	}
	return nil
}

// audioDescriptor reads esds (ISO/IEC 14496-1, 7.2.6).
func (w *window) audioDescriptor(t *track, b box) error {
	if b.end-b.body > 4096 || b.end-b.body < 4 {
		return corrupt("the description of its sound has an impossible size")
	}
	d, err := w.at(b.body+4, int(b.end-b.body-4))
	if err != nil {
		return err
	}
	const esDescriptor, decoderConfig, decoderSpecific = 3, 4, 5
	es, ok := descriptor(d, esDescriptor)
	if !ok || len(es) < 3 {
		return corrupt("the description of its sound cannot be read")
	}
	flags, rest := es[2], es[3:]
	if flags&0x80 != 0 { // depends on another stream
		rest = rest[min(2, len(rest)):]
	}
	if flags&0x40 != 0 && len(rest) > 0 { // URL
		rest = rest[min(1+int(rest[0]), len(rest)):]
	}
	if flags&0x20 != 0 { // clock
		rest = rest[min(2, len(rest)):]
	}
	config, ok := descriptor(rest, decoderConfig)
	if !ok || len(config) < 13 {
		return corrupt("the description of its sound cannot be read")
	}
	t.codec, t.refused = "", ""
	switch object := config[0]; object {
	case 0x40:
		t.codec = "mp4a.40.2"
		if specific, ok := descriptor(config[13:], decoderSpecific); ok && len(specific) >= 2 {
			kind := int(specific[0] >> 3)
			if kind == 31 {
				kind = 32 + int(specific[0]&7)<<3 + int(specific[1]>>5)
			}
			t.codec = fmt.Sprintf("mp4a.40.%d", kind)
		}
	case 0x66, 0x67, 0x68:
		t.codec = fmt.Sprintf("mp4a.%x", object)
	case 0x69, 0x6b:
		t.codec = "mp3"
	case 0xad:
		t.codec = "opus"
	case 0xa5:
		t.refused = codecName("ac-3")
	case 0xa6:
		t.refused = codecName("ec-3")
	case 0xa9:
		t.refused = codecName("dtsc")
	case 0xdd:
		t.refused = "Vorbis in an MP4"
	default:
		t.refused = fmt.Sprintf("of an unknown kind (%#x)", object)
	}
	return nil
}

// descriptor gives the payload of the first descriptor in b if it has this tag.
func descriptor(b []byte, tag byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, false
	}
	n, i := 0, 1
	for ; i < len(b) && i <= 4; i++ {
		n = n<<7 | int(b[i]&0x7f)
		if b[i]&0x80 == 0 {
			i++
			break
		}
	}
	return b[i:min(i+n, len(b))], true
}

// codecName is what people call the codec of a sample entry.
func codecName(kind string) string {
	switch kind {
	case "hvc1", "hev1", "dvh1", "dvhe":
		return "HEVC (H.265)"
	case "vvc1", "vvi1":
		return "VVC (H.266)"
	case "av01":
		return "AV1 in an MP4"
	case "vp08", "vp09":
		return "VP8 or VP9 in an MP4"
	case "mp4v":
		return "MPEG-4 Part 2 (DivX, Xvid)"
	case "jpeg", "mjpa", "mjpb":
		return "Motion JPEG"
	case "apch", "apcn", "apcs", "apco", "ap4h", "ap4x":
		return "Apple ProRes"
	case "s263", "h263":
		return "H.263"
	case "ac-3":
		return "Dolby Digital (AC-3)"
	case "ec-3":
		return "Dolby Digital Plus (E-AC-3)"
	case "ac-4":
		return "Dolby AC-4"
	case "dtsc", "dtsh", "dtsl", "dtse":
		return "DTS"
	case "alac":
		return "Apple Lossless"
	case "fLaC":
		return "FLAC"
	case "lpcm", "sowt", "twos", "in24", "in32", "fl32", "fl64", "ipcm", "fpcm", "raw ":
		return "uncompressed (PCM)"
	case "samr", "sawb":
		return "AMR"
	}
	return "of an unknown kind (" + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, kind) + ")"
}
