package seeder

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun"
	"golang.org/x/time/rate"
)

// A browser behind a router learns from outside at which address others see it
// (STUN, RFC 8489). It asks the pod: no foreign host is asked for anything. The
// questions come in at the sockets of WebRTC, beside the checks of ICE, which say whom
// they are for.
const (
	stunMost     = 128 // bytes of a question
	stunPerSec   = 500 // answers of one socket
	stunUsername = 0x0006
)

// stunAnswers answers questions, up to a rate: an answer goes to whatever address a
// datagram says that it is from.
type stunAnswers struct{ limit *rate.Limiter }

func newSTUNAnswers() stunAnswers {
	return stunAnswers{rate.NewLimiter(stunPerSec, stunPerSec)}
}

// isQuestion says whether a datagram is a Binding request that is for nobody in
// particular.
func isQuestion(b []byte) bool {
	if len(b) < 20 || len(b) > stunMost || binary.BigEndian.Uint16(b) != 0x0001 || !stun.IsMessage(b) || int(binary.BigEndian.Uint16(b[2:])) != len(b)-20 {
		return false
	}
	for at := 20; at+4 <= len(b); {
		if binary.BigEndian.Uint16(b[at:]) == stunUsername {
			return false
		}
		at += 4 + (int(binary.BigEndian.Uint16(b[at+2:]))+3)&^3
	}
	return true
}

// answer gives the answer to a question from an address; nil for none.
func (s stunAnswers) answer(question []byte, from netip.AddrPort) []byte {
	if !s.limit.Allow() {
		return nil
	}
	var id [stun.TransactionIDSize]byte
	copy(id[:], question[8:])
	addr := from.Addr().Unmap()
	m, err := stun.Build(stun.NewTransactionIDSetter(id), stun.BindingSuccess, &stun.XORMappedAddress{IP: addr.AsSlice(), Port: int(from.Port())})
	if err != nil {
		return nil
	}
	return m.Raw
}
