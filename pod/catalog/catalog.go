// Package catalog is the index of the videos that a pod knows: which there are,
// who may change what is said of them, and what goes when one is withdrawn.
//
// Errors for the person who asked are *api.Error.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Catalog keeps the rules; its Store keeps the videos.
type Catalog struct {
	store  Store
	host   network.Host
	most   int
	finder Finder // nil where there is none
}

// New joins the rules with a store. host is this pod: only its own videos are
// changed and withdrawn here. most is how many videos one friend may have, 0 for any.
func New(store Store, host network.Host, most int) *Catalog {
	return &Catalog{store: store, host: host, most: most}
}

// Editor is who changes or withdraws a video.
type Editor struct {
	Username  string
	Moderator bool
}

// ErrWithdrawn is what Add answers for a video that was withdrawn: whoever adds it
// once more, having been interrupted, must not bring it back.
var ErrWithdrawn = &api.Error{Code: api.CodeConflict, Message: "This video was removed."}

// Add lists a video. It may be repeated: added is false, and nothing changes, for an
// ID that is listed already. It fails with ErrWithdrawn for one that was withdrawn,
// and then puts its files on the list of Withdrawn. Files and thumbnail that were
// to be deleted are off those lists afterwards.
func (c *Catalog) Add(ctx context.Context, v video.Video) (added bool, err error) {
	if err := v.Validate(); err != nil {
		return false, &api.Error{Code: api.CodeInvalid, Message: "This cannot be listed as a video.", Cause: err}
	}
	return c.store.Add(ctx, v)
}

// Get is one video; api.CodeNotFound for none.
func (c *Catalog) Get(ctx context.Context, id video.ID) (video.Video, error) {
	v, err := c.store.Get(ctx, id)
	return v, told(err)
}

// Text is the whole description of a video of this pod, or what is known of another's.
func (c *Catalog) Text(ctx context.Context, id video.ID) (string, error) {
	text, err := c.store.Text(ctx, id)
	return text, told(err)
}

// ByInfoHash is a video that has this file, one of this pod's where there is one.
func (c *Catalog) ByInfoHash(ctx context.Context, h magnet.InfoHash) (video.Video, error) {
	v, err := c.store.ByInfoHash(ctx, c.host, h)
	if errors.Is(err, ErrNotFound) {
		v, err = c.store.ByInfoHash(ctx, "", h)
	}
	return v, told(err)
}

// Newest is a page of videos, the newest first, and the cursor of the next one, ""
// on the last. With a filter a page may be short of the limit although more follow.
func (c *Catalog) Newest(ctx context.Context, q api.VideosQuery) ([]video.Video, string, error) {
	origin := q.Origin
	if q.Uploader != "" && origin == "" {
		origin = c.host
	}
	switch {
	case q.Tag != "" && q.Uploader == "":
		f, err := c.found(ctx, q.Cursor, q.Limit, func(limit int) (Hits, error) {
			return c.finder.FindOnly(ctx, Only{Tag: q.Tag, Origin: origin}, q.Cursor, limit)
		})
		return f.Videos, f.Cursor, err
	case origin == "":
		return c.page(ctx, Listing{}, q.Cursor, q.Limit)
	}
	f, err := c.ByOrigin(ctx, origin, q.Uploader, q.Cursor, q.Limit)
	if q.Tag != "" {
		f.Videos = slices.DeleteFunc(f.Videos, func(v video.Video) bool {
			return !v.HasTag(q.Tag)
		})
	}
	return f.Videos, f.Cursor, err
}

func (c *Catalog) page(ctx context.Context, l Listing, cursor string, limit int) ([]video.Video, string, error) {
	l.Limit = api.PageLimit(limit)
	if cursor != "" {
		at, err := ParsePosition(cursor)
		if err != nil {
			return nil, "", &api.Error{Code: api.CodeInvalid, Message: "The cursor is not one of this pod's. Start over without it.", Cause: err}
		}
		l.After = &at
	}
	videos, next, err := c.store.Page(ctx, l)
	if err != nil || next == nil {
		return videos, "", err
	}
	return videos, next.String(), nil
}

