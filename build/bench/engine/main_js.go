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
	e := swarm.New(swarm.Config{
		Torrent: t, Network: swarm.Browser{}, Store: piecestore.NewMemory(), OfferURL: js.Global().Get("offerURL").String(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	go func() { _ = e.Run(ctx) }()
	began := time.Now()
	for off := int64(0); off < t.Length; {
		c, err := e.Read(ctx, off, int(t.PieceLength))
		if err != nil {
			return err
		}
		if off == 0 {
			got["first"] = float64(time.Since(began).Milliseconds())
		}
		off += int64(c.Len())
	}
	got["done"] = float64(time.Since(began).Milliseconds())
	return nil
}
