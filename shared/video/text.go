package video

import (
	"strings"
	"unicode/utf8"
)

// CleanDescription is CleanText for what the whole network keeps: at most
// MaxDescription runes.
func CleanDescription(s string) (string, error) { return cleanText(s, MaxDescription) }

// CleanText keeps lines and drops other control characters; at most MaxText runes.
func CleanText(s string) (string, error) { return cleanText(s, MaxText) }

// cleanText is CleanText for another length.
func cleanText(s string, most int) (string, error) {
	if !utf8.ValidString(s) {
		return "", invalid("the text is not UTF-8")
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	for i, r := range s {
		if r != '\n' && (r < ' ' || r >= 0x7f) && unsafeRune(r) {
			s = s[:i] + strings.Map(func(r rune) rune {
				if r != '\n' && unsafeRune(r) {
					return -1
				}
				return r
			}, s[i:])
			break
		}
	}
	s = strings.TrimSpace(s)
	if n := utf8.RuneCountInString(s); n > most {
		return "", invalid("the text has %d characters, %d are allowed", n, most)
	}
	return s, nil
}

// ellipsis ends a description that is the beginning of a longer text.
const ellipsis = "…"

// SetText makes of a clean text of any length what the catalogue has room for, and
// keeps the rest.
func (v *Video) SetText(s string) {
	v.Description, v.Text = s, ""
	if utf8.RuneCountInString(s) > MaxDescription {
		v.Description, v.Text = string([]rune(s)[:MaxDescription-1])+ellipsis, s
	}
}

// WholeText is what SetText was given, as far as v has it.
func (v *Video) WholeText() string {
	if v.Text != "" {
		return v.Text
	}
	return v.Description
}

// IsCut says whether a description looks like the beginning of a longer text: whoever
// wants that asks the origin, and may get the same.
func IsCut(description string) bool {
	return strings.HasSuffix(description, ellipsis) && utf8.RuneCountInString(description) == MaxDescription
}

// Limits of what is said of an uploader, in runes.
const (
	MaxShownName = 60
	MaxAbout     = 300
)

// Profile is what an uploader says of themself; texts are "" where they say nothing.
type Profile struct {
	Name  string `json:"name"`  // to show beside the name of the account, one line
	About string `json:"about"` // a few lines
}

// Clean makes of what was typed, or came from elsewhere, what may be shown.
func (p Profile) Clean() (out Profile, err error) {
	if out.Name, err = cleanLine(p.Name, MaxShownName); err != nil {
		return Profile{}, err
	}
	out.About, err = cleanText(p.About, MaxAbout)
	return out, err
}
