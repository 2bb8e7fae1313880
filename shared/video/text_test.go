package video

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSetText(t *testing.T) {
	for n, cut := range map[int]bool{0: false, 1: false, MaxDescription: false, MaxDescription + 1: true, MaxText: true} {
		text := strings.Repeat("ü", n)
		var v Video
		v.SetText(text)
		if v.WholeText() != text || (v.Text != "") != cut || IsCut(v.Description) != cut {
			t.Errorf("%d runes: description of %d, text of %d", n, utf8.RuneCountInString(v.Description), utf8.RuneCountInString(v.Text))
		}
		if c, err := CleanDescription(v.Description); err != nil || c != v.Description {
			t.Errorf("%d runes: the description is none: %v", n, err)
		}
	}
}

func TestProfile(t *testing.T) {
	p, err := Profile{Name: " Anna\nB.\u202e ", About: "One.\r\nTwo.\x00\u202e \n"}.Clean()
	if want := (Profile{Name: "Anna B.", About: "One.\nTwo."}); err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []Profile{{Name: strings.Repeat("x", MaxShownName+1)}, {About: strings.Repeat("x", MaxAbout+1)}, {Name: "\xff"}, {About: "\xff"}} {
		if _, err := bad.Clean(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
