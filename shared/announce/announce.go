// Package announce is the tracker's messages as WebTorrent speaks them over a
// WebSocket: announce, offer, answer, scrape. One JSON object is one text frame.
//
// There is no document of the protocol but its first implementations. What a
// client sends, by fields:
//
//	announce  action, info_hash, peer_id, event, left, uploaded, downloaded, numwant, offers
//	answer    action "announce", info_hash, peer_id, to_peer_id, answer, offer_id
//	scrape    action, info_hash (one, or a list)
//
// and what it receives:
//
//	response  action, info_hash, interval, complete, incomplete; never a peer_id
//	offer     action "announce", info_hash, peer_id, offer, offer_id
//	answer    action "announce", info_hash, peer_id, answer, offer_id
//	scrape    action, files {info_hash: {complete, incomplete, downloaded}}
//	failure   "failure reason", and action and info_hash where they could be read
package announce

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// Limits of one message.
const (
	MaxMessage = 64 << 10 // bytes
	MaxOffers  = 10
	MaxScrape  = 100     // info hashes
	MaxSDP     = 8 << 10 // bytes of one session description
)

// Actions.
const (
	ActionAnnounce = "announce"
	ActionScrape   = "scrape"
)

// Events of an announce. No event, or "update", is a regular announce.
const (
	Started   = "started"
	Stopped   = "stopped"
	Completed = "completed"
	Update    = "update"
)

// ErrInvalid is what reading a message wraps.
var ErrInvalid = errors.New("not a tracker message")

// ID is a value of 20 bytes. In JSON it is a string of 20 code points 0..255.
type ID [20]byte

// OfferID names one offer of a peer.
type OfferID = ID

// MarshalJSON writes 20 code points.
func (id ID) MarshalJSON() ([]byte, error) {
	s := make([]rune, len(id))
	for i, b := range id {
		s[i] = rune(b)
	}
	return json.Marshal(string(s))
}

// UnmarshalJSON reads 20 code points 0..255 and refuses anything else.
func (id *ID) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || utf8.RuneCountInString(s) != len(id) {
		return fmt.Errorf("%w: an id is not 20 characters", ErrInvalid)
	}
	i := 0
	for _, r := range s {
		if r > 255 {
			return fmt.Errorf("%w: an id has a character over 255", ErrInvalid)
		}
		id[i] = byte(r)
		i++
	}
	return nil
}

// Description is a WebRTC session description.
type Description struct {
	Type string `json:"type"` // "offer" or "answer"
	SDP  string `json:"sdp"`
}

// Offer is one offer of an announce.
type Offer struct {
	Offer   Description `json:"offer"`
	OfferID OfferID     `json:"offer_id"`
}

// Announce is what a peer tells the tracker of itself.
type Announce struct {
	InfoHash   magnet.InfoHash
	PeerID     wire.PeerID
	Event      string // "" for a regular announce
	Left       *int64 // bytes; 0 is a seeder, nil (absent or null) a leecher
	Uploaded   int64  // bytes
	Downloaded int64  // bytes
	NumWant    int    // introductions wanted
	Offers     []Offer
}

// MarshalJSON writes the message that a tracker takes.
func (a Announce) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Action     string  `json:"action"`
		InfoHash   ID      `json:"info_hash"`
		PeerID     ID      `json:"peer_id"`
		Event      string  `json:"event,omitempty"`
		Left       *int64  `json:"left"`
		Uploaded   int64   `json:"uploaded"`
		Downloaded int64   `json:"downloaded"`
		NumWant    int     `json:"numwant"`
		Offers     []Offer `json:"offers,omitempty"`
	}{ActionAnnounce, ID(a.InfoHash), ID(a.PeerID), a.Event, a.Left, a.Uploaded, a.Downloaded, a.NumWant, a.Offers})
}

// Answer is a peer's answer to an offer that the tracker relayed to it.
type Answer struct {
	InfoHash magnet.InfoHash
	PeerID   wire.PeerID // the answering peer
	ToPeerID wire.PeerID // the peer that offered
	OfferID  OfferID
	Answer   Description
}

// MarshalJSON writes the message that a tracker takes.
func (a Answer) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Action   string      `json:"action"`
		InfoHash ID          `json:"info_hash"`
		PeerID   ID          `json:"peer_id"`
		ToPeerID ID          `json:"to_peer_id"`
		OfferID  OfferID     `json:"offer_id"`
		Answer   Description `json:"answer"`
	}{ActionAnnounce, ID(a.InfoHash), ID(a.PeerID), ID(a.ToPeerID), a.OfferID, a.Answer})
}

// Received is any message from a tracker to a peer. Which one it is: Failure is
// not empty; Offer is set; Answer is set; otherwise the response to an announce
// (Complete, Incomplete, Interval).
type Received struct {
	Action     string       `json:"action"`
	InfoHash   ID           `json:"info_hash"`
	PeerID     *ID          `json:"peer_id"`
	Failure    string       `json:"failure reason"`
	Interval   int          `json:"interval"` // seconds
	Complete   int          `json:"complete"`
	Incomplete int          `json:"incomplete"`
	Offer      *Description `json:"offer"`
	Answer     *Description `json:"answer"`
	OfferID    *OfferID     `json:"offer_id"`
}

// ParseReceived reads a message from a tracker. A relayed offer or answer without
// peer_id or offer_id is an error.
func ParseReceived(b []byte) (Received, error) {
	var r Received
	if len(b) > MaxMessage {
		return r, fmt.Errorf("%w: over %d bytes", ErrInvalid, MaxMessage)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return Received{}, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	if (r.Offer != nil || r.Answer != nil) && (r.PeerID == nil || r.OfferID == nil) {
		return Received{}, fmt.Errorf("%w: an introduction without peer_id or offer_id", ErrInvalid)
	}
	return r, nil
}
