package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// webp is a still WebP picture (the WebP container specification): its size and
// the chunks that hold pixels.
type webp struct {
	width, height int
	alpha         []byte // ALPH chunk's payload, nil without one
	lossless      bool   // pixels are VP8L, else VP8
	hasAlpha      bool
	pixels        []byte
}

var errWebP = errors.New("not a still WebP")

// parseWebP reads the chunks and the header of the bitstream; it does not decode
// pixels.
func parseWebP(b []byte) (webp, error) {
	var p webp
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WEBP" {
		return p, fmt.Errorf("%w: no RIFF header", errWebP)
	}
	if n := binary.LittleEndian.Uint32(b[4:]); int64(n)+8 > int64(len(b)) {
		return p, fmt.Errorf("%w: cut off", errWebP)
	}
	for rest := b[12:]; len(rest) >= 8; {
		name, n := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		if n > int64(len(rest)-8) {
			return p, fmt.Errorf("%w: chunk %q is cut off", errWebP, name)
		}
		body := rest[8 : 8+n]
		rest = rest[min(int64(len(rest)), 8+n+n&1):]
		switch name {
		case "ANIM", "ANMF":
			return p, fmt.Errorf("%w: animated", errWebP)
		case "ALPH":
			p.alpha, p.hasAlpha = body, true
		case "VP8 ", "VP8L":
			if p.pixels != nil {
				return p, fmt.Errorf("%w: two pictures", errWebP)
			}
			p.pixels, p.lossless = body, name == "VP8L"
		}
	}
	return p, p.readSize()
}

// readSize reads width and height from the bitstream (RFC 6386, 9.1; WebP
// lossless bitstream, 3).
func (p *webp) readSize() error {
	b := p.pixels
	if p.lossless {
		if len(b) < 5 || b[0] != 0x2f {
			return fmt.Errorf("%w: lossless header", errWebP)
		}
		bits := binary.LittleEndian.Uint32(b[1:])
		p.width, p.height = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1
		p.hasAlpha = bits>>28&1 == 1
		p.alpha = nil
		return nil
	}
	if len(b) < 10 || b[0]&1 != 0 || !bytes.Equal(b[3:6], []byte{0x9d, 0x01, 0x2a}) {
		return fmt.Errorf("%w: no key frame", errWebP)
	}
	p.width = int(binary.LittleEndian.Uint16(b[6:]) & 0x3fff)
	p.height = int(binary.LittleEndian.Uint16(b[8:]) & 0x3fff)
	if p.width == 0 || p.height == 0 {
		return fmt.Errorf("%w: empty", errWebP)
	}
	return nil
}

// Flags of VP8X.
const (
	webpAlpha = 0x10
	webpXMP   = 0x04
)

// encode writes the picture in the extended format with identifier as its only
// metadata (XMP, dc:identifier). identifier must need no escaping in XML.
func (p *webp) encode(identifier string) []byte {
	flags := byte(webpXMP)
	if p.hasAlpha {
		flags |= webpAlpha
	}
	w, h := p.width-1, p.height-1
	out := append([]byte("RIFF\x00\x00\x00\x00WEBP"), "VP8X\x0a\x00\x00\x00"...)
	out = append(out, flags, 0, 0, 0, byte(w), byte(w>>8), byte(w>>16), byte(h), byte(h>>8), byte(h>>16))
	if p.alpha != nil {
		out = appendChunk(out, "ALPH", p.alpha)
	}
	name := "VP8 "
	if p.lossless {
		name = "VP8L"
	}
	out = appendChunk(out, name, p.pixels)
	out = appendChunk(out, "XMP ", []byte(`<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">`+
		`<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:identifier="`+identifier+`"/></rdf:RDF></x:xmpmeta>`))
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

func appendChunk(out []byte, name string, body []byte) []byte {
	out = binary.LittleEndian.AppendUint32(append(out, name...), uint32(len(body)))
	out = append(out, body...)
	if len(body)%2 == 1 {
		out = append(out, 0)
	}
	return out
}
