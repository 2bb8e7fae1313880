package filestore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// taken is what the files below a directory take of the disk.
func taken(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			info, err := e.Info()
			if err != nil {
				return err
			}
			n += onDisk(info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func limited(t *testing.T, dir string, l Limits) *Store {
	t.Helper()
	s, err := Open(dir, l)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeptDetails(t *testing.T) {
	const most = 100 << 10
	dir := t.TempDir()
	s := limited(t, dir, Limits{Cache: 2 * most})
	var ids []video.ID
	for n := range 60 {
		id := video.NewID("pod.example")
		ids = append(ids, id)
		if err := s.KeepDetails(id, fmt.Appendf(nil, "number %d", n)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.KeptDetails(ids[0]); err != nil { // in use all the time
			t.Fatalf("after %d: %v", n, err)
		}
		if n := taken(t, filepath.Join(dir, detailsDir)); n > most {
			t.Fatalf("%d bytes are taken", n)
		}
	}
	if _, _, err := s.KeptDetails(ids[1]); !errors.Is(err, ErrNotFound) {
		t.Errorf("what nobody uses is kept: %v", err)
	}
	if b, at, err := s.KeptDetails(ids[59]); err != nil || string(b) != "number 59" || time.Since(at) > time.Minute {
		t.Errorf("%q, %s, %v", b, at, err)
	}
	if err := s.KeepDetails(ids[0], bytes.Repeat([]byte("x"), most)); err == nil {
		t.Error("what has no room is kept")
	}

	// Another start knows what is there, and may have less room.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(s.details.path(hex.EncodeToString(ids[58][:])), old, old); err != nil {
		t.Fatal(err)
	}
	again := limited(t, dir, Limits{Cache: most})
	if n := taken(t, filepath.Join(dir, detailsDir)); n > most/2 || n < most/4 {
		t.Errorf("%d bytes are taken after a start with less room", n)
	}
	if _, _, err := again.KeptDetails(ids[58]); !errors.Is(err, ErrNotFound) {
		t.Errorf("the oldest is kept: %v", err)
	}
	if b, _, err := again.KeptDetails(ids[59]); err != nil || string(b) != "number 59" {
		t.Errorf("%q, %v", b, err)
	}
}

// keeper keeps pictures that differ in a number.
func keeper(t *testing.T) func(s *Store, h network.Host, n int) (hash string, err error) {
	pic, err := parseWebP(picture(t, "64x36", "yuv420p"))
	if err != nil {
		t.Fatal(err)
	}
	return func(s *Store, h network.Host, n int) (hash string, err error) {
		webp := pic.encode(fmt.Sprintf("%s %d", h, n))
		return hashOf(webp), s.KeepThumbnail(h, webp, hashOf(webp))
	}
}

func TestPicturesOfFriendsAreBounded(t *testing.T) {
	const hostile, friendly = network.Host("hostile.example"), network.Host("friend.example:8443")
	dir, keep := t.TempDir(), keeper(t)
	limits := Limits{FriendPictures: 64 << 10, Pictures: 160 << 10}
	s := limited(t, dir, limits)
	top := filepath.Join(dir, picturesDir)
	theirs, err := keep(s, friendly, 1)
	if err != nil {
		t.Fatal(err)
	}
	here := func(h network.Host, hash string) bool { return s.FriendThumbnail(h, hash) != nil }
	last := ""
	for n := range 300 {
		if last, err = keep(s, hostile, n); err != nil {
			t.Fatal(err)
		}
		if n == 150 { // after a start too
			s = limited(t, dir, limits)
		}
	}
	if n := taken(t, top); n > 64<<10+8<<10 || n < 48<<10 {
		t.Errorf("%d bytes are taken of a friend that may have 64 KiB, and another's picture", n)
	}
	// It harms nobody else, and what it sent last is there.
	if !here(friendly, theirs) || !here(hostile, last) || here(hostile, theirs) || s.ThumbnailPath(theirs) != "" {
		t.Errorf("theirs %v, the last %v", here(friendly, theirs), here(hostile, last))
	}
	for n := range 300 {
		if _, err := keep(s, network.Host(fmt.Sprintf("pod%d.example", n%7)), n); err != nil {
			t.Fatal(err)
		}
	}
	if n := taken(t, top); n > 160<<10 || n < 120<<10 {
		t.Errorf("%d bytes are taken where all may have 160 KiB", n)
	}
	if _, err := keep(limited(t, t.TempDir(), Limits{Pictures: 1}), friendly, 1); !errors.Is(err, ErrFull) {
		t.Errorf("where nothing has room: %v", err)
	}
}

// Those that were used longest ago go first: of one directory, all that are older.
func TestPicturesThatAreUsedStay(t *testing.T) {
	const h = network.Host("friend.example")
	keep, dir := keeper(t), t.TempDir()
	s := limited(t, dir, Limits{})
	var hashes []string
	for n := 0; len(hashes) < 600; n++ {
		hash, err := keep(s, h, n)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, hash)
	}
	old := time.Now().Add(-72 * time.Hour)
	for _, hash := range hashes {
		if err := os.Chtimes(s.pictures.path(ownerOf(h), hash), old, old); err != nil {
			t.Fatal(err)
		}
	}
	used := hashes[:300]
	for _, hash := range used {
		if s.FriendThumbnail(h, hash) == nil {
			t.Fatal("not here")
		}
	}
	s = limited(t, dir, Limits{Pictures: taken(t, filepath.Join(dir, picturesDir)) - 200*4096})
	if _, err := keep(s, h, 10_000); err != nil {
		t.Fatal(err)
	}
	gone, goneUsed := 0, 0
	for i, hash := range hashes {
		if s.FriendThumbnailPath(h, hash) == "" {
			gone++
			if i < len(used) {
				goneUsed++
			}
		}
	}
	// A directory with none but used ones gives one of them up.
	if gone < 200 || gone > 260 || goneUsed > gone/3 {
		t.Errorf("%d went, %d of them were used of late", gone, goneUsed)
	}
}

func TestPicturesThatAreRefused(t *testing.T) {
	const h = network.Host("friend.example")
	keep, s := keeper(t), limited(t, t.TempDir(), Limits{})
	hash, err := keep(s, h, 1)
	if err != nil {
		t.Fatal(err)
	}
	big := picture(t, "1280x720", "yuv420p", "-lossless", "1")
	if len(big) <= api.MaxPicture {
		t.Fatalf("the picture has %d bytes: the test shows nothing", len(big))
	}
	for what, b := range map[string][]byte{"too large": big, "no picture": []byte("no picture"), "a page": []byte("<!doctype html>")} {
		if err := s.KeepThumbnail(h, b, hashOf(b)); err == nil {
			t.Errorf("%s is kept", what)
		}
	}
	if err := s.KeepThumbnail(h, []byte("no picture"), hash); err == nil {
		t.Error("a picture with another hash is kept")
	}
	// What a crash spoiled is not shown, and may come again.
	if err := os.WriteFile(s.pictures.path(ownerOf(h), hash), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s.FriendThumbnail(h, hash) != nil || s.FriendThumbnailPath(h, hash) != "" {
		t.Error("a spoiled picture is shown")
	}
	if _, err := keep(s, h, 1); err != nil || s.FriendThumbnail(h, hash) == nil {
		t.Errorf("it does not come again: %v", err)
	}
	if err := errors.Join(s.RemoveThumbnail(hash), s.RemoveThumbnail(hash)); err != nil || s.FriendThumbnailPath(h, hash) != "" {
		t.Errorf("removed: %v", err)
	}
}

// An earlier layout had directories for each friend.
func TestOldPicturesGo(t *testing.T) {
	dir := t.TempDir()
	was := filepath.Join(dir, picturesDir, "0123456789abcdef", "aa")
	if err := os.MkdirAll(was, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(was, strings.Repeat("a", 64)+".webp"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	limited(t, dir, Limits{})
	entries, err := os.ReadDir(filepath.Join(dir, picturesDir))
	if err != nil || len(entries) != pictureDirs {
		t.Errorf("%d directories, %v", len(entries), err)
	}
}
