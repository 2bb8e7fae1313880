package search

import (
	"bytes"
	"cmp"
	"slices"

	"kinopod/pod/search/segment"
)

// A search is bounded by the work it does, so that no question takes long: about a
// nanosecond or a few each.
const (
	maxWork      = 5 << 19 // postings and dictionary words read
	judging      = 16      // what it takes to rank a video
	maxVariants  = 512     // words of one segment that a term stands for
	maxRange     = 1 << 15 // words of one segment that are looked at for those
	seeking      = 16      // to seek a video in postings
	betweenLooks = 1 << 16 // work between two looks at the context
)

// source is where one term stands in one segment. It is gone through in one of three
// ways: the postings of its one word are sought; those of each of its variants are; or
// all that a window of the segment has is gathered, where most would be read anyway.
type source struct {
	seg      *segment.Segment
	plan     *plan
	term     int
	videos   int // at most
	variants []variant
	one      segment.Postings
	each     []segment.Postings // of variants, if there are several
	window   *segment.Window
}

// variant is a word of a segment that fits a term.
type variant struct {
	entry segment.Entry
	kind  uint8
}

// find looks up a term of a plan. ok is false where it stands nowhere.
func (c *source) find(seg *segment.Segment, p *plan, i int, work *int) (ok bool) {
	t := &p.terms[i]
	c.seg, c.plan, c.term, c.videos = seg, p, i, 0
	c.variants = c.variants[:0]
	text := []byte(t.text)
	*work += 16
	if exact, found := seg.Find(text); found {
		c.variants = append(c.variants, variant{exact, segment.Exact})
	}
	if t.prefix {
		n := 0
		for w := seg.Words(text); n < maxRange && w.Next() && bytes.HasPrefix(w.Text, text); n++ {
			if len(w.Text) > len(text) {
				c.variants = append(c.variants, variant{w.Entry, segment.Begun})
			}
		}
		*work += n
	}
	if p.errs(i) {
		written := len(c.variants)
		seg.Near(t.text, work, func(word []byte, e segment.Entry) bool {
			if !t.prefix || !bytes.HasPrefix(word, text) {
				c.variants = append(c.variants, variant{e, segment.Mistaken})
			}
			return len(c.variants) < maxRange
		})
		// Of words of one key the first counts, in the order that they have in each segment.
		slices.SortFunc(c.variants[written:], func(a, b variant) int { return a.entry.Compare(b.entry) })
	}
	if len(c.variants) > maxVariants { // the commonest
		slices.SortFunc(c.variants, func(a, b variant) int {
			if (a.kind == segment.Exact) != (b.kind == segment.Exact) {
				return cmp.Compare(b.kind, a.kind)
			}
			return cmp.Compare(b.entry.Videos, a.entry.Videos)
		})
		c.variants = c.variants[:maxVariants]
	}
	for _, v := range c.variants {
		c.videos += v.entry.Videos
	}
	return len(c.variants) > 0
}

// gathers decides which way the source is gone through, when it is known how many videos
// the rarest term has: it says whether a window is needed.
func (c *source) gathers(rarest int) bool {
	if len(c.variants) == 1 {
		return c.videos >= c.seg.Videos()/64 && c.videos/32 <= rarest
	}
	return rarest*len(c.variants)*seeking >= c.videos
}

// begin goes before the first video. each is room for the variants, if there are several.
func (c *source) begin(each []segment.Postings, work *int) {
	c.each = each
	if len(c.variants) == 1 {
		c.one.Start(c.seg, c.variants[0].entry, work)
		return
	}
	for i, v := range c.variants {
		c.each[i].Start(c.seg, v.entry, work)
	}
}

// gather fills the window.
func (c *source) gather(base uint32, work *int) {
	c.window.Start(base)
	if len(c.variants) == 1 {
		c.one.Gather(c.window, c.variants[0].kind)
		return
	}
	for i := range c.each {
		c.each[i].Gather(c.window, c.variants[i].kind)
	}
	*work += len(c.each)
}

// next is the first video at n or after it, of a source without a window.
func (c *source) next(n uint32, work *int) (least uint32, ok bool) {
	if len(c.variants) == 1 {
		ok = c.one.Seek(n)
		return c.one.N, ok
	}
	*work += seeking * len(c.each)
	for i := range c.each {
		p := &c.each[i]
		if p.Seek(n) && (!ok || p.N < least) {
			least, ok = p.N, true
		}
	}
	return least, ok
}

// at is the key and the positions of the term in a video where the source stands.
func (c *source) at(n uint32) (key uint8, at []byte) {
	if c.window != nil {
		return c.window.Key(c.seg, n)
	}
	if len(c.variants) == 1 {
		return c.key(&c.one, 0)
	}
	found := false
	for i := range c.each {
		p := &c.each[i]
		if !p.Seek(n) || p.N != n {
			continue
		}
		if k, positions := c.key(p, i); !found || k > key {
			found, key, at = true, k, positions
		}
	}
	return key, at
}

func (c *source) key(p *segment.Postings, i int) (key uint8, at []byte) {
	at = p.At()
	return keyOf(c.variants[i].kind, at, c.seg.NameEnd(p.N)), at
}

// keyOf is the key of a word of this kind at these positions.
func keyOf(kind uint8, at []byte, nameEnd uint8) uint8 {
	if len(at) > 0 && at[0]&^segment.End < nameEnd {
		kind |= segment.InName
	}
	return kind
}
