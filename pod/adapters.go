package pod

import (
	"context"
	"errors"
	"net/http"
	"time"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/filestore"
	"kinopod/pod/friends"
	"kinopod/pod/httpapi"
	"kinopod/pod/inbox"
	"kinopod/pod/indexer"
	"kinopod/pod/outbox"
	"kinopod/pod/podclient"
	"kinopod/pod/publish"
	"kinopod/pod/redisstore"
	"kinopod/pod/seeder"
	"kinopod/pod/tracker"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
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

// caller is how the outbox calls other pods.
type caller struct{ *podclient.Client }

var _ outbox.Caller = caller{}

// Card implements outbox.Caller.
func (c caller) Card(ctx context.Context, h network.Host, secure bool) (federation.Card, bool, error) {
	return c.Client.Card(ctx, podclient.Target{Host: h, Secure: secure})
}

// Friends implements outbox.Caller.
func (c caller) Friends(ctx context.Context, h network.Host, secure bool) ([]network.Host, error) {
	return c.Client.Friends(ctx, podclient.Target{Host: h, Secure: secure})
}

// Hello implements outbox.Caller.
func (c caller) Hello(ctx context.Context, h network.Host, secure bool, us network.Host) (refused bool, err error) {
	err = c.Client.Hello(ctx, podclient.Target{Host: h, Secure: secure}, us)
	var status *podclient.StatusError
	if errors.As(err, &status) {
		err = &api.Error{Code: status.Code, Message: status.Message, Cause: err}
	}
	return api.Is(err, api.CodeForbidden), err
}

// Send implements outbox.Caller.
func (c caller) Send(ctx context.Context, h network.Host, secure bool, path string, message []byte) (answer []byte, unknown bool, err error) {
	answer, err = c.Client.Send(ctx, podclient.Target{Host: h, Secure: secure}, path, message)
	var status *podclient.StatusError
	return answer, errors.As(err, &status) && status.Status == http.StatusNotFound, err
}

// Thumbnail implements outbox.Caller.
func (c caller) Thumbnail(ctx context.Context, h network.Host, secure bool, hash string) ([]byte, error) {
	return c.Client.Thumbnail(ctx, podclient.Target{Host: h, Secure: secure}, hash)
}

// Torrent implements outbox.Caller.
func (c caller) Torrent(ctx context.Context, h network.Host, secure bool, id video.ID, pass api.Pass) ([]byte, error) {
	return c.Client.Torrent(ctx, podclient.Target{Host: h, Secure: secure}, id, pass)
}

// others are the other pods as the server shows them.
type others struct {
	list   *friends.List
	outbox *outbox.Outbox
	videos *catalog.Catalog
	db     *redisstore.DB
	speaks network.Versions
	now    func() time.Time
}

var _ httpapi.Friends = others{}

// mostBehind bounds how far is counted.
const mostBehind = 1000

// List implements httpapi.Friends.
func (o others) List(ctx context.Context, operator bool) ([]api.Friend, error) {
	all, err := o.list.All(ctx)
	if err != nil {
		return nil, err
	}
	last, err := o.db.LastChange(ctx)
	if err != nil {
		return nil, err
	}
	out, behind := []api.Friend{}, map[string]int{} // by position: most friends are at the same
	for _, f := range all {
		if !operator && f.State != network.Friend {
			continue
		}
		a := api.Friend{Host: f.Host, State: f.State, Name: f.Name, Score: f.Score, Reachable: f.Reachable(), Since: f.Since, LastDelivery: f.LastSuccess}
		if a.Videos, err = o.videos.Count(ctx, f.Host); err != nil {
			return nil, err
		}
		a.Dormant = f.State == network.Friend && f.Dormant(o.speaks, o.now())
		if operator {
			a.Problem = f.Problem
		}
		if f.State == network.Friend && f.Cursor != last {
			n, counted := behind[f.Cursor]
			if !counted {
				changes, _, err := o.db.Changes(ctx, f.Cursor, mostBehind)
				if err != nil {
					return nil, err
				}
				n = len(changes)
				behind[f.Cursor] = n
			}
			a.Behind = n
		}
		out = append(out, a)
	}
	return out, nil
}

// At implements httpapi.Friends. What cannot be found out is taken for well.
func (o others) At(ctx context.Context, h network.Host) (secure, reachable bool) {
	f, ok, err := o.list.Get(ctx, h)
	if err != nil || !ok {
		return true, true
	}
	return f.Secure, f.State == network.Friend && f.Reachable()
}

// Join implements httpapi.Friends.
func (o others) Join(ctx context.Context, hosts []network.Host) error {
	return o.outbox.Join(ctx, hosts, true)
}

// Leave implements httpapi.Friends.
func (o others) Leave(ctx context.Context, h network.Host) error { return o.outbox.Leave(ctx, h) }

// Block implements httpapi.Friends.
func (o others) Block(ctx context.Context, h network.Host) error { return o.outbox.Block(ctx, h) }

// Unblock implements httpapi.Friends.
func (o others) Unblock(ctx context.Context, h network.Host) error { return o.list.Unblock(ctx, h) }

// heard is what the inbox counts.
func heard(in *inbox.Inbox) []httpapi.Metric {
	out := []httpapi.Metric{{Name: "inbox_messages_total", Help: "Messages of friends that were taken.", Counter: true, Value: func() float64 { return float64(in.Stats().Taken) }}}
	for _, reason := range federation.Reasons {
		out = append(out, httpapi.Metric{
			Name: "inbox_refused_total", Help: "Messages that were refused, by reason.", Counter: true,
			Labels: map[string]string{"reason": string(reason)}, Value: func() float64 { return float64(in.Stats().Refused[reason]) },
		})
	}
	return out
}

// searched is what the search index tells of itself.
func searched(x *indexer.Index) []httpapi.Metric {
	return []httpapi.Metric{
		{Name: "search_videos", Help: "Videos that can be searched.", Value: func() float64 { return float64(x.Stats().Videos) }},
		{Name: "search_bytes", Help: "Memory of the search index.", Value: func() float64 { return float64(x.Stats().Bytes) }},
		{Name: "search_built", Help: "Share of the catalogue that was read for searching, 1 when all is.", Value: func() float64 {
			share, _ := x.Built()
			return share
		}},
	}
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

// totalsAtOnce is how many numbers of views a friend is told at once.
const totalsAtOnce = 1000

// ownViews counts what friends say was watched of this pod's videos, and tells them how
// often those were watched everywhere. A friend that adds nothing to a batch that was
// counted is answered as before.
func ownViews(host network.Host, db *redisstore.DB, mostADay int) func(context.Context, network.Host, federation.ViewsRequest) (federation.Views, error) {
	return func(ctx context.Context, from network.Host, q federation.ViewsRequest) (federation.Views, error) {
		if q.Batch > 0 {
			if err := db.TakeViews(ctx, host, from, q.Batch, q.Views, mostADay); err != nil {
				return federation.Views{}, err
			}
		}
		totals, next, more, err := db.ViewTotals(ctx, q.After, totalsAtOnce)
		return federation.Views{Totals: totals, Next: next, More: more}, err
	}
}
