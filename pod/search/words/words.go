// Package words says what the words of a text are, so that a text and a question for it
// agree: without case and accents, and in pairs of letters where a script has no spaces.
package words

import (
	"hash/fnv"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxBytes is the longest word there is. Of what is longer the first letters and a
// check sum are kept, so that nobody fills an index with words that nobody writes.
const MaxBytes = 32

// Word is one word of a text, folded.
type Word struct {
	Text string
	// Part holds for one letter of a script without spaces that stands alone. Its text
	// begins every pair that the letter begins.
	Part bool
}

// Of cuts what somebody wrote in a question. A run of n letters of a script without
// spaces is n-1 pairs that follow each other.
func Of(text string) []Word {
	var c Cutter
	c.Cut(text)
	var out []Word
	for i := range c.Len() {
		if !c.spans[i].last {
			out = append(out, Word{Text: string(c.Word(i)), Part: c.spans[i].alone})
		}
	}
	return out
}

// Fold is a text without case and accents, as words are, for a value that is compared
// as a whole: white space at the ends is gone, and inside it is one space.
func Fold(text string) string {
	var out []byte
	space := false
	for _, r := range norm.NFKC.String(text) {
		if unicode.IsSpace(r) {
			space = len(out) > 0
			continue
		}
		if space && !dropped(r) {
			out, space = append(out, ' '), false
		}
		out = appendFolded(out, r)
	}
	return string(Bound(out))
}

// Bound is a word of at most MaxBytes.
func Bound(w []byte) []byte {
	if len(w) <= MaxBytes {
		return w
	}
	const sum = 7 // 35 bits
	keep := MaxBytes - sum
	for keep > 0 && !utf8.RuneStart(w[keep]) {
		keep--
	}
	h := fnv.New64a()
	_, _ = h.Write(w)
	out := append([]byte(nil), w[:keep]...)
	for v := h.Sum64(); len(out) < keep+sum; v >>= 5 {
		out = append(out, "0123456789abcdefghijklmnopqrstuv"[v&31])
	}
	return out
}

// Shortened says whether a word may be one that Bound shortened: nobody reads it.
func Shortened(w string) bool { return len(w) >= MaxBytes-utf8.UTFMax }

// Mistakable says whether a word is looked for with one letter wrong: from four letters
// on, in scripts that have letters, and not if it is a number.
func Mistakable(word string) bool {
	letters, digits := 0, 0
	for _, r := range word {
		if unspaced(r) {
			return false
		}
		letters++
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	return letters >= 4 && digits*2 <= letters
}

// Cutter cuts texts into words. It may be used again and again, by one goroutine.
type Cutter struct {
	buf   []byte
	spans []span
}

type span struct {
	start, end  int
	last, alone bool // the last letter of a run without spaces; its only one
}

// Len is the number of words of the latest text.
func (c *Cutter) Len() int { return len(c.spans) }

// Word is one of them; it is good until the next Cut.
func (c *Cutter) Word(i int) []byte { return c.buf[c.spans[i].start:c.spans[i].end] }

// Cut cuts a text that is searched. The last letter of each run of a script without
// spaces is a word as well, so that each of its letters begins one.
func (c *Cutter) Cut(text string) {
	c.buf, c.spans = c.buf[:0], c.spans[:0]
	if !norm.NFKC.IsNormalString(text) {
		text = norm.NFKC.String(text)
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case unspaced(r):
			i = c.pairs(text, i)
		case inWord(r):
			i = c.word(text, i)
		default:
			i += size
		}
	}
}

func (c *Cutter) word(text string, i int) int {
	start := len(c.buf)
	for i < len(text) {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r < utf8.RuneSelf && asciiWord[r] != 0:
			c.buf = append(c.buf, asciiWord[r])
		case isApostrophe(r) && ending(text[i+size:]), dropped(r):
		case r >= utf8.RuneSelf && inWord(r) && !unspaced(r):
			c.buf = appendFolded(c.buf, r)
		default:
			c.add(start)
			return i
		}
		i += size
	}
	c.add(start)
	return i
}

