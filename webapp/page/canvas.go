package page

import (
	"math"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"
)

// surface is a canvas that is drawn only when something asked for it and it can be seen. Beside
// a film each frame costs: what the viewer does is drawn in the next one, what comes of itself
// together with the rest of the page that does (refresh).
type surface struct {
	id      string
	every   time.Duration // at least, between two drawings of what comes of itself
	draw    func(s *surface)
	palette palette
	width   int // device pixels
	height  int
	ratio   float64 // device pixels a CSS pixel

	canvas, context app.Value
	frame, resized  app.Func
	sight           sight
	observer        app.Value
	themed          func()
	pending         bool
	pendingID       int  // of the frame that was asked for
	stale           bool // what is drawn is not how it is now
	painted         time.Time
	layers          []*layer
}

// layer is a picture in the making: its pixels go to the browser in one copy.
type layer struct {
	pixels          []byte // RGBA
	width, height   int
	canvas, context app.Value
	image, bytes    app.Value
}

// open finds the canvas; the element must be mounted.
func (s *surface) open() {
	s.canvas = element(s.id)
	if !s.canvas.Truthy() {
		return
	}
	s.context = s.canvas.Call("getContext", "2d")
	s.frame = app.FuncOf(func(_ app.Value, args []app.Value) any {
		s.pending = false
		s.paint()
		return nil
	})
	s.resized = app.FuncOf(func(app.Value, []app.Value) any {
		s.fit()
		return nil
	})
	s.observer = app.Window().Get("ResizeObserver").New(s.resized)
	s.observer.Call("observe", s.canvas)
	s.themed = app.Window().AddEventListener("kinopod-theme", func(app.Context, app.Event) { s.theme() })
	s.sight.open(s.canvas, s.ask)
	s.theme()
	s.fit()
}

func (s *surface) paint() {
	s.painted, s.stale = time.Now(), false
	if s.width > 0 {
		s.draw(s)
	}
}

func (s *surface) close() {
	if s.canvas == nil || !s.canvas.Truthy() {
		return
	}
	s.observer.Call("disconnect")
	s.themed()
	s.resized.Release()
	s.sight.close()
	if s.pending {
		// A frame that has been asked for would call a function that is gone.
		app.Window().Call("cancelAnimationFrame", s.pendingID)
	}
	s.frame.Release()
	s.pending = false
	s.canvas, s.layers = nil, nil
}

// ask has the surface drawn in the next animation frame.
func (s *surface) ask() {
	if s.pending || s.canvas == nil || !s.canvas.Truthy() || !s.sight.seen {
		return
	}
	s.pending = true
	s.pendingID = app.Window().Call("requestAnimationFrame", s.frame).Int()
}

// refresh draws what is stale.
func (s *surface) refresh() {
	if s.stale && !s.pending && s.canvas != nil && s.canvas.Truthy() && s.sight.seen && time.Since(s.painted) >= s.every && !document().Get("hidden").Bool() {
		s.paint()
	}
}

// sight knows whether an element can be seen.
type sight struct {
	seen     bool
	observer app.Value
	changed  app.Func
}

// open follows an element; appeared is called when it comes into view.
func (s *sight) open(element app.Value, appeared func()) {
	s.changed = app.FuncOf(func(_ app.Value, args []app.Value) any {
		last := args[0].Index(args[0].Length() - 1)
		if s.seen = last.Get("isIntersecting").Bool(); s.seen {
			appeared()
		}
		return nil
	})
	s.observer = app.Window().Get("IntersectionObserver").New(s.changed)
	s.observer.Call("observe", element)
}

func (s *sight) close() {
	if s.observer == nil {
		return
	}
	s.observer.Call("disconnect")
	s.changed.Release()
	s.seen, s.observer = false, nil
}

func (s *surface) theme() {
	style := app.Window().Call("getComputedStyle", s.canvas)
	s.palette = readPalette(func(name string) string { return style.Call("getPropertyValue", name).String() })
	s.ask()
}

// fit gives the canvas the pixels that the screen has for it. A new size empties it: it
// is drawn at once, before the browser shows it.
func (s *surface) fit() {
	s.ratio = 1
	if r := app.Window().Get("devicePixelRatio"); r.Truthy() {
		s.ratio = r.Float()
	}
	box := s.canvas.Call("getBoundingClientRect")
	width, height := int(math.Round(box.Get("width").Float()*s.ratio)), int(math.Round(box.Get("height").Float()*s.ratio))
	if width == s.width && height == s.height {
		return
	}
	s.width, s.height = width, height
	s.canvas.Set("width", width)
	s.canvas.Set("height", height)
	s.layers = nil
	if s.sight.seen {
		s.paint()
	}
}

// px gives CSS pixels in device pixels.
func (s *surface) px(css float64) float64 { return math.Round(css * s.ratio) }

// layer gives the i-th layer in this size.
func (s *surface) layer(i, width, height int) *layer {
	for len(s.layers) <= i {
		s.layers = append(s.layers, nil)
	}
	if l := s.layers[i]; l != nil && l.width == width && l.height == height {
		return l
	}
	l := &layer{width: width, height: height, pixels: make([]byte, 4*width*height)}
	l.canvas = document().Call("createElement", "canvas")
	l.canvas.Set("width", width)
	l.canvas.Set("height", height)
	l.context = l.canvas.Call("getContext", "2d")
	l.bytes = app.Window().Get("Uint8ClampedArray").New(len(l.pixels))
	l.image = app.Window().Get("ImageData").New(l.bytes, width, height)
	s.layers[i] = l
	return l
}

// commit brings the pixels to the layer's own canvas.
func (l *layer) commit() {
	app.CopyBytesToJS(l.bytes, l.pixels)
	l.context.Call("putImageData", l.image, 0, 0)
}

// put draws a layer stretched into a box of the surface.
func (s *surface) put(l *layer, x, y, width, height float64) {
	s.context.Set("imageSmoothingEnabled", false)
	s.context.Call("drawImage", l.canvas, x, y, width, height)
}
