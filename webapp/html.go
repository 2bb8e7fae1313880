package webapp

import (
	"bytes"
	"html"
	"io"
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

// mendTag writes the tag that in begins with, and gives what follows it.
func mendTag(out *bytes.Buffer, in []byte) (rest []byte) {
	i := bytes.IndexAny(in, " >")
	if i < 0 {
		return nil
	}
	out.Write(in[:i])
	in = in[i:]
	for len(in) > 0 && in[0] == ' ' {
		in = in[1:]
		i := bytes.IndexAny(in, "= >")
		if i < 0 {
			return nil
		}
		name := string(in[:i])
		in = in[i:]
		if in[0] != '=' {
			writeAttribute(out, name, "", false)
			continue
		}
		quoted := goString(in[1:])
		in = in[1+len(quoted):]
		value, err := strconv.Unquote(string(quoted))
		if err != nil {
			value = html.UnescapeString(strings.Trim(string(quoted), `"`)) // of app.Raw
		}
		writeAttribute(out, name, value, true)
	}
	if len(in) > 0 {
		out.WriteByte(in[0])
		in = in[1:]
	}
	return in
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

func writeAttribute(out *bytes.Buffer, name, value string, hasValue bool) {
	if !hasValue && strings.HasPrefix(name, "aria-") {
		value, hasValue = "true", true
	}
	if isBoolean(name) && value == "false" {
		return
	}
	out.WriteString(" " + name)
	if hasValue {
		out.WriteString(`="` + html.EscapeString(value) + `"`)
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
