package search

import (
	"cmp"
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kinopod/pod/search/segment"
)

// Index is safe for use by several goroutines. Memory outside of Go's heap is given
// back by Close.
type Index struct {
	now func() time.Time // set before use

	mu       sync.Mutex // held for moments
	closed   bool
	fresh    []*fresh // in no segment yet, as they came
	ids      map[uint32]*fresh
	segments []*segment.Segment // each held once by the index; replaced as a whole

	settling sync.Mutex    // one makes a segment of fresh videos
	merging  sync.Mutex    // one merges segments
	untidy   chan struct{} // something may be there to merge
	searches sync.Pool
}

// fresh is a video that is in no segment yet.
type fresh struct {
	doc  *segment.Doc
	gone atomic.Bool
}

// mostFresh is how many videos wait before a segment is made of them: so many are
// looked at one by one in each search.
const mostFresh = 512

// Segments of a size class are merged when there are so many; one class is so many
// times as large as the one before.
const fanOut = 4

// mostVideos is how large a segment becomes by merging. While two are merged the memory
// of both is needed, and that of the new one.
const mostVideos = 1 << 18

// New is an empty index. Run keeps it tidy.
func New() *Index {
	x := &Index{now: time.Now, ids: map[uint32]*fresh{}, untidy: make(chan struct{}, 1)}
	x.searches.New = func() any { return new(search) }
	return x
}

// Close gives back the memory. Searches that go on are answered; later ones find
// nothing, and nothing is added any more.
func (x *Index) Close() {
	x.merging.Lock()
	defer x.merging.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, s := range x.segments {
		s.Release()
	}
	x.segments, x.fresh, x.ids = nil, nil, map[uint32]*fresh{}
}

// Put adds a video, or replaces what was said of it. Searches that begin later find it.
func (x *Index) Put(d Document) {
	f := &fresh{doc: analyze(d)}
	x.mu.Lock()
	x.strike(d.ID)
	if x.closed {
		x.mu.Unlock()
		return
	}
	x.fresh = append(x.fresh, f)
	x.ids[d.ID] = f
	many, crowded := len(x.fresh) >= mostFresh, len(x.segments) >= 12*fanOut
	x.mu.Unlock()
	if many {
		x.settle(mostFresh)
	}
	if crowded { // Run does not keep up, or nobody runs it
		x.tidy()
	}
}

// Remove takes a video out. It may be repeated.
func (x *Index) Remove(id uint32) {
	x.mu.Lock()
	x.strike(id)
	x.mu.Unlock()
	select {
	case x.untidy <- struct{}{}:
	default:
	}
}

// strike is called with mu held.
func (x *Index) strike(id uint32) {
	if f, ok := x.ids[id]; ok {
		f.gone.Store(true)
		delete(x.ids, id)
		return
	}
	for _, s := range x.segments {
		if s.Strike(id) {
			return
		}
	}
}

// settle makes a segment of fresh videos, if there are at least so many.
func (x *Index) settle(least int) {
	x.settling.Lock()
	defer x.settling.Unlock()
	x.mu.Lock()
	videos := x.fresh[:len(x.fresh):len(x.fresh)]
	x.mu.Unlock()
	if len(videos) < least || len(videos) == 0 {
		return
	}
	var docs []*segment.Doc
	var taken []*fresh
	for _, f := range videos {
		if !f.gone.Load() {
			docs, taken = append(docs, f.doc), append(taken, f)
		}
	}
	var s *segment.Segment
	if len(docs) > 0 {
		s = segment.Build(docs)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		if s != nil {
			s.Release()
		}
		return
	}
	for _, f := range taken {
		if f.gone.Load() { // while the segment was made
			s.Strike(f.doc.ID)
		} else {
			delete(x.ids, f.doc.ID)
		}
	}
	x.fresh = slices.Clone(x.fresh[len(videos):])
	if s != nil {
		x.replace(nil, s)
	}
}

// replace takes segments out and puts one in, with mu held. The newest is first, so
// that it is the oldest videos that a search does not reach.
func (x *Index) replace(old []*segment.Segment, s *segment.Segment) {
	next := make([]*segment.Segment, 0, len(x.segments)+1)
	for _, have := range x.segments {
		if slices.Contains(old, have) {
			have.Release()
		} else {
			next = append(next, have)
		}
	}
	if s != nil {
		next = append(next, s)
	}
	slices.SortFunc(next, func(a, b *segment.Segment) int { return cmp.Compare(b.ID(0), a.ID(0)) })
	x.segments = next
	select {
	case x.untidy <- struct{}{}:
	default:
	}
}

// Run merges segments as they come, until ctx ends.
func (x *Index) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-x.untidy:
		}
		for ctx.Err() == nil && x.tidy() {
		}
	}
}

// tidy does what is most needed of merging, if anything is.
func (x *Index) tidy() bool {
	x.merging.Lock()
	defer x.merging.Unlock()
	x.mu.Lock()
	parts := toMerge(x.segments)
	x.mu.Unlock()
	if len(parts) == 0 {
		return false
	}
	merged := segment.Merge(parts)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.replace(parts, merged.Finish())
	return true
}

