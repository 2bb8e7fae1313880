package tracker

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// read feeds b in pieces and gives what was read, as text.
func read(b []byte, most int, pieces func(left int) int) (got []string, held int, err error) {
	var r frameReader
	b = bytes.Clone(b)
	for len(b) > 0 && err == nil {
		n := pieces(len(b))
		err = r.feed(bytes.Clone(b[:n]), most, func(op opcode, payload []byte) error {
			got = append(got, fmt.Sprintf("%d %x", op, payload))
			return nil
		})
		held = max(held, len(r.in)+len(r.message))
		b = b[n:]
	}
	return got, held, err
}

// FuzzFrameReader reads bytes at once and in pieces, and compares with gobwas/ws.
func FuzzFrameReader(f *testing.F) {
	frame := func(f ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrame(f)) }
	f.Add(append(frame(ws.NewTextFrame([]byte("hello"))), frame(ws.NewPingFrame([]byte("x")))...), uint64(1))
	f.Add(append(frame(ws.NewFrame(ws.OpText, false, []byte("he"))), frame(ws.NewFrame(ws.OpContinuation, true, []byte("llo")))...), uint64(2))
	f.Add(frame(ws.NewTextFrame(make([]byte, 200))), uint64(3))
	f.Add([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, uint64(4))
	f.Add([]byte("\x89\xff\x00\x00\x00\x00\x00\x00\x00\x000000"), uint64(5))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		const most = 1000
		whole, _, err := read(b, most, func(left int) int { return left })
		rng := rand.New(rand.NewPCG(seed, 1))
		pieces, held, err2 := read(b, most, func(left int) int { return 1 + rng.IntN(min(left, 20)) })
		if fmt.Sprint(whole) != fmt.Sprint(pieces) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("at once %v, %v; in pieces %v, %v", whole, err, pieces, err2)
		}
		if held > 2*most+20 {
			t.Fatalf("%d bytes held for messages of %d", held, most)
		}
		if want := gobwas(b, most); fmt.Sprint(want) != fmt.Sprint(whole) {
			t.Fatalf("%q: got %v, gobwas has %v", b, whole, want)
		}
	})
}

// gobwas reads frames as RFC 6455 has them, until the first that is wrong.
func gobwas(b []byte, most int) (got []string) {
	r := bytes.NewReader(b)
	var message []byte
	fragmented := false
	for {
		at := len(b) - r.Len()
		h, err := ws.ReadHeader(r)
		if err == nil && h.OpCode.IsControl() && b[at+1]&0x7f > 125 {
			return got // gobwas takes a short length that is written long
		}
		state := ws.StateServerSide
		if fragmented {
			state |= ws.StateFragmented
		}
		if err != nil || ws.CheckHeader(h, state) != nil || !h.Masked {
			return got
		}
		if !h.OpCode.IsControl() && h.Length > int64(most-len(message)) {
			return got
		}
		payload := make([]byte, min(h.Length, int64(most)))
		if _, err := io.ReadFull(r, payload); err != nil {
			return got
		}
		ws.Cipher(payload, h.Mask, 0)
		switch {
		case h.OpCode.IsControl():
			got = append(got, fmt.Sprintf("%d %x", h.OpCode, payload))
		case !h.Fin:
			message, fragmented = append(message, payload...), true
			got = append(got, "0 ")
		default:
			message = append(message, payload...)
			if !utf8.Valid(message) {
				return got
			}
			got = append(got, fmt.Sprintf("%d %x", opText, message))
			message, fragmented = nil, false
		}
	}
}

func TestFramesAreReadByOthers(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
		payload := bytes.Repeat([]byte("x"), n)
		b := appendFrame([]byte("before"), opText, payload)
		f, err := readFrame(bytes.NewReader(b[len("before"):]))
		if err != nil || !bytes.Equal(f.Payload, payload) || f.Header.OpCode != ws.OpText || !f.Header.Fin || f.Header.Masked || len(b)-6 != ws.HeaderSize(f.Header)+n {
			t.Errorf("%d bytes: %+v, %v", n, f.Header, err)
		}
	}
	f, err := readFrame(bytes.NewReader(appendClose(nil, closure{closePolicy, string(make([]byte, 200))})))
	if code, _ := ws.ParseCloseFrameData(f.Payload); err != nil || code != closePolicy || len(f.Payload) > 125 {
		t.Errorf("%+v, %v", f, err)
	}
}

func BenchmarkUnmask(b *testing.B) {
	p := make([]byte, 6000)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		unmask(p, [4]byte{1, 2, 3, 4})
	}
}
