// Package video is a video as the whole network knows it: what is said of it,
// within which limits, and the files that hold it.
package video

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kinopod/shared/magnet"
	"kinopod/shared/network"
)

// Limits of what is said of a video, in runes unless named otherwise.
const (
	MaxName        = 120
	MaxDescription = 1000 // in the catalogue; the whole text stays at the origin
	MaxText        = 20_000
	MaxTag         = 30
	MaxTags        = 12 // tags of one video
	MaxUploader    = 40
	MaxFileName    = 200 // bytes
	MaxRenditions  = 8
)

// Video is one video of the network. Only its origin may change or remove it.
type Video struct {
	ID          ID
	Origin      network.Host
	Revision    int64 // grows with each change at the origin; ms since 1970, roughly
	Name        string
	Description string
	Uploader    string
	Tags        []string
	Created     time.Time
	Duration    time.Duration
	Thumbnail   string // hexadecimal SHA-256 of a WebP picture; "" if there is none yet
	Renditions  []Rendition
	// Text is the whole description where Description is its beginning (SetText). Only
	// the origin has it, and only what says so gives it.
	Text string
	// Views is how often it was watched, as far as a pod knows: nobody is told of it with
	// the rest, and no revision counts it.
	Views int64
}

// Rendition is one file of a video: the original first, lower qualities after it.
type Rendition struct {
	InfoHash      magnet.InfoHash
	Size          int64 // bytes
	Width, Height int   // pixels; 0 if unknown
	MIME          string
	FileName      string // the torrent's name: one path element
}

// MIME types of the containers a pod takes.
const (
	MP4  = "video/mp4"
	WebM = "video/webm"
)

// ErrInvalid is what Validate and the Clean functions wrap.
var ErrInvalid = errors.New("not a valid video")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// Validate says whether v can stand in a catalogue. It is for videos that came
// from elsewhere: a pod's own pass by construction.
func (v *Video) Validate() error {
	if v.ID.IsZero() {
		return invalid("no id")
	}
	if _, err := network.ParseHost(string(v.Origin)); err != nil {
		return invalid("origin: %v", err)
	}
	for _, text := range []struct {
		what, value string
		clean       func(string) (string, error)
	}{
		{"name", v.Name, CleanName},
		{"description", v.Description, CleanDescription},
		{"uploader", v.Uploader, cleanUploader},
	} {
		if c, err := text.clean(text.value); err != nil || c != text.value {
			return invalid("%s", text.what)
		}
	}
	if tags, err := CleanTags(v.Tags); err != nil || len(tags) != len(v.Tags) {
		return invalid("tags")
	}
	if v.Created.IsZero() || v.Duration < 0 {
		return invalid("time")
	}
	if v.Thumbnail != "" && !isHex(v.Thumbnail, 64) {
		return invalid("thumbnail")
	}
	if len(v.Renditions) == 0 || len(v.Renditions) > MaxRenditions {
		return invalid("%d renditions", len(v.Renditions))
	}
	for _, r := range v.Renditions {
		if r.Size <= 0 || r.Width < 0 || r.Height < 0 || r.MIME != MP4 && r.MIME != WebM || FileName(r.FileName, r.MIME) != r.FileName {
			return invalid("rendition %s", r.InfoHash)
		}
	}
	return nil
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// CleanName makes one line of text of what somebody typed as a name: control
// characters and runs of white space become one space. What shows nothing, or is over
// MaxName runes, is an error.
func CleanName(s string) (string, error) {
	s, err := cleanLine(s, MaxName)
	if err == nil && !strings.ContainsFunc(s, visible) {
		err = invalid("a name is needed")
	}
	return s, err
}

// visible holds for what leaves a mark where it is printed.
func visible(r rune) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && r != '\u3164' && r != '\u115f' && r != '\u1160' && r != '\uffa0' && r != '\u2800'
}

// HasTag says whether a video has a tag; case does not matter.
func (v *Video) HasTag(tag string) bool {
	return slices.ContainsFunc(v.Tags, func(t string) bool { return strings.EqualFold(t, tag) })
}

// CleanTags cleans each tag, folds case, and drops empty and repeated ones.
func CleanTags(tags []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, t := range tags {
		t, err := cleanLine(strings.ToLower(strings.TrimPrefix(strings.TrimSpace(t), "#")), MaxTag)
		if err != nil {
			return nil, fmt.Errorf("tag: %w", err)
		}
		if t == "" || seen[t] {
			continue
		}
		seen[t] = true
		out = append(out, t)
	}
	if len(out) > MaxTags {
		return nil, invalid("%d tags, %d are allowed", len(out), MaxTags)
	}
	return out, nil
}

func cleanUploader(s string) (string, error) { return cleanLine(s, MaxUploader) }

func cleanLine(s string, most int) (string, error) {
	if !utf8.ValidString(s) {
		return "", invalid("the text is not UTF-8")
	}
	if !isLine(s, "") {
		s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unsafeRune(r) }), " ")
	}
	if n := utf8.RuneCountInString(s); n > most {
		return "", invalid("the text has %d characters, %d are allowed", n, most)
	}
	return s, nil
}

// isLine says whether words with one space between them are all that is in s, without any of
// the characters but: what friends send is so, by the million, and to make it so takes memory.
func isLine(s, but string) bool {
	last := ' '
	for _, r := range s {
		switch {
		case r == ' ' && last == ' ', r < ' ', r >= 0x7f && (unicode.IsSpace(r) || unsafeRune(r)), r < 0x7f && strings.IndexByte(but, byte(r)) >= 0:
			return false
		}
		last = r
	}
	return s == "" || last != ' '
}

// unsafeRune holds for control characters and for the marks that turn the
// direction of the text around them.
func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// FileName makes of an uploader's file name one path element that is safe on
// every system, and gives it the ending that fits mime. It never fails: what has
// no usable character becomes "video".
func FileName(s, mime string) string {
	ext := ".mp4"
	if mime == WebM {
		ext = ".webm"
	}
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	if i := strings.LastIndexByte(s, '.'); i >= 0 && len(s)-i <= 6 {
		s = s[:i]
	}
	const unsafe = `<>:"|?*%#&`
	if !isLine(s, unsafe) {
		s = strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return ' '
			}
			if unsafeRune(r) || strings.ContainsRune(unsafe, r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(s, ""))
		s = strings.Join(strings.Fields(s), " ")
	}
	s = strings.Trim(s, ". ")
	for len(s) > MaxFileName-len(ext) {
		_, n := utf8.DecodeLastRuneInString(s)
		s = strings.TrimRight(s[:len(s)-n], ". ")
	}
	if s == "" {
		s = "video"
	}
	return s + ext
}
