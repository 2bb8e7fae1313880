package page

import (
	"image/color"
	"math"
	"strconv"
	"strings"

	"kinopod/webapp/swarm"
)

// cell is what the strip and the picture of the pieces draw as one: a piece, or several
// where there is no room for each.
type cell struct {
	first, count int          // pieces
	source       swarm.Source // where most of what is here came from
	have         float64      // 0..1
	fetching     bool
	plain        bool // the player had something of it by plain HTTP
}

// cellsOf groups pieces into most cells at most.
func cellsOf(pieces []swarm.PieceState, most int) []cell {
	if len(pieces) == 0 || most < 1 {
		return nil
	}
	group := (len(pieces)-1)/most + 1
	cells := make([]cell, 0, (len(pieces)-1)/group+1)
	for first := 0; first < len(pieces); first += group {
		c := cell{first: first, count: min(group, len(pieces)-first)}
		var from [swarm.Local + 1]int
		have := 0
		for _, p := range pieces[first : first+c.count] {
			if p.Have {
				have++
				from[p.Source]++
			}
			c.fetching = c.fetching || p.Fetching
		}
		c.have = float64(have) / float64(c.count)
		for s, n := range from {
			if n > from[c.source] {
				c.source = swarm.Source(s)
			}
		}
		cells = append(cells, c)
	}
	return cells
}

// markPlain notes the pieces that are wholly between two places of the film, 0..1, and
// that the engine does not have.
func markPlain(plain []bool, pieces []swarm.PieceState, from, to float64) (changed bool) {
	n := float64(len(pieces))
	if !(from >= 0 && to <= 1) { // the length is not known
		return false
	}
	for i := int(math.Ceil(from*n - 1e-6)); i < int(math.Floor(to*n+1e-6)); i++ {
		if !plain[i] && !pieces[i].Have {
			plain[i], changed = true, true
		}
	}
	return changed
}

// describe says what a cell is.
func (c cell) describe(total int) string {
	var what string
	switch {
	case c.have == 1:
		what = "from " + sourceName(c.source)
	case c.have > 0:
		what = formatShare(int64(math.Round(c.have*100)), 100) + " here, from " + sourceName(c.source)
	case c.fetching:
		what = "on its way"
	case c.plain:
		what = "played by plain HTTP"
	default:
		what = "not here yet"
	}
	if c.count == 1 {
		return "Piece " + strconv.Itoa(c.first+1) + " of " + strconv.Itoa(total) + ": " + what
	}
	return "Pieces " + strconv.Itoa(c.first+1) + "–" + strconv.Itoa(c.first+c.count) + " of " + strconv.Itoa(total) + ": " + what
}

// sources are the sources of pieces in the order in which they are shown.
var sources = [...]swarm.Source{swarm.WebSeed, swarm.Pod, swarm.Viewer, swarm.Local}

// sourceKey names a source in the style sheet.
func sourceKey(s swarm.Source) string {
	switch s {
	case swarm.WebSeed:
		return "web"
	case swarm.Pod:
		return "pod"
	case swarm.Viewer:
		return "viewer"
	}
	return "local"
}

func sourceName(s swarm.Source) string {
	switch s {
	case swarm.WebSeed:
		return "the web seed"
	case swarm.Pod:
		return "the pod"
	case swarm.Viewer:
		return "other viewers"
	case swarm.Local:
		return "this device"
	}
	return "elsewhere"
}

// palette is the colours of the theme, from the style sheet.
type palette struct {
	source  [swarm.Local + 1]color.NRGBA
	missing color.NRGBA
	accent  color.NRGBA
}

// readPalette asks get for each colour by its name in the style sheet.
func readPalette(get func(name string) string) palette {
	p := palette{missing: parseColor(get("--src-missing")), accent: parseColor(get("--accent"))}
	for _, s := range sources {
		p.source[s] = parseColor(get("--src-" + sourceKey(s)))
	}
	return p
}

// parseColor reads #rrggbb; what is none is grey.
func parseColor(s string) color.NRGBA {
	s = strings.TrimPrefix(strings.TrimSpace(s), "#")
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 6 {
		return color.NRGBA{128, 128, 128, 255}
	}
	return color.NRGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255}
}

// of is the colour that a cell is heading for.
func (p *palette) of(c cell) color.NRGBA {
	if c.have == 0 && !c.plain {
		return color.NRGBA{}
	}
	if c.have == 0 {
		col := p.source[swarm.WebSeed] // the same bytes of the same pod, but not ours to give on
		col.A = 255 * 2 / 5
		return col
	}
	col := p.source[c.source]
	col.A = uint8(255 * (0.4 + 0.6*c.have))
	return col
}

// paintRow writes one line of RGBA pixels: cell i in colour(i), with a gap of gap pixels
// after each.
func paintRow(row []byte, cells, gap int, colour func(i int) color.NRGBA) {
	clear(row)
	width := len(row) / 4
	for i := range cells {
		from, to := i*width/cells, (i+1)*width/cells
		if to-from > 2*gap && i < cells-1 {
			to -= gap
		}
		c := colour(i)
		for x := from; x < to; x++ {
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = c.R, c.G, c.B, c.A
		}
	}
}

// grid lays n cells out in a box of width by height pixels: squares, as large as fits
// between least and most.
type grid struct{ side, columns, rows int }

func gridFor(n, width, height, least, most int) grid {
	for side := most; side > least; side-- {
		columns := width / side
		if columns > 0 && (n-1)/columns+1 <= height/side {
			return grid{side, columns, (n-1)/columns + 1}
		}
	}
	columns := max(1, width/least)
	return grid{least, columns, max(1, min(height/least, (n-1)/columns+1))}
}

// paintGrid writes the RGBA pixels of the cells in their grid; width is that of the
// picture.
func paintGrid(pixels []byte, width int, g grid, cells []cell, gap int, p *palette) {
	clear(pixels)
	for i, c := range cells {
		col := p.missing
		if c.fetching {
			col = p.accent
		} else if c.have > 0 {
			col = p.of(c)
		}
		left, top := i%g.columns*g.side, i/g.columns*g.side
		for y := top; y < top+g.side-gap; y++ {
			for x := left; x < left+g.side-gap; x++ {
				o := 4 * (y*width + x)
				if o+4 > len(pixels) {
					return
				}
				pixels[o], pixels[o+1], pixels[o+2], pixels[o+3] = col.R, col.G, col.B, col.A
			}
		}
	}
}
