package filestore

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// pictures are those of friends' videos, a million of them in 256 directories: the name of
// a file says whose it is. What is too much goes, used longest ago first: of a friend that has
// more than one may have, or of all. Nothing of that is in memory but sums; when a
// picture was used is the time of its file, to the day. Hashes are spread evenly, so the
// oldest of one directory stand for the oldest of all.
//
// They are written without waiting for the disk: what a crash spoils has another hash, and
// is fetched again.
type pictures struct {
	store   *Store
	most    int64 // bytes of one friend; 0 is any
	mostAll int64 // bytes of all; 0 is any

	mu    sync.Mutex
	used  map[string]int64 // guarded by mu: bytes by owner; nil before they are counted
	total int64            // guarded by mu
	next  int              // guarded by mu: the directory in which room is made next
}

const (
	pictureDirs = 256
	// usedAgain is how exact it is known when a picture was used.
	usedAgain = 24 * time.Hour
	// roomShare is how much of what is there goes at once, as a divisor: room is not made
	// for each picture anew.
	roomShare = 64
)

// ErrFull is what KeepThumbnail answers for a picture that has no room at all.
var ErrFull = errors.New("no room for this picture")

// ownerOf is a friend in the name of a file. A host may have what a path may not.
func ownerOf(h network.Host) string {
	sum := sha256.Sum256([]byte(h))
	return hex.EncodeToString(sum[:8])
}

func (p *pictures) path(owner, hash string) string {
	return filepath.Join(p.store.dir, picturesDir, hash[:2], hash+"-"+owner+".webp")
}

// parsePicture reads the name of a file.
func parsePicture(name string) (hash, owner string, ok bool) {
	name, isPicture := strings.CutSuffix(name, ".webp")
	hash, owner, _ = strings.Cut(name, "-")
	return hash, owner, isPicture && isHash(hash) && len(owner) == 16
}

// open makes the directories, and drops those of an earlier layout, which had some for each
// friend: what was in them is fetched again.
func (p *pictures) open() error {
	top := filepath.Join(p.store.dir, picturesDir)
	entries, err := os.ReadDir(top)
	if err != nil {
		return fmt.Errorf("list pictures: %w", err)
	}
	for _, e := range entries {
		if len(e.Name()) == 16 {
			if err := p.store.remove(filepath.Join(top, e.Name())); err != nil {
				return err
			}
		}
	}
	for i := range pictureDirs {
		if err := os.Mkdir(filepath.Join(top, fmt.Sprintf("%02x", i)), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make directory of pictures: %w", err)
		}
	}
	return syncDir(top)
}

// kept is one picture on the disk.
type kept struct {
	path, hash, owner string
	size              int64
	at                time.Time
}

// in gives the pictures of one directory.
func (p *pictures) in(n int) (out []kept, err error) {
	dir := filepath.Join(p.store.dir, picturesDir, fmt.Sprintf("%02x", n))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list pictures: %w", err)
	}
	for _, e := range entries {
		hash, owner, ok := parsePicture(e.Name())
		info, err := e.Info()
		if ok && err == nil { // one that went meanwhile is none
			out = append(out, kept{filepath.Join(dir, e.Name()), hash, owner, onDisk(info.Size()), info.ModTime()})
		}
	}
	return out, nil
}

// count looks once at all pictures; p.mu is held.
func (p *pictures) count() error {
	if p.used != nil {
		return nil
	}
	used, total := map[string]int64{}, int64(0)
	for n := range pictureDirs {
		some, err := p.in(n)
		if err != nil {
			return err
		}
		for _, k := range some {
			used[k.owner] += k.size
			total += k.size
		}
	}
	p.used, p.total = used, total
	return nil
}

// keep writes a picture, and makes room for it where there is none.
func (p *pictures) keep(h network.Host, webp []byte, hash string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.count(); err != nil {
		return err
	}
	owner, size := ownerOf(h), onDisk(int64(len(webp)))
	path := p.path(owner, hash)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if p.most > 0 && size > p.most || p.mostAll > 0 && size > p.mostAll {
		return ErrFull
	}
	if p.most > 0 && p.used[owner]+size > p.most {
		if err := p.makeRoom(owner, size, func() bool { return p.used[owner]+size <= p.most }); err != nil {
			return err
		}
	}
	if p.mostAll > 0 && p.total+size > p.mostAll {
		if err := p.makeRoom("", size, func() bool { return p.total+size <= p.mostAll }); err != nil {
			return err
		}
	}
	temp := p.store.inTrash()
	if err := os.WriteFile(temp, webp, 0o600); err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("write picture: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("put picture in place: %w", err)
	}
	p.used[owner] += size
	p.total += size
	return nil
}

