package announce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

// MaxDepth bounds how deep the values of a message are nested. An offer stands at 4.
const MaxDepth = 16

// Limits bound what Scan takes from one message.
type Limits struct {
	Offers int // those beyond are passed over
	Scrape int // info hashes of a scrape; those beyond are passed over
	SDP    int // bytes of one session description
}

// Request is a message from a peer as a tracker reads it: what the tracker acts on
// is decoded, what it only hands on stays as the bytes that came. The fields that
// begin with Raw, and those of RawOffer, are JSON values inside the scanned bytes
// and live as long as those.
type Request struct {
	Action       string            // ActionAnnounce, ActionScrape, or "" if it is neither
	InfoHashes   []magnet.InfoHash // one of an announce, none or more of a scrape
	RawInfoHash  []byte            // the info hash of an announce
	PeerID       wire.PeerID
	RawPeerID    []byte
	Event        string
	Seeder       bool       // left is 0
	NumWant      int        // introductions wanted; -1 if it does not say
	Offers       []RawOffer // those of the right form
	BrokenOffers int        // how many were not

	// An answer to an offer is set if IsAnswer.
	IsAnswer bool
	ToPeerID wire.PeerID
	Answer   RawOffer

	hash, peer, to, event state // of the fields with these names
	answer                bool  // it has the right form
}

// RawOffer is an offer, or an answer to one.
type RawOffer struct {
	Description []byte // JSON of a Description
	OfferID     OfferID
	RawOfferID  []byte
}

// state says how a field stands in a message.
type state uint8

const (
	absent state = iota
	good
	broken
)

var (
	errSyntax = errors.New("JSON syntax")
	errDepth  = fmt.Errorf("nested deeper than %d", MaxDepth)
)

