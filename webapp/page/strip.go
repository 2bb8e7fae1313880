package page

import (
	"image/color"
	"math"
	"slices"
	"strconv"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/webapp/swarm"
)

// strip is the swarm strip: a thin living bar under the player with one cell a piece,
// coloured by where the piece came from, glowing where one is on its way, and the play
// head on it. It seeks, and says what a cell is.
type strip struct {
	app.Compo

	stats    swarm.Stats
	plain    []bool  // of each piece: the player had it by plain HTTP
	duration float64 // seconds
	surface  *surface
	cells    []cell
	pointed  float64 // 0..1, where the pointer is; negative if it is not here
	focused  bool
}

// Sizes in CSS pixels.
const (
	stripTrack = 14.0 // height of the cells
	stripLow   = 4.0  // height of a cell that is not here
	stripCell  = 4.0  // least width of a cell
)

func (s *strip) reset() {
	s.stats, s.duration, s.cells, s.pointed, s.focused = swarm.Stats{}, 0, nil, -1, false
	s.plain = nil
	if s.surface != nil {
		s.surface.ask()
	}
}

// show takes the swarm as it is now.
func (s *strip) show(stats swarm.Stats, duration float64) {
	changed := !slices.Equal(stats.Pieces, s.stats.Pieces) || stats.Playhead != s.stats.Playhead
	s.stats, s.duration = stats, duration
	changed = s.notePlain() || changed
	if !changed || s.surface == nil {
		return
	}
	s.surface.stale = true
	if s.pointed >= 0 || s.focused {
		s.point(s.at())
	}
	s.Update()
}

// notePlain notes which pieces the player had without the engine: what it has buffered
// before the engine has given it anything, and what it has played that the engine does
// not have.
func (s *strip) notePlain() (changed bool) {
	v := element("kinopod-video")
	if !v.Truthy() || len(s.stats.Pieces) == 0 {
		return false
	}
	length, until := v.Get("duration").Float(), v.Get("currentTime").Float()
	if taken(s.stats) == 0 {
		until = length
	}
	if len(s.plain) != len(s.stats.Pieces) {
		s.plain = make([]bool, len(s.stats.Pieces))
	}
	ranges := v.Get("buffered")
	for i := range ranges.Get("length").Int() {
		from, to := ranges.Call("start", i).Float(), min(ranges.Call("end", i).Float(), until)
		changed = markPlain(s.plain, s.stats.Pieces, from/length, to/length) || changed
	}
	return changed
}

// plainOnly says that the film plays, and nothing of it came through the swarm yet.
func (s *strip) plainOnly() bool {
	return taken(s.stats) == 0 && slices.Contains(s.plain, true) && !slices.ContainsFunc(s.stats.Pieces, func(p swarm.PieceState) bool { return p.Have })
}

// taken is how many bytes came through the swarm.
func taken(s swarm.Stats) int64 { return s.FromWebSeed + s.FromPod + s.FromViewers }

// OnMount implements app.Mounter.
func (s *strip) OnMount(app.Context) {
	s.surface = &surface{id: "swarm-strip", draw: s.draw}
	s.surface.open()
}

// OnDismount implements app.Dismounter.
func (s *strip) OnDismount() {
	if s.surface != nil {
		s.surface.close()
		s.surface = nil
	}
}

// Render implements app.Composer.
func (s *strip) Render() app.UI {
	now, end := s.stats.Playhead*s.duration, s.duration
	return elem("div").Class("strip").Body(
		elem("canvas").ID("swarm-strip").TabIndex(0).Role("slider").
			Aria("label", "Swarm strip: the position in the video, and where its pieces came from").
			Aria("valuemin", 0).Aria("valuemax", int(math.Round(end))).Aria("valuenow", int(math.Round(now))).
			Aria("valuetext", formatDuration(now)+" of "+formatDuration(end)).
			Aria("describedby", "swarm-strip-text").
			On("pointermove", s.onPointer).On("pointerleave", s.onLeave).On("click", s.onClick).
			On("keydown", s.onKey).On("focus", s.onFocus).On("blur", s.onBlur),
		elem("p").ID("swarm-strip-text").Class("off-screen").Text(s.summary()),
		elem("p").ID("swarm-strip-tip").Class("strip-tip").Aria("hidden", true),
	)
}

// summary is the strip in words.
func (s *strip) summary() string {
	total := len(s.stats.Pieces)
	if total == 0 {
		return "Nothing is known of the pieces yet."
	}
	var from [swarm.Local + 1]int
	have := 0
	for _, p := range s.stats.Pieces {
		if p.Have {
			have++
			from[p.Source]++
		}
	}
	text := strconv.Itoa(have) + " of " + strconv.Itoa(total) + " pieces are here"
	for _, source := range sources {
		if from[source] > 0 {
			text += ", " + strconv.Itoa(from[source]) + " from " + sourceName(source)
		}
	}
	plain := 0
	for i, p := range s.stats.Pieces {
		if i < len(s.plain) && s.plain[i] && !p.Have {
			plain++
		}
	}
	if plain > 0 {
		text += "; " + strconv.Itoa(plain) + " more played by plain HTTP"
	}
	return text + "."
}

