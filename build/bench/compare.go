package main

import (
	"fmt"
	"strconv"
	"strings"
)

// figure is something that is measured, with its unit.
type figure struct {
	name   string
	digits int  // after the point
	alone  bool // how many times the base's it is says nothing
}

// comparison is what contestants came to in their turns.
type comparison struct {
	names   []string // of the contestants
	base    int      // with whom the others are compared; -1 for nobody
	figures []figure
	seen    [][][]float64 // of each contestant, each figure, each turn
}

func newComparison(names []string, base int, figures ...figure) *comparison {
	c := &comparison{names: names, base: base, figures: figures, seen: make([][][]float64, len(names))}
	for i := range c.seen {
		c.seen[i] = make([][]float64, len(figures))
	}
	return c
}

// add notes a turn of contestant i: one number for each figure.
func (c *comparison) add(i int, x ...float64) {
	for j, v := range x {
		c.seen[i][j] = append(c.seen[i][j], v)
	}
}

// print tells the median of each figure of each contestant, all its turns, and how many
// times the base's it is, contestants in their order.
func (c *comparison) print() {
	width := 0
	for _, n := range c.names {
		width = max(width, len(n))
	}
	for j, f := range c.figures {
		fmt.Println(" ", f.name)
		for i, name := range c.names {
			x, times := c.seen[i][j], ""
			if c.base >= 0 && !f.alone {
				if of := median(c.seen[c.base][j]); of != 0 {
					times = fmt.Sprintf(", %.2f times", median(x)/of)
				}
			}
			fmt.Printf("    %-*s %9.*f (%s)%s\n", width, name, f.digits, median(x), list(x, f.digits), times)
		}
	}
}

// list is figures one after the other.
func list(x []float64, digits int) string {
	var s []string
	for _, v := range x {
		s = append(s, strconv.FormatFloat(v, 'f', digits, 64))
	}
	return strings.Join(s, " ")
}