// Edit changes what is said of a video; its uploader and moderators may.
func (c *Catalog) Edit(ctx context.Context, who Editor, id video.ID, in api.VideoEdit) (video.Video, error) {
	v, err := c.store.Update(ctx, id, func(v *video.Video) error {
		if err := c.mayChange(who, v); err != nil {
			return err
		}
		return apply(v, in)
	})
	return v, told(err)
}

func apply(v *video.Video, in api.VideoEdit) (err error) {
	if in.Name != nil {
		if v.Name, err = video.CleanName(*in.Name); err != nil {
			return sentence("Name", err)
		}
	}
	if in.Description != nil {
		text, err := video.CleanText(*in.Description)
		if err != nil {
			return sentence("Description", err)
		}
		// Who knows the beginning only, and sends it back, has not changed it.
		if text != v.Description || !video.IsCut(text) {
			v.SetText(text)
		}
	}
	if in.Tags != nil {
		if v.Tags, err = video.CleanTags(*in.Tags); err != nil {
			return sentence("Tags", err)
		}
	}
	return nil
}

// sentence makes one of an error of package video: what it is about, and the part
// that it adds to video.ErrInvalid.
func sentence(what string, err error) error {
	text := err.Error()
	mark := video.ErrInvalid.Error() + ": "
	if i := strings.LastIndex(text, mark); i >= 0 {
		text = text[i+len(mark):]
	}
	return &api.Error{Code: api.CodeInvalid, Message: what + ": " + text + "."}
}

// SetThumbnail sets the picture of a video: the hexadecimal SHA-256 of a file that
// is stored. The former one goes on the list of UnusedThumbnails if no video has it.
// Whoever calls has checked who asks.
func (c *Catalog) SetThumbnail(ctx context.Context, id video.ID, hash string) error {
	if len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return fmt.Errorf("set thumbnail of %s: %q is not a hash", id, hash)
	}
	_, err := c.store.Update(ctx, id, func(v *video.Video) error {
		v.Thumbnail = hash
		return nil
	})
	return told(err)
}

// Withdraw takes a video out of every index; its uploader and moderators may. In the
// same transaction the files that no other video has go on the list of Withdrawn,
// and its thumbnail on that of UnusedThumbnails. It answers the video as it was.
func (c *Catalog) Withdraw(ctx context.Context, who Editor, id video.ID) (video.Video, error) {
	v, err := c.store.Withdraw(ctx, id, func(v *video.Video) error { return c.mayChange(who, v) })
	return v, told(err)
}

// Withdrawn lists the files to delete, the longest waiting first: delete each,
// then say Deleted. Add takes a file off the list again, so whoever deletes must not
// do it while they place the same file: hold a lock over both, and look with
// ByInfoHash under it whether the file is still nobody's.
func (c *Catalog) Withdrawn(ctx context.Context) ([]magnet.InfoHash, error) {
	return c.store.Withdrawn(ctx)
}

// Deleted takes a file off the list of Withdrawn. It may be repeated.
func (c *Catalog) Deleted(ctx context.Context, h magnet.InfoHash) error {
	return c.store.Deleted(ctx, h)
}

// UnusedThumbnails lists the pictures to delete, as Withdrawn does files.
func (c *Catalog) UnusedThumbnails(ctx context.Context) ([]string, error) {
	return c.store.UnusedThumbnails(ctx)
}

// ThumbnailDeleted takes a picture off the list of UnusedThumbnails. It may be
// repeated.
func (c *Catalog) ThumbnailDeleted(ctx context.Context, hash string) error {
	return c.store.ThumbnailDeleted(ctx, hash)
}

