package container

import "fmt"

// pictures are a few of a film's pictures: enough to tell a film from a file of which
// only the index is one.
type pictures []span

// span is a part of the file.
type span struct {
	off  uint64
	size int64
}

const maxPictures = 3

// add takes a picture that is all within the file.
func (p *pictures) add(off uint64, size uint64) {
	if len(*p) < maxPictures && size > 0 {
		*p = append(*p, span{off, int64(size)})
	}
}

func notPictures() error {
	return corrupt("what its index calls pictures is something else")
}

// maxUnits bounds the parts of one picture that are looked at.
const maxUnits = 4096

// h264 checks that a sample is made of NAL units, each after its length in n bytes
// (ISO/IEC 14496-15, 5.3.4.2).
func (w *window) h264(s span, n int) error {
	off, end := int64(s.off), int64(s.off)+s.size
	for units := 0; off < end; units++ {
		if units == maxUnits || end-off < int64(n) {
			return notPictures()
		}
		b, err := w.at(off, n)
		if err != nil {
			return err
		}
		length := int64(0)
		for _, c := range b {
			length = length<<8 | int64(c)
		}
		off += int64(n)
		if length > end-off {
			return notPictures()
		}
		if length > 0 {
			head, err := w.u8(off)
			if err != nil {
				return err
			}
			if head&0x80 != 0 || head&0x1f == 0 { // the forbidden bit, and no kind of unit
				return notPictures()
			}
		}
		off += length
	}
	return nil
}

// webmPicture checks the first frame of a film, from which a player has to be able to
// begin.
func (w *window) webmPicture(codec string, s span) error {
	b, err := w.at(int64(s.off), int(min(s.size, 16)))
	if err != nil {
		return err
	}
	var ok bool
	switch codec {
	case "vp8": // RFC 6386, 9.1
		ok = len(b) >= 10 && b[0]&1 == 0 && b[3] == 0x9d && b[4] == 0x01 && b[5] == 0x2a
	case "vp9": // VP9 bitstream, 6.2; profile 3 has a bit more before the sync code
		profile3 := len(b) >= 5 && b[0]&0x30 == 0x30
		ok = len(b) >= 5 && b[0]&0xc0 == 0x80 && (profile3 || b[0]&0x0c == 0 && b[1] == 0x49 && b[2] == 0x83 && b[3] == 0x42)
	case "av01":
		return w.av1(s)
	default:
		return fmt.Errorf("container: no check for %s", codec)
	}
	if !ok {
		return notPictures()
	}
	return nil
}

// av1 checks that a frame is made of OBUs (AV1, 5.3), with a sequence header.
func (w *window) av1(s span) error {
	const sequenceHeader = 1
	off, end := int64(s.off), int64(s.off)+s.size
	sequence := false
	for units := 0; off < end; units++ {
		head, err := w.u8(off)
		if err != nil {
			return err
		}
		if units == maxUnits || head&0x81 != 0 { // bits that are always zero
			return notPictures()
		}
		sequence = sequence || head>>3&15 == sequenceHeader
		off++
		if head&4 != 0 { // extension
			off++
		}
		if head&2 == 0 { // without a size: to the end
			break
		}
		length := int64(0)
		for i := 0; ; i++ {
			if i == 8 || off >= end {
				return notPictures()
			}
			c, err := w.u8(off)
			if err != nil {
				return err
			}
			off++
			length |= int64(c&0x7f) << (7 * i)
			if c&0x80 == 0 {
				break
			}
		}
		if length > end-off {
			return notPictures()
		}
		off += length
	}
	if !sequence {
		return notPictures()
	}
	return nil
}
