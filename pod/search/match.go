package search

import (
	"cmp"
	"context"
	"math/bits"
	"slices"

	"kinopod/pod/search/segment"
)

// search is the work of one search. It is used again for the next one.
type search struct {
	plan      *plan
	top       *top
	ctx       context.Context
	work      int
	looked    int  // work at the latest look at ctx
	cut       bool // not all was read
	videos    []int
	parts     []part
	order     []*source // those that are sought, the rarest first
	gathered  []*source
	without   [][]*source
	m         match
	at        [][]byte
	positions [MaxWords][]byte // of the terms in a video

	spare   []*source
	windows []*segment.Window
	eaches  [][]segment.Postings
}

// part is a segment and where the terms stand in it.
type part struct {
	seg      *segment.Segment
	sources  []*source
	missing  bool   // one of the terms is not there
	freshest uint64 // freshness of its newest video
}

// enough says whether the search has to end.
func (s *search) enough() bool {
	if s.work-s.looked > betweenLooks {
		s.looked = s.work
		s.cut = s.cut || s.ctx.Err() != nil
	}
	s.cut = s.cut || s.work > maxWork
	return s.cut
}

func (s *search) source() *source {
	if n := len(s.spare); n > 0 {
		c := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return c
	}
	return new(source)
}

// lookUp finds the terms in a segment, and counts their videos.
func (s *search) lookUp(seg *segment.Segment) {
	part := part{seg: seg, freshest: freshness(s.plan.now, seg.Newest())}
	for i := range s.plan.terms {
		c := s.source()
		part.sources = append(part.sources, c)
		if !c.find(seg, s.plan, i, &s.work) {
			part.missing = true
		}
		s.videos[i] += c.videos
	}
	s.parts = append(s.parts, part)
}

// in searches a segment whose terms were looked up.
func (s *search) in(part part) {
	if part.missing {
		return
	}
	seg := part.seg
	for _, not := range s.plan.not {
		if list, ok := s.excluded(seg, not); ok {
			s.without = append(s.without, list)
		}
	}
	s.order, s.gathered = s.order[:0], s.gathered[:0]
	rarest := seg.Videos()
	for _, c := range part.sources {
		rarest = min(rarest, c.videos)
	}
	for _, c := range part.sources {
		c.begin(s.each(len(c.variants)), &s.work)
		if c.gathers(rarest) {
			c.window = s.window()
			s.gathered = append(s.gathered, c)
		} else {
			s.order = append(s.order, c)
		}
	}
	slices.SortFunc(s.order, func(a, b *source) int { return cmp.Compare(a.videos, b.videos) })
	for n := uint32(0); int(n) < seg.Videos() && !s.enough(); n = (n/segment.WindowSize + 1) * segment.WindowSize {
		if len(s.order) > 0 {
			var ok bool
			if n, ok = s.order[0].next(n, &s.work); !ok {
				break
			}
		}
		if s.elsewhere(seg.Times(n)) {
			continue
		}
		s.inWindow(part, n/segment.WindowSize*segment.WindowSize)
	}
	for _, c := range s.gathered {
		s.windows, c.window = append(s.windows, c.window), nil
	}
	for _, c := range part.sources {
		if c.each != nil {
			s.eaches, c.each = append(s.eaches, c.each), nil
		}
	}
	for _, list := range s.without {
		s.spare = append(s.spare, list...)
	}
	s.without = s.without[:0]
}

// elsewhere says that no video that was made in a time is on this page: where the newest are
// wanted, whatever they say.
func (s *search) elsewhere(first, last uint32) bool {
	if s.plan.counted > 0 {
		return false
	}
	if rank(0, uint64(first)) > s.top.after.rank || last < s.plan.from || first > s.plan.until {
		return true
	}
	if s.top.takes(rank(0, uint64(last))) {
		return false
	}
	s.top.more = true // perhaps
	return true
}

func (s *search) window() *segment.Window {
	if n := len(s.windows); n > 0 {
		w := s.windows[n-1]
		s.windows = s.windows[:n-1]
		return w
	}
	return new(segment.Window)
}

