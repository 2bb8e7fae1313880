package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// part is what one group of packages adds to the WebAssembly.
type part struct {
	name  string
	bytes int64
}

// section is one section of a WebAssembly module.
type section struct {
	id      byte
	whole   []byte // with its header
	content []byte
}

// Ids of sections, of the WebAssembly specification.
const (
	sectionCustom = 0
	sectionImport = 2
	sectionCode   = 10
	sectionData   = 11
)

var errModule = errors.New("not a WebAssembly module as expected")

// header is the magic number and the version.
const header = 8

func sections(module []byte) ([]section, error) {
	if len(module) < header || string(module[:4]) != "\x00asm" {
		return nil, errModule
	}
	var all []section
	for rest := module[header:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return nil, errModule
		}
		end := 1 + n + int(size)
		all = append(all, section{id: rest[0], whole: rest[:end], content: rest[1+n : end]})
		rest = rest[end:]
	}
	return all, nil
}

// customName is the name of a custom section, and what follows it.
func customName(s section) (string, []byte) {
	size, n := binary.Uvarint(s.content)
	if n <= 0 || size > uint64(len(s.content)-n) {
		return "", nil
	}
	return string(s.content[n : n+int(size)]), s.content[n+int(size):]
}

// withoutNames takes the names of functions out of a module, as the linker does with
// -s.
func withoutNames(module []byte) ([]byte, error) {
	all, err := sections(module)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(append(make([]byte, 0, len(module)), module[:header]...))
	for _, s := range all {
		if name, _ := customName(s); s.id == sectionCustom && name == "name" {
			continue
		}
		out.Write(s.whole)
	}
	return out.Bytes(), nil
}

// partsOf says what a module with names is made of, the largest first: code by group
// of packages, and data, which is what Go keeps of all of them (types, tables of lines
// and stacks, strings, Unicode).
func partsOf(module []byte) ([]part, error) {
	all, err := sections(module)
	if err != nil {
		return nil, err
	}
	var sizes []int64
	var names map[int]string
	imported := 0
	sums := map[string]int64{}
	for _, s := range all {
		switch s.id {
		case sectionImport:
			n, _ := binary.Uvarint(s.content)
			imported = int(n) // Go imports functions only
		case sectionCode:
			sizes, err = functionSizes(s.content)
		case sectionData:
			sums["data of all"] += int64(len(s.content))
		case sectionCustom:
			if name, content := customName(s); name == "name" {
				names, err = functionNames(content)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for i, size := range sizes {
		sums["code of "+group(names[imported+i])] += size
	}
	parts := make([]part, 0, len(sums))
	for name, size := range sums {
		parts = append(parts, part{name, size})
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.name, b.name)) })
	return parts, nil
}

func functionSizes(code []byte) ([]int64, error) {
	r := bytes.NewReader(code)
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, errModule
	}
	sizes := make([]int64, 0, n)
	for range n {
		size, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, errModule
		}
		sizes = append(sizes, int64(size))
		if _, err := r.Seek(int64(size), io.SeekCurrent); err != nil {
			return nil, errModule
		}
	}
	return sizes, nil
}

// functionNames reads subsection 1 of the "name" section.
func functionNames(content []byte) (map[int]string, error) {
	names := map[int]string{}
	for r := bytes.NewReader(content); r.Len() > 0; {
		kind, _ := r.ReadByte()
		size, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, errModule
		}
		if kind != 1 {
			if _, err := r.Seek(int64(size), io.SeekCurrent); err != nil {
				return nil, errModule
			}
			continue
		}
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, errModule
		}
		for range n {
			index, err := binary.ReadUvarint(r)
			if err != nil {
				return nil, errModule
			}
			length, err := binary.ReadUvarint(r)
			if err != nil || length > uint64(r.Len()) {
				return nil, errModule
			}
			name := make([]byte, length)
			if _, err := io.ReadFull(r, name); err != nil {
				return nil, errModule
			}
			names[int(index)] = string(name)
		}
	}
	return names, nil
}

// group names what a function belongs to: a package of ours, a module, or a part of the
// standard library. The linker writes names with _ for what is neither letter nor digit,
// but for the dots between their parts.
func group(function string) string {
	known := [][2]string{
		{"kinopod_webapp_page", "kinopod/webapp/page"},
		{"kinopod_webapp_upload", "kinopod/webapp/upload"},
		{"kinopod_webapp_swarm", "kinopod/webapp/swarm"},
		{"kinopod_", "the rest of kinopod"},
		{"github.com_maxence_charriere_go_app", "go-app"},
		{"github.com_anacrolix", "anacrolix/torrent"},
		{"encoding_json", "encoding/json"},
		{"net_http", "net/http"},
		{"crypto", "crypto"},
		{"runtime", "runtime"},
		{"reflect", "reflect"},
		{"regexp", "regexp"},
		{"log_slog", "log/slog"},
		{"math_big", "math/big"},
		{"time.", "time"},
		{"fmt.", "fmt"},
		{"slices.", "slices"},
		{"github.com_", "other modules"},
		{"golang.org_", "other modules"},
		{"lukechampine", "other modules"},
	}
	for _, k := range known {
		if strings.HasPrefix(function, k[0]) {
			return k[1]
		}
	}
	return "the rest of the standard library"
}

// printParts prints what is worth a line.
func printParts(out io.Writer, parts []part) {
	var whole, rest int64
	for _, p := range parts {
		whole += p.bytes
	}
	fmt.Fprintln(out, "what it is made of, unpacked:")
	for _, p := range parts {
		if p.bytes*100 < whole {
			rest += p.bytes
			continue
		}
		fmt.Fprintf(out, "  %6.2f MB %3d %%  %s\n", mega(p.bytes), p.bytes*100/whole, p.name)
	}
	fmt.Fprintf(out, "  %6.2f MB %3d %%  others\n", mega(rest), rest*100/whole)
}
