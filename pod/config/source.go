package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// Source says where a value came from.
type Source string

// The sources; each wins over the ones below it.
const (
	FromFlag     Source = "flag"
	FromVariable Source = "env"
	FromFile     Source = "file"
	FromDefault  Source = "default"
)

// Settings are the values of one file and of the variables. It resolves what kong
// did not find among the flags.
type Settings struct {
	keys   map[string]Key // by flag
	values map[string]setting
}

type setting struct {
	text string
	from Source
}

var _ kong.Resolver = (*Settings)(nil)

// Read takes the text of a TOML file (nil for none) that was found at path, and
// the variables. A key of the file that is not in Keys, or a KINOPOD_ variable
// that is none, is an error that names it.
func Read(path string, file []byte, environ []string) (*Settings, error) {
	s := &Settings{keys: map[string]Key{}, values: map[string]setting{}}
	byName, byVariable := map[string]Key{}, map[string]Key{}
	for _, k := range Keys() {
		s.keys[k.Flag], byName[k.Name], byVariable[k.Variable] = k, k, k
	}
	if err := s.readFile(path, file, byName); err != nil {
		return nil, err
	}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, variablePrefix) || name == FileVariable {
			continue
		}
		k, ok := byVariable[name]
		if !ok {
			return nil, fmt.Errorf("unknown variable %s%s", name, suggest(name, byVariable))
		}
		s.values[k.Flag] = setting{value, FromVariable}
	}
	return s, nil
}

// FileVariable names the variable that gives the path of the file.
const FileVariable = variablePrefix + "CONFIG"

func (s *Settings) readFile(path string, file []byte, byName map[string]Key) error {
	var tree map[string]any
	if err := toml.Unmarshal(file, &tree); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, _ := at.Position()
			return fmt.Errorf("%s, line %d: %w", path, row, err)
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	flat := map[string]any{}
	flatten(flat, "", tree)
	for name, value := range flat {
		k, ok := byName[name]
		if table, isTable := value.(map[string]any); isTable && len(table) == 0 && s.hasTable(name) {
			continue
		}
		if !ok {
			return fmt.Errorf("%s: unknown key %q%s", path, name, suggest(name, byName))
		}
		text, err := plain(value)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", path, name, err)
		}
		s.values[k.Flag] = setting{text, FromFile}
	}
	return nil
}

// hasTable says whether there are keys in a table.
func (s *Settings) hasTable(name string) bool {
	for _, k := range s.keys {
		if strings.HasPrefix(k.Name, name+".") {
			return true
		}
	}
	return false
}

// flatten names values as Key.Name does; an empty table is a value.
func flatten(into map[string]any, prefix string, tree map[string]any) {
	for name, value := range tree {
		if table, ok := value.(map[string]any); ok && len(table) > 0 {
			flatten(into, prefix+name+".", table)
			continue
		}
		into[prefix+name] = value
	}
}

// plain writes a value of TOML as a flag would carry it.
func plain(value any) (string, error) {
	switch v := value.(type) {
	case string, int64, bool:
		return fmt.Sprint(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			text, ok := e.(string)
			if !ok || strings.Contains(text, ",") {
				return "", errors.New("a list holds texts without commas")
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("not a text, a whole number, true, false or a list of texts")
}

// suggest names the key that a misspelt one is nearest to, where one is near.
func suggest(name string, known map[string]Key) string {
	best, at := "", 4
	for k := range known {
		if d := distance(name, k); d < at || d == at && k < best {
			best, at = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// Validate implements kong.Resolver; Read has checked already.
func (s *Settings) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (s *Settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if v, ok := s.values[flag.Name]; ok {
		return v.text, nil
	}
	return nil, nil
}

// Value is one key as it is in force.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source Source `json:"source"`
}

// Explain lists every key of c with where it came from. flags has the names of the
// flags that were given.
func (s *Settings) Explain(c Config, flags map[string]bool) []Value {
	var out []Value
	for _, k := range Keys() {
		v := Value{Key: k.Name, Value: withoutPassword(k.Value(c)), Source: FromDefault}
		if set, ok := s.values[k.Flag]; ok {
			v.Source = set.from
		}
		if flags[k.Flag] {
			v.Source = FromFlag
		}
		out = append(out, v)
	}
	return out
}

// withoutPassword hides the password in a URL.
func withoutPassword(value string) string {
	if u, err := url.Parse(value); err == nil && u.User != nil {
		return u.Redacted()
	}
	return value
}

// String writes a value as a line of `kinopod config`.
func (v Value) String() string {
	b, _ := json.Marshal(v.Value) // a string always encodes
	return fmt.Sprintf("%-42s = %-28s # %s", v.Key, b, v.Source)
}

// Default is the configuration where nothing is set.
func Default() (Config, error) {
	var c Config
	parser, err := kong.New(&c)
	if err == nil {
		_, err = parser.Parse(nil)
	}
	if err != nil {
		return c, fmt.Errorf("default configuration: %w", err)
	}
	return c, nil
}