// each is room for the postings of n variants, if they are several.
func (s *search) each(n int) []segment.Postings {
	if n < 2 {
		return nil
	}
	if last := len(s.eaches) - 1; last >= 0 {
		have := s.eaches[last]
		s.eaches = s.eaches[:last]
		if cap(have) >= n {
			return have[:n]
		}
	}
	return make([]segment.Postings, n)
}

// reset makes s ready for another search, and lets go of what is not its own.
func (s *search) reset() {
	for _, part := range s.parts {
		for _, c := range part.sources {
			c.seg, c.plan = nil, nil
			s.spare = append(s.spare, c)
		}
	}
	clear(s.parts)
	s.parts, s.plan, s.top, s.ctx = s.parts[:0], nil, nil, nil
}

// inWindow searches the videos from base on.
func (s *search) inWindow(part part, base uint32) {
	end := min(base+segment.WindowSize, uint32(part.seg.Videos()))
	var set [segment.WindowSize / 64]uint64
	for i := range set {
		set[i] = ^uint64(0)
	}
	for _, c := range s.gathered {
		c.gather(base, &s.work)
		for i, has := range c.window.Has {
			set[i] &= has
		}
	}
	if len(s.order) > 0 {
		s.sought(part, base, end, &set)
		return
	}
	if s.plan.counted > 0 && !s.top.takes(s.plan.nameless(part.freshest)) {
		s.onlyNamed(part, &set)
	}
	if len(s.gathered) == 0 {
		s.work += int(end - base)
	}
	for i, word := range set {
		for ; word != 0; word &= word - 1 {
			if n := base + uint32(64*i+bits.TrailingZeros64(word)); n < end {
				s.judge(part, n)
			}
		}
	}
}

// onlyNamed leaves the videos that have a word in their names: what is found already is
// better than all others.
func (s *search) onlyNamed(part part, set *[segment.WindowSize / 64]uint64) {
	for i := range set {
		named := uint64(0)
		for _, c := range part.sources[:s.plan.counted] {
			named |= c.window.Named[i]
		}
		set[i] &= named
	}
	s.top.more = true // perhaps
}

// sought goes through the rarest term that is sought, and seeks the others.
func (s *search) sought(part part, n, end uint32, set *[segment.WindowSize / 64]uint64) {
	base := n
	for {
		at, ok := s.order[0].next(n, &s.work)
		if !ok || at >= end {
			return
		}
		n = at
		if s.enough() {
			return
		}
		if i := n - base; set[i/64]&(1<<(i%64)) == 0 {
			n++
			continue
		}
		for _, c := range s.order[1:] {
			if n, ok = c.next(at, &s.work); !ok || n >= end {
				return
			} else if n != at {
				break
			}
		}
		if n == at {
			s.judge(part, n)
			n++
		}
	}
}

// judge adds a video that has all the terms, if nothing else is against it.
func (s *search) judge(part part, n uint32) {
	m, p, seg := &s.m, s.plan, part.seg
	m.nameEnd, m.mistakes = seg.NameEnd(n), 0
	headEnd := seg.HeadEnd(n)
	for i, c := range part.sources[:p.counted] {
		var key uint8
		key, s.positions[i] = c.at(n)
		m.set(i, key, s.positions[i], headEnd)
	}
	s.work += judging
	relevance := p.relevance(m)
	if p.counted > 0 && !s.top.takes(rank(m.mistakes, relevance*part.freshest>>10)) {
		s.top.more = true // perhaps
		return
	}
	m.created = seg.Created(n)
	if !s.top.takes(p.rankOf(m, relevance)) {
		s.top.more = true
		return
	}
	if m.id = seg.ID(n); seg.Dead(n) || !p.fits(m.created, seg.Duration(n)) {
		return
	}
	for _, ph := range p.phrases {
		if !p.written(ph, m) || adjacentIn(s.positions[ph.from:ph.to], headEnd) {
			continue
		}
		if ph.strict || p.wrong&loose == 0 {
			return
		}
		m.mistakes++
	}
	if m.mistakes < p.least() {
		return
	}
	for _, not := range s.without {
		if s.has(not, seg, n) {
			return
		}
	}
	s.top.add(hit{p.rankOf(m, relevance), m.id})
}