// draw is called in an animation frame.
func (s *strip) draw(f *surface) {
	c := f.context
	c.Call("clearRect", 0, 0, f.width, f.height)
	s.cells = cellsOf(s.stats.Pieces, max(1, f.width/int(f.px(stripCell))))
	for i, c := range s.cells {
		s.cells[i].plain = c.first+c.count <= len(s.plain) && slices.Contains(s.plain[c.first:c.first+c.count], true)
	}
	middle, width := float64(f.height)/2, float64(f.width)
	gap := int(f.px(1))
	n := max(1, len(s.cells))

	missing := f.layer(0, f.width, 1)
	paintRow(missing.pixels, n, gap, func(int) color.NRGBA { return f.palette.missing })
	missing.commit()
	low := f.px(stripLow)
	f.put(missing, 0, middle-low/2, width, low)
	if len(s.cells) == 0 {
		return
	}

	high := f.px(stripTrack)
	have := f.layer(1, f.width, 1)
	paintRow(have.pixels, n, gap, func(i int) color.NRGBA { return f.palette.of(s.cells[i]) })
	have.commit()
	f.put(have, 0, middle-high/2, width, high)

	s.drawGlow(f, n, gap, middle, high)
	s.drawHead(f, middle, high)
}

// drawGlow draws what is on its way.
func (s *strip) drawGlow(f *surface, n, gap int, middle, high float64) {
	if !slices.ContainsFunc(s.cells, func(c cell) bool { return c.fetching }) {
		return
	}
	glow := f.layer(2, f.width, 1)
	paintRow(glow.pixels, n, gap, func(i int) color.NRGBA {
		if s.cells[i].fetching {
			return f.palette.accent
		}
		return color.NRGBA{}
	})
	glow.commit()
	// A faint frame around it: a filter would cost more than all else that is drawn.
	for _, wide := range []float64{8, 4} {
		f.context.Set("globalAlpha", 0.2)
		f.put(glow, 0, middle-high/2-f.px(wide)/2, float64(f.width), high+f.px(wide))
	}
	f.context.Set("globalAlpha", 1)
	f.put(glow, 0, middle-high/4, float64(f.width), high/2)
}

// drawHead draws the play head, and a fine line where the pointer is.
func (s *strip) drawHead(f *surface, middle, high float64) {
	line := func(at, width, height float64, c color.NRGBA) {
		x := math.Round(at*float64(f.width) - width/2)
		f.context.Set("fillStyle", "rgb("+strconv.Itoa(int(c.R))+" "+strconv.Itoa(int(c.G))+" "+strconv.Itoa(int(c.B))+")")
		f.context.Call("beginPath")
		f.context.Call("roundRect", max(0, min(x, float64(f.width)-width)), middle-height/2, width, height, width/2)
		f.context.Call("fill")
	}
	if s.pointed >= 0 {
		line(s.pointed, f.px(1), high+f.px(6), f.palette.source[swarm.Local])
	}
	line(s.stats.Playhead, f.px(4), high+f.px(10), f.palette.accent)
}

// at is the place that the tip speaks of.
func (s *strip) at() float64 {
	if s.pointed >= 0 {
		return s.pointed
	}
	return s.stats.Playhead
}

// point shows what is at a place.
func (s *strip) point(at float64) {
	tip := element("swarm-strip-tip")
	if !tip.Truthy() || len(s.cells) == 0 {
		return
	}
	c := s.cells[min(len(s.cells)-1, int(at*float64(len(s.cells))))]
	tip.Set("textContent", formatDuration(at*s.duration)+" · "+c.describe(len(s.stats.Pieces)))
	tip.Get("classList").Call("add", "shown")
	// The whole tip stays beside the strip: its middle moves from 0 to 100 % with the place.
	percent := strconv.FormatFloat(at*100, 'f', 2, 64) + "%"
	tip.Get("style").Set("left", percent)
	tip.Get("style").Set("translate", "-"+percent+" 0")
}

func (s *strip) unpoint() {
	if tip := element("swarm-strip-tip"); tip.Truthy() {
		tip.Get("classList").Call("remove", "shown")
	}
}

func (s *strip) onPointer(ctx app.Context, e app.Event) {
	s.pointed = placeOf(ctx, e)
	s.point(s.pointed)
	s.surface.ask()
}

func (s *strip) onLeave(app.Context, app.Event) {
	s.pointed = -1
	s.surface.ask()
	if s.focused {
		s.point(s.at())
		return
	}
	s.unpoint()
}

func (s *strip) onFocus(app.Context, app.Event) {
	s.focused = element("swarm-strip").Call("matches", ":focus-visible").Bool()
	if s.focused {
		s.point(s.at())
	}
}

func (s *strip) onBlur(app.Context, app.Event) {
	s.focused = false
	s.unpoint()
}

func (s *strip) onClick(ctx app.Context, e app.Event) { s.seek(placeOf(ctx, e) * s.duration) }

func (s *strip) onKey(_ app.Context, e app.Event) {
	v := element("kinopod-video")
	if !v.Truthy() {
		return
	}
	now := v.Get("currentTime").Float()
	switch e.Get("key").String() {
	case "ArrowLeft", "ArrowDown":
		now -= stepSmall
	case "ArrowRight", "ArrowUp":
		now += stepSmall
	case "PageDown":
		now -= stepLarge
	case "PageUp":
		now += stepLarge
	case "Home":
		now = 0
	case "End":
		now = s.duration
	default:
		return
	}
	e.PreventDefault()
	s.seek(now)
}

// seek moves the player.
func (s *strip) seek(seconds float64) {
	v := element("kinopod-video")
	if !v.Truthy() || s.duration <= 0 {
		return
	}
	v.Set("currentTime", min(max(seconds, 0), s.duration))
	s.stats.Playhead = min(max(seconds/s.duration, 0), 1)
	s.surface.ask()
	if s.focused {
		s.point(s.at())
	}
	s.Update()
}

// placeOf is where in the element of ctx a pointer is, 0..1.
func placeOf(ctx app.Context, e app.Event) float64 {
	box := ctx.JSSrc().Call("getBoundingClientRect")
	width := box.Get("width").Float()
	if width <= 0 {
		return 0
	}
	return min(max((e.Get("clientX").Float()-box.Get("left").Float())/width, 0), 1)
}
