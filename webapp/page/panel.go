package page

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/webapp/sharing"
	"kinopod/webapp/swarm"
)

// panel shows the swarm of the video as it is: how fast bytes come and go, where they
// came from, which pieces are here, and with whom we exchange them.
type panel struct {
	app.Compo

	stats    swarm.Stats
	known    bool // stats have come
	plain    bool // the film plays by plain HTTP so far
	down, up history
	surface  *surface
	sight    sight
	company  company
}

// history is the last speeds, the oldest first.
type history []float64

// historyLength is how many seconds a sparkline shows.
const historyLength = 60

func (h *history) add(v float64) {
	if len(*h) >= historyLength {
		*h = slices.Delete(*h, 0, 1)
	}
	*h = append(*h, v)
}

func (p *panel) reset() {
	p.stats, p.known, p.plain, p.down, p.up = swarm.Stats{}, false, false, nil, nil
	if p.surface != nil {
		p.surface.ask()
		p.Update()
	}
}

// show takes the swarm as it is now, once a second.
func (p *panel) show(s swarm.Stats) {
	p.down.add(s.Down)
	p.up.add(s.Up)
	if p.surface != nil && !slices.Equal(s.Pieces, p.stats.Pieces) {
		p.surface.stale = true
	}
	p.stats, p.known = s, true
	if p.sight.seen {
		p.Update()
	}
}

// OnMount implements app.Mounter.
func (p *panel) OnMount(app.Context) {
	p.sight.open(element("swarm-panel"), p.Update)
	p.surface = &surface{id: "swarm-pieces", draw: p.draw, every: 1500 * time.Millisecond}
	p.surface.open()
}

// OnDismount implements app.Dismounter.
func (p *panel) OnDismount() {
	p.sight.close()
	if p.surface != nil {
		p.surface.close()
		p.surface = nil
	}
}

// draw draws one cell for one or more pieces.
func (p *panel) draw(f *surface) {
	f.context.Call("clearRect", 0, 0, f.width, f.height)
	n := len(p.stats.Pieces)
	if n == 0 {
		return
	}
	least, most := int(f.px(4)), int(f.px(12))
	cells := cellsOf(p.stats.Pieces, max(1, f.width/least)*max(1, f.height/least))
	g := gridFor(len(cells), f.width, f.height, least, most)
	l := f.layer(0, f.width, f.height)
	paintGrid(l.pixels, f.width, g, cells, max(1, int(f.px(1))), &f.palette)
	l.commit()
	f.put(l, 0, 0, float64(f.width), float64(f.height))
}

// Render implements app.Composer.
func (p *panel) Render() app.UI {
	return elem("section").ID("swarm-panel").Class("panel swarm").Aria("labelledby", "swarm-title").Body(
		elem("div").Class("panel-head").Body(
			elem("h2").ID("swarm-title").Text("Swarm"),
			elem("span").Class(pick(p.stats.Complete, "chip done", "chip")).Text(p.state()),
		),
		elem("div").Class("speeds").Body(
			speed("Down", iconDown, p.stats.Down, p.down),
			speed("Up", iconUp, p.stats.Up, p.up),
		),
		p.sources(),
		p.pieces(),
		p.peers(),
		elem("div").Class("panel-part").Body(elem("h3").Text("Other viewers"), &p.company),
	)
}

func (p *panel) state() string {
	viewers := 0
	for _, o := range p.stats.Peers {
		if !o.Pod && o.State != stateConnecting {
			viewers++
		}
	}
	switch {
	case !p.known:
		return "Joining…"
	case p.company.state.Alone:
		return "Without other viewers"
	case p.stats.Complete && p.company.state.Why() == sharing.Gives:
		return "Complete, seeding"
	case p.stats.Complete:
		return "Complete"
	case p.plain:
		return "Starting by HTTP"
	case p.stats.TooFew && p.stats.Others > 0:
		return "By HTTP: few viewers"
	case viewers == 0:
		return "No other viewers yet"
	}
	return "With " + plural(viewers, "viewer")
}

// stateConnecting is swarm.Peer.State of a peer that is not there yet.
const stateConnecting = "connecting"

