package swarm

import (
	"encoding/binary"
	"time"

	"kinopod/shared/wire"
)

// comingTime is how long others wait for what a viewer said to be coming to it.
const comingTime = 4 * time.Second

// tellComing tells all viewers where we play and what comes from the web seed: at once,
// or with what they are told next.
func (e *Engine) tellComing(atOnce bool) {
	e.told = e.playedPiece()
	for p := range e.peers {
		p.tellComing()
		if atOnce {
			p.flush()
		}
	}
}

func (p *peer) tellComing() {
	e := p.e
	if !p.known || p.comingID == 0 || e.terms.NoUpload || p.conn.Buffered() >= sendHigh {
		return
	}
	m := wire.ComingMessage{At: uint32(e.told)}
	if run := e.web.run; len(run) > 0 {
		m.First, m.End = uint32(run[0].piece), uint32(run[len(run)-1].piece)+1
	}
	p.queue(m.Message(p.comingID))
}

// comes says whether piece i is about to come to a viewer that will give it on.
func (e *Engine) comes(i int) bool {
	for p := range e.peers {
		if uint32(i) >= p.coming.First && uint32(i) < p.coming.End && p.useful(e.now) && e.now.Sub(p.comingAt) < comingTime {
			return true
		}
	}
	return false
}

// turn is this engine's place, 0..1, in the order in which viewers of one play head
// bring piece i. All draw from the same lot without a word.
func (e *Engine) turn(i int) float64 {
	x := binary.BigEndian.Uint64(e.id[len(e.id)-8:]) ^ uint64(i)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}
