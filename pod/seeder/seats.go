package seeder

import (
	"fmt"
	"net/netip"

	"kinopod/pod/household"
	"kinopod/shared/api"
)

// Refusal is why an offer, or a native connection, was not taken.
type Refusal string

// The reasons.
const (
	RefusedUnknown    Refusal = "unknown"    // not a torrent of ours
	RefusedUnreadable Refusal = "unreadable" // its file cannot be read, or not whole
	RefusedPeers      Refusal = "peers"      // Config.Peers are connected
	RefusedAddress    Refusal = "address"    // Config.PeersPerAddress are connected from there
	RefusedDuplicate  Refusal = "duplicate"  // that peer is connected
	RefusedInvalid    Refusal = "invalid"    // not an offer of one data channel
	RefusedOff        Refusal = "off"        // not running, or switched off
	RefusedInternal   Refusal = "internal"
)

// refusal is the reason together with what the caller is told.
type refusal struct {
	reason Refusal
	told   *api.Error
}

func (r *refusal) Error() string { return r.told.Error() }
func (r *refusal) Unwrap() error { return r.told }

// refuse makes the error of a refusal; cause is for the operator and may be nil.
func refuse(reason Refusal, cause error) error {
	e := &api.Error{Cause: cause}
	switch reason {
	case RefusedUnknown:
		e.Code, e.Message = api.CodeNotFound, "This pod does not have this video."
	case RefusedUnreadable:
		e.Code, e.Message = api.CodeUnavailable, "The video's file cannot be read at the moment."
	case RefusedPeers:
		e.Code, e.Message = api.CodeUnavailable, "The pod gives to as many peers as it can. Try again soon."
	case RefusedAddress:
		e.Code, e.Message = api.CodeRateLimited, "Too many peers of your address are connected."
	case RefusedDuplicate:
		e.Code, e.Message = api.CodeConflict, "This peer is connected already."
	case RefusedInvalid:
		e.Code, e.Message = api.CodeInvalid, "This is not a WebRTC offer of one data channel."
	case RefusedOff:
		e.Code, e.Message = api.CodeUnavailable, "The pod does not seed at the moment."
	default:
		e.Code, e.Message = api.CodeInternal, "Something went wrong at the pod. Try again in a moment."
	}
	return &refusal{reason, e}
}

// seats counts connections. It is not safe for concurrent use.
type seats struct {
	most, mostAddress int
	taken             int
	address           map[netip.Prefix]int
}

func newSeats(most, mostAddress int) seats {
	return seats{most: most, mostAddress: mostAddress, address: map[netip.Prefix]int{}}
}

// take counts one more connection from a, or says why not.
func (s *seats) take(a netip.Addr) error {
	h := household.Of(a)
	if s.mostAddress > 0 && s.address[h] >= s.mostAddress {
		return refuse(RefusedAddress, fmt.Errorf("%d peers", s.address[h]))
	}
	if s.most > 0 && s.taken >= s.most {
		return refuse(RefusedPeers, fmt.Errorf("%d peers", s.taken))
	}
	s.taken++
	s.address[h]++
	return nil
}

// leave gives back what take counted.
func (s *seats) leave(a netip.Addr) {
	h := household.Of(a)
	s.taken--
	if s.address[h]--; s.address[h] == 0 {
		delete(s.address, h)
	}
}
