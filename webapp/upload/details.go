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

// clean is d as the pod stores it; what is wrong stays as it is in held. The error is
// an *api.Error that says to the person who types what that is; most is the largest
// number of runes of a description.
func (d Details) clean(most int, held fields) (fields, error) {
	f := held
	var wrong []string
	hold := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	name, err := video.CleanName(d.Name)
	switch n := utf8.RuneCountInString(d.Name); {
	case err == nil:
		f.name = name
	case n > video.MaxName:
		hold("The name is not saved: it has %d characters; %d are allowed.", n, video.MaxName)
	default:
		hold("A name is needed.")
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(d.Description)); n > most {
		hold("The description is not saved: it has %d characters; %d are allowed.", n, most)
	} else {
		f.description = strings.TrimSpace(d.Description)
	}
	tags := strings.Split(d.Tags, ",")
	longest := 0
	for _, t := range tags {
		longest = max(longest, utf8.RuneCountInString(strings.TrimPrefix(strings.TrimSpace(t), "#")))
	}
	tags, err = video.CleanTags(tags)
	switch {
	case err == nil:
		f.tags = tags
	case longest > video.MaxTag:
		hold("The tags are not saved: one has %d characters; %d are allowed. Put commas between tags.", longest, video.MaxTag)
	default:
		hold("The tags are not saved: more than %d.", video.MaxTags)
	}
	if wrong != nil {
		return f, invalid("%s", strings.Join(wrong, " "))
	}
	return f, nil
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
