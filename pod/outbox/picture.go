package outbox

import (
	"context"
	"errors"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Thumbnails of friends are fetched when their videos come (Config.Eager), by a few at a
// time. What does not fit in the line of those that wait, and else all, is fetched when
// somebody looks.
const (
	pictureWorkers  = 2
	picturesWaiting = 1000
	pictureTime     = 20 * time.Second
)

type picture struct {
	host network.Host
	hash string
}

func (o *Outbox) wantPicture(h network.Host, hash string) {
	if !o.cfg.Eager || hash == "" || o.parts.Pictures.FriendThumbnailPath(h, hash) != "" {
		return
	}
	select {
	case o.pictures <- picture{h, hash}:
	default:
	}
}

func (o *Outbox) fetchPictures(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-o.pictures:
			if err := o.Picture(ctx, p.host, p.hash); err != nil {
				o.cfg.Log.Debug("a friend's picture could not be fetched", "friend", p.host, "err", err)
			}
		}
	}
}

// Picture fetches a thumbnail of a friend's video, where it is not here.
func (o *Outbox) Picture(ctx context.Context, h network.Host, hash string) error {
	if o.parts.Pictures.FriendThumbnailPath(h, hash) != "" {
		return nil
	}
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil {
		return err
	}
	if !ok || f.State != network.Friend {
		return errNoFriend
	}
	ctx, cancel := context.WithTimeout(ctx, pictureTime)
	defer cancel()
	webp, err := o.parts.Caller.Thumbnail(ctx, h, f.Secure, hash)
	if err != nil {
		return err
	}
	return o.parts.Pictures.KeepThumbnail(h, webp, hash)
}

// Torrent fetches the .torrent of a friend's video; pass may be none.
func (o *Outbox) Torrent(ctx context.Context, h network.Host, id video.ID, pass api.Pass) ([]byte, error) {
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil {
		return nil, err
	}
	if !ok || f.State != network.Friend {
		return nil, errNoFriend
	}
	return o.parts.Caller.Torrent(ctx, h, f.Secure, id, pass)
}

var errNoFriend = errors.New("no friend")
