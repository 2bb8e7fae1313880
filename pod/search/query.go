package search

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kinopod/pod/search/words"
	"kinopod/shared/network"
)

// Limits of a query. What is over them is left out: a long question is still answered.
const (
	MaxQuery   = 500 // bytes
	MaxWords   = 16
	MaxWithout = 8
	MaxFilters = 16
)

// Query is what somebody asks for. The zero Query asks for nothing.
type Query struct {
	Texts    []Text // each must be there
	Without  []Text // none may be there
	Filters  []Filter
	Duration Range
	Age      Range
	After    time.Time // created then or later; zero for any time
	Before   time.Time // created earlier
}

// Text is a word of a query, or several that follow each other.
type Text struct {
	Text   string
	Quoted bool // exactly these words, in this order
	Open   bool // the last letters of the query: more may follow
}

// Filter is a value that a video has, or with Not has not.
type Filter struct {
	Field Field
	Value string // folded
	Not   bool
}

// Field is what a Filter is about: its name in a query.
type Field string

// The fields.
const (
	Origin   Field = "origin"
	Uploader Field = "by"
	Tag      Field = "tag"
)

// Range is from Min to Max, both included. Max is 0 for no end.
type Range struct{ Min, Max time.Duration }

func (r Range) and(other Range) Range {
	r.Min = max(r.Min, other.Min)
	if r.Max == 0 || other.Max != 0 && other.Max < r.Max {
		r.Max = other.Max
	}
	return r
}

// Empty says whether nothing is asked for: then nothing is answered.
func (q Query) Empty() bool {
	return len(q.Texts)+len(q.Without)+len(q.Filters) == 0 && !q.ranged()
}

func (q Query) ranged() bool {
	return q.Duration != Range{} || q.Age != Range{} || !q.After.IsZero() || !q.Before.IsZero()
}

// Parse reads what somebody typed (package comment, "Queries"). There is no wrong
// query: what is no filter is a word.
func Parse(text string) Query {
	var q Query
	if len(text) > MaxQuery {
		text = text[:MaxQuery]
		for len(text) > 0 && !utf8.RuneStart(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
		text += " " // what was cut goes no further
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '“' || r == '”' || r == '„' || r == '«' || r == '»' || r == '＂':
			return '"'
		case r == '\u3000' || r == utf8.RuneError || unicode.IsControl(r):
			return ' '
		}
		return r
	}, text)
	n := 0
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if unicode.IsSpace(r) {
			text = text[size:]
			continue
		}
		not := r == '-'
		if not {
			text = text[1:]
		}
		var item string
		quoted := strings.HasPrefix(text, `"`)
		if quoted {
			item, text, _ = strings.Cut(text[1:], `"`)
		} else {
			item, text = cutItem(text)
			if q.filter(item, not, &text) {
				continue
			}
		}
		count := len(words.Of(item))
		t := Text{Text: strings.Join(strings.Fields(item), " "), Quoted: quoted}
		switch {
		case count == 0 || count > MaxWords:
		case not && len(q.Without) < MaxWithout:
			q.Without = append(q.Without, t)
		case !not && n+count <= MaxWords:
			t.Open = !quoted && text == ""
			q.Texts = append(q.Texts, t)
			n += count
		}
	}
	return q
}

// Only asks for the videos with a tag, of an origin and of an uploader; "" is any, and so is a
// name of which nothing is left without accents.
func Only(tag string, origin network.Host, uploader string) (q Query) {
	if tag != "" {
		q.Filters = append(q.Filters, Filter{Tag, words.Fold(clip(tag)), false})
	}
	if origin != "" {
		q.Filters = append(q.Filters, Filter{Origin, string(words.Bound([]byte(origin))), false})
	}
	if name := words.Fold(clip(uploader)); name != "" {
		q.Filters = append(q.Filters, Filter{Uploader, name, false})
	}
	return q
}

// cutItem cuts at white space and quotation marks.
func cutItem(text string) (item, rest string) {
	if i := strings.IndexFunc(text, func(r rune) bool { return r == '"' || unicode.IsSpace(r) }); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// filter takes item as a filter, if it is one. Its value may stand in quotes, in rest.
func (q *Query) filter(item string, not bool, rest *string) bool {
	name, value, ok := strings.Cut(item, ":")
	if !ok {
		return false
	}
	after := *rest
	if value == "" && strings.HasPrefix(after, `"`) {
		value, after, _ = strings.Cut(after[1:], `"`)
	}
	if ok = q.set(strings.ToLower(name), value, not); ok {
		*rest = after
	}
	return ok
}

func (q *Query) set(name, value string, not bool) bool {
	switch name {
	case "origin", "pod", "host", "on":
		host, err := network.ParseHost(value)
		return err == nil && q.add(Filter{Origin, string(words.Bound([]byte(host))), not})
	case "by", "uploader", "user", "from":
		who, host, ok := strings.Cut(value, "@")
		if at, err := network.ParseHost(host); ok && err == nil && who != "" && !not {
			return q.add(Filter{Uploader, words.Fold(who), not}) && q.add(Filter{Origin, string(words.Bound([]byte(at))), not})
		}
		return q.add(Filter{Uploader, words.Fold(value), not})
	case "tag":
		return q.add(Filter{Tag, strings.TrimLeft(words.Fold(value), "# "), not})
	case "duration", "length":
		return !not && setRange(&q.Duration, value, time.Minute)
	case "age":
		return !not && setRange(&q.Age, value, day)
	case "after", "since":
		at, ok := parseDate(value)
		if ok = ok && !not; ok && at.After(q.After) {
			q.After = at
		}
		return ok
	case "before", "until":
		at, ok := parseDate(value)
		if ok = ok && !not; ok && (q.Before.IsZero() || at.Before(q.Before)) {
			q.Before = at
		}
		return ok
	}
	return false
}

func (q *Query) add(f Filter) bool {
	if strings.Contains(f.Value, `"`) || f.Value == "" {
		return false
	}
	for _, have := range q.Filters {
		if have == f {
			return true
		}
	}
	if len(q.Filters) < MaxFilters {
		q.Filters = append(q.Filters, f)
	}
	return true
}

// String is the query as it could be typed: Parse reads the same of it.
func (q Query) String() string {
	var b strings.Builder
	item := func(parts ...string) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		for _, p := range parts {
			b.WriteString(p)
		}
	}
	text := func(minus string, t Text) {
		if t.Quoted {
			item(minus, `"`, t.Text, `"`)
		} else {
			item(minus, t.Text)
		}
	}
	for _, f := range q.Filters {
		minus := ""
		if f.Not {
			minus = "-"
		}
		if strings.ContainsFunc(f.Value, unicode.IsSpace) {
			item(minus, string(f.Field), `:"`, f.Value, `"`)
		} else {
			item(minus, string(f.Field), ":", f.Value)
		}
	}
	if q.Duration != (Range{}) {
		item("duration:", q.Duration.String())
	}
	if q.Age != (Range{}) {
		item("age:", q.Age.String())
	}
	if !q.After.IsZero() {
		item("after:", q.After.UTC().Format(time.DateOnly))
	}
	if !q.Before.IsZero() {
		item("before:", q.Before.UTC().Format(time.DateOnly))
	}
	for _, t := range q.Without {
		text("-", t)
	}
	open := true
	for _, t := range q.Texts {
		text("", t)
		open = t.Open || t.Quoted
	}
	if !open {
		b.WriteByte(' ')
	}
	return b.String()
}
