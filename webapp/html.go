package webapp

import (
	"bytes"
	"html"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/maxence-charriere/go-app/v9/pkg/app"
)

// writeHTML writes a tree as HTML. go-app's own output has three faults that matter
// here, which this mends on the way:
//
//   - Attribute values are quoted by Go's rules, not HTML's: a " in the name of a video
//     would end the attribute, and what follows would be markup.
//   - A value of "true" is left away, which is right for boolean attributes and wrong
//     for aria-*; a boolean attribute that is "false" is written, and so is true.
//   - Line breaks between elements are not in the tree that the browser builds later.
func writeHTML(w io.Writer, tree app.UI) error {
	var b bytes.Buffer
	app.PrintHTML(&b, tree)
	_, err := w.Write(mendHTML(b.Bytes()))
	return err
}

// mendHTML rewrites what app.PrintHTML wrote. Text in it is escaped, so that "<" begins
// a tag wherever it stands outside of one.
func mendHTML(in []byte) []byte {
	out := bytes.NewBuffer(make([]byte, 0, len(in)+len(in)/8))
	for len(in) > 0 {
		i := bytes.IndexByte(in, '<')
		if i < 0 {
			out.Write(in)
			break
		}
		// Between two tags the line break is go-app's.
		if text := in[:i]; !(len(text) == 1 && text[0] == '\n') {
			out.Write(text)
		}
		in = mendTag(out, in[i:])
	}
	return out.Bytes()
}

// mendTag writes the tag that in begins with, its attributes in the order of their
// names, and gives what follows it. go-app keeps attributes in a map: without an order
// the same page would have other bytes each time.
func mendTag(out *bytes.Buffer, in []byte) (rest []byte) {
	i := bytes.IndexAny(in, " >")
	if i < 0 {
		return nil
	}
	out.Write(in[:i])
	in = in[i:]
	var attributes []attribute
	for len(in) > 0 && in[0] == ' ' {
		in = in[1:]
		i := bytes.IndexAny(in, "= >")
		if i < 0 {
			return nil
		}
		a := attribute{name: string(in[:i])}
		in = in[i:]
		if in[0] == '=' {
			quoted := goString(in[1:])
			in = in[1+len(quoted):]
			var err error
			if a.value, err = strconv.Unquote(string(quoted)); err != nil {
				a.value = html.UnescapeString(strings.Trim(string(quoted), `"`)) // of app.Raw
			}
			a.hasValue = true
		}
		attributes = append(attributes, a)
	}
	slices.SortFunc(attributes, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	for _, a := range attributes {
		a.write(out)
	}
	if len(in) > 0 {
		out.WriteByte(in[0])
		in = in[1:]
	}
	return in
}

// attribute of a tag.
type attribute struct {
	name, value string
	hasValue    bool
}

// goString is the quoted string that b begins with.
func goString(b []byte) []byte {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[:i+1]
		}
	}
	return b
}

func (a attribute) write(out *bytes.Buffer) {
	if !a.hasValue && strings.HasPrefix(a.name, "aria-") {
		a.value, a.hasValue = "true", true
	}
	if isBoolean(a.name) && a.value == "false" {
		return
	}
	out.WriteString(" " + a.name)
	if a.hasValue {
		out.WriteString(`="` + html.EscapeString(a.value) + `"`)
	}
}

// isBoolean says whether an attribute is true by being there.
func isBoolean(name string) bool {
	switch name {
	case "async", "autofocus", "autoplay", "checked", "controls", "defer", "disabled", "hidden", "loop", "multiple", "muted",
		"open", "playsinline", "readonly", "required", "reversed", "selected":
		return true
	}
	return false
}
