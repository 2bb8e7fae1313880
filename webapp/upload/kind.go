package upload

import (
	"bytes"
	"fmt"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// kindOf tells from a file's first bytes which container it is: video.MP4 or
// video.WebM. The error says to a person what it is instead.
func kindOf(name string, head []byte) (string, error) {
	at := func(i int, s string) bool { return len(head) >= i+len(s) && string(head[i:i+len(s)]) == s }
	what := ""
	switch {
	case at(4, "ftyp"):
		if !still(head) {
			return video.MP4, nil
		}
		what = "a picture"
	case at(0, "\x1aE\xdf\xa3"):
		if bytes.Contains(head[:min(len(head), 64)], []byte("webm")) {
			return video.WebM, nil
		}
		what = "a Matroska file (.mkv)"
	case at(0, "RIFF") && at(8, "AVI "):
		what = "an AVI file"
	case at(0, "OggS"):
		what = "an Ogg file"
	case at(0, "FLV"):
		what = "a Flash video"
	case at(0, "\x30\x26\xb2\x75"):
		what = "a Windows Media file"
	case at(0, "\x00\x00\x01\xba"), at(0, "\x47") && at(188, "\x47"):
		what = "an MPEG stream"
	case at(0, "\x89PNG"), at(0, "\xff\xd8\xff"), at(0, "GIF8"), at(0, "RIFF") && at(8, "WEBP"):
		what = "a picture"
	case at(0, "ID3"), at(0, "fLaC"), at(0, "RIFF") && at(8, "WAVE"):
		what = "a sound file"
	default:
		return "", unsupported("%s is not a video that can be shown here. Choose an MP4 or WebM file.", name)
	}
	return "", unsupported("%s is %s. Save it as MP4 (H.264, AAC) or WebM and choose that file.", name, what)
}

// still holds for the ISO brands of pictures, which begin as an MP4 does.
func still(head []byte) bool {
	if len(head) < 12 {
		return false
	}
	switch string(head[8:12]) {
	case "avif", "avis", "heic", "heix", "mif1", "msf1":
		return true
	}
	return false
}

func unsupported(format string, args ...any) error {
	return &api.Error{Code: api.CodeUnsupported, Message: fmt.Sprintf(format, args...)}
}