func (c *Cutter) add(start int) {
	if len(c.buf) == start {
		return
	}
	if len(c.buf)-start > MaxBytes {
		c.buf = append(c.buf[:start], Bound(c.buf[start:])...)
	}
	c.spans = append(c.spans, span{start: start, end: len(c.buf)})
}

func (c *Cutter) pairs(text string, i int) int {
	first := len(c.spans)
	before := -1 // where the letter before begins
	for i < len(text) {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !unspaced(r) && !(inWord(r) && unicode.Is(unicode.M, r)) {
			break
		}
		if i += size; dropped(r) {
			continue
		}
		at := len(c.buf)
		c.buf = appendFolded(c.buf, r)
		if before >= 0 {
			c.spans = append(c.spans, span{start: before, end: len(c.buf)})
		}
		before = at
	}
	n := len(c.spans) - first
	c.spans = append(c.spans, span{start: before, end: len(c.buf), last: n > 0, alone: n == 0})
	return i
}

// asciiWord is the folded letter or digit, 0 for what is none.
var asciiWord = func() (t [utf8.RuneSelf]byte) {
	for b := range byte(utf8.RuneSelf) {
		switch {
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9':
			t[b] = b
		case b >= 'A' && b <= 'Z':
			t[b] = b + 'a' - 'A'
		}
	}
	return t
}()

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return asciiWord[r] != 0
	}
	return r != utf8.RuneError && unicode.In(r, unicode.L, unicode.N, unicode.M)
}

// unspaced holds for scripts whose words stand without spaces, and for Hangul, where a
// word has its endings attached.
func unspaced(r rune) bool {
	switch {
	case r < 0x0e00:
		return false
	case r == 'ー', r == '々', r == '〇':
		return true
	}
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar) && inWord(r)
}

func isApostrophe(r rune) bool { return r == '\'' || r == '’' || r == 'ʼ' || r == '‘' }

// ending says whether what follows an apostrophe belongs to the word before: "don't"
// is one word, "l'amour" is two.
func ending(text string) bool {
	n := 0
	for _, r := range text {
		if !inWord(r) {
			break
		}
		if n++; n > 2 {
			return false
		}
	}
	return n > 0
}

// dropped holds for what is written into a word and is no letter of it: accents of
// alphabets, vowel points, joiners, soft hyphens.
func dropped(r rune) bool {
	return r >= 0x300 && r <= 0x36f || r == 0xad || r == 0x640 || r == 0x670 || r == 0x200c || r == 0x200d || r == 0xfe0f ||
		r >= 0x591 && r <= 0x5c7 && unicode.Is(unicode.Mn, r) || r >= 0x64b && r <= 0x65f
}

// unlike are letters that no decomposition makes plain.
var unlike = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ı': "i",
	'ŋ': "n", 'ŧ': "t", 'ς': "σ", 'ƒ': "f", 'ə': "e", 'ɓ': "b", 'ɗ': "d", 'ƙ': "k", 'ǝ': "e", 'ɔ': "o", 'ɛ': "e",
}

func appendFolded(out []byte, r rune) []byte {
	if r < utf8.RuneSelf {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(out, byte(r))
	}
	if dropped(r) {
		return out
	}
	r = unicode.ToLower(r)
	if plain, ok := unlike[r]; ok {
		return append(out, plain...)
	}
	if r >= 'ァ' && r <= 'ヶ' {
		r -= 'ァ' - 'ぁ' // one reading in either syllabary
	}
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], r)
	if r < 0x2000 && !unspaced(r) {
		if d := norm.NFD.Properties(b[:n]).Decomposition(); d != nil {
			for _, r := range string(d) {
				switch plain, ok := unlike[r]; {
				case ok: // ǿ
					out = append(out, plain...)
				case !dropped(r):
					out = utf8.AppendRune(out, r)
				}
			}
			return out
		}
	}
	return append(out, b[:n]...)
}
