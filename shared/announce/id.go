package announce

import "unicode/utf8"

// AppendJSON appends the JSON of id to b, as MarshalJSON writes it for a tracker
// that has many to write.
func (id ID) AppendJSON(b []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, c := range id {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = utf8.AppendRune(b, rune(c))
		}
	}
	return append(b, '"')
}

// id reads an ID and says in st whether the value is one; raw is its JSON.
func (s *scanner) id(depth int, id *ID, raw *[]byte, st *state) error {
	*st = broken
	if s.peek() != '"' {
		return s.skip(depth)
	}
	from := s.i
	if _, err := s.str(); err != nil {
		return err
	}
	*raw = s.b[from:s.i]
	if id.decode(s.b[from+1 : s.i-1]) {
		*st = good
	}
	return nil
}

// decode reads the inside of a JSON string of valid syntax and says whether it is
// 20 code points 0..255.
func (id *ID) decode(b []byte) bool {
	n := 0
	for len(b) > 0 {
		if n == len(id) {
			return false
		}
		r, size := rune(b[0]), 1
		switch {
		case r == '\\':
			r, size = unescapeRune(b)
		case r >= utf8.RuneSelf:
			r, size = utf8.DecodeRune(b)
		}
		if r > 255 {
			return false
		}
		id[n] = byte(r)
		n++
		b = b[size:]
	}
	return n == len(id)
}

// unescape gives b, the inside of a JSON string of valid syntax, without escapes;
// length is about what that takes.
func unescape(b []byte, length int) []byte {
	out := make([]byte, 0, length)
	for len(b) > 0 {
		if b[0] != '\\' {
			n := plain(b)
			out = append(out, b[:n]...)
			b = b[n:]
			continue
		}
		r, size := unescapeRune(b)
		out = utf8.AppendRune(out, r) // half a surrogate pair becomes U+FFFD
		b = b[size:]
	}
	return out
}

// unescapeRune reads the escape at the start of b, of valid syntax. The halves of
// a surrogate pair are read one by one: nothing that a tracker reads has any.
func unescapeRune(b []byte) (rune, int) {
	switch c := b[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		v, _ := hex4(b[2:])
		return v, 6
	default:
		return rune(c), 2
	}
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (v rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}