// makeRoom removes pictures of one owner ("" is any), directory after directory, of each
// those that were used longest ago, until there is enough; p.mu is held.
func (p *pictures) makeRoom(owner string, size int64, enough func() bool) error {
	// Once around for a share of each, once more for whatever is there.
	for share := range 2 {
		for range pictureDirs {
			if enough() {
				return nil
			}
			some, err := p.in(p.next)
			if err != nil {
				return err
			}
			p.next = (p.next + 1) % pictureDirs
			some = slices.DeleteFunc(some, func(k kept) bool { return owner != "" && k.owner != owner })
			slices.SortFunc(some, func(a, b kept) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.hash, b.hash)) })
			most := len(some)
			if share == 0 {
				most = (len(some) + roomShare - 1) / roomShare
			}
			for _, k := range some[:most] {
				if err := p.drop(k); err != nil {
					return err
				}
			}
		}
	}
	if !enough() {
		return ErrFull
	}
	return nil
}

// drop deletes a picture; p.mu is held.
func (p *pictures) drop(k kept) error {
	if err := os.Remove(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove picture: %w", err)
	}
	if p.used != nil {
		p.used[k.owner] -= k.size
		p.total -= k.size
	}
	return nil
}

// remove deletes a picture of every friend that has it.
func (p *pictures) remove(hash string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := strconv.ParseUint(hash[:2], 16, 8)
	if err != nil {
		return err
	}
	some, err := p.in(int(n))
	if err != nil {
		return err
	}
	for _, k := range some {
		if k.hash != hash {
			continue
		}
		if err := p.drop(k); err != nil {
			return err
		}
	}
	return nil
}

// old gives the hashes of pictures that were not used since a time, some at a time.
func (p *pictures) old(before time.Time, each func(hashes []string) error) error {
	for n := range pictureDirs {
		some, err := p.in(n)
		if err != nil {
			return err
		}
		var old []string
		for _, k := range some {
			if k.at.Before(before) {
				old = append(old, k.hash)
			}
		}
		if len(old) > 0 {
			if err := each(old); err != nil {
				return err
			}
		}
	}
	return nil
}

// FriendThumbnailPath is where a picture of a friend's video is, "" if it is not here.
func (s *Store) FriendThumbnailPath(h network.Host, hash string) string {
	if !isHash(hash) {
		return ""
	}
	path := s.pictures.path(ownerOf(h), hash)
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if now := time.Now(); now.Sub(info.ModTime()) > usedAgain {
		_ = os.Chtimes(path, time.Time{}, now) // else it goes a little earlier
	}
	return path
}

// FriendThumbnail gives a picture of a friend's video, nil if it is not here, or not whole:
// then it is not here any more.
func (s *Store) FriendThumbnail(h network.Host, hash string) []byte {
	path := s.FriendThumbnailPath(h, hash)
	if path == "" {
		return nil
	}
	webp, err := os.ReadFile(path)
	if err != nil {
		return nil // that says nothing of the picture
	}
	if hashOf(webp) == hash {
		return webp
	}
	_ = s.pictures.remove(hash) // it is looked at again the next time
	return nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// KeepThumbnail keeps a picture of a friend's video as it is: its hash is the name that
// its origin gave it. What is over api.MaxPicture, of another hash, or no still WebP of a
// fitting size is refused. Those that were used longest ago go where there is no room.
func (s *Store) KeepThumbnail(h network.Host, webp []byte, hash string) error {
	if hashOf(webp) != hash {
		return errors.New("keep thumbnail: the picture has another hash")
	}
	p, err := parseWebP(webp)
	if err != nil {
		return fmt.Errorf("keep thumbnail: %w", err)
	}
	if len(webp) > api.MaxPicture || min(p.width, p.height) < minThumbnailSide || max(p.width, p.height) > maxThumbnailSide {
		return errors.New("keep thumbnail: the picture is too large or too small")
	}
	return s.pictures.keep(h, webp, hash)
}