func speed(name, picture string, now float64, past history) app.UI {
	return elem("div").Class("speed", "speed-"+strings.ToLower(name)).Body(
		elem("span").Class("speed-name").Body(icon(picture), elem("span").Text(name)),
		elem("span").Class("speed-now").Text(formatRate(now)),
		sparkline(past),
	)
}

// sparkline is the course of a speed over the last minute.
func sparkline(h history) app.UI {
	const width, height = 120.0, 24.0
	top := 16e3 // a trickle is not drawn as a flood
	for _, v := range h {
		top = max(top, v)
	}
	var b strings.Builder
	for i, v := range h {
		x := width - float64(len(h)-1-i)*width/(historyLength-1)
		y := height - 1 - v/top*(height-2)
		b.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64) + " ")
	}
	return svg(width, height, "sparkline", "none",
		app.Elem("polyline").XMLNS(svgNamespace).Attr("points", strings.TrimSpace(b.String())),
	)
}

const svgNamespace = "http://www.w3.org/2000/svg"

// svg is a drawing that screen readers pass over. kind names it in the style sheet;
// aspect is preserveAspectRatio.
func svg(width, height float64, kind, aspect string, body ...app.UI) app.UI {
	return app.Elem("svg").XMLNS(svgNamespace).Attr("data-kind", kind).Aria("hidden", true).
		Attr("viewBox", "0 0 "+strconv.FormatFloat(width, 'f', -1, 64)+" "+strconv.FormatFloat(height, 'f', -1, 64)).
		Attr("preserveAspectRatio", aspect).Body(body...)
}

// part is what came from one source.
type part struct {
	source swarm.Source
	name   string
	bytes  int64
}

// parts says where the bytes of the video came from. What this device had from before
// came from nobody: it is counted by its pieces.
func (p *panel) parts() []part {
	kept := int64(0)
	for i, s := range p.stats.Pieces {
		if s.Have && s.Source == swarm.Local {
			kept += min(p.stats.PieceLength, p.stats.Length-int64(i)*p.stats.PieceLength)
		}
	}
	return []part{
		{swarm.WebSeed, "Web seed", p.stats.FromWebSeed},
		{swarm.Pod, "Pod", p.stats.FromPod},
		{swarm.Viewer, "Viewers", p.stats.FromViewers},
		{swarm.Local, "This device", kept},
	}
}

// sources is the stacked bar, its numbers, and so the legend of the colours.
func (p *panel) sources() app.UI {
	parts := p.parts()
	whole := int64(0)
	for _, s := range parts {
		whole += s.bytes
	}
	bars, left := make([]app.UI, 0, len(parts)), 0.0
	for _, s := range parts {
		width := 0.0
		if whole > 0 {
			width = 100 * float64(s.bytes) / float64(whole)
		}
		bars = append(bars, app.Elem("rect").XMLNS(svgNamespace).Attr("data-source", sourceKey(s.source)).
			Attr("x", strconv.FormatFloat(left, 'f', 2, 64)).Attr("y", 0).Attr("width", strconv.FormatFloat(width, 'f', 2, 64)).Attr("height", 8))
		left += width
	}
	return elem("div").Class("sources").Body(
		elem("h3").Text("Where it came from"),
		svg(100, 8, "stack", "none", bars...),
		elem("dl").Class("legend").Body(
			app.Range(parts).Slice(func(i int) app.UI {
				s := parts[i]
				return elem("div").Class("legend-row").Body(
					elem("dt").Body(elem("span").Class("swatch", "swatch-"+sourceKey(s.source)).Aria("hidden", true), elem("span").Text(s.name)),
					elem("dd").Body(elem("span").Text(formatBytes(s.bytes)), elem("span").Class("dim").Text(formatShare(s.bytes, whole))),
				)
			}),
		),
		app.If(p.plain, elem("p").Class("hint").Text("The film begins by plain HTTP, until the swarm takes over.")),
		p.given(),
	)
}

