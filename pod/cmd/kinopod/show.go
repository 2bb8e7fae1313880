package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"kinopod/pod/config"
)

// release is the version that this tree is of or becomes.
const release = "0.1.0"

// version is the release, and the commit that it was built from where that is known.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = "+" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ".changed"
		}
	}
	if commit == "" {
		return release
	}
	return release + commit + changed
}

type showVersion struct{}

// Run prints the version.
func (showVersion) Run(c *command) error {
	if c.JSON {
		return writeJSON(c.out, map[string]string{"version": version(), "go": runtime.Version()})
	}
	_, err := fmt.Fprintf(c.out, "kinopod %s (%s)\n", version(), runtime.Version())
	return err
}

type showConfig struct {
	Example bool `name:"example" help:"Print a commented file with every key and its default instead."`
}

// Run prints the configuration.
func (s showConfig) Run(c *command) error {
	if s.Example {
		_, err := io.WriteString(c.out, config.Example())
		return err
	}
	values := c.settings.Explain(c.Config, c.flags)
	if c.JSON {
		return writeJSON(c.out, values)
	}
	for _, v := range values {
		if _, err := fmt.Fprintln(c.out, v); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
