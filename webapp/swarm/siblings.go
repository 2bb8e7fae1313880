package swarm

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// Siblings is how the engines of one viewer talk: those of other tabs, and of files that
// are seeded. The upload rate is for all of them together.
type Siblings interface {
	// Say tells all others.
	Say(text []byte)
	// Close ends it: nothing is heard any more.
	Close()
}

// Times between siblings. One that was not heard of for siblingTime is gone: its tab may
// have crashed. A tab that is not seen gets to anything once a second.
const (
	sayEvery    = time.Second
	siblingTime = 5 * time.Second
	needTime    = time.Second // since a block had to wait, until less is needed
	needSpare   = 1.25        // times what went out lately, where no block had to wait
)

// need is what a sibling says: how many bytes a second it has to send, with what carries
// them.
type need struct {
	ID   string  `json:"id"`
	Need float64 `json:"need"`
}

// family is an engine's place among its siblings. It is owned by Engine.Run.
type family struct {
	line   Siblings // nil for none
	others map[string]sibling
	need   float64 // as said last: no more is taken
	said   time.Time
	waited time.Time // when the rate last made a block wait
}

type sibling struct {
	need  float64
	heard time.Time
}

// meetSiblings tells the siblings that this engine is there; they answer at once.
func (e *Engine) meetSiblings() {
	e.home.others = map[string]sibling{}
	if e.cfg.Siblings == nil {
		return
	}
	e.home.line = e.cfg.Siblings(func(text []byte) { e.box.post(func() { e.heardSibling(text) }) })
	e.sayNeed()
}

// leaveSiblings leaves them what this engine needed.
func (e *Engine) leaveSiblings() {
	if e.home.line != nil {
		e.saySibling(0)
		e.home.line.Close()
	}
}

func (e *Engine) tickSiblings() {
	for id, s := range e.home.others {
		if e.now.Sub(s.heard) > siblingTime {
			delete(e.home.others, id)
		}
	}
	if e.now.Sub(e.home.said) >= sayEvery {
		e.sayNeed()
	}
}

// sayNeed tells the siblings what this engine needs.
func (e *Engine) sayNeed() {
	if e.home.line == nil || e.terms.UploadRate == 0 {
		return
	}
	rate := float64(e.terms.UploadRate)
	n := rate
	if e.home.waited.IsZero() || e.now.Sub(e.home.waited) >= needTime {
		n = min(rate, needSpare*e.up.rate*onWire(1))
	}
	e.saySibling(n)
}

func (e *Engine) saySibling(n float64) {
	e.home.need, e.home.said = n, e.now
	text, err := json.Marshal(need{hex.EncodeToString(e.id[:]), n})
	if err != nil {
		e.log.Error("tell siblings", "err", err)
		return
	}
	e.home.line.Say(text)
}

// heardSibling takes what a sibling said, here or in another version of the app. What
// cannot be read is nobody's.
func (e *Engine) heardSibling(text []byte) {
	var n need
	if json.Unmarshal(text, &n) != nil || n.ID == "" {
		return
	}
	_, known := e.home.others[n.ID]
	e.home.others[n.ID] = sibling{max(0, n.Need), e.now}
	if !known {
		e.sayNeed()
	}
}

// blockWaits notes that a block waits for the upload rate. A greater need is told before
// more is taken.
func (e *Engine) blockWaits() {
	e.home.waited = e.now
	if e.home.need < float64(e.terms.UploadRate) {
		e.sayNeed()
	}
}

// uploadRate is this engine's part of the upload rate.
func (e *Engine) uploadRate() float64 {
	rate := float64(e.terms.UploadRate)
	if len(e.home.others) == 0 {
		return rate
	}
	needs := make([]float64, 0, len(e.home.others))
	for _, s := range e.home.others {
		needs = append(needs, s.need)
	}
	return part(rate, e.home.need, needs)
}

// part is what one who needs own gets of rate beside others, whose needs it sorts: who
// needs less than the same for all leaves the rest to those who need more. All that
// reckon with the same needs take no more than rate together.
func part(rate, own float64, others []float64) float64 {
	slices.Sort(others)
	left, n := rate, float64(len(others)+1)
	for _, o := range others {
		if o >= left/n {
			break
		}
		left, n = left-o, n-1
	}
	return min(own, left/n)
}