// Scan reads b into r; what r held is lost, its slices are used again. b must be
// valid UTF-8. An error wraps ErrInvalid and is fit to be told to the peer; r then
// still says the action and the info hash where they could be read.
//
// The syntax of all of b is checked, also of what is not used, so that what is
// handed on is never broken JSON. Of a key that stands twice the last counts.
func (r *Request) Scan(b []byte, limits Limits) error {
	*r = Request{InfoHashes: r.InfoHashes[:0], Offers: r.Offers[:0], NumWant: -1}
	s := scanner{b: b}
	s.space()
	if s.peek() != '{' {
		return fmt.Errorf("%w: not an object", ErrInvalid)
	}
	err := s.object(0, func(key []byte, depth int) error { return r.field(&s, key, depth, limits) })
	if err == nil {
		if s.space(); s.i != len(b) {
			err = errSyntax
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	if what := r.check(); what != "" {
		return fmt.Errorf("%w: %s", ErrInvalid, what)
	}
	return nil
}

// field reads the value of one key of the message.
func (r *Request) field(s *scanner, key []byte, depth int, limits Limits) error {
	switch string(key) {
	case "action":
		return r.scanAction(s, depth)
	case "info_hash":
		return r.scanInfoHash(s, depth, limits.Scrape)
	case "peer_id":
		return s.id(depth, (*ID)(&r.PeerID), &r.RawPeerID, &r.peer)
	case "to_peer_id":
		var raw []byte
		return s.id(depth, (*ID)(&r.ToPeerID), &raw, &r.to)
	case "offer_id":
		var st state
		if err := s.id(depth, &r.Answer.OfferID, &r.Answer.RawOfferID, &st); err != nil || st == good {
			return err
		}
		r.Answer.RawOfferID = nil
		return nil
	case "event":
		return r.scanEvent(s, depth)
	case "left":
		f, ok, err := s.float(depth)
		r.Seeder = ok && f == 0
		return err
	case "numwant":
		f, ok, err := s.float(depth)
		if r.NumWant = -1; ok {
			r.NumWant = int(min(max(f, 0), math.MaxInt16))
		}
		return err
	case "offers":
		return r.scanOffers(s, depth, limits)
	case "answer":
		r.IsAnswer = s.peek() != 'n' // null is none
		var err error
		r.Answer.Description, r.answer, err = s.description(depth, "answer", limits.SDP)
		return err
	}
	return s.skip(depth)
}

func (r *Request) scanAction(s *scanner, depth int) error {
	text, err := s.text(depth)
	switch string(text) {
	case ActionAnnounce:
		r.Action = ActionAnnounce
	case ActionScrape:
		r.Action = ActionScrape
	default:
		r.Action = ""
	}
	return err
}

func (r *Request) scanEvent(s *scanner, depth int) error {
	r.event = good
	switch s.peek() {
	case '"':
		text, err := s.text(depth)
		switch string(text) {
		case "", Update:
			r.Event = ""
		case Started:
			r.Event = Started
		case Stopped:
			r.Event = Stopped
		case Completed:
			r.Event = Completed
		default:
			r.event = broken
		}
		return err
	case 'n':
		r.Event = ""
	default:
		r.event = broken
	}
	return s.skip(depth)
}

func (r *Request) scanInfoHash(s *scanner, depth, most int) error {
	r.InfoHashes, r.RawInfoHash, r.hash = r.InfoHashes[:0], nil, good
	one := func(depth int) error {
		var id ID
		var raw []byte
		var st state
		if err := s.id(depth, &id, &raw, &st); err != nil {
			return err
		}
		if st != good {
			r.hash = broken
		} else if len(r.InfoHashes) < most {
			r.InfoHashes, r.RawInfoHash = append(r.InfoHashes, magnet.InfoHash(id)), raw
		}
		return nil
	}
	if s.peek() != '[' {
		return one(depth)
	}
	err := s.array(depth, one)
	r.RawInfoHash = nil // a list names no one torrent
	return err
}

func (r *Request) scanOffers(s *scanner, depth int, limits Limits) error {
	r.Offers, r.BrokenOffers = r.Offers[:0], 0
	if s.peek() != '[' {
		if s.peek() != 'n' {
			r.BrokenOffers++
		}
		return s.skip(depth)
	}
	return s.array(depth, func(depth int) error {
		if len(r.Offers) == limits.Offers {
			return s.skip(depth)
		}
		o, ok, err := s.offer(depth, limits.SDP)
		if ok {
			r.Offers = append(r.Offers, o)
		} else {
			r.BrokenOffers++
		}
		return err
	})
}

// check says what is wrong with the fields of r, "" if nothing is.
func (r *Request) check() string {
	switch {
	case r.Action == "":
		return "the action is not announce or scrape"
	case r.hash == broken:
		return "info_hash is not 20 characters of 0..255"
	case r.Action == ActionScrape:
		return ""
	case r.RawInfoHash == nil:
		return "an announce has one info_hash"
	case r.peer != good:
		return "peer_id is not 20 characters of 0..255"
	case r.event == broken:
		return "unknown event"
	case !r.IsAnswer:
		return ""
	case !r.answer:
		return "the answer is not a session description"
	case r.to != good:
		return "to_peer_id is not 20 characters of 0..255"
	case r.Answer.RawOfferID == nil:
		return "offer_id is not 20 characters of 0..255"
	}
	return ""
}

// scanner walks over JSON text. Its methods begin at the first byte of a value
// and leave i behind its last.
type scanner struct {
	b []byte
	i int
}

// peek gives the byte at i, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// object calls field for each key, unescaped, at the first byte of its value;
// field must consume the value.
func (s *scanner) object(depth int, field func(key []byte, depth int) error) error {
	if depth == MaxDepth {
		return errDepth
	}
	s.i++
	if s.space(); s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		if s.peek() != '"' {
			return errSyntax
		}
		key, err := s.text(depth)
		if err != nil {
			return err
		}
		if s.space(); s.peek() != ':' {
			return errSyntax
		}
		s.i++
		s.space()
		if err := field(key, depth+1); err != nil {
			return err
		}
		if more, err := s.more('}'); !more {
			return err
		}
	}
}

// array calls element at the first byte of each; element must consume it.
func (s *scanner) array(depth int, element func(depth int) error) error {
	if depth == MaxDepth {
		return errDepth
	}
	s.i++
	if s.space(); s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := element(depth + 1); err != nil {
			return err
		}
		if more, err := s.more(']'); !more {
			return err
		}
	}
}

// more consumes what follows a value in an object or array that ends with end.
func (s *scanner) more(end byte) (bool, error) {
	s.space()
	c := s.peek()
	s.i++
	switch c {
	case ',':
		s.space()
		return true, nil
	case end:
		return false, nil
	}
	return false, errSyntax
}

