package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"

	"kinopod/pod/container"
	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// tusStore is the uploads as tusd asks for them. Errors are handler.Error.
type tusStore struct{ p *Publisher }

var (
	_ handler.DataStore           = tusStore{}
	_ handler.TerminaterDataStore = tusStore{}
	_ handler.Locker              = tusStore{}
)

// told logs an error that is the pod's own, and gives it to tusd.
func (p *Publisher) told(err error, id video.ID) error {
	if err == nil {
		return nil
	}
	var already handler.Error
	if errors.As(err, &already) {
		return already
	}
	e := api.AsError(err)
	if e.Status() >= http.StatusInternalServerError {
		p.log.Error("an upload's request failed", "video", id, "err", err)
	}
	return tusError(e, e.Status())
}

// NewUpload implements handler.DataStore.
func (s tusStore) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	t := transferOf(ctx)
	id := video.NewID(s.p.cfg.Host)
	u, err := s.p.create(ctx, id, t.actor.Username, info.Size, t.meta)
	if err != nil {
		return nil, s.p.told(err, id)
	}
	_, t.lastByte, _, _ = u.state()
	return tusUpload{s.p, u}, nil
}

// maxBytes is what a torrent holds.
const maxBytes = int64(torrent.MaxPieces) * torrent.MaxPieceLength

// create begins an upload.
func (p *Publisher) create(ctx context.Context, id video.ID, username string, size int64, m metadata) (*upload, error) {
	switch {
	case size <= 0:
		return nil, &api.Error{Code: api.CodeUnsupported, Message: "The file is empty."}
	case size > maxBytes:
		return nil, &api.Error{Code: api.CodeTooLarge, Message: "The file is larger than this pod takes."}
	}
	if err := p.fewEnough(username); err != nil {
		return nil, err
	}
	if err := p.room(size); err != nil {
		return nil, err
	}
	if err := p.quota.Reserve(ctx, username, id, size); err != nil {
		return nil, unavailable(err)
	}
	u, err := createUpload(p.files, id, username, size, m)
	if err != nil {
		return nil, errors.Join(err, p.quota.Release(ctx, username, id))
	}
	p.mu.Lock()
	p.uploads[id] = u
	p.mu.Unlock()
	p.log.Info("an upload began", "video", id, "bytes", size)
	return u, nil
}

// maxUnfinished is how many unfinished uploads one account may have: each takes a
// directory, however few bytes it is of.
const maxUnfinished = 200

func (p *Publisher) fewEnough(username string) error {
	n := 0
	for _, u := range p.all() {
		if _, _, listed, _ := u.state(); u.Uploader == username && listed.IsZero() {
			n++
		}
	}
	if n >= maxUnfinished {
		return &api.Error{Code: api.CodeForbidden, Message: fmt.Sprintf("You have %d unfinished uploads. Finish some of them, or remove them.", n)}
	}
	return nil
}

// room says whether the disk has room for size bytes beside what all uploads are
// still to bring.
func (p *Publisher) room(size int64) error {
	free, err := p.files.Free()
	if err != nil {
		return err
	}
	for _, u := range p.all() {
		offset, _, _, _ := u.state()
		free -= u.Size - offset
	}
	if size > free-p.cfg.SpareBytes {
		return &api.Error{Code: api.CodeNoSpace, Message: "The pod's disk has no room for this file now."}
	}
	return nil
}

// GetUpload implements handler.DataStore. tusd asks with the turn taken. A
// complete upload is finished here where it could not be before.
func (s tusStore) GetUpload(ctx context.Context, name string) (handler.Upload, error) {
	t := transferOf(ctx)
	id, err := video.ParseID(name)
	if err != nil {
		return nil, s.p.told(errNoUpload(), id)
	}
	u, err := s.p.asked(ctx, id)
	if err != nil {
		return nil, s.p.told(err, id)
	}
	offset, lastByte, listed, dropped := u.state()
	switch {
	case dropped:
		return nil, s.p.told(s.p.refusalOf(id, t.actor.Username), id)
	case s.p.expired(u):
		return nil, s.p.told(errNoUpload(), id)
	case t.method == http.MethodDelete && (!listed.IsZero() || offset == u.Size):
		return nil, s.p.told(&api.Error{Code: api.CodeConflict, Message: "All bytes are here. Remove the video instead."}, id)
	case offset == u.Size:
		if err := s.p.finish(ctx, u); err != nil {
			return nil, s.p.told(err, id)
		}
		t.finished = id
	default:
		t.lastByte = lastByte
	}
	return tusUpload{s.p, u}, nil
}

// asked gives the upload that a request is about, if its user may have it.
func (p *Publisher) asked(ctx context.Context, id video.ID) (*upload, error) {
	t := transferOf(ctx)
	u := p.upload(id)
	if u == nil && t.method == http.MethodHead {
		// Its directory may be gone since it became a video, and its client may have
		// missed the last answer.
		v, err := p.catalog.Get(ctx, id)
		if err == nil && v.Origin == p.cfg.Host && len(v.Renditions) > 0 {
			size := v.Renditions[0].Size
			u = &upload{id: id, record: record{Uploader: v.Uploader, Size: size}, offset: size, listed: v.Created}
		} else if err != nil && !api.Is(err, api.CodeNotFound) {
			return nil, unavailable(err)
		}
	}
	if u == nil || u.Uploader != t.actor.Username {
		return nil, p.refusalOf(id, t.actor.Username)
	}
	return u, nil
}

