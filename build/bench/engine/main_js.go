// Command engine, in a page, gets a torrent with the swarm engine of the web app from the
// seeder behind window.offerURL alone, and keeps in window.got how long that took.
package main

import (
	"context"
	"io"
	"log/slog"
	"syscall/js"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/webapp/piecestore"
	"kinopod/webapp/swarm"
)

func main() {
	got := map[string]any{"sha256": ""}
	if err := download(got); err != nil {
		got["sources"] = err.Error()
	}
	js.Global().Set("got", got)
	select {}
}

func download(got map[string]any) error {
	ctx := context.Background()
	b, err := api.Fetch(ctx, js.Global().Get("location").Get("origin").String()+"/film.torrent", torrent.MaxMetainfo)
	if err != nil {
		return err
	}
	t, err := torrent.Parse(b)
	if err != nil {
		return err
	}
	for js.Global().Get("offerURL").IsUndefined() { // the bench did not begin
		time.Sleep(10 * time.Millisecond)
	}
	began := time.Now()
	e := swarm.New(swarm.Config{
		Torrent: t, Network: stopwatch{note: func(what string) {
			if got[what] == nil {
				got[what] = milliseconds(began)
			}
		}}, Store: piecestore.NewMemory(), OfferURL: js.Global().Get("offerURL").String(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	go func() { _ = e.Run(ctx) }()
	for off := int64(0); off < t.Length; {
		c, err := e.Read(ctx, off, int(t.PieceLength))
		if err != nil {
			return err
		}
		if off == 0 {
			got["first"] = milliseconds(began)
		}
		off += int64(c.Len())
	}
	got["done"] = milliseconds(began)
	return nil
}

func milliseconds(since time.Time) float64 { return time.Since(since).Seconds() * 1000 }

// stopwatch is the network of a browser that notes each step of a connection to the pod's
// seeder: asked, answered, opened, connected.
type stopwatch struct {
	swarm.Browser
	note func(what string)
}

// Offer implements swarm.Network. The seeder's first message is its handshake.
func (s stopwatch) Offer(gather bool, on swarm.ConnEvents) swarm.Conn {
	open, message := on.Open, on.Message
	on.Open = func() { s.note("opened"); open() }
	on.Message = func(data piecestore.Chunk) { s.note("connected"); message(data) }
	return s.Browser.Offer(gather, on)
}

// Post implements swarm.Network.
func (s stopwatch) Post(url string, body []byte, done func(status int, answer []byte, err error)) {
	s.note("asked")
	s.Browser.Post(url, body, func(status int, answer []byte, err error) { s.note("answered"); done(status, answer, err) })
}
