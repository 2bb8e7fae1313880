package upload

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"
	"time"

	"kinopod/shared/api"
)

// Where in a video its pictures are taken, 0..1.
var pictureAt = [...]float64{0.1, 0.35, 0.65}

// lookTime bounds how long the browser may take to show one frame. A page that was
// never visible gets none at all: then the pod makes the thumbnail.
const lookTime = 15 * time.Second

// Look plays a little of f in a <video> that is not on the page, and takes three
// frames of it. No error with Preview.Refused is a file that this browser cannot
// play.
func Look(ctx context.Context, f *File) (p Preview, err error) {
	url := js.Global().Get("URL").Call("createObjectURL", f.v).String()
	defer js.Global().Get("URL").Call("revokeObjectURL", url)
	v := element("video")
	v.Set("muted", true)
	v.Set("playsInline", true)
	v.Set("preload", "auto")
	defer func() {
		v.Call("removeAttribute", "src")
		v.Call("load")
	}()

	err = event(ctx, v, "loadeddata", func() { v.Set("src", url) })
	if errors.Is(err, errMedia) {
		return Preview{Refused: true}, nil
	}
	if err != nil {
		return Preview{}, err
	}
	p.Width, p.Height = v.Get("videoWidth").Int(), v.Get("videoHeight").Int()
	if p.Width == 0 || p.Height == 0 {
		return p, nil // sound only: the pod decides
	}
	if p.Duration, err = duration(ctx, v); err != nil {
		return p, nil //nolint:nilerr // a preview without pictures is one
	}
	p.Pictures, p.Release = pictures(ctx, v, p.Duration)
	return p, nil
}

// duration is that of v in seconds. A recording of a browser says its own only
// once its end was looked for.
func duration(ctx context.Context, v js.Value) (float64, error) {
	d := v.Get("duration")
	if js.Global().Call("isFinite", d).Bool() {
		return d.Float(), nil
	}
	if err := seek(ctx, v, 1e7); err != nil {
		return 0, err
	}
	if d = v.Get("duration"); !js.Global().Call("isFinite", d).Bool() {
		return v.Get("currentTime").Float(), nil
	}
	return d.Float(), nil
}

func seek(ctx context.Context, v js.Value, to float64) error {
	return event(ctx, v, "seeked", func() { v.Set("currentTime", to) })
}

// pictures takes the frames that it can get.
func pictures(ctx context.Context, v js.Value, seconds float64) (out []Picture, release func()) {
	canvas, small := element("canvas"), element("canvas")
	for _, at := range pictureAt {
		if seek(ctx, v, at*seconds) != nil {
			break
		}
		cover(canvas, v, api.ThumbnailWidth, api.ThumbnailHeight)
		cover(small, v, 64, 36)
		p, err := picture(ctx, canvas)
		if err != nil {
			break
		}
		p.Contrast = contrast(pixels(small))
		out = append(out, p)
	}
	return out, func() {
		for _, p := range out {
			js.Global().Get("URL").Call("revokeObjectURL", p.URL)
		}
	}
}

// cover draws the middle of v over all of a canvas of w by h pixels.
func cover(canvas, v js.Value, w, h int) {
	canvas.Set("width", w)
	canvas.Set("height", h)
	fromW, fromH := v.Get("videoWidth").Float(), v.Get("videoHeight").Float()
	scale := max(float64(w)/fromW, float64(h)/fromH)
	cutW, cutH := float64(w)/scale, float64(h)/scale
	context2D(canvas).Call("drawImage", v, (fromW-cutW)/2, (fromH-cutH)/2, cutW, cutH, 0, 0, w, h)
}

func context2D(canvas js.Value) js.Value {
	return canvas.Call("getContext", "2d", map[string]any{"willReadFrequently": canvas.Get("width").Int() < api.ThumbnailWidth})
}

func pixels(canvas js.Value) []byte {
	data := context2D(canvas).Call("getImageData", 0, 0, canvas.Get("width"), canvas.Get("height")).Get("data")
	rgba := make([]byte, data.Length())
	js.CopyBytesToGo(rgba, data) // takes a Uint8ClampedArray as well
	return rgba
}

// errPicture is a browser that writes no WebP, or none that is small enough.
var errPicture = errors.New("no WebP picture")

// picture encodes a canvas.
func picture(ctx context.Context, canvas js.Value) (Picture, error) {
	qualities := []float64{0.75, 0.6, 0.45, 0.3}
	for i, quality := range qualities {
		blob, err := encode(ctx, canvas, quality)
		if err != nil {
			return Picture{}, err
		}
		// What is too large for other pods all the same, the pod writes anew.
		if size := blob.Get("size").Int(); size > api.MaxThumbnail || size > api.MaxPicture-1<<10 && i < len(qualities)-1 {
			continue
		}
		webp, err := NewFile(blob).Bytes(ctx, 0, int64(blob.Get("size").Int()))
		if err != nil {
			return Picture{}, err
		}
		return Picture{URL: js.Global().Get("URL").Call("createObjectURL", blob).String(), WebP: webp}, nil
	}
	return Picture{}, errPicture
}

func encode(ctx context.Context, canvas js.Value, quality float64) (js.Value, error) {
	blobs := make(chan js.Value, 1)
	var f js.Func
	f = js.FuncOf(func(_ js.Value, args []js.Value) any {
		blobs <- args[0]
		f.Release()
		return nil
	})
	canvas.Call("toBlob", f, "image/webp", quality)
	select {
	case blob := <-blobs:
		// A browser without WebP gives a PNG, or nothing.
		if !blob.Truthy() || blob.Get("type").String() != "image/webp" {
			return js.Null(), errPicture
		}
		return blob, nil
	case <-ctx.Done():
		return js.Null(), ctx.Err()
	}
}

func element(name string) js.Value {
	return js.Global().Get("document").Call("createElement", name)
}

// errMedia is what the browser says of a file that it cannot play.
var errMedia = errors.New("the browser cannot play this")

// event does what should make v fire an event of that name, and waits for it.
func event(ctx context.Context, v js.Value, name string, do func()) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	fired := make(chan bool, 2)
	good := js.FuncOf(func(js.Value, []js.Value) any { fired <- true; return nil })
	bad := js.FuncOf(func(js.Value, []js.Value) any { fired <- false; return nil })
	v.Call("addEventListener", name, good, map[string]any{"once": true})
	v.Call("addEventListener", "error", bad, map[string]any{"once": true})
	defer func() {
		v.Call("removeEventListener", name, good)
		v.Call("removeEventListener", "error", bad)
		good.Release()
		bad.Release()
	}()
	do()
	select {
	case ok := <-fired:
		if !ok {
			return fmt.Errorf("%w: %s", errMedia, v.Get("error").Get("message").String())
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", name, ctx.Err())
	}
}
