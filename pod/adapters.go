package pod

import (
	"context"
	"errors"
	"net/http"

	"kinopod/pod/accounts"
	"kinopod/pod/filestore"
	"kinopod/pod/httpapi"
	"kinopod/pod/publish"
	"kinopod/pod/seeder"
	"kinopod/pod/tracker"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
)

// seederFiles are the seeder's files.
type seederFiles struct{ *filestore.Store }

// Open implements seeder.Files.
func (f seederFiles) Open(h magnet.InfoHash) (seeder.File, error) {
	file, err := f.Store.Open(h)
	if err != nil {
		return nil, notFound(err)
	}
	return file, nil
}

// streamFiles are the server's files.
type streamFiles struct{ *filestore.Store }

// Open implements httpapi.Files.
func (f streamFiles) Open(h magnet.InfoHash) (*torrent.Torrent, string, error) {
	file, err := f.Store.Open(h)
	if err != nil {
		return nil, "", notFound(err)
	}
	return file.Torrent(), file.Path(), file.Close()
}

func notFound(err error) error {
	if errors.Is(err, filestore.ErrNotFound) {
		return &api.Error{Code: api.CodeNotFound, Message: "There is no such video.", Cause: err}
	}
	return err
}

// invites gives invitations the address where they are used.
type invites struct {
	*accounts.Accounts
	base string
}

// CreateInvite implements httpapi.Accounts.
func (i invites) CreateInvite(ctx context.Context, who accounts.Actor) (api.Invite, error) {
	in, err := i.Accounts.CreateInvite(ctx, who)
	if err == nil {
		in.URL = i.base + "/login?invite=" + in.Token
	}
	return in, err
}

// uploads tells the tus handler who the server's caller is.
func uploads(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := httpapi.CallerOf(r.Context()).Actor
		h.ServeHTTP(w, r.WithContext(publish.WithActor(r.Context(), who)))
	})
}

// metrics are what seeder and tracker count.
func metrics(s *seeder.Seeder, t *tracker.Tracker) []httpapi.Metric {
	seed := func(pick func(seeder.Stats) int64) func() float64 {
		return func() float64 { return float64(pick(s.Stats())) }
	}
	track := func(pick func(tracker.Stats) int64) func() float64 {
		return func() float64 { return float64(pick(t.Stats())) }
	}
	sent := func(source string, pick func(seeder.Stats) int64) httpapi.Metric {
		return httpapi.Metric{
			Name: "sent_bytes_total", Help: "Bytes of videos that were sent, by how.", Counter: true,
			Labels: map[string]string{"source": source}, Value: seed(pick),
		}
	}
	out := []httpapi.Metric{
		sent("webrtc", func(s seeder.Stats) int64 { return s.WebRTCBytes }),
		sent("bittorrent", func(s seeder.Stats) int64 { return s.NativeBytes }),
		{Name: "seeder_webrtc_peers", Help: "WebRTC peers of the seeder.", Value: seed(func(s seeder.Stats) int64 { return int64(s.WebRTCPeers) })},
		{Name: "seeder_bittorrent_peers", Help: "BitTorrent peers of the seeder.", Value: seed(func(s seeder.Stats) int64 { return int64(s.NativePeers) })},
		{Name: "seeder_torrents", Help: "Torrents that the seeder has open.", Value: seed(func(s seeder.Stats) int64 { return int64(s.Torrents) })},
		{Name: "tracker_connections", Help: "WebSockets at the tracker.", Value: track(func(s tracker.Stats) int64 { return s.Connections })},
		{Name: "tracker_swarms", Help: "Swarms with a peer.", Value: track(func(s tracker.Stats) int64 { return s.Swarms })},
		{Name: "tracker_peers", Help: "Peers in swarms, without the pod.", Value: track(func(s tracker.Stats) int64 { return s.Peers })},
		{Name: "tracker_announces_total", Help: "Announces taken.", Counter: true, Value: track(func(s tracker.Stats) int64 { return s.Announces })},
		{Name: "tracker_scrapes_total", Help: "Scrapes taken.", Counter: true, Value: track(func(s tracker.Stats) int64 { return s.Scrapes })},
		{Name: "tracker_offers_total", Help: "Offers handed from peer to peer.", Counter: true, Value: track(func(s tracker.Stats) int64 { return s.Offers })},
		{Name: "tracker_answers_total", Help: "Answers handed from peer to peer.", Counter: true, Value: track(func(s tracker.Stats) int64 { return s.Answers })},
		{Name: "tracker_seeder_answers_total", Help: "Offers that the pod's seeder answered.", Counter: true, Value: track(func(s tracker.Stats) int64 { return s.SeederAnswers })},
	}
	for reason := range t.Stats().Refused {
		out = append(out, httpapi.Metric{
			Name: "tracker_refused_total", Help: "What the tracker refused, by reason.", Counter: true,
			Labels: map[string]string{"reason": reason}, Value: track(func(s tracker.Stats) int64 { return s.Refused[reason] }),
		})
	}
	return out
}
