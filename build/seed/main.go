// Command seed gives one file to peers by the pod's own seeder and tracker, without the
// rest of a pod: what benchmarks compare with other people's seeders.
//
//	go run ./build/seed -file film.mp4
//
// It prints one line of JSON when it is ready, and runs until it is killed:
//
//	{"magnet":"magnet:?...","base":"http://127.0.0.1:PORT"}
//
// The .torrent is at base/film.torrent.
package main

import (
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	_ "net/http/pprof" // at -profile
	"os"
	"os/signal"
	"path/filepath"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/sync/errgroup"

	"kinopod/pod/seeder"
	"kinopod/pod/tracker"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/torrent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := seed(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func seed(ctx context.Context) error {
	c := seeder.Config{RTCListen: "127.0.0.1:0", BTListen: "127.0.0.1:0"}
	path := flag.String("file", "", "what is given")
	flag.Int64Var(&c.BytesPerSecond, "bytes", 0, "a second to all peers; 0: no limit")
	flag.Int64Var(&c.PeerBytesPerSecond, "peer-bytes", 0, "a second to one peer; 0: no limit")
	flag.IntVar(&c.Peers, "peers", 0, "at a time; 0: no limit")
	profile := flag.String("profile", "", "address of net/http/pprof")
	flag.Parse()
	if *profile != "" {
		go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(*profile, nil)) }()
	}

	f, err := newFile(*path)
	if err != nil {
		return err
	}
	s, err := seeder.New(c, f)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	base := "http://" + l.Addr().String()
	trackers := api.Trackers(network.Host(l.Addr().String()), false, api.Pass{})
	metainfo, err := f.meta.Metainfo(trackers, nil)
	if err != nil {
		return err
	}
	t := tracker.New(tracker.Config{Serves: func(h magnet.InfoHash) bool { return h == f.meta.InfoHash }}, s)
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	t.Mount(app)
	app.Get("/film.torrent", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, "application/x-bittorrent")
		return c.Send(metainfo)
	})
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return s.Run(ctx) })
	work.Go(func() error { return t.Run(ctx) })
	work.Go(func() error { return app.Listener(l) })
	work.Go(func() error { <-ctx.Done(); return app.Shutdown() })
	m := magnet.Magnet{InfoHash: f.meta.InfoHash, Trackers: trackers}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"magnet": m.String(), "base": base}); err != nil {
		return err
	}
	return work.Wait()
}

// file is the one file that there is.
type file struct {
	path string
	meta *torrent.Torrent
}

// newFile hashes a file.
func newFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var hashes []byte
	size := torrent.PieceLengthFor(info.Size())
	h := torrent.NewHasher(size, func(sum [sha1.Size]byte) { hashes = append(hashes, sum[:]...) })
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	h.Close()
	meta, err := torrent.Build(filepath.Base(path), info.Size(), size, hashes, "localhost")
	if err != nil {
		return nil, err
	}
	return &file{path, meta}, nil
}

// Open implements seeder.Files.
func (f *file) Open(h magnet.InfoHash) (seeder.File, error) {
	if h != f.meta.InfoHash {
		return nil, errors.Join(fs.ErrNotExist, fmt.Errorf("no file of %s", h))
	}
	o, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	return opened{o, f.meta}, nil
}

type opened struct {
	*os.File
	meta *torrent.Torrent
}

func (o opened) Torrent() *torrent.Torrent { return o.meta }
