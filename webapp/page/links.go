package page

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/maxence-charriere/go-app/v9/pkg/app"
)

// span is a stretch of a text; address is where it leads, "" for text.
type span struct{ text, address string }

// spansOf finds the addresses in a text that somebody wrote. Only http and https are
// taken, and nothing that hides its host behind a user name.
func spansOf(text string) (out []span) {
	rest, lower := text, strings.ToLower(text)
	if len(lower) != len(text) { // of letters that grow: then nothing is found rather than the wrong thing
		return []span{{text: text}}
	}
	plain := 0 // text before it is in out
	for at := 0; ; {
		i := strings.Index(lower[at:], "http")
		if i < 0 {
			break
		}
		at += i
		before, _ := utf8.DecodeLastRuneInString(rest[:at])
		n := addressAt(rest[at:])
		if n == 0 || at > 0 && (unicode.IsLetter(before) || unicode.IsDigit(before)) {
			at += len("http")
			continue
		}
		if at > plain {
			out = append(out, span{text: rest[plain:at]})
		}
		u, _ := url.Parse(rest[at : at+n]) // addressAt has
		out = append(out, span{text: rest[at : at+n], address: u.String()})
		at += n
		plain = at
	}
	if plain < len(rest) {
		out = append(out, span{text: rest[plain:]})
	}
	return out
}

// addressAt is the length of the address that s begins with, 0 if it begins with none.
func addressAt(s string) int {
	end := strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("<>\"`{}|\\^", r)
	})
	if end < 0 {
		end = len(s)
	}
	s = s[:end]
	for s != "" { // what ends a sentence is not the address's
		last, n := utf8.DecodeLastRuneInString(s)
		open := map[rune]string{')': "(", ']': "["}[last]
		if !strings.ContainsRune(".,;:!?'*_…»”’", last) && (open == "" || strings.Count(s, open) >= strings.Count(s, string(last))) {
			break
		}
		s = s[:len(s)-n]
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return 0
	}
	return len(s)
}

// linked is a text with its addresses as links. Text stays in an element of its own: a
// line break between two tags would be lost where the pod renders.
func linked(text string) []app.UI {
	spans := spansOf(text)
	out := make([]app.UI, len(spans))
	for i, s := range spans {
		switch {
		case s.address != "":
			out[i] = elem("a").Attr("href", s.address).Attr("rel", "nofollow noopener noreferrer ugc").Attr("target", "_blank").Text(s.text)
		case s.text == "\n":
			out[i] = void("br")
		default:
			out[i] = elem("span").Text(s.text)
		}
	}
	return out
}
