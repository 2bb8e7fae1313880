package publish

import (
	"context"
	"errors"
	"fmt"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

// editor is who asks, as the catalogue knows them.
func editor(who accounts.Actor) catalog.Editor {
	return catalog.Editor{Username: who.Username, Moderator: who.MayModerate()}
}

// Withdraw removes a video: from every list first, so that no viewer begins, then
// from tracker and seeder, then from disk. An upload under way ends. What a killed
// pod leaves of it stands on the catalogue's lists, and Run goes on there.
func (p *Publisher) Withdraw(ctx context.Context, who accounts.Actor, id video.ID) error {
	u := p.upload(id)
	if u != nil && !u.mayTouch(who) {
		return errNoUpload()
	}
	release, err := p.turns.take(ctx, id, nil)
	if err != nil {
		return err
	}
	defer release()
	u = p.upload(id)
	if u != nil {
		offset, _, _, dropped := u.state()
		if dropped {
			return errNoUpload()
		}
		if offset < u.Size {
			p.drop(ctx, u)
			return nil
		}
	}
	v, err := p.catalog.Withdraw(ctx, editor(who), id)
	if u != nil && api.Is(err, api.CodeNotFound) { // complete, but not a video yet
		p.drop(ctx, u)
		return nil
	}
	if err != nil {
		return unavailable(err)
	}
	p.log.Info("a video was withdrawn", "video", id, "by", who.Username)
	if err := p.deleteVideo(ctx, v, u); err != nil {
		p.log.Warn("a withdrawn video could not be deleted yet", "video", id, "err", err)
		p.auditSoon.Store(true)
	}
	return nil
}

// deleteVideo deletes what there is of a withdrawn video, and its upload's
// directory where it still has one. The caller has the turn.
func (p *Publisher) deleteVideo(ctx context.Context, v video.Video, u *upload) error {
	if u != nil {
		if err := u.noteDropped(); err != nil {
			return err
		}
	}
	var err error
	for _, r := range v.Renditions {
		err = errors.Join(err, p.deleteFile(ctx, r.InfoHash))
	}
	if v.Thumbnail != "" {
		err = errors.Join(err, p.deleteThumbnail(ctx, v.Thumbnail))
	}
	if u != nil {
		p.drop(ctx, u)
		return err
	}
	if releaseErr := p.quota.Release(ctx, v.Uploader, v.ID); releaseErr != nil {
		err = errors.Join(err, fmt.Errorf("release quota: %w", releaseErr))
	}
	return err
}

// deleteFile stops serving h, deletes its file, and takes it off the catalogue's
// list of files to delete.
func (p *Publisher) deleteFile(ctx context.Context, h magnet.InfoHash) error {
	for _, d := range p.cfg.Droppers {
		d.Drop(h)
	}
	if err := p.files.Remove(h); err != nil {
		return err
	}
	if err := p.catalog.Deleted(ctx, h); err != nil {
		return fmt.Errorf("note deletion of %s: %w", h, err)
	}
	return nil
}

// deleteThumbnail deletes a picture and takes it off the catalogue's list of
// pictures to delete.
func (p *Publisher) deleteThumbnail(ctx context.Context, hash string) error {
	if err := p.files.RemoveThumbnail(hash); err != nil {
		return err
	}
	if err := p.catalog.ThumbnailDeleted(ctx, hash); err != nil {
		return fmt.Errorf("note deletion of thumbnail %s: %w", hash, err)
	}
	return nil
}
