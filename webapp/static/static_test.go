package static

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// theme gives the colours that a rule of the style sheet defines, by name.
func theme(t *testing.T, rule string) map[string]string {
	t.Helper()
	_, rest, ok := strings.Cut(Styles(), rule)
	if !ok {
		t.Fatalf("no %s", rule)
	}
	body, _, _ := strings.Cut(rest, "}")
	colours := map[string]string{}
	for _, m := range regexp.MustCompile(`(--[a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(body, -1) {
		colours[m[1]] = m[2]
	}
	return colours
}

// contrast is the ratio of WCAG 2.2, 1 to 21.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(c string) float64 {
		sum := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.ParseUint(c[1+2*i:3+2*i], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			v := float64(n) / 255
			if v <= 0.04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+0.055)/1.055, 2.4)
			}
			sum += weight * v
		}
		return sum
	}
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// Text can be read in both themes, and what is drawn can be told from what it is drawn
// on (WCAG 2.2, AA).
func TestContrast(t *testing.T) {
	dark, light, system := theme(t, ":root {"), theme(t, `:root[data-theme="light"] {`), theme(t, `:root:not([data-theme="dark"]) {`)
	for name, c := range light {
		if system[name] != c || dark[name] == "" {
			t.Errorf("%s: light %s, light by the system %s, dark %s", name, c, system[name], dark[name])
		}
	}
	for name, c := range map[string]map[string]string{"dark": dark, "light": light} {
		for _, text := range []string{"--text", "--dim", "--accent-text", "--bad", "--good"} {
			for _, ground := range []string{"--bg", "--surface", "--raised"} {
				if got := contrast(t, c[text], c[ground]); got < 4.5 {
					t.Errorf("%s: %s on %s is %.2f", name, text, ground, got)
				}
			}
		}
		if got := contrast(t, c["--on-accent"], c["--accent-fill"]); got < 4.5 {
			t.Errorf("%s: a button's text is %.2f", name, got)
		}
		if got := contrast(t, c["--bad"], c["--bad-fill"]); got < 4.5 {
			t.Errorf("%s: an error's text is %.2f", name, got)
		}
		for _, drawn := range []string{"--accent", "--control", "--src-web", "--src-pod", "--src-viewer", "--src-local"} {
			for _, ground := range []string{"--bg", "--surface"} {
				if got := contrast(t, c[drawn], c[ground]); got < 3 {
					t.Errorf("%s: %s on %s is %.2f", name, drawn, ground, got)
				}
			}
		}
	}
}

func TestFilesAreThere(t *testing.T) {
	if len(Boot()) == 0 || len(Worker()) == 0 || len(Icons()) < 7 {
		t.Error("a file is missing")
	}
	for _, foreign := range []string{"http://", "https://", "@import", "//fonts"} {
		if strings.Contains(Styles(), foreign) {
			t.Errorf("the style sheet asks elsewhere: %s", foreign)
		}
	}
}