// given is what the viewer gave, what the pod saved because viewers gave it to this one,
// and what both took of the viewer's line.
func (p *panel) given() app.UI {
	taken := taken(p.stats)
	ratio := "–"
	if taken > 0 {
		ratio = strconv.FormatFloat(math.Floor(float64(p.stats.Uploaded)/float64(taken)*100)/100, 'f', 2, 64)
	}
	return elem("dl").Class("given").Body(
		bytesRow("given-bytes", "Given to others", "ratio "+ratio, "Share ratio: given divided by taken", p.stats.Uploaded),
		bytesRow("saved-bytes", "Saved the pod", formatShare(p.stats.Saved, p.stats.Length), "What viewers gave you, and the pod did not send", p.stats.Saved),
		bytesRow("sent-bytes", "Sent in all", "", "What you sent by WebRTC, with what carries it on your line", p.stats.Sent),
		bytesRow("received-bytes", "Received in all", "", "What you received by WebRTC, with what carries it on your line", p.stats.Received),
	)
}

// bytesRow is one number of bytes, in its data element all its digits.
func bytesRow(id, name, beside, title string, n int64) app.UI {
	return elem("div").Class("given-row").Title(title).Body(
		elem("dt").Text(name),
		elem("dd").Body(
			elem("data").ID(id).Attr("value", strconv.FormatInt(n, 10)).Text(formatBytes(n)),
			elem("span").Class("dim").Text(beside),
		),
	)
}

func (p *panel) pieces() app.UI {
	have := 0
	for _, s := range p.stats.Pieces {
		if s.Have {
			have++
		}
	}
	text := "–"
	if len(p.stats.Pieces) > 0 {
		text = strconv.Itoa(have) + " of " + strconv.Itoa(len(p.stats.Pieces)) + " · " + formatBytes(p.stats.PieceLength) + " each"
	}
	return elem("div").Class("pieces").Body(
		elem("div").Class("row").Body(elem("h3").Text("Pieces"), elem("span").Class("dim").Text(text)),
		elem("canvas").ID("swarm-pieces").Role("img").Aria("label", "Picture of the pieces: "+text),
	)
}

// peersShown is how many peers are listed; the rest is a number.
const peersShown = 8

func (p *panel) peers() app.UI {
	peers := slices.Clone(p.stats.Peers)
	slices.SortStableFunc(peers, func(a, b swarm.Peer) int {
		if a.Pod != b.Pod {
			return pick(a.Pod, -1, 1)
		}
		return cmp.Or(cmp.Compare(b.Down+b.Up, a.Down+a.Up), cmp.Compare(a.ID, b.ID))
	})
	rest := max(0, len(peers)-peersShown)
	peers = peers[:len(peers)-rest]
	return elem("div").Class("peers").Body(
		elem("div").Class("row").Body(elem("h3").Text("Peers"), elem("span").Class("dim").Text(strconv.Itoa(len(p.stats.Peers)))),
		app.If(len(peers) == 0, elem("p").Class("dim").Text(pick(p.known, "Nobody else is here. Share the link.", "Looking for others…"))),
		elem("ul").Body(app.Range(peers).Slice(func(i int) app.UI { return peerRow(peers[i]) })),
		app.If(rest > 0, elem("p").Class("dim").Text("and "+strconv.Itoa(rest)+" more")),
	)
}

func peerRow(o swarm.Peer) app.UI {
	kind, name, picture := "Viewer ", peerName(o.ID), iconViewer
	if o.Pod {
		kind, name, picture = "", "Pod", iconPod
	}
	return elem("li").Class(pick(o.Pod, "peer pod", "peer viewer")).Body(
		icon(picture),
		elem("span").Class("peer-name").Body(
			elem("span").Class("off-screen").Text(kind), elem("span").Text(name), elem("span").Class("dim").Text(peerState(o)),
		),
		peerRate("down", iconDown, o.Down),
		peerRate("up", iconUp, o.Up),
	)
}

func peerRate(way, picture string, rate float64) app.UI {
	return elem("span").Class("peer-rate").Body(icon(picture), elem("span").Class("off-screen").Text(way), elem("span").Text(formatRate(rate)))
}

// peerState says how much of the video a peer has, or why it gives nothing.
func peerState(o swarm.Peer) string {
	switch o.State {
	case stateConnecting:
		return "connecting"
	case "choked":
		return "waiting"
	case "benched":
		return "resting"
	}
	return formatShare(int64(math.Round(o.Progress*1000)), 1000)
}

// peerName is a short name for a peer: the end of its id, which is the random part.
func peerName(id string) string {
	if len(id) > 4 {
		id = id[len(id)-4:]
	}
	return strings.ToLower(id)
}
