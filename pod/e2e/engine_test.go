// Package e2e tests whole chains: a pod with all its parts, viewers in real browsers,
// other people's clients.
package e2e

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/wire"
	"kinopod/webapp/piecestore"
	"kinopod/webapp/swarm"
)

// torrentOf fetches the .torrent of v.
func torrentOf(t testing.TB, v api.Video) *torrent.Torrent {
	t.Helper()
	b, err := api.Fetch(t.Context(), v.TorrentURL, torrent.MaxMetainfo)
	if err != nil {
		t.Fatal(err)
	}
	tor, err := torrent.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return tor
}

// engine starts a viewer's engine at a real pod, natively.
func engine(t testing.TB, p *podtest.Pod, v api.Video, n *network, change ...func(*swarm.Config)) *swarm.Engine {
	t.Helper()
	c := swarm.Config{
		Torrent: torrentOf(t, v), Duration: time.Duration(v.Duration * float64(time.Second)), Network: n, Store: piecestore.NewMemory(),
		Trackers: []string{"ws" + strings.TrimPrefix(p.URL, "http") + api.PathTrackerSocket}, OfferURL: p.URL + api.PathOffer, WebSeed: v.StreamURL,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	e := swarm.New(c)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = e.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return e
}

// readWhole reads the film through an engine and compares it.
func readWhole(t testing.TB, e *swarm.Engine, film []byte) swarm.Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []byte
	for len(got) < len(film) {
		c, err := e.Read(ctx, int64(len(got)), 256<<10)
		if err != nil {
			t.Fatalf("read at %d: %v", len(got), err)
		}
		got = append(got, c.Bytes()...)
	}
	if !bytes.Equal(got, film) {
		t.Fatal("the bytes differ")
	}
	s, err := e.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEngineAtARealPod(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, film := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	size := int64(len(film))

	first := engine(t, p, v, newNetwork(t))
	if s := readWhole(t, first, film); s.FromWebSeed < size*9/10 {
		t.Errorf("alone: %d of %d from the web seed, %d from the pod's seeder", s.FromWebSeed, size, s.FromPod)
	}

	t.Run("the pod's WebRTC seeder where the web seed fails", func(t *testing.T) {
		p.Server().SetStreamOff(true)
		defer p.Server().SetStreamOff(false)
		s := readWhole(t, engine(t, p, v, newNetwork(t), func(c *swarm.Config) { c.Trackers = nil }), film)
		if s.FromPod != size {
			t.Errorf("%d of %d from the pod's seeder, %d by HTTP", s.FromPod, size, s.FromWebSeed)
		}
	})

	t.Run("another viewer where the pod gives nothing", func(t *testing.T) {
		p.Server().SetStreamOff(true)
		p.Seeder().SetOff(true)
		defer p.Server().SetStreamOff(false)
		defer p.Seeder().SetOff(false)
		s := readWhole(t, engine(t, p, v, newNetwork(t)), film)
		if s.FromViewers != size {
			t.Errorf("%d of %d from the first viewer", s.FromViewers, size)
		}
	})

	t.Run("a viewer that lies is banned", func(t *testing.T) {
		liar := newNetwork(t)
		liar.tamper = func(b []byte) []byte {
			if len(b) > wire.PieceHeader && wire.Kind(b[4]) == wire.Piece {
				b[len(b)-1] ^= 1
			}
			return b
		}
		other := podtest.Start(t)
		v, film := other.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
		readWhole(t, engine(t, other, v, liar), film)
		other.Server().SetStreamOff(true)
		other.Seeder().SetOff(true)
		e := engine(t, other, v, newNetwork(t))
		podtest.Eventually(t, "the liar was asked", func() bool {
			ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer stop()
			if _, err := e.Read(ctx, 0, 1); err == nil {
				t.Fatal("a wrong piece was given to the reader")
			}
			s, err := e.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s.Wasted > 0
		})
		other.Seeder().SetOff(false)
		s := readWhole(t, e, film)
		if s.FromViewers != 0 || s.FromPod != size {
			t.Errorf("%d bytes from the liar, %d of %d from the pod", s.FromViewers, s.FromPod, size)
		}
		podtest.Eventually(t, "the liar is not connected any more", func() bool {
			s, err := e.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, peer := range s.Peers {
				if !peer.Pod {
					return false
				}
			}
			return true
		})
	})

	t.Run("a removed video is gone for viewers too", func(t *testing.T) {
		if err := podtest.Login(t, p.URL, "anna").RemoveVideo(t.Context(), v.ID); err != nil {
			t.Fatal(err)
		}
		for _, url := range []string{v.StreamURL, v.TorrentURL} {
			res, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s", url, res.Status)
			}
		}
	})
}
