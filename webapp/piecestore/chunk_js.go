package piecestore

import (
	"crypto/sha1"
	"errors"
	"syscall/js"
)

// Chunk is a run of bytes that lives where the platform keeps bytes: a []byte
// natively, a Uint8Array in a browser, where it never enters Go's heap, which
// would not shrink again. The zero value is empty. Each step from Go into JavaScript
// costs microseconds: a part of an array becomes one of its own only where it has to.
type Chunk struct {
	v       js.Value // Uint8Array, or undefined
	from, n int      // the bytes of it
	whole   int      // its length
}

var (
	uint8Array = js.Global().Get("Uint8Array")
	// copyBytes(to, at, from, begin, end) copies bytes between arrays (boot.js).
	copyBytes = js.Global().Get("kinopod").Get("copyBytes")
)

// Make gives a Chunk of n zero bytes.
func Make(n int) Chunk { return View(uint8Array.New(n), n) }

// View gives the Chunk of a Uint8Array of n bytes; they are shared.
func View(v js.Value, n int) Chunk { return Chunk{v, 0, n, n} }

// FromBytes gives a Chunk with a copy of b.
func FromBytes(b []byte) Chunk {
	c := Make(len(b))
	js.CopyBytesToJS(c.v, b)
	return c
}

// FromJS gives the Chunk of an ArrayBuffer or a Uint8Array; the bytes are shared.
func FromJS(v js.Value) Chunk {
	if !v.InstanceOf(uint8Array) {
		v = uint8Array.New(v)
	}
	return View(v, v.Get("length").Int())
}

// JS gives a Uint8Array of the bytes; they are shared.
func (c Chunk) JS() js.Value {
	switch {
	case c.v.IsUndefined():
		return uint8Array.New(0)
	case c.n == c.whole:
		return c.v
	}
	return c.v.Call("subarray", c.from, c.from+c.n)
}

// Place is where the bytes are: those from..to of an array. It saves the array that JS
// makes.
func (c Chunk) Place() (array js.Value, from, to int) { return c.v, c.from, c.from + c.n }

// Len is the number of bytes.
func (c Chunk) Len() int { return c.n }

// Slice gives the bytes from..to; they are shared with c.
func (c Chunk) Slice(from, to int) Chunk {
	if from < 0 || from > to || to > c.n {
		panic("piecestore: a slice beyond its Chunk")
	}
	return Chunk{c.v, c.from + from, to - from, c.whole}
}

// CopyFrom copies src to the bytes at off.
func (c Chunk) CopyFrom(off int, src Chunk) {
	if src.n > 0 {
		copyBytes.Invoke(c.v, c.from+off, src.v, src.from, src.from+src.n)
	}
}

// ReadAt copies bytes at off to p and gives their number.
func (c Chunk) ReadAt(p []byte, off int) int {
	if off >= c.n {
		return 0
	}
	p = p[:min(len(p), c.n-off)]
	if c.from+off == 0 {
		return js.CopyBytesToGo(p, c.v)
	}
	return js.CopyBytesToGo(p, c.v.Call("subarray", c.from+off, c.from+off+len(p)))
}

// Bytes gives a copy of the bytes in Go's heap.
func (c Chunk) Bytes() []byte {
	b := make([]byte, c.n)
	c.ReadAt(b, 0)
	return b
}

// Sum computes the SHA-1 and gives it to done: at once natively, later in a
// browser, which does it beside the page, but not for one that came by plain HTTP from
// another machine.
func (c Chunk) Sum(done func(sum [20]byte, err error)) {
	subtle := js.Global().Get("crypto").Get("subtle")
	if subtle.IsUndefined() {
		done(sha1.Sum(c.Bytes()), nil)
		return
	}
	var then, failed js.Func
	release := func() { then.Release(); failed.Release() }
	then = js.FuncOf(func(_ js.Value, args []js.Value) any {
		release()
		var sum [20]byte
		js.CopyBytesToGo(sum[:], uint8Array.New(args[0]))
		done(sum, nil)
		return nil
	})
	failed = js.FuncOf(func(_ js.Value, args []js.Value) any {
		release()
		done([20]byte{}, errors.New("crypto.subtle: "+args[0].Call("toString").String()))
		return nil
	})
	subtle.Call("digest", "SHA-1", c.JS()).Call("then", then, failed)
}
