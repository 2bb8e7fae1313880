package publish

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/container"
	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// finishTime bounds what lies between the last byte and the list.
const finishTime = 30 * time.Second

// finish makes a video of a complete upload. The caller has the turn. Done again,
// it goes on where it was. A file that is no video ends the upload with an
// *api.Error of CodeUnsupported; after other errors it may be tried again.
func (p *Publisher) finish(ctx context.Context, u *upload) error {
	offset, _, listed, dropped := u.state()
	switch {
	case dropped:
		return p.refusalOf(u.id, u.Uploader)
	case !listed.IsZero():
		return nil
	case offset != u.Size:
		return fmt.Errorf("upload %s has %d of %d bytes", u.id, offset, u.Size)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	if u.seal == nil {
		if err := p.sealUpload(u); err != nil {
			var refused *container.Refusal
			if errors.As(err, &refused) {
				return p.refuse(ctx, u, refused)
			}
			return err
		}
	}
	t, err := torrent.ParseInfo(u.seal.Info)
	if err != nil {
		return fmt.Errorf("torrent of upload %s: %w", u.id, err)
	}
	if err := p.files.Place(t.InfoHash, t.Info, p.files.UploadPath(u.id, dataFile)); err != nil {
		return diskError(err)
	}
	err = p.list(ctx, u, t)
	if errors.Is(err, catalog.ErrWithdrawn) { // a pod was killed while it removed the video
		p.drop(ctx, u)
	}
	if err != nil {
		return err
	}
	p.log.Info("an upload became a video", "video", u.id, "infoHash", t.InfoHash, "bytes", u.Size)
	return nil
}

// sealUpload checks the file and writes down its torrent.
func (p *Publisher) sealUpload(u *upload) error {
	data, err := u.files.UploadFile(u.id, dataFile)
	if err != nil {
		return err
	}
	defer data.Close()
	in, err := container.Probe(data, u.Size)
	if err != nil {
		return err
	}
	hashes, err := u.pieceHashes()
	if err != nil {
		return err
	}
	name := u.FileName
	if name == "" {
		name = u.name()
	}
	t, err := torrent.Build(video.FileName(name, in.MIME), u.Size, torrent.PieceLengthFor(u.Size), hashes, u.id.String())
	if err != nil {
		return fmt.Errorf("torrent of upload %s: %w", u.id, err)
	}
	s := &sealed{Info: t.Info, MIME: in.MIME, Duration: in.Duration, Width: in.Width, Height: in.Height, At: time.Now().UTC().Truncate(time.Millisecond)}
	if err := u.writeJSON(sealedFile, s); err != nil {
		return err
	}
	u.seal = s
	return nil
}

func (u *upload) name() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.details.Name
}

// pieceHashes gives the hashes of all pieces of a complete upload.
func (u *upload) pieceHashes() ([]byte, error) {
	a, err := u.appender()
	if err != nil {
		return nil, err
	}
	u.hasher.Close() // the last piece, where it is shorter
	u.hasher = nil   // it has no place for more
	err = errors.Join(u.failed, a.sync())
	var hashes []byte
	if err == nil {
		pieceLength := torrent.PieceLengthFor(u.Size)
		hashes = make([]byte, ((u.Size-1)/pieceLength+1)*sha1.Size)
		_, err = u.hashes.ReadAt(hashes, 0)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	if err = errors.Join(err, a.close()); err != nil {
		return nil, diskError(fmt.Errorf("hashes of upload %s: %w", u.id, err))
	}
	return hashes, nil
}

// list adds the video to the catalogue. Edits wait for it: an edit comes before,
// and is in the video, or it finds a video to edit.
func (p *Publisher) list(ctx context.Context, u *upload, t *torrent.Torrent) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, err := p.catalog.Add(ctx, u.video(p, t)); err != nil {
		return unavailable(err)
	}
	u.listed = time.Now()
	if u.details.Thumbnail == "" {
		p.enqueueThumbnail(ctx, u.id)
	}
	return nil
}

