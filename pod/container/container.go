// Package container looks into video files: is this an MP4 or a WebM that
// browsers play, is it whole, how long and how large is its picture.
//
// Files come from strangers. Only headers and indexes are read, never the media
// itself; memory is a few windows of at most 64 KiB whatever sizes the file
// claims, nothing recurses, and the number of elements looked at is bounded.
package container

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"kinopod/shared/video"
)

// Info is what a file is.
type Info struct {
	MIME          string        // video.MP4 or video.WebM
	Duration      time.Duration // more than zero
	Width, Height int           // pixels as shown: after rotation and pixel aspect
	Video, Audio  string        // codecs as in RFC 6381; Audio is "" without sound
}

// Problem is the kind of thing that is wrong with a file.
type Problem uint8

// The problems.
const (
	NotVideo  Problem = iota + 1 // neither MP4 nor WebM, or nothing to see in it
	Truncated                    // the end is missing
	Corrupt                      // the structure contradicts itself
	Codec                        // whole, but not what browsers play
)

// Refusal says why a file cannot be used, in a sentence for its uploader.
type Refusal struct {
	Problem  Problem
	Sentence string
}

// Error gives the sentence.
func (r *Refusal) Error() string { return r.Sentence }

func refuse(p Problem, format string, args ...any) error {
	return &Refusal{Problem: p, Sentence: fmt.Sprintf(format, args...)}
}

func truncated(what string) error {
	return refuse(Truncated, "The file is cut off: %s. Export or copy it again.", what)
}

func corrupt(what string) error {
	return refuse(Corrupt, "The file is damaged: %s. Export or copy it again.", what)
}

// maxDuration is longer than any file that is meant, and keeps sums in range.
const maxDuration = 30 * 24 * time.Hour

// SniffLength is how many bytes from a file's beginning tell Sniff all it asks.
const SniffLength = 64 << 10

// Sniff tells from the beginning of a file whether it can be an MP4 or a WebM. The
// error is a *Refusal.
func Sniff(head []byte) (mime string, err error) {
	head = head[:min(len(head), SniffLength)]
	return sniff(newWindow(bytes.NewReader(head), int64(len(head))))
}

func sniff(w *window) (string, error) {
	head, err := w.at(0, int(min(w.size, 12)))
	if err != nil {
		return "", err
	}
	if len(head) == 12 && string(head[4:8]) == "ftyp" {
		return video.MP4, nil
	}
	if len(head) >= 4 && [4]byte(head) == ebmlMagic {
		docType, err := w.docType()
		if err != nil {
			return "", err
		}
		if docType != "webm" {
			return "", refuse(NotVideo, "This is a Matroska file. Pods take WebM and MP4.")
		}
		return video.WebM, nil
	}
	for _, other := range []struct {
		at          int
		magic, name string
	}{
		{8, "AVI ", "an AVI file"},
		{0, "FLV", "a Flash video"},
		{0, "OggS", "an Ogg file"},
		{0, "\x30\x26\xb2\x75", "a Windows Media file"},
		{0, "\x00\x00\x01\xba", "an MPEG program stream"},
		{0, "\x89PNG", "a picture"},
		{0, "\xff\xd8\xff", "a picture"},
		{4, "moov", "an old QuickTime file"},
		{4, "mdat", "an old QuickTime file"},
		{0, "PK\x03\x04", "an archive"},
	} {
		if bytes.HasPrefix(head[min(other.at, len(head)):], []byte(other.magic)) {
			return "", refuse(NotVideo, "This is %s. Pods take MP4 (H.264) and WebM.", other.name)
		}
	}
	return "", refuse(NotVideo, "This is not a video that pods take: MP4 (H.264) or WebM is needed.")
}

// Probe looks into a whole file of size bytes. The error is a *Refusal where the
// file is at fault, and r's own where r failed.
func Probe(r io.ReaderAt, size int64) (Info, error) {
	w := newWindow(r, size)
	mime, err := sniff(w)
	if err != nil {
		return Info{}, err
	}
	if mime == video.WebM {
		return probeWebM(w)
	}
	return probeMP4(w)
}

// maxSide bounds the picture on each side, in pixels.
const maxSide = 16384

// checked gives in if it makes sense.
func checked(in Info) (Info, error) {
	switch {
	case in.Duration <= 0:
		return Info{}, refuse(NotVideo, "The file has no moving pictures in it.")
	case in.Duration > maxDuration:
		return Info{}, corrupt("it claims to last longer than a month")
	case in.Width <= 0 || in.Height <= 0 || in.Width > maxSide || in.Height > maxSide:
		return Info{}, corrupt(fmt.Sprintf("it claims a picture of %d by %d pixels", in.Width, in.Height))
	}
	return in, nil
}