// excluded is where the words of a clause stand; ok is false where one stands nowhere.
func (s *search) excluded(seg *segment.Segment, not clause) (list []*source, ok bool) {
	for _, word := range not {
		s.work += 16
		e, found := seg.Find([]byte(word))
		if !found {
			s.spare = append(s.spare, list...)
			return nil, false
		}
		c := s.source()
		c.one.Start(seg, e, &s.work)
		list = append(list, c)
	}
	return list, true
}

func (s *search) has(not []*source, seg *segment.Segment, n uint32) bool {
	s.at = s.at[:0]
	for _, c := range not {
		if !c.one.Seek(n) || c.one.N != n {
			return false
		}
		s.at = append(s.at, c.one.At())
	}
	return len(not) == 1 || adjacentIn(s.at, seg.HeadEnd(n))
}

// among searches videos that are in no segment yet.
func (s *search) among(videos []*fresh) {
	for _, f := range videos {
		if f.gone.Load() {
			continue
		}
		s.work += len(f.doc.Terms)
		s.judgeFresh(f.doc)
	}
}

func (s *search) judgeFresh(d *segment.Doc) {
	m, p := &s.m, s.plan
	m.id, m.created, m.nameEnd, m.mistakes = d.ID, d.Created, d.NameEnd, 0
	at := &s.positions
	for i := range p.terms {
		best, found := uint8(0), false
		for _, t := range p.candidates(i, d.Terms) {
			kind, ok := p.kind(i, t.Text)
			if !ok {
				continue
			}
			if i >= p.counted {
				found = true
				break
			}
			if key := keyOf(kind, t.At, d.NameEnd); !found || key > best {
				found, best, at[i] = true, key, t.At
			}
		}
		if !found {
			return
		}
		if i < p.counted {
			m.set(i, best, at[i], d.HeadEnd)
		}
	}
	if !p.fits(d.Created, d.Duration) {
		return
	}
	for _, ph := range p.phrases {
		if !p.written(ph, m) || adjacentIn(at[ph.from:ph.to], d.HeadEnd) {
			continue
		}
		if ph.strict || p.wrong&loose == 0 {
			return
		}
		m.mistakes++
	}
	if m.mistakes < p.least() {
		return
	}
	for _, not := range p.not {
		s.at = s.at[:0]
		for _, word := range not {
			if t := termsFrom(d.Terms, word); len(t) > 0 && t[0].Text == word {
				s.at = append(s.at, t[0].At)
			}
		}
		if len(s.at) == len(not) && (len(not) == 1 || adjacentIn(s.at, d.HeadEnd)) {
			return
		}
	}
	s.top.add(hit{p.rankOf(m, p.relevance(m)), d.ID})
}

// countFresh counts the videos that have the words of the plan, as lookUp does.
func (s *search) countFresh(videos []*fresh) {
	for _, f := range videos {
		for i := range s.plan.terms {
			for _, t := range s.plan.candidates(i, f.doc.Terms) {
				if _, ok := s.plan.kind(i, t.Text); ok {
					s.videos[i]++
					break
				}
			}
		}
	}
}

// candidates is those of a video's words that may fit a term.
func (p *plan) candidates(i int, terms []segment.Term) []segment.Term {
	t := &p.terms[i]
	if p.errs(i) {
		return termsFrom(terms, "\x02") // no Bare ones
	}
	from := termsFrom(terms, t.text)
	if !t.prefix {
		return from[:min(1, len(from))]
	}
	n := 0
	for n < len(from) && len(from[n].Text) >= len(t.text) && from[n].Text[:len(t.text)] == t.text {
		n++
	}
	return from[:n]
}

func termsFrom(terms []segment.Term, text string) []segment.Term {
	i, _ := slices.BinarySearchFunc(terms, text, func(t segment.Term, text string) int { return cmp.Compare(t.Text, text) })
	return terms[i:]
}
