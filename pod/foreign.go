package pod

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"kinopod/pod/catalog"
	"kinopod/pod/filestore"
	"kinopod/pod/outbox"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// swarms are the info hashes that the tracker serves: of our files, and of friends'
// videos that somebody here watches, who meets others here where the origin is away.
// The tracker's loop asks, so the catalogue is asked aside.
type swarms struct {
	files  *filestore.Store
	videos *catalog.Catalog
	closed func(network.Host) bool // the pod's videos are for members: nobody meets here
	ask    chan magnet.InfoHash

	mu    sync.Mutex
	known map[magnet.InfoHash]foreignSwarm // guarded by mu
}

// foreignSwarm is what the catalogue said of an info hash.
type foreignSwarm struct {
	listed bool
	until  time.Time
}

// Bounds of swarms.
const (
	swarmsKnown   = 20_000
	swarmsWaiting = 256
	swarmFresh    = time.Minute
)

func newSwarms(files *filestore.Store, videos *catalog.Catalog, closed func(network.Host) bool) *swarms {
	return &swarms{files: files, videos: videos, closed: closed, ask: make(chan magnet.InfoHash, swarmsWaiting), known: map[magnet.InfoHash]foreignSwarm{}}
}

// serves answers the tracker. The first to ask for a friend's video is told no, unless
// watched was called before.
func (s *swarms) serves(h magnet.InfoHash) bool {
	if s.files.Has(h) {
		return true
	}
	s.mu.Lock()
	k, ok := s.known[h]
	s.mu.Unlock()
	if !ok || time.Now().After(k.until) {
		select {
		case s.ask <- h:
		default:
		}
	}
	return k.listed
}

// watched is called where somebody is about to watch a friend's video.
func (s *swarms) watched(origin network.Host, h magnet.InfoHash) { s.note(h, !s.closed(origin)) }

func (s *swarms) note(h magnet.InfoHash, listed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= swarmsKnown {
		clear(s.known)
	}
	s.known[h] = foreignSwarm{listed, time.Now().Add(swarmFresh)}
}

// run asks the catalogue until ctx ends.
func (s *swarms) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-s.ask:
			v, err := s.videos.ByInfoHash(ctx, h)
			if err == nil || api.Is(err, api.CodeNotFound) {
				s.note(h, err == nil && !s.closed(v.Origin))
			}
		}
	}
}

// foreignFiles are what this pod has of friends' videos: pictures and torrents, fetched
// when somebody asks, and kept.
type foreignFiles struct {
	host   network.Host
	files  *filestore.Store
	videos *catalog.Catalog
	outbox *outbox.Outbox
	swarms *swarms
	policy *policies

	flights singleflight.Group
	mu      sync.Mutex
	failed  map[string]time.Time    // guarded by mu: not asked for again until then
	passes  map[video.ID]api.Pass   // guarded by mu; half of an id is its origin's: none gives another's
	asking  map[asked]*rate.Limiter // guarded by mu: questions for details
}

// patience is how long what could not be fetched is not asked for again.
const patience = 30 * time.Second

// once has one fetch of a thing at a time, and not again at once where it failed. Who
// asked first may leave: others wait for the same.
func (f *foreignFiles) once(key string, fetch func(context.Context) error) error {
	f.mu.Lock()
	until := f.failed[key]
	f.mu.Unlock()
	if time.Now().Before(until) {
		return &api.Error{Code: api.CodeUnavailable, Message: "The pod that this comes from cannot be reached. Try again in a moment."}
	}
	_, err, _ := f.flights.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := fetch(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if err == nil {
			delete(f.failed, key)
			return nil, nil
		}
		if errors.Is(err, errBusy) {
			return nil, err // the friend was not asked
		}
		if len(f.failed) > 1000 {
			clear(f.failed)
		}
		f.failed[key] = time.Now().Add(patience)
		return nil, err
	})
	return err
}

// Picture implements httpapi.Foreign.
func (f *foreignFiles) Picture(ctx context.Context, hash string) (path string, err error) {
	v, err := f.videos.ByThumbnail(ctx, hash)
	if err != nil {
		return "", err
	}
	if v.Origin == f.host {
		return "", &api.Error{Code: api.CodeNotFound, Message: "There is no such picture."}
	}
	if f.files.FriendThumbnail(v.Origin, hash) != nil {
		return f.files.FriendThumbnailPath(v.Origin, hash), nil
	}
	err = f.once("picture "+hash, func(ctx context.Context) error { return f.outbox.Picture(ctx, v.Origin, hash) })
	return f.files.FriendThumbnailPath(v.Origin, hash), err
}

// Torrent implements httpapi.Foreign.
func (f *foreignFiles) Torrent(_ context.Context, v video.Video) (*torrent.Torrent, error) {
	h := v.Renditions[0].InfoHash
	f.swarms.watched(v.Origin, h)
	if t, err := f.files.KeptTorrent(h); err == nil {
		return t, nil
	}
	err := f.once("torrent "+h.String(), func(ctx context.Context) error {
		// For ourselves: whoever may have it was asked for before (httpapi).
		pass, _ := f.Access(ctx, v, f.policy.closed(v.Origin), true)
		b, err := f.outbox.Torrent(ctx, v.Origin, v.ID, pass)
		if err != nil {
			return err
		}
		t, err := torrent.Parse(b)
		if err != nil {
			return err
		}
		if t.InfoHash != h || t.Length != v.Renditions[0].Size {
			return errors.New("the torrent is of another file")
		}
		return f.files.KeepTorrent(t)
	})
	if err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Message: "The pod that this video comes from cannot be reached. Try again in a moment.", Cause: err}
	}
	return f.files.KeptTorrent(h)
}
