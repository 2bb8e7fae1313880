package page

import (
	"math"
	"strconv"
	"strings"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// networkMap is the picture of the network: this pod in the middle, the others on rings
// around it. Places are in percent and sizes in pixels, so that the picture fits any
// width while its texts can be read. A pod's place depends on the list of hosts alone:
// what changes with the news moves nothing.
func networkMap(us string, around []api.Friend, chosen network.Host, choose func(network.Host)) app.UI {
	d, places := densityOf(len(around)), ringPlaces(len(around))
	lines, nodes := make([]app.UI, 0, len(around)), make([]app.UI, len(around))
	asked, dormant, flows := false, false, false
	for i, f := range around {
		lines = append(lines, mapLine(f, places[i], d)...)
		nodes[i] = mapNode(f, places[i], d, f.Host == chosen, choose)
		asked, dormant = asked || f.State == network.Asked, dormant || linkOf(f) == "dormant"
		flows = flows || d.flows && isFlowing(f)
	}
	return elem("figure").Class("map").Body(
		elem("div").Class("map-picture").DataSet("density", d.name).Body(
			app.If(len(around) > 0, elem("a").Class("map-skip").Attr("href", "#friends").Text("Skip the picture")),
			shape("svg").Attr("data-kind", "network").Role("group").Aria("label", mapText(us, len(around))).Body(
				shape("g").Body(lines...), shape("g").Body(nodes...),
			),
			elem("div").Class("map-us").Aria("hidden", true).Body(icon(iconLogo), elem("span").Dir("auto").Text(us)),
		),
		app.If(len(around) > 0, elem("figcaption").Class("map-legend").Body(
			legend("friend", "Reachable"), legend("lost", "Not reachable"),
			app.If(dormant, legend("dormant", "Dormant")),
			app.If(asked, legend("asked", "Asked")),
			elem("span").Class("map-how").Text("Thicker: a higher score. Larger: more videos."+pick(flows, " Beads: changes on the way.", "")),
		)),
	)
}

func mapText(us string, n int) string {
	if n == 0 {
		return "Picture of the network: " + us + " alone."
	}
	return "Picture of the network: " + us + " in the middle, " + plural(n, "pod") + " around it. Each leads to its place in the list."
}

// shape is an element of a drawing. Its kind is an attribute: go-app cannot set a class
// there.
func shape(tag string) app.HTMLElem { return app.Elem(tag).XMLNS(svgNamespace) }

func legend(link, text string) app.UI {
	return elem("span").Body(
		shape("svg").Attr("data-kind", "network").Attr("width", 28).Attr("height", 12).Aria("hidden", true).Body(
			shape("line").DataSet("kind", "edge").DataSet("link", link).Attr("x1", 0).Attr("y1", 6).Attr("x2", 28).Attr("y2", 6).Attr("stroke-width", 2.5),
		),
		elem("span").Text(text),
	)
}

// density is how large the pods of a picture are drawn.
type density struct {
	name        string
	least, most float64 // radius, px
	line        float64 // width and strength of lines, 0..1
	label       int     // runes
	flows       bool    // changes on the way are seen
}

func densityOf(pods int) density {
	switch {
	case pods == 0:
		return density{name: "none"}
	case pods <= 8:
		return density{"few", 15, 25, 1, 18, true}
	case pods <= 20:
		return density{"some", 13, 21, 0.9, 16, true}
	case pods <= 60:
		return density{"many", 9, 16, 0.7, 12, false}
	}
	return density{"crowd", 4, 9, 0.4, 24, false}
}

// isFlowing says whether changes are on their way to a pod.
func isFlowing(f api.Friend) bool { return f.Behind > 0 && linkOf(f) == string(network.Friend) }

// mapLine is the friendship with a pod.
func mapLine(f api.Friend, at place, d density) []app.UI {
	share := d.line * min(1, float64(max(0, f.Score))/float64(network.DefaultScore))
	line := func(kind string) app.HTMLElem {
		return shape("line").DataSet("kind", kind).DataSet("link", linkOf(f)).Attr("x1", "50%").Attr("y1", "50%").Attr("x2", percent(at.x)).Attr("y2", percent(at.y))
	}
	out := []app.UI{line("edge").Attr("stroke-width", decimal(0.8+3.2*share)).Attr("stroke-opacity", decimal(0.2+0.1*d.line+0.6*share))}
	if d.flows && isFlowing(f) {
		out = append(out, line("flow"))
	}
	return out
}

// mapNode is a pod of the picture: a link to its place in the list.
func mapNode(f api.Friend, at place, d density, chosen bool, choose func(network.Host)) app.UI {
	r := d.least + (d.most-d.least)*min(1, math.Log10(float64(1+max(0, f.Videos)))/3.5)
	name, side := podName(f), "middle"
	label := place{0, r + 16}
	if at.y < 51 {
		label.y = -r - 8 // away from the line
	}
	switch { // near the edge a name goes inward
	case at.x < 25:
		label.x, side = -r, "left"
	case at.x > 75:
		label.x, side = r, "right"
	}
	return shape("a").Attr("href", "#"+podAnchor+string(f.Host)).DataSet("link", linkOf(f)).DataSet("chosen", chosen).
		Aria("label", name+", "+strings.ToLower(stateName(f))+", score "+strconv.Itoa(int(f.Score))+", "+plural(f.Videos, "video")).
		OnClick(func(app.Context, app.Event) { choose(f.Host) }, f.Host).
		Body(
			shape("svg").Attr("x", percent(at.x)).Attr("y", percent(at.y)).Attr("overflow", "visible").Body(
				shape("g").Attr("data-kind", "disc").Body(
					shape("circle").Attr("data-kind", "ring").Attr("r", decimal(r+5)),
					shape("circle").Attr("data-kind", "body").Attr("r", decimal(r)),
					shape("text").Attr("data-kind", "initial").Attr("dy", "0.36em").Text(initial(name)),
				),
				shape("text").Attr("data-kind", "label").DataSet("side", side).Attr("x", decimal(label.x)).Attr("y", decimal(label.y)).Text(cut(name, d.label)),
			),
		)
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

func percent(v float64) string { return decimal(v) + "%" }

// place is a point of the picture in percent of its width and height.
type place struct{ x, y float64 }

// ringPlaces gives n places around the middle: on a ring while one has room for all, else
// in the spiral of a sunflower, where no line to one runs through another.
func ringPlaces(n int) []place {
	const (
		ring, oneRing = 37, 12
		inner, outer  = 15, 43 // of the spiral
		golden        = 0.381966
	)
	out := make([]place, n)
	for i := range out {
		r, turn := float64(ring), -0.25+float64(i)/float64(n) // from the top
		if n <= 2 {
			turn += 0.25 // beside it
		}
		if n > oneRing {
			r = math.Sqrt(inner*inner + (outer*outer-inner*inner)*float64(i)/float64(n-1))
			turn = golden * float64(i)
		}
		sin, cos := math.Sincos(2 * math.Pi * turn)
		out[i] = place{50 + r*cos, 50 + r*sin}
	}
	return out
}
