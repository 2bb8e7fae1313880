package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kinopod/pod/filestore"
	"kinopod/shared/network"
)

// thumbnails prints what pictures of friends' videos take: they are kept through the
// pod's own store, beside the same as one file each in one directory for each friend.
func thumbnails(ctx context.Context, args []string) error {
	n, dir := 100_000, ""
	err := flags("thumbnails", args, func(f *flag.FlagSet) {
		f.IntVar(&n, "n", n, "number of pictures")
		f.StringVar(&dir, "dir", os.TempDir(), "directory with room for 9 KB of each")
	})
	if err != nil {
		return err
	}
	if dir, err = os.MkdirTemp(dir, "kinopod-thumbnails"); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := filestore.Open(dir, filestore.Limits{})
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	bytes, began := int64(0), time.Now()
	hashes := make([]string, 0, n)
	hostOf := func(i int) network.Host { return network.Host(fmt.Sprintf("pod%d.example", i%1000)) }
	for i := range n {
		webp := somePicture(random, i)
		sum := sha256.Sum256(webp)
		hash := hex.EncodeToString(sum[:])
		if err := store.KeepThumbnail(hostOf(i), webp, hash); err != nil {
			return err
		}
		bytes += int64(len(webp))
		if hashes = append(hashes, hash); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	took := time.Since(began)
	files, dirs, disk := count(filepath.Join(dir, "pictures"))
	fmt.Printf("%d pictures of 1,000 friends, %.1f KB each: kept in %.1f s (%.0f/s)\n", n, float64(bytes)/float64(n)/1000, took.Seconds(), float64(n)/took.Seconds())
	fmt.Printf("  %d files in %d directories, %.2f GB of the disk (%.0f bytes each); a directory for each friend and 256 in it would be %d directories\n", files, dirs, float64(disk)/1e9, float64(disk)/float64(n), min(n, 256_000))

	times := make([]time.Duration, 0, 10_000)
	for range cap(times) {
		i := random.IntN(n)
		at := time.Now()
		if store.FriendThumbnail(hostOf(i), hashes[i]) == nil {
			return fmt.Errorf("picture %s is not there", hashes[i])
		}
		times = append(times, time.Since(at))
	}
	slices.Sort(times)
	fmt.Printf("  read and checked: p50 %s, p99 %s\n", times[len(times)/2].Round(time.Microsecond), times[len(times)*99/100].Round(time.Microsecond))

	began = time.Now()
	limit := disk - disk/10
	if store, err = filestore.Open(dir, filestore.Limits{Pictures: limit}); err != nil {
		return err
	}
	opened := time.Since(began)
	began = time.Now()
	one := somePicture(random, n)
	sum := sha256.Sum256(one)
	if err := store.KeepThumbnail(hostOf(0), one, hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	counted := time.Since(began)
	left, _, now := count(filepath.Join(dir, "pictures"))
	fmt.Printf("  opened in %s; the first picture after that counts all and makes room for a tenth of them in %.1f s: %d are left, %.2f GB\n", opened.Round(time.Millisecond), counted.Seconds(), left, float64(now)/1e9)
	return nil
}

// somePicture is a WebP with a size as those of films have; its pixels are noise.
func somePicture(random *rand.Rand, i int) []byte {
	size := min(19_000, max(800, int(5600*math.Exp(0.45*random.NormFloat64()))))
	b := make([]byte, 20+size)
	copy(b, "RIFF\x00\x00\x00\x00WEBPVP8 ")
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	binary.LittleEndian.PutUint32(b[16:], uint32(size))
	for at := 30; at+8 <= len(b); at += 8 {
		binary.LittleEndian.PutUint64(b[at:], random.Uint64())
	}
	copy(b[20:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0})
	binary.LittleEndian.PutUint32(b[30:], uint32(i))
	return b
}

// count gives files, directories and blocks below a directory.
func count(top string) (files, dirs int, disk int64) {
	_ = filepath.WalkDir(top, func(_ string, e os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if e.IsDir() {
			dirs++
			return nil
		}
		if info, err := e.Info(); err == nil {
			files++
			disk += (info.Size() + 4095) / 4096 * 4096
		}
		return nil
	})
	return files, dirs - 1, disk
}