// Take lists videos of one friend as it told of them, see Store.Take. Where it has as
// many here as it may, only those that are listed are taken.
func (c *Catalog) Take(ctx context.Context, origin network.Host, videos []video.Video) ([]Outcome, error) {
	outcomes, room := make([]Outcome, len(videos)), math.MaxInt
	if origin == c.host {
		for i := range outcomes {
			outcomes[i] = Foreign
		}
		return outcomes, nil
	}
	if c.most > 0 {
		n, err := c.store.Count(ctx, origin)
		if err != nil {
			return nil, err
		}
		room = c.most - n
	}
	taking, at := videos, []int(nil) // nil is all, in order
	if room < len(videos) {
		taking = nil
		for i, v := range videos {
			_, err := c.store.Get(ctx, v.ID)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
			if err != nil {
				if room <= 0 {
					outcomes[i] = Full
					continue
				}
				room--
			}
			taking, at = append(taking, v), append(at, i)
		}
	}
	taken, err := c.store.Take(ctx, taking...)
	if err != nil || at == nil {
		return taken, err
	}
	for i, o := range taken {
		outcomes[at[i]] = o
	}
	return outcomes, nil
}

// Drop takes a friend's video out for good: its origin removed it. ErrNotFound.
func (c *Catalog) Drop(ctx context.Context, origin network.Host, id video.ID) error {
	return c.dropUnlessOurs(ctx, origin, id, true)
}

// Forget takes a friend's video out that its origin does not have now. ErrNotFound.
func (c *Catalog) Forget(ctx context.Context, origin network.Host, id video.ID) error {
	return c.dropUnlessOurs(ctx, origin, id, false)
}

func (c *Catalog) dropUnlessOurs(ctx context.Context, origin network.Host, id video.ID, final bool) error {
	if origin == c.host {
		return ErrNotFound
	}
	return c.store.Drop(ctx, origin, id, final)
}

// forgetAtOnce is how many videos of a friend that is none any more go at a time.
const forgetAtOnce = 200

// ForgetAll takes all videos of a pod out that is no friend any more.
func (c *Catalog) ForgetAll(ctx context.Context, origin network.Host) error {
	if origin == c.host {
		return ErrForeign
	}
	for {
		n, err := c.store.DropSome(ctx, origin, forgetAtOnce)
		if err != nil || n == 0 {
			return err
		}
	}
}

// Marks gives the marks of all videos of origin, some at a time.
func (c *Catalog) Marks(ctx context.Context, origin network.Host, each func([]Mark) error) error {
	return c.store.Marks(ctx, origin, each)
}

// Count is how many videos of origin are listed.
func (c *Catalog) Count(ctx context.Context, origin network.Host) (int, error) {
	return c.store.Count(ctx, origin)
}

// ByThumbnail is a video that has this picture.
func (c *Catalog) ByThumbnail(ctx context.Context, hash string) (video.Video, error) {
	v, err := c.store.ByThumbnail(ctx, hash)
	return v, told(err)
}

// Unclaimed gives those of some pictures that no video has. One that was put a moment
// ago may be about to be set.
func (c *Catalog) Unclaimed(ctx context.Context, hashes []string) ([]string, error) {
	return c.store.Unclaimed(ctx, hashes)
}

func (c *Catalog) mayChange(who Editor, v *video.Video) error {
	switch {
	case v.Origin != c.host:
		return &api.Error{Code: api.CodeForbidden, Message: "Only the pod that this video comes from may change it."}
	case !who.Moderator && (who.Username == "" || !strings.EqualFold(who.Username, v.Uploader)):
		return &api.Error{Code: api.CodeForbidden, Message: "Only its uploader and moderators may change this video."}
	}
	return nil
}

// told puts the store's ErrNotFound into words.
func told(err error) error {
	if errors.Is(err, ErrNotFound) {
		return &api.Error{Code: api.CodeNotFound, Message: "There is no such video."}
	}
	return err
}
