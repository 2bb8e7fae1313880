package words

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func texts(words []Word) string {
	var out []string
	for _, w := range words {
		out = append(out, w.Text)
	}
	return strings.Join(out, "|")
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"Crème Brûlée":               "creme|brulee",
		"STRASSE Straße":             "strasse|strasse",
		"Łukasz Øre Æsir Þór":        "lukasz|ore|aesir|thor",
		"e\u0301a\u0308":             "ea",
		"don't it’s l'amour":         "dont|its|l|amour",
		"rock'n'roll":                "rockn|roll",
		"'quoted' ''":                "quoted",
		"İstanbul ISIĞI":             "istanbul|isigi",
		"Ёлка й":                     "елка|и",
		"ΟΔΟΣ":                       "οδοσ",
		"ｗｅｂ①ﬁ":                      "web1fi",
		"東京タワー":                      "東京|京た|たわ|わー",
		"犬":                          "犬",
		"ﾗｰﾒﾝ":                       "らー|ーめ|めん",
		"iPhoneの使い方":                 "iphone|の使|使い|い方",
		"한옥 마을":                      "한옥|마을",
		"한옥":                         "한옥", // the same, composed
		"दिल्ली":                     "दिल्ली",
		"القَاهِرَة":                 "القاهرة",
		"3D wi-fi 2026/05":           "3d|wi|fi|2026|05",
		"so\u00adft\u200dwa\u200cre": "software",
		"\xff\xfea\xc3":              "a",
		"🎬 👍🏽":                       "",
	} {
		if got := texts(Of(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if w := Of("犬"); len(w) != 1 || !w[0].Part {
		t.Errorf("a letter alone: %v", w)
	}
	var c Cutter
	c.Cut("秋田犬")
	if c.Len() != 3 || string(c.Word(2)) != "犬" {
		t.Errorf("the last letter of a run is no word of a text: %d", c.Len())
	}
	if got := Fold("  Prof.\u3000 WÉBER "); got != "prof. weber" {
		t.Errorf("folded: %q", got)
	}
	long := strings.Repeat("ab", 100)
	a, b := texts(Of(long)), texts(Of(long+"c"))
	if len(a) > MaxBytes || a == b || a[:20] != long[:20] {
		t.Errorf("long words: %q, %q", a, b)
	}
}

func TestMistakable(t *testing.T) {
	for word, want := range map[string]bool{"abc": false, "abcd": true, "2026": false, "mp34": true, "1920x1080": false, "東京都庁": false, "елка": true} {
		if Mistakable(word) != want {
			t.Errorf("%q: %v", word, !want)
		}
	}
}

func FuzzCut(f *testing.F) {
	for _, s := range []string{"Crème brûlée", "東京タワー", "don't", "\xff\xfe", "ǅ ﬃ Ⅷ", "กำ ที่", "\u0300\u0301a", "ﷺ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c Cutter
		c.Cut(text)
		for i := range c.Len() {
			w := c.Word(i)
			if len(w) == 0 || len(w) > MaxBytes || !utf8.Valid(w) || w[0] < '0' {
				t.Fatalf("%q has the word %q", text, w)
			}
		}
		for _, w := range Of(text) {
			if again := Of(w.Text); !Shortened(w.Text) && texts(again) != w.Text {
				t.Fatalf("%q has the word %q, which is %q", text, w.Text, texts(again))
			}
		}
		if folded := Fold(text); Fold(folded) != folded || len(folded) > MaxBytes {
			t.Fatalf("%q folds to %q and then %q", text, folded, Fold(folded))
		}
	})
}