// skip checks and passes one value.
func (s *scanner) skip(depth int) error {
	switch c := s.peek(); c {
	case '{':
		return s.object(depth, func(_ []byte, depth int) error { return s.skip(depth) })
	case '[':
		return s.array(depth, s.skip)
	case '"':
		_, err := s.str()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

func (s *scanner) literal(word string) error {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return errSyntax
	}
	s.i += len(word)
	return nil
}

// number passes a number (RFC 8259, 6).
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return errSyntax
	}
	if s.peek() == '.' {
		if s.i++; !s.digits() {
			return errSyntax
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return errSyntax
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	from := s.i
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.i++
	}
	return s.i > from
}

// float reads a number; ok is false for a value of another kind.
func (s *scanner) float(depth int) (f float64, ok bool, err error) {
	from := s.i
	if c := s.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, false, s.skip(depth)
	}
	if err := s.number(); err != nil {
		return 0, false, err
	}
	// Out of range is infinite, and never what is asked about.
	f, _ = strconv.ParseFloat(string(s.b[from:s.i]), 64)
	return f, true, nil
}

// str passes a string and gives the length that it has without quotes and escapes,
// in bytes of UTF-8.
func (s *scanner) str() (length int, err error) {
	s.i++
	b, i, shorter := s.b[s.i:], 0, 0
	for {
		i += plain(b[i:])
		for i+1 < len(b) && b[i] == '\\' { // they come in pairs, \r\n
			n := escape(b[i:])
			if n == 0 {
				return 0, errSyntax
			}
			i += n
			shorter += n - 1
			if n > 2 {
				shorter -= longer(b[i-4 : i])
			}
		}
		if i >= len(b) || b[i] < 0x20 || b[i] == '\\' {
			return 0, errSyntax
		}
		if b[i] == '"' {
			s.i += i + 1
			return i - shorter, nil
		}
	}
}

// escape gives the length of the escape that b, of two bytes at least, begins
// with; 0 if it is none.
func escape(b []byte) int {
	switch b[1] {
	case 'r', 'n', '"', '\\', '/', 'b', 'f', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

// longer says how many bytes the code unit of four hexadecimal digits takes beyond
// one. Each half of a surrogate pair counts three; the pair has four.
func longer(digits []byte) int {
	switch v, _ := hex4(digits); {
	case v < 0x80:
		return 0
	case v < 0x800:
		return 1
	}
	return 2
}

// plain counts the bytes before the first quote, backslash or control character,
// eight at a time.
func plain(b []byte) int {
	const low, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		x := binary.LittleEndian.Uint64(b[n:])
		quote, slash := x^('"'*low), x^('\\'*low)
		found := (quote-low)&^quote | (slash-low)&^slash | (x-0x20*low)&^x
		if found &= high; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
	}
	return n
}

// text reads a string and gives it without quotes and escapes. It is meant for
// short ones, and nil for a value of another kind.
func (s *scanner) text(depth int) ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.skip(depth)
	}
	from := s.i + 1
	length, err := s.str()
	if err != nil {
		return nil, err
	}
	inner := s.b[from : s.i-1]
	if len(inner) == length {
		return inner, nil
	}
	return unescape(inner, length), nil
}

// description passes a value and says whether it is a session description of the
// kind, with an SDP of at most most bytes.
func (s *scanner) description(depth int, kind string, most int) (raw []byte, ok bool, err error) {
	from := s.i
	if s.peek() != '{' {
		return nil, false, s.skip(depth)
	}
	var typed, described bool
	err = s.object(depth, func(key []byte, depth int) error {
		switch string(key) {
		case "type":
			text, err := s.text(depth)
			typed = string(text) == kind
			return err
		case "sdp":
			if described = s.peek() == '"'; described {
				n, err := s.str()
				described = n <= most
				return err
			}
		}
		return s.skip(depth)
	})
	raw = s.b[from:s.i]
	// Escapes may double an SDP in length; what is longer carries something else.
	const around = 256
	return raw, err == nil && typed && described && len(raw) <= 2*most+around, err
}

// offer passes a value and says whether it is an Offer.
func (s *scanner) offer(depth, most int) (o RawOffer, ok bool, err error) {
	if s.peek() != '{' {
		return o, false, s.skip(depth)
	}
	var described bool
	var id state
	err = s.object(depth, func(key []byte, depth int) (err error) {
		switch string(key) {
		case "offer":
			o.Description, described, err = s.description(depth, "offer", most)
			return err
		case "offer_id":
			return s.id(depth, &o.OfferID, &o.RawOfferID, &id)
		}
		return s.skip(depth)
	})
	return o, err == nil && described && id == good, err
}
