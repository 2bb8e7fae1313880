package publish

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Limits of Upload-Metadata, in bytes.
const (
	maxMetadata = 32 << 10
	maxFileName = 1024
	maxFileType = 256
)

// metadata is what a client says of a file as it begins to send it.
type metadata struct {
	fileName string // last element of the path, as it was called there
	fileType string
	details  details
}

func invalid(message string, cause error) error {
	return &api.Error{Code: api.CodeInvalid, Message: message, Cause: cause}
}

// parseMetadata reads Upload-Metadata (tus 1.0.0, Creation). Keys that it does not
// know are passed over. Errors are *api.Error.
func parseMetadata(header string) (metadata, error) {
	values, err := metadataValues(header)
	if err != nil {
		return metadata{}, err
	}
	var m metadata
	m.fileName, m.fileType = values[api.MetaFileName], values[api.MetaFileType]
	switch {
	case len(m.fileName) > maxFileName:
		return m, invalid("The file name is too long.", nil)
	case len(m.fileType) > maxFileType:
		return m, invalid("The file type is too long.", nil)
	}
	m.fileName = m.fileName[strings.LastIndexAny(m.fileName, `/\`)+1:]
	name := values[api.MetaName]
	if strings.TrimSpace(name) == "" {
		name = nameOf(m.fileName)
	}
	var tags []string
	if t := values[api.MetaTags]; t != "" {
		tags = strings.Split(t, ",")
	}
	description := values[api.MetaDescription]
	return m, m.details.set(api.VideoEdit{Name: &name, Description: &description, Tags: &tags})
}

func metadataValues(header string) (map[string]string, error) {
	if len(header) > maxMetadata {
		return nil, invalid("Upload-Metadata is too long.", nil)
	}
	values := map[string]string{}
	for pair := range strings.SplitSeq(header, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		key, encoded, _ := strings.Cut(pair, " ")
		if _, twice := values[key]; twice {
			return nil, invalid("Upload-Metadata has a key twice.", nil)
		}
		value, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, invalid("Upload-Metadata is not Base64.", err)
		}
		if !utf8.Valid(value) {
			return nil, invalid("Upload-Metadata is not UTF-8.", nil)
		}
		values[key] = string(value)
	}
	return values, nil
}

// untitled is the name of a video whose uploader says nothing of it.
const untitled = "Untitled"

// nameOf makes a video's name of a file's.
func nameOf(fileName string) string {
	if i := strings.LastIndexByte(fileName, '.'); i > 0 && len(fileName)-i <= 6 {
		fileName = fileName[:i]
	}
	runes := []rune(fileName)
	name, err := video.CleanName(string(runes[:min(len(runes), video.MaxName)]))
	if err != nil {
		return untitled
	}
	return name
}

// set changes what in names, all of it or nothing.
func (d *details) set(in api.VideoEdit) error {
	out := *d
	var err error
	if in.Name != nil {
		if out.Name, err = video.CleanName(*in.Name); err != nil {
			return notClean("The name cannot be used", err)
		}
	}
	if in.Description != nil {
		if out.Description, err = video.CleanText(*in.Description); err != nil {
			return notClean("The description cannot be used", err)
		}
	}
	if in.Tags != nil {
		if out.Tags, err = video.CleanTags(*in.Tags); err != nil {
			return notClean("The tags cannot be used", err)
		}
	}
	*d = out
	return nil
}

func notClean(what string, err error) error {
	reason := err.Error()
	if errors.Is(err, video.ErrInvalid) {
		_, reason, _ = strings.Cut(reason, video.ErrInvalid.Error()+": ")
	}
	return invalid(what+": "+reason+".", err)
}
