package container

import (
	"fmt"
	"math"
	"math/bits"
)

var ebmlMagic = [4]byte{0x1a, 0x45, 0xdf, 0xa3}

// Elements of EBML (RFC 8794) and of WebM's part of Matroska (RFC 9559).
const (
	idEBML    = 0x1a45dfa3
	idDocType = 0x4282

	idSegment        = 0x18538067
	idInfo           = 0x1549a966
	idTimestampScale = 0x2ad7b1
	idDuration       = 0x4489

	idTracks           = 0x1654ae6b
	idTrackEntry       = 0xae
	idTrackNumber      = 0xd7
	idTrackType        = 0x83
	idCodecID          = 0x86
	idDefaultDuration  = 0x23e383
	idContentEncodings = 0x6d80
	idVideo            = 0xe0
	idPixelWidth       = 0xb0
	idPixelHeight      = 0xba
	idDisplayWidth     = 0x54b0
	idDisplayHeight    = 0x54ba
	idDisplayUnit      = 0x54b2

	idCluster       = 0x1f43b675
	idTimestamp     = 0xe7
	idSimpleBlock   = 0xa3
	idBlockGroup    = 0xa0
	idBlock         = 0xa1
	idBlockDuration = 0x9b
)

// element is one element: its id and where its payload lies. end is -1 where its
// size is unknown.
type element struct {
	id        uint32
	body, end int64
}

// element reads the element at off, which must end at limit or before.
func (w *window) element(off, limit int64) (element, error) {
	if err := w.count(1); err != nil {
		return element{}, err
	}
	id, n, err := w.vint(off, limit, 4)
	if err != nil {
		return element{}, err
	}
	e := element{id: uint32(id)}
	size, m, err := w.vint(off+n, limit, 8)
	if err != nil {
		return element{}, err
	}
	e.body = off + n + m
	size &^= 1 << (7 * m) // the length marker
	if size == 1<<(7*m)-1 {
		e.end = -1
		return e, nil
	}
	if size > uint64(limit-e.body) {
		if limit == w.size {
			return element{}, truncated(fmt.Sprintf("%d bytes are missing", size-uint64(limit-e.body)))
		}
		return element{}, corrupt(fmt.Sprintf("element %x is larger than what it is in", e.id))
	}
	e.end = e.body + int64(size)
	return e, nil
}

// vint reads a variable-length integer with its length marker, and says how many
// bytes it has.
func (w *window) vint(off, limit int64, most int) (v uint64, n int64, err error) {
	short := func() error {
		if limit == w.size {
			return truncated("its last part is incomplete")
		}
		return corrupt("an element is too short")
	}
	if off >= limit {
		return 0, 0, short()
	}
	first, err := w.u8(off)
	if err != nil {
		return 0, 0, err
	}
	length := bits.LeadingZeros8(first) + 1
	if length > most {
		return 0, 0, corrupt("an element has an impossible header")
	}
	if off+int64(length) > limit {
		return 0, 0, short()
	}
	b, err := w.at(off, length)
	if err != nil {
		return 0, 0, err
	}
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v, int64(length), nil
}

// children calls f for the elements from off to limit, all of known size.
func (w *window) children(off, limit int64, f func(element) error) error {
	for off < limit {
		e, err := w.element(off, limit)
		if err != nil {
			return err
		}
		if e.end < 0 {
			return corrupt(fmt.Sprintf("element %x has no size", e.id))
		}
		if err := f(e); err != nil {
			return err
		}
		off = e.end
	}
	return nil
}

// uint reads an unsigned integer's payload.
func (w *window) uint(e element) (uint64, error) {
	n := e.end - e.body
	if n < 0 || n > 8 {
		return 0, corrupt(fmt.Sprintf("element %x is no number", e.id))
	}
	b, err := w.at(e.body, int(n))
	if err != nil {
		return 0, err
	}
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v, nil
}

// float reads a float's payload.
func (w *window) float(e element) (float64, error) {
	switch e.end - e.body {
	case 0:
		return 0, nil
	case 4:
		v, err := w.u32(e.body)
		return float64(math.Float32frombits(v)), err
	case 8:
		v, err := w.u64(e.body)
		return math.Float64frombits(v), err
	}
	return 0, corrupt(fmt.Sprintf("element %x is no number", e.id))
}

// maxText bounds the strings that are read, in bytes.
const maxText = 64

// text reads a string's payload.
func (w *window) text(e element) (string, error) {
	if e.end-e.body > maxText {
		return "", corrupt(fmt.Sprintf("element %x is too long", e.id))
	}
	b, err := w.at(e.body, int(e.end-e.body))
	if err != nil {
		return "", err
	}
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), nil
		}
	}
	return string(b), nil
}

// docType reads the EBML header at the beginning of the file.
func (w *window) docType() (docType string, err error) {
	h, err := w.element(0, w.size)
	if err != nil {
		return "", err
	}
	if h.end < 0 || h.end-h.body > 4096 {
		return "", corrupt("its header has an impossible size")
	}
	err = w.children(h.body, h.end, func(e element) (err error) {
		if e.id == idDocType {
			docType, err = w.text(e)
		}
		return err
	})
	return docType, err
}
