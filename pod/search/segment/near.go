package segment

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"unicode/utf8"
)

// Near says whether b is a with one letter changed, added, left out, or exchanged with
// its neighbour. No word is near itself.
func Near(a, b string) bool {
	if len(a)-len(b) > utf8.UTFMax || len(b)-len(a) > utf8.UTFMax || a == b {
		return false
	}
	for {
		x, nx := utf8.DecodeRuneInString(a)
		y, ny := utf8.DecodeRuneInString(b)
		if nx == 0 || ny == 0 || x != y || nx != ny {
			break
		}
		a, b = a[nx:], b[ny:]
	}
	x, nx := utf8.DecodeRuneInString(a)
	y, ny := utf8.DecodeRuneInString(b)
	if nx == 0 {
		return ny > 0 && len(b) == ny
	}
	if ny == 0 {
		return len(a) == nx
	}
	a2, b2 := a[nx:], b[ny:]
	if a2 == b2 || a2 == b || a == b2 {
		return true
	}
	x2, nx2 := utf8.DecodeRuneInString(a2)
	y2, ny2 := utf8.DecodeRuneInString(b2)
	return x == y2 && y == x2 && nx == ny2 && ny == nx2 && nx2 > 0 && a2[nx2:] == b2[ny2:]
}

// known tells quickly of most words that the dictionary does not have them: of all that are
// near a word few are there. Of those that it does not have it lets one in forty pass.
type known struct {
	bits    *memory // numbers of 64 bits, in one of which each word has up to four set
	letters []rune  // of all words, in order
}

// bitsAWord is how many bits there are for each word.
const bitsAWord = 12

// hashed is of this process: nothing of it rests on disk.
var hashed = maphash.MakeSeed()

// place is where the bits of a word are, and which.
func (k *known) place(word []byte) (at int, mask uint64) {
	h := maphash.Bytes(hashed, word)
	at = int(h >> 32 * uint64(len(k.bits.b)/8) >> 32)
	return 8 * at, 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
}

func (k *known) may(word []byte) bool {
	at, mask := k.place(word)
	return le.Uint64(k.bits.b[at:])&mask == mask
}

// learn makes s.known, of a segment that is whole.
func (s *Segment) learn() {
	if s.known.bits != nil {
		return
	}
	size := 8 * (s.words*bitsAWord/64 + 1)
	s.known.bits = reserve(size)
	s.known.bits.b = s.known.bits.b[:size]
	var letters [unspacedLetters / 64]uint64
	for w := s.Words(nil); w.Next(); {
		if w.Text[0] == Bare {
			continue
		}
		at, mask := s.known.place(w.Text)
		le.PutUint64(s.known.bits.b[at:], le.Uint64(s.known.bits.b[at:])|mask)
		for rest := w.Text; len(rest) > 0; {
			r, size := utf8.DecodeRune(rest)
			if r < unspacedLetters {
				letters[r/64] |= 1 << (r % 64)
			}
			rest = rest[size:]
		}
	}
	for i, set := range letters {
		for ; set != 0; set &= set - 1 {
			s.known.letters = append(s.known.letters, rune(64*i+bits.TrailingZeros64(set)))
		}
	}
}

// fewWords is how many words are read one by one rather than looked for.
const fewWords = 192

// Near goes through the words that are word with one letter wrong (the function Near), until
// yield says no. Each comes once.
//
// At each place of the word all letters are tried, until few words are left that begin as the
// word does: those are compared one by one.
func (s *Segment) Near(word string, work *int, yield func(text []byte, e Entry) bool) {
	seen := map[string]bool{}
	stopped := false
	lo, hi := 0, s.blocks // those with the words that begin as word does
	try := func(key []byte) {
		*work += 4
		if stopped || len(key) == 0 || len(key) > MaxTerm || !s.known.may(key) || string(key) == word || seen[string(key)] {
			return
		}
		*work += 8
		if e, ok := s.find(key, lo, hi); ok && !e.Bare {
			seen[string(key)] = true
			stopped = !yield(key, e)
		}
	}
	var room [2*MaxTerm + 2*utf8.UTFMax]byte
	runes := []rune(word)
	for i := 0; i <= len(runes) && !stopped && s.blocks > 0; i++ {
		prefix := append(room[:0], string(runes[:i])...)
		lo = s.blockOf(prefix, lo, hi)
		if i > 0 {
			hi = s.blockOf(append(prefix, 0xff), lo, hi) + 1
		}
		if i > 0 && hi-lo <= fewWords/inBlock {
			var w Words
			w.seg = s
			w.seek(prefix, lo, hi)
			for !stopped && w.Next() && bytes.HasPrefix(w.Text, prefix) {
				*work++
				if Near(word, string(w.Text)) && !seen[string(w.Text)] {
					seen[string(w.Text)] = true
					stopped = !yield(w.Text, w.Entry)
				}
			}
			// The rest of the places: what was changed, added or left out behind the
			// prefix has been seen.
			return
		}
		rest, after := string(runes[i:]), ""
		if i < len(runes) {
			after = string(runes[i+1:])
			try(append(prefix, after...))
		}
		if i+1 < len(runes) {
			swapped := utf8.AppendRune(utf8.AppendRune(prefix, runes[i+1]), runes[i])
			try(append(swapped, string(runes[i+2:])...))
		}
		for _, letter := range s.known.letters {
			if foreign(runes[0], letter) {
				continue
			}
			longer := utf8.AppendRune(prefix, letter)
			if i < len(runes) {
				try(append(longer, after...))
			}
			try(append(longer, rest...))
		}
	}
}

// unspacedLetters is where the letters begin that nobody mistakes for one of an alphabet.
const unspacedLetters = 0x2e80

// foreign says that a letter does not stand in for one of the script of first.
func foreign(first, letter rune) bool { return letter > 0x7f && letter>>8 != first>>8 }
