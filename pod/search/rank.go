package search

import (
	"math/bits"
	"time"

	"kinopod/pod/search/segment"
)

// A video's rank, the higher the better, is a function of what the video says, of the
// query and of what its cursor holds: the time, and how much each word weighs. So a page
// follows the one before it however many videos came and went in between. It is made of
// whole numbers: all processes of a pod count the same.
//
// Its high bits say how few mistakes it takes to find the video: wrong letters, and
// words apart that were written as one. Below them is relevance: for each word where it
// stands in the video (impacts) times how rare it is (weigh), words that follow each
// other in the name as they do in the query, a name that is the query and nothing else;
// and a quarter more for what is new.

// rank packs mistakes and relevance.
func rank(mistakes int, relevance uint64) uint64 {
	return uint64(3-min(mistakes, 3))<<mistakesAt | min(relevance, 1<<mistakesAt-1)
}

const mistakesAt = 40

// fits says how well a word of the query fits one of a video, of 16, by the key of that.
var fits = [8]uint16{
	segment.Exact: 16, segment.Exact | segment.InName: 16,
	segment.Begun: 12, segment.Begun | segment.InName: 12,
	segment.Mistaken: 10, segment.Mistaken | segment.InName: 10,
}

// impacts says how much it means that a word stands where it stands: below 1024, by the
// positions that the name has, and where the word is.
var impacts = func() (t [segment.MaxNameEnd + 1][16]uint16) {
	const (
		saturation = 1.5
		name       = 8.0
		head       = 2.0
	)
	description := [4]float64{0, 1, 1.3, 1.5} // by how often
	for length := range t {
		for where := range t[length] {
			w := description[where>>2]
			if where&inName != 0 {
				w += name / (0.6 + 0.4*float64(max(length, 2))/6)
			}
			if where&inHead != 0 {
				w += head
			}
			t[length][where] = uint16(1023 * w / (w + saturation))
		}
	}
	return t
}()

const (
	inName = 1 << iota
	inHead // tags or uploader
	inDescription
)

// nowhere is the place in the name of what does not stand there.
const nowhere = 0xff

// impact is what the positions of a word are worth, and its first place in the name.
func impact(at []byte, nameEnd, headEnd uint8) (worth uint16, place uint8) {
	where := 0
	place = nowhere
	for _, p := range at {
		switch p &^= segment.End; {
		case p < nameEnd:
			if place == nowhere {
				place = p
			}
			where |= inName
		case p < headEnd:
			where |= inHead
		case where < 3*inDescription:
			where += inDescription
		}
	}
	return impacts[min(nameEnd, segment.MaxNameEnd)][where], place
}

// weigh is how much a word weighs that stands in n of all videos: 8 for each time that
// halves them.
func weigh(n, all int) uint8 {
	const sixteenth = 4 * 8 // of a whole, so that the division keeps some bits
	return uint8(min(max(log2(uint64(all+1)*16/uint64(min(n, all)+1))-sixteenth, 8), 255))
}

// log2 is the logarithm in eighths, rounded down, of a number that is not 0.
func log2(v uint64) int {
	whole := bits.Len64(v) - 1
	fraction := v << (63 - whole) << 1 >> 61 // the three bits below the first
	return 8*whole + int(fraction)
}

// freshness is what newness multiplies relevance with, of 1024: a quarter more, and half
// of that for each 128 days.
func freshness(now, created uint32) uint64 {
	age := uint64(now) - uint64(min(created, now))
	const half = uint64(128 * day / time.Second)
	halves, rest := age/half, age%half
	if halves >= 8 {
		return 1024
	}
	bonus := uint64(256) >> halves
	return 1024 + bonus - bonus*rest/(2*half)
}

// A match is what is known of one video that has all the words.
type match struct {
	id       uint32
	created  uint32
	nameEnd  uint8
	mistakes int
	worth    [MaxWords]uint16 // by word: impact, times how well it fits
	place    [MaxWords]uint8
	wrong    [MaxWords]bool // it takes a mistake
}

// nameless is the best rank of a video that has no word of the plan in its name.
// freshest is the greatest freshness.
func (p *plan) nameless(freshest uint64) uint64 {
	relevance := uint64(0)
	for i := range p.counted {
		relevance += uint64(p.weights[i]) * uint64(impacts[0][inHead|3*inDescription])
	}
	return rank(p.least(), relevance*freshest>>10)
}

// least is how many mistakes a video takes that is looked for: a search for mistakes
// comes after one that found all without.
func (p *plan) least() int {
	if p.wrong != 0 {
		return 1
	}
	return 0
}

// set sets what is known of one term of a match: the key and the positions of its word.
func (m *match) set(i int, key uint8, at []byte, headEnd uint8) {
	m.worth[i], m.place[i] = impact(at, m.nameEnd, headEnd)
	m.worth[i] = m.worth[i] * fits[key] / fits[segment.Exact]
	if m.wrong[i] = key&^segment.InName == segment.Mistaken; m.wrong[i] {
		m.mistakes++
	}
}

// relevance joins what is known of a match, but for its age.
func (p *plan) relevance(m *match) (relevance uint64) {
	whole := int(m.nameEnd) == p.counted
	for i := range p.counted {
		w := uint64(p.weights[i])
		relevance += w * uint64(m.worth[i])
		if m.place[i] == nowhere {
			whole = false
		} else if i > 0 && m.place[i-1] != nowhere && m.place[i] == m.place[i-1]+1 {
			relevance += (w + uint64(p.weights[i-1])) * adjacent
		}
	}
	if whole {
		for i := range p.counted {
			relevance += uint64(p.weights[i]) * adjacent
		}
	}
	return relevance
}

// rankOf is the rank of a match of this relevance.
func (p *plan) rankOf(m *match, relevance uint64) uint64 {
	if p.counted == 0 { // only filters: the newest first
		return rank(0, uint64(m.created))
	}
	return rank(m.mistakes, relevance*freshness(p.now, m.created)>>10)
}

// adjacent is an eighth of the greatest impact.
const adjacent = 128

// hit is a video that was found.
type hit struct {
	rank uint64
	id   uint32
}

func (h hit) before(other hit) bool {
	return h.rank > other.rank || h.rank == other.rank && h.id > other.id
}

// top is the best hits behind a position, in order.
type top struct {
	hits  []hit
	limit int
	after hit // only what comes later counts
	more  bool
}

// takes says whether a hit of this rank may be wanted.
func (t *top) takes(rank uint64) bool {
	return len(t.hits) < t.limit || rank >= t.hits[len(t.hits)-1].rank
}

func (t *top) add(h hit) {
	if !t.after.before(h) {
		return
	}
	n := len(t.hits)
	if n == t.limit {
		t.more = true
		if !h.before(t.hits[n-1]) {
			return
		}
		n--
	} else {
		t.hits = append(t.hits, hit{})
	}
	for n > 0 && h.before(t.hits[n-1]) {
		t.hits[n] = t.hits[n-1]
		n--
	}
	t.hits[n] = h
}