// toMerge is which segments are made one.
func toMerge(all []*segment.Segment) []*segment.Segment {
	classes := map[int][]*segment.Segment{}
	for _, s := range all {
		left := s.Videos() - s.Gone()
		if s.Gone() > 64 && 4*s.Gone() > s.Videos() || left == 0 {
			return []*segment.Segment{s}
		}
		class := bits.Len(uint(left/mostFresh)) / 2 // bits of fanOut
		classes[class] = append(classes[class], s)
	}
	for class := range 16 {
		same := classes[class]
		slices.SortFunc(same, func(a, b *segment.Segment) int { return cmp.Compare(a.Videos()-a.Gone(), b.Videos()-b.Gone()) })
		n, videos := 0, 0
		for n < len(same) && videos+same[n].Videos() <= mostVideos {
			videos += same[n].Videos()
			n++
		}
		if n >= fanOut || n >= 2 && n < len(same) { // the largest class is full with fewer
			return same[:n]
		}
	}
	return nil
}

// view is what there is to search at a moment, until release.
type view struct {
	segments []*segment.Segment
	fresh    []*fresh
}

func (x *Index) view() view {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.segments {
		s.Hold()
	}
	return view{x.segments, x.fresh[:len(x.fresh):len(x.fresh)]}
}

func (v view) release() {
	for _, s := range v.segments {
		s.Release()
	}
}

func (v view) videos() int {
	n := len(v.fresh)
	for _, s := range v.segments {
		n += s.Videos() - s.Gone()
	}
	return n
}

// Stats says how large the index is.
type Stats struct {
	Videos   int
	Segments int
	Words    int   // a word counts once a segment
	Bytes    int64 // of the segments; the rest is little
}

// Stats says how large the index is.
func (x *Index) Stats() Stats {
	v := x.view()
	defer v.release()
	s := Stats{Segments: len(v.segments)}
	for _, f := range v.fresh {
		if !f.gone.Load() {
			s.Videos++
		}
	}
	for _, seg := range v.segments {
		s.Videos += seg.Videos() - seg.Gone()
		s.Words += seg.Vocabulary()
		s.Bytes += int64(seg.Size())
	}
	return s
}

// IDs are the ids of all videos, in order.
func (x *Index) IDs() (ids []uint32) {
	v := x.view()
	defer v.release()
	for _, f := range v.fresh {
		if !f.gone.Load() {
			ids = append(ids, f.doc.ID)
		}
	}
	for _, s := range v.segments {
		for n := range uint32(s.Videos()) {
			if !s.Dead(n) {
				ids = append(ids, s.ID(n))
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Result is one page of answers, the best first.
type Result struct {
	IDs []uint32
	// Next is the cursor of the next page, "" on the last.
	Next string
	// Cut says that the search was ended, by its context or by the work that it took,
	// before it had seen all: the best of what was seen are answered, old ones are left out.
	Cut bool
}

// few hits are followed by those with a mistake.
const few = 10

// MaxPage is the most answers on one page.
const MaxPage = 100

// ErrCursor is what Search answers for a cursor that is none, or of another query.
var ErrCursor = errors.New("not a cursor of this search")

// Search is a page of the videos that a query asks for, the best first; videos of the
// same rank the newest first. cursor is a Result's Next, or "" for the first page.
//
// Where the words as they are written find few, those follow that have one wrong letter,
// or words apart that are written as one in the query.
func (x *Index) Search(ctx context.Context, q Query, cursor string, limit int) (Result, error) {
	if q.Empty() || limit <= 0 {
		return Result{}, nil
	}
	p := compile(q, x.now(), fromLetters)
	at, err := p.resume(cursor, q)
	if err != nil {
		return Result{}, err
	}
	v := x.view()
	defer v.release()
	t, cut := x.run(ctx, v, p, at, min(limit, MaxPage))
	r := Result{Cut: cut}
	for _, h := range t.hits {
		r.IDs = append(r.IDs, h.id)
	}
	if len(t.hits) > 0 && t.more {
		r.Next = p.cursor(q, t.hits[len(t.hits)-1])
	}
	return r, nil
}

// run searches once as the words are written, and once more for mistakes where that was
// too little.
func (x *Index) run(ctx context.Context, v view, p *plan, after hit, limit int) (t top, cut bool) {
	first := after.rank == ^uint64(0)
	s := x.searches.Get().(*search)
	defer x.searches.Put(s)
	s.work, s.looked, s.cut = 0, 0, false
	t = top{limit: limit, after: after}
	for {
		s.ctx, s.plan, s.top = ctx, p, &t
		s.videos = append(s.videos[:0], make([]int, len(p.terms))...)
		for _, seg := range v.segments {
			s.lookUp(seg)
		}
		if p.weights == nil || p.wrong == 0 { // the counts say what is common, and what is unknown
			s.countFresh(v.fresh)
		}
		if p.weights == nil {
			all := v.videos()
			for i := range p.counted {
				p.weights = append(p.weights, weigh(s.videos[i], all))
			}
		}
		s.among(v.fresh)
		for _, part := range s.parts {
			if s.enough() {
				break
			}
			s.in(part)
		}
		cut = s.cut
		wrong := uint32(0)
		if p.wrong == 0 && first && len(t.hits) < min(limit, few) && !cut {
			wrong = p.mayErr(s.videos)
		}
		s.reset()
		if wrong == 0 {
			return t, cut
		}
		p.wrong = wrong
	}
}
