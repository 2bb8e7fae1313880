// Package magnet names torrents: the info hash, and the magnet URI (BEP 9) that
// carries it together with where to ask for the torrent.
package magnet

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// InfoHash is the SHA-1 of a torrent's info dictionary (BEP 3).
type InfoHash [20]byte

// ErrInfoHash is what ParseInfoHash returns.
var ErrInfoHash = errors.New("not an info hash of 40 hexadecimal digits")

// ParseInfoHash reads 40 hexadecimal digits, upper or lower case.
func ParseInfoHash(s string) (InfoHash, error) {
	var h InfoHash
	if len(s) != 2*len(h) {
		return h, ErrInfoHash
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return InfoHash{}, ErrInfoHash
	}
	return h, nil
}

// String gives 40 lower-case hexadecimal digits.
func (h InfoHash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the form of String.
func (h InfoHash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the form of String.
func (h *InfoHash) UnmarshalText(b []byte) (err error) {
	*h, err = ParseInfoHash(string(b))
	return err
}

// Magnet is what a magnet URI of one torrent says.
type Magnet struct {
	InfoHash InfoHash
	Name     string   // dn, the name to show
	Length   int64    // xl, bytes; 0 if absent
	Trackers []string // tr
	WebSeeds []string // ws, URLs of the file (BEP 19)
	Sources  []string // xs, URLs of the .torrent
}

// MaxLength bounds the URI that Parse takes, in bytes.
const MaxLength = 16 << 10

// maxValues bounds each repeated field.
const maxValues = 64

// Parse reads a magnet URI. The info hash may be 40 hexadecimal digits or 32
// characters of base32; fields it does not know are passed over.
func Parse(s string) (Magnet, error) {
	var m Magnet
	if len(s) > MaxLength {
		return m, fmt.Errorf("magnet: longer than %d bytes", MaxLength)
	}
	query, ok := strings.CutPrefix(s, "magnet:?")
	if !ok {
		return m, errors.New("magnet: does not begin with magnet:?")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return m, fmt.Errorf("magnet: %w", err)
	}
	found := false
	for _, xt := range values["xt"] {
		text, ok := strings.CutPrefix(xt, "urn:btih:")
		if !ok {
			continue
		}
		if found {
			return Magnet{}, errors.New("magnet: more than one info hash")
		}
		if m.InfoHash, err = parseTopic(text); err != nil {
			return Magnet{}, fmt.Errorf("magnet: %w", err)
		}
		found = true
	}
	if !found {
		return m, errors.New("magnet: no info hash (xt=urn:btih:)")
	}
	m.Name = values.Get("dn")
	if xl := values.Get("xl"); xl != "" {
		if m.Length, err = strconv.ParseInt(xl, 10, 64); err != nil || m.Length < 0 {
			return Magnet{}, errors.New("magnet: xl is not a length in bytes")
		}
	}
	for _, list := range []struct {
		key  string
		into *[]string
	}{{"tr", &m.Trackers}, {"ws", &m.WebSeeds}, {"xs", &m.Sources}} {
		v := values[list.key]
		if len(v) > maxValues {
			return Magnet{}, fmt.Errorf("magnet: more than %d values of %s", maxValues, list.key)
		}
		*list.into = v
	}
	return m, nil
}

func parseTopic(s string) (InfoHash, error) {
	if len(s) != 32 {
		return ParseInfoHash(s)
	}
	b, err := base32.StdEncoding.DecodeString(strings.ToUpper(s))
	if err != nil {
		return InfoHash{}, ErrInfoHash
	}
	return InfoHash(b), nil
}

// String writes the URI: xt first and unescaped, as every client reads it. A page of a list
// has two dozen of them: it is written into one piece of memory.
func (m Magnet) String() string {
	b := make([]byte, 0, 1024)
	b = append(b, "magnet:?xt=urn:btih:"...)
	b = hex.AppendEncode(b, m.InfoHash[:])
	if m.Name != "" {
		b = appendQuery(append(b, "&dn="...), m.Name)
	}
	if m.Length > 0 {
		b = strconv.AppendInt(append(b, "&xl="...), m.Length, 10)
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"&tr=", m.Trackers}, {"&ws=", m.WebSeeds}, {"&xs=", m.Sources}} {
		for _, v := range list.values {
			b = appendQuery(append(b, list.key...), v)
		}
	}
	return string(b)
}

// appendQuery appends what url.QueryEscape gives.
func appendQuery(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~':
			b = append(b, c)
		case c == ' ':
			b = append(b, '+')
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
