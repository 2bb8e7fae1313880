package outbox

import (
	"context"
	"errors"
	"time"

	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Thumbnails of friends are fetched when their videos come, by a few at a time. What
// does not fit in the line of those that wait is fetched when somebody looks.
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
	if hash == "" || o.parts.Pictures.ThumbnailPath(hash) != "" {
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
	if o.parts.Pictures.ThumbnailPath(hash) != "" {
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
	return o.parts.Pictures.KeepThumbnail(webp, hash)
}

// Torrent fetches the .torrent of a friend's video.
func (o *Outbox) Torrent(ctx context.Context, h network.Host, id video.ID) ([]byte, error) {
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil {
		return nil, err
	}
	if !ok || f.State != network.Friend {
		return nil, errNoFriend
	}
	return o.parts.Caller.Torrent(ctx, h, f.Secure, id)
}

var errNoFriend = errors.New("no friend")