// AsTerminatableUpload implements handler.TerminaterDataStore.
func (s tusStore) AsTerminatableUpload(u handler.Upload) handler.TerminatableUpload {
	return u.(tusUpload)
}

// NewLock implements handler.Locker.
func (s tusStore) NewLock(name string) (handler.Lock, error) {
	id, err := video.ParseID(name)
	if err != nil {
		return nil, s.p.told(errNoUpload(), id)
	}
	return &tusLock{p: s.p, id: id}, nil
}

// tusLock is the turn of an upload, held by one request.
type tusLock struct {
	p       *Publisher
	id      video.ID
	release func()
	passed  bool // given up before the request's end
}

// Lock implements handler.Lock. tusd's own way to end a request races with its
// beginning; ours does not.
func (l *tusLock) Lock(ctx context.Context, _ func()) error {
	t := transferOf(ctx)
	// Nobody ends another user's request.
	if _, err := l.p.asked(ctx, l.id); err != nil {
		return l.p.told(err, l.id)
	}
	var err error
	if l.release, err = l.p.turns.take(ctx, l.id, t.interrupt); err != nil {
		return tusError(err, http.StatusLocked)
	}
	t.lock = l
	return nil
}

// pass gives the turn to whoever waits for it, before the request has ended.
func (l *tusLock) pass() {
	l.passed = true
	l.release()
}

// Unlock implements handler.Lock.
func (l *tusLock) Unlock() error {
	if !l.passed {
		l.release()
	}
	return nil
}

// tusUpload is one upload as tusd asks for it.
type tusUpload struct {
	p *Publisher
	*upload
}

// GetInfo implements handler.Upload.
func (u tusUpload) GetInfo(context.Context) (handler.FileInfo, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	meta := handler.MetaData{}
	var said video.Video
	said.SetText(u.details.Description) // a header has no room for all of it
	for key, value := range map[string]string{
		api.MetaFileName: u.FileName, api.MetaFileType: u.FileType, api.MetaName: u.details.Name,
		api.MetaDescription: said.Description, api.MetaTags: strings.Join(u.details.Tags, ","),
	} {
		if value != "" {
			meta[key] = value
		}
	}
	return handler.FileInfo{ID: u.id.String(), Size: u.Size, Offset: u.offset, MetaData: meta}, nil
}

// GetReader implements handler.Upload; downloads are not offered here.
func (u tusUpload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}

// WriteChunk implements handler.Upload.
func (u tusUpload) WriteChunk(ctx context.Context, _ int64, src io.Reader) (int64, error) {
	t := transferOf(ctx)
	n, err := u.append(t, src)
	var refused *container.Refusal
	if errors.As(err, &refused) {
		t.lastByte = time.Time{}
		return 0, u.p.told(u.p.refuse(ctx, u.upload, refused), u.id)
	}
	if t.method == http.MethodPost && api.Is(err, api.CodeTooLarge) { // nobody learns its address
		t.lastByte = time.Time{}
		u.p.drop(ctx, u.upload)
		return 0, u.p.told(err, u.id)
	}
	_, t.lastByte, _, _ = u.state()
	return n, u.p.told(err, u.id)
}

// append takes a request's body and says how many bytes of it count. Where a newer
// request waits for the turn it gets it before the body has ended: that may take
// as long as a dead connection is believed to live.
func (u *upload) append(t *transfer, src io.Reader) (n int64, err error) {
	a, err := u.appender()
	if err != nil {
		return 0, err
	}
	if t.checksum != nil {
		if err := u.uncheckedFrom(a.begin); err != nil {
			return 0, errors.Join(err, a.close())
		}
	}
	r := newReader(src)
	takenOver, err := a.copy(r, t.body.over)
	if takenOver {
		if t.checksum != nil {
			err = a.rollBack()
		}
		n, err = u.end(a, t, err)
		t.lock.pass()
		<-r.idle
		return n, errors.Join(errTakenOver(), err)
	}
	<-r.idle
	checked := t.checksum != nil && err == nil && t.body.err == nil
	switch {
	case t.body.read > a.at-a.begin && a.at == u.Size && err == nil:
		err = &api.Error{Code: api.CodeTooLarge, Message: "More bytes came than the file was said to have."}
		err = errors.Join(err, a.rollBack())
	case t.checksum != nil && !checked: // part of what the checksum is of
		err = errors.Join(err, a.rollBack())
	case checked && !t.matches():
		wrong := &api.Error{Code: api.CodeInvalid, Message: "The bytes are not those that the checksum is of. They are dropped; send them again."}
		err = errors.Join(tusError(wrong, statusChecksum), a.rollBack())
	}
	return u.end(a, t, err)
}

// end has on disk what an appender wrote, and adds what fails in that to err.
func (u *upload) end(a *appender, t *transfer, err error) (int64, error) {
	syncErr := diskError(a.sync())
	if t.checksum != nil && syncErr == nil {
		syncErr = u.files.DeleteUploadFile(u.id, uncheckedFile)
	}
	return a.at - a.begin, errors.Join(err, syncErr, diskError(a.close()))
}

// FinishUpload implements handler.Upload.
func (u tusUpload) FinishUpload(ctx context.Context) error {
	t := transferOf(ctx)
	if t.lock.passed { // whoever has the turn now finishes
		return errTakenOver()
	}
	err := u.p.finish(ctx, u.upload)
	if err == nil {
		t.finished = u.id
	}
	return u.p.told(err, u.id)
}

// Terminate implements handler.TerminatableUpload.
func (u tusUpload) Terminate(ctx context.Context) error {
	u.p.drop(ctx, u.upload)
	return nil
}
