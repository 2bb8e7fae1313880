package network

import "slices"

// State is what another pod is to ours.
type State string

// The states. Only a Friend is listened to and told.
const (
	Asked   State = "asked"   // we asked for friendship, and have no answer yet
	Friend  State = "friend"  // mutual
	Left    State = "left"    // one of both left; may come back
	Revoked State = "revoked" // its score came to 0; may come back after a while
	Blocked State = "blocked" // by an operator's word, and final until the operator says otherwise
)

// Score is how reliable a friend is, from 0 to a maximum that the operator may set.
type Score int

// Scores (design.md, 4).
const (
	StartScore   Score = 100
	ScoreStep    Score = 10 // for a delivery that succeeded, and off for one that failed for good
	DefaultScore Score = 1000
)

// Delivered is the score after a delivery, at most most.
func (s Score) Delivered(most Score) Score { return min(most, s+ScoreStep) }

// Failed is the score after a delivery that failed for good. At 0 the friend is
// revoked.
func (s Score) Failed() Score { return max(0, s-ScoreStep) }

// Quorum says whom to make friends with: everybody asked who answered with a list of
// friends, and everybody who stands in at least half of the lists. us is never chosen.
// The answer is sorted.
func Quorum(us Host, lists map[Host][]Host) []Host {
	votes := map[Host]int{}
	for asked, list := range lists {
		if asked == us {
			continue
		}
		seen := map[Host]bool{} // who stands there twice has one vote
		for _, h := range list {
			if !seen[h] {
				seen[h] = true
				votes[h]++
			}
		}
	}
	var chosen []Host
	for h := range lists {
		if h != us {
			chosen = append(chosen, h)
		}
	}
	for h, n := range votes {
		if _, asked := lists[h]; !asked && h != us && 2*n >= len(lists) {
			chosen = append(chosen, h)
		}
	}
	slices.Sort(chosen)
	return chosen
}

// Versions are the versions of the pod-to-pod protocol that a pod speaks: Min to Max.
type Versions struct {
	Min int `json:"min"`
	Max int `json:"max"`
	// SwitchAt is when Min ends, in seconds since 1970; 0 is never. From then on a pod
	// that speaks nothing newer is dormant to this one.
	SwitchAt int64 `json:"switch_at,omitempty"`
}

// At is what is spoken at a time, in seconds since 1970.
func (v Versions) At(now int64) Versions {
	if v.SwitchAt != 0 && now >= v.SwitchAt {
		v.Min, v.SwitchAt = v.Min+1, 0
	}
	return v
}

// Common is the highest version that both speak at a time; ok is false for none.
func (v Versions) Common(other Versions, now int64) (version int, ok bool) {
	a, b := v.At(now), other.At(now)
	version = min(a.Max, b.Max)
	return version, version >= a.Min && version >= b.Min
}