// video is the upload as a video. The caller has u.mu.
func (u *upload) video(p *Publisher, t *torrent.Torrent) video.Video {
	v := video.Video{
		ID: u.id, Origin: p.cfg.Host, Name: u.details.Name, Uploader: u.Uploader,
		Tags: append([]string(nil), u.details.Tags...), Created: u.seal.At, Duration: u.seal.Duration, Thumbnail: u.details.Thumbnail,
		Renditions: []video.Rendition{{
			InfoHash: t.InfoHash, Size: t.Length, Width: u.seal.Width, Height: u.seal.Height, MIME: u.seal.MIME, FileName: t.Name,
		}},
	}
	v.SetText(u.details.Description)
	return v
}

// settled is how long a video has to be in the catalogue before its upload's
// directory goes: Redis, killed at a bad moment, loses up to two seconds.
const settled = 10 * time.Second

// settle looks whether a video that was listed is so still, and lists it again or
// ends its upload. The caller has the turn.
func (p *Publisher) settle(ctx context.Context, u *upload) error {
	v, err := p.catalog.Get(ctx, u.id)
	if api.Is(err, api.CodeNotFound) {
		p.log.Warn("a video that was listed is not any more: Redis lost it; listing it again", "video", u.id)
		u.mu.Lock()
		u.listed = time.Time{}
		u.mu.Unlock()
		return p.finish(ctx, u)
	}
	if err != nil {
		return unavailable(err)
	}
	if v.Thumbnail == "" {
		p.enqueueThumbnail(ctx, u.id)
	}
	if err := p.files.RemoveUpload(u.id); err != nil {
		return err
	}
	p.forget(u.id)
	return nil
}

// refusal is why an upload ended, for a client that asks again: one that was still
// sending may have missed the answer.
type refusal struct {
	uploader string
	at       time.Time
	err      *api.Error
}

// Refusals are remembered for a while, and not without bound.
const (
	refusalTime = 10 * time.Minute
	maxRefusals = 1000
)

// refuse ends an upload whose file is no use, and gives the error that says so.
func (p *Publisher) refuse(ctx context.Context, u *upload, why *container.Refusal) error {
	err := &api.Error{Code: api.CodeUnsupported, Message: why.Sentence}
	p.mu.Lock()
	if len(p.refused) < maxRefusals {
		p.refused[u.id] = refusal{uploader: u.Uploader, at: time.Now(), err: err}
	}
	p.mu.Unlock()
	p.log.Info("an upload was refused", "video", u.id, "reason", why.Sentence)
	p.drop(ctx, u)
	return err
}

// refusalOf is what is remembered of an upload, or that there is none.
func (p *Publisher) refusalOf(id video.ID, username string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.refused[id]; ok && r.uploader == username && time.Since(r.at) < refusalTime {
		return r.err
	}
	return errNoUpload()
}

// drop ends an upload that is not a video: nobody sees it any more, and its bytes
// and quota are given back, now or, where Redis is away, by a sweep. The caller has
// the turn.
func (p *Publisher) drop(ctx context.Context, u *upload) {
	if err := errors.Join(u.noteDropped(), p.clear(ctx, u)); err != nil {
		p.log.Warn("an upload that ended could not be cleared away yet", "video", u.id, "err", err)
	}
}

// clear gives back all that an upload holds, also what it has placed already.
func (p *Publisher) clear(ctx context.Context, u *upload) error {
	u.mu.Lock()
	thumbnail := u.details.Thumbnail
	u.mu.Unlock()
	if thumbnail != "" {
		if err := p.files.RemoveThumbnail(thumbnail); err != nil {
			return err
		}
	}
	if u.seal != nil {
		if err := p.files.Remove(sha1.Sum(u.seal.Info)); err != nil {
			return err
		}
	}
	if err := p.quota.Release(ctx, u.Uploader, u.id); err != nil {
		return fmt.Errorf("release quota: %w", err)
	}
	if err := p.files.RemoveUpload(u.id); err != nil {
		return err
	}
	p.forget(u.id)
	return nil
}
