package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Key is one thing that can be set.
type Key struct {
	Name     string // in the TOML file, with its table: "limits.upload_bytes"
	Flag     string // without dashes: "limits-upload-bytes"
	Variable string // "KINOPOD_LIMITS_UPLOAD_BYTES"
	Default  string
	Help     string

	index []int // of the field in Config
}

// variablePrefix begins the name of each variable that sets a key.
const variablePrefix = "KINOPOD_"

// Keys are all keys in the order of Config's fields.
func Keys() []Key { return keysOf(reflect.TypeFor[Config](), "", "", nil) }

func keysOf(t reflect.Type, table, prefix string, at []int) []Key {
	var keys []Key
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int{}, at...), i)
		if p, ok := f.Tag.Lookup("prefix"); ok {
			keys = append(keys, keysOf(f.Type, strings.TrimSuffix(p, "-")+".", p, index)...)
			continue
		}
		name := f.Tag.Get("name")
		flag := prefix + name
		keys = append(keys, Key{
			Name:     table + strings.ReplaceAll(name, "-", "_"),
			Flag:     flag,
			Variable: variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")),
			Default:  f.Tag.Get("default"),
			Help:     f.Tag.Get("help"),
			index:    index,
		})
	}
	return keys
}

// Value is what c has for k, in the form in which Default is written.
func (k Key) Value(c Config) string { return text(reflect.ValueOf(c).FieldByIndex(k.index)) }

func text(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err != nil {
			return fmt.Sprint(v.Interface())
		}
		return string(b)
	}
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v.Interface())
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = text(v.Index(i))
	}
	return strings.Join(parts, ",")
}

// Example writes a TOML file with every key, its help and its default, commented
// out: what the reader removes the "#" of is what changes.
func Example() string {
	var b strings.Builder
	b.WriteString("# Configuration of a Kinopod pod.\n#\n" +
		"# Every key stands here with its default. Each can also be given as a flag\n" +
		"# (--tracker-open) or as a variable (KINOPOD_TRACKER_OPEN); a flag wins over a\n" +
		"# variable, a variable over this file. An unknown key is an error.\n" +
		"# `kinopod config` prints what is in force and where it came from.\n")
	table := ""
	t := reflect.TypeFor[Config]()
	for _, k := range Keys() {
		name := k.Name
		if before, after, ok := strings.Cut(name, "."); ok {
			if name = after; before != table {
				table = before
				fmt.Fprintf(&b, "\n[%s]\n", table)
			}
		}
		b.WriteString("\n")
		for _, line := range wrap(k.Help, 76) {
			b.WriteString("# " + line + "\n")
		}
		fmt.Fprintf(&b, "#%s = %s\n", name, tomlValue(t.FieldByIndex(k.index).Type, k.Default))
	}
	return b.String()
}

func tomlValue(t reflect.Type, value string) string {
	switch {
	case t.Kind() == reflect.Slice:
		var parts []string
		for _, p := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' }) {
			parts = append(parts, strconv.Quote(p))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case t == reflect.TypeFor[Bytes]() && strings.Trim(value, "0123456789") != "", t.Kind() == reflect.String:
		return strconv.Quote(value)
	}
	return value
}

func wrap(s string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
