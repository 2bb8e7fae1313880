package upload

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Details is what a person says of a video, as typed.
type Details struct {
	Name        string
	Description string
	Tags        string // separated by commas
}

// detailsOf prefills what the file's name tells.
func detailsOf(fileName string) Details {
	name := fileName
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name = name[:i]
	}
	name = strings.ToValidUTF8(strings.ReplaceAll(name, "_", " "), "")
	if r := []rune(name); len(r) > video.MaxName {
		name = string(r[:video.MaxName])
	}
	name, err := video.CleanName(name)
	if err != nil {
		name = "Untitled"
	}
	return Details{Name: name}
}

// clean is d as the pod stores it. The error is an *api.Error with a sentence for
// the person who types; most is the largest number of runes of a description.
func (d Details) clean(most int) (fields, error) {
	name, err := video.CleanName(d.Name)
	switch n := utf8.RuneCountInString(d.Name); {
	case strings.TrimSpace(d.Name) == "":
		return fields{}, invalid("A name is needed.")
	case err != nil:
		return fields{}, invalid("The name has %d characters; %d are allowed.", n, video.MaxName)
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(d.Description)); n > most {
		return fields{}, invalid("The description has %d characters; %d are allowed.", n, most)
	}
	var tags []string
	for t := range strings.SplitSeq(d.Tags, ",") {
		if n := utf8.RuneCountInString(strings.TrimSpace(t)); n > video.MaxTag+1 {
			return fields{}, invalid("A tag has %d characters; %d are allowed. Put commas between tags.", n, video.MaxTag)
		}
		tags = append(tags, t)
	}
	tags, err = video.CleanTags(tags)
	if err != nil {
		return fields{}, invalid("That is more than %d tags, or one of them is longer than %d characters.", video.MaxTags, video.MaxTag)
	}
	return fields{name: name, description: strings.TrimSpace(d.Description), tags: tags}, nil
}

func invalid(format string, args ...any) error {
	return &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

// fields is what is said of a video, clean.
type fields struct {
	name, description string
	tags              []string
}

// fieldsOf is what the pod knows of an upload.
func fieldsOf(u api.Upload) fields {
	return fields{name: u.Name, description: u.Description, tags: u.Tags}
}

func (f fields) details() Details {
	return Details{Name: f.name, Description: f.description, Tags: strings.Join(f.tags, ", ")}
}

// edit is what changes from saved to f; ok is false where nothing does.
func (f fields) edit(saved fields) (in api.VideoEdit, ok bool) {
	if f.name != saved.name {
		in.Name, ok = &f.name, true
	}
	if f.description != saved.description {
		in.Description, ok = &f.description, true
	}
	if !slices.Equal(f.tags, saved.tags) {
		tags := append([]string{}, f.tags...) // not nil: that would be "unchanged"
		in.Tags, ok = &tags, true
	}
	return in, ok
}
