package tracker

import (
	"encoding/binary"
	"unicode/utf8"
)

// opcode says what a WebSocket frame is (RFC 6455, 5.2).
type opcode byte

const (
	opContinuation opcode = 0
	opText         opcode = 1
	opBinary       opcode = 2
	opClose        opcode = 8
	opPing         opcode = 9
	opPong         opcode = 10
)

// Close codes (RFC 6455, 7.4).
const (
	closeGoingAway = 1001
	closeProtocol  = 1002
	closeNoStatus  = 1005 // never on the wire
	closeNotUTF8   = 1007
	closePolicy    = 1008
	closeTooBig    = 1009
)

// closure is why a connection ends, as the peer is told.
type closure struct {
	code   uint16
	reason string
}

// Error makes a closure an error of reading.
func (c *closure) Error() string { return c.reason }

func violation(reason string) error { return &closure{closeProtocol, reason} }

// header is the head of one frame from a client.
type header struct {
	fin    bool
	op     opcode
	length int // of the payload, in bytes
	mask   [4]byte
	size   int // of the head itself, in bytes
}

// parseHeader reads the head of a frame from a client; size is 0 if b does not
// hold all of it. A part of a message longer than most is refused.
func parseHeader(b []byte, most int) (h header, err error) {
	if len(b) < 2 {
		return h, nil
	}
	h.fin, h.op = b[0]&0x80 != 0, opcode(b[0]&0x0f)
	switch {
	case b[0]&0x70 != 0:
		return h, violation("reserved bits")
	case h.op > opPong || h.op > opBinary && h.op < opClose:
		return h, violation("reserved opcode")
	case b[1]&0x80 == 0:
		return h, violation("frame without a mask")
	case h.op >= opClose && (!h.fin || b[1]&0x7f > 125):
		return h, violation("long or fragmented control frame")
	}
	size, length := 2, uint64(b[1]&0x7f)
	switch length {
	case 126:
		if size = 4; len(b) < size {
			return h, nil
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if size = 10; len(b) < size {
			return h, nil
		}
		length = binary.BigEndian.Uint64(b[2:])
	}
	if h.op < opClose && length > uint64(most) {
		return h, &closure{closeTooBig, "message too long"}
	}
	if h.length = int(length); len(b) < size+4 {
		return h, nil
	}
	h.mask = [4]byte(b[size:])
	h.size = size + 4
	return h, nil
}

// unmask takes the mask off a payload, in place.
func unmask(b []byte, mask [4]byte) {
	half := uint64(binary.LittleEndian.Uint32(mask[:]))
	for key := half<<32 | half; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^key)
	}
	for i := range b {
		b[i] ^= mask[i&3]
	}
}

// frameReader puts the bytes that come over a connection together to messages.
// It holds memory only while one is unfinished.
type frameReader struct {
	in         []byte // the beginning of a frame
	message    []byte // what came of a fragmented message
	fragmented bool
}

// feed takes the next bytes, which it may change, and calls each for what is whole:
// messages (opText, those of binary frames too), control frames, and, without a
// payload, for each fragment but the last (opContinuation). A payload lives until each returns. A
// message is at most most bytes. After an error nothing more may be fed.
func (r *frameReader) feed(b []byte, most int, each func(opcode, []byte) error) error {
	if len(r.in) > 0 {
		r.in = append(r.in, b...)
		b = r.in
	}
	for len(b) > 0 {
		h, err := parseHeader(b, most-len(r.message))
		if err != nil {
			return err
		}
		if h.size == 0 || len(b) < h.size+h.length {
			break
		}
		payload := b[h.size : h.size+h.length]
		unmask(payload, h.mask)
		if err := r.frame(h, payload, each); err != nil {
			return err
		}
		b = b[h.size+h.length:]
	}
	if len(b) == 0 {
		r.in = nil
	} else {
		r.in = append(r.in[:0], b...)
	}
	return nil
}

func (r *frameReader) frame(h header, payload []byte, each func(opcode, []byte) error) error {
	if h.op >= opClose {
		return each(h.op, payload)
	}
	if r.fragmented != (h.op == opContinuation) {
		return violation("fragments out of order")
	}
	if !h.fin {
		r.message, r.fragmented = append(r.message, payload...), true
		return each(opContinuation, nil)
	}
	if r.fragmented {
		payload = append(r.message, payload...)
		r.message, r.fragmented = nil, false
	}
	if !utf8.Valid(payload) { // also of a binary message: it has to be JSON
		return &closure{closeNotUTF8, "not UTF-8"}
	}
	return each(opText, payload)
}

// unfinished says whether the rest of a message is awaited.
func (r *frameReader) unfinished() bool { return len(r.in) > 0 || r.fragmented }

// parseClose reads the payload of a close frame and gives the code to answer with.
func parseClose(b []byte) uint16 {
	if len(b) == 0 {
		return closeNoStatus
	}
	if len(b) == 1 || !utf8.Valid(b[2:]) {
		return closeProtocol
	}
	code := binary.BigEndian.Uint16(b)
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code < 5000:
		return code
	}
	return closeProtocol
}

// headRoom is what beginFrame keeps free for the head of a frame.
const headRoom = 10

// beginFrame appends room for the head of a frame to b. The payload is appended
// next, and endFrame called with the length that b had before.
func beginFrame(b []byte) []byte { return append(b, make([]byte, headRoom)...) }

// endFrame writes the head of the frame that was begun at b[at:].
func endFrame(b []byte, at int, op opcode) []byte {
	n := len(b) - at - headRoom
	head := append(make([]byte, 0, headRoom), 0x80|byte(op))
	switch {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	copy(b[at:], head)
	copy(b[at+len(head):], b[at+headRoom:])
	return b[:at+len(head)+n]
}

// appendFrame appends a whole frame.
func appendFrame(b []byte, op opcode, payload []byte) []byte {
	at := len(b)
	return endFrame(append(beginFrame(b), payload...), at, op)
}

// appendClose appends a close frame.
func appendClose(b []byte, c closure) []byte {
	if c.code == closeNoStatus {
		return appendFrame(b, opClose, nil)
	}
	payload := binary.BigEndian.AppendUint16(make([]byte, 0, 125), c.code)
	return appendFrame(b, opClose, append(payload, c.reason[:min(len(c.reason), 123)]...))
}
