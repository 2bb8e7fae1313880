package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Files is the disk; *filestore.Store.
type Files interface {
	// CreateUpload makes the directory of an upload with these small files in it.
	CreateUpload(id video.ID, files map[string][]byte) error
	Uploads() ([]video.ID, error)
	UploadPath(id video.ID, name string) string
	// UploadFile opens a file for reading and writing and makes it where it is missing.
	UploadFile(id video.ID, name string) (*os.File, error)
	ReadUpload(id video.ID, name string) ([]byte, error) // fs.ErrNotExist
	WriteUpload(id video.ID, name string, data []byte) error
	DeleteUploadFile(id video.ID, name string) error
	RemoveUpload(id video.ID) error

	// Place moves a file to where the video of h is served; again is no error.
	Place(h magnet.InfoHash, info []byte, from string) error
	VideoPath(h magnet.InfoHash) string
	Remove(h magnet.InfoHash) error

	CheckThumbnail(webp []byte) error
	PutThumbnail(webp []byte, of video.ID) (hash string, err error)
	RemoveThumbnail(hash string) error
	// OldThumbnails gives the pictures that were put before a time, some at a time.
	OldThumbnails(before time.Time, each func(hashes []string) error) error

	// Free is how many bytes the disk still takes.
	Free() (int64, error)
}

// Catalog is the index of videos; *catalog.Catalog.
type Catalog interface {
	// Add lists a video; false where it is listed already, which changes nothing, and
	// catalog.ErrWithdrawn where it was withdrawn.
	Add(ctx context.Context, v video.Video) (added bool, err error)
	Get(ctx context.Context, id video.ID) (video.Video, error) // api.CodeNotFound
	// SetThumbnail puts a picture that it replaces on the durable list of pictures to delete.
	SetThumbnail(ctx context.Context, id video.ID, hash string) error
	// Withdraw takes a video off every list and puts files and picture on the durable
	// lists of what is to be deleted; api.CodeForbidden, api.CodeNotFound.
	Withdraw(ctx context.Context, who catalog.Editor, id video.ID) (video.Video, error)
	Withdrawn(ctx context.Context) ([]magnet.InfoHash, error)
	Deleted(ctx context.Context, h magnet.InfoHash) error
	UnusedThumbnails(ctx context.Context) ([]string, error)
	ThumbnailDeleted(ctx context.Context, hash string) error
	// Unclaimed gives those of some pictures that no video has.
	Unclaimed(ctx context.Context, hashes []string) ([]string, error)
}

// Quota is what users may keep; *accounts.Accounts.
type Quota interface {
	// Reserve books bytes for an upload, which its video keeps; api.CodeTooLarge.
	Reserve(ctx context.Context, user string, id video.ID, bytes int64) error
	// Release gives them back; again is no error.
	Release(ctx context.Context, user string, id video.ID) error
	// ReleaseVanished gives back what is booked for ids that do not exist.
	ReleaseVanished(ctx context.Context, exists func(context.Context, video.ID) (bool, error)) (int, error)
}

var (
	_ Catalog = (*catalog.Catalog)(nil)
	_ Quota   = (*accounts.Accounts)(nil)
)

// Dropper stops serving a torrent that is being removed: tracker and seeder.
type Dropper interface {
	Drop(h magnet.InfoHash)
}

// Config is what an operator decides, and what the pod joins.
type Config struct {
	Host        network.Host  // the origin of the videos
	UploadBytes int64         // most of one file; 0 is none
	SpareBytes  int64         // room on the disk that uploads must leave; 0 is 256 MiB
	Expiry      time.Duration // of an upload to which no bytes come; 0 is 24 h
	Idle        time.Duration // how long a connection may send nothing; 0 is a minute
	FFmpeg      string        // program that makes thumbnails; "" is ffmpeg in PATH
	Droppers    []Dropper
	Log         *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.SpareBytes == 0 {
		c.SpareBytes = 256 << 20
	}
	if c.Expiry == 0 {
		c.Expiry = 24 * time.Hour
	}
	if c.Idle == 0 {
		c.Idle = time.Minute
	}
	if c.FFmpeg == "" {
		c.FFmpeg = "ffmpeg"
	}
	return c
}

// Publisher keeps the uploads of a pod. One process at a time may use a data
// directory.
type Publisher struct {
	cfg     Config
	files   Files
	catalog Catalog
	quota   Quota
	redis   asynq.RedisConnOpt
	tasks   *asynq.Client
	ffmpeg  string // path, "" where there is none
	log     *slog.Logger
	handler http.Handler
	turns   turns
	shrinks chan struct{} // a picture that is made smaller holds it
	settled time.Duration // how long a video is watched after it was listed

	auditSoon atomic.Bool // something is on the catalogue's lists of what is to be deleted

	mu      sync.Mutex
	uploads map[video.ID]*upload
	refused map[video.ID]refusal // the last ones, for clients that missed the answer
}

// New reads the uploads that are on disk. Run finishes what a killed pod left;
// Handler may serve before. Close ends what New began.
func New(cfg Config, files Files, cat Catalog, quota Quota, redis asynq.RedisConnOpt) (*Publisher, error) {
	p := &Publisher{
		cfg: cfg.withDefaults(), files: files, catalog: cat, quota: quota, redis: redis, log: cfg.Log, settled: settled, shrinks: make(chan struct{}, 1),
		uploads: map[video.ID]*upload{}, refused: map[video.ID]refusal{},
	}
	var err error
	if p.ffmpeg, err = exec.LookPath(p.cfg.FFmpeg); err != nil {
		p.log.Warn("no thumbnails are made for videos that come without: install ffmpeg", "err", err)
	}
	if p.handler, err = p.newHandler(); err != nil {
		return nil, err
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	p.tasks = asynq.NewClient(redis)
	return p, nil
}

// Close lets go of the connection to Redis.
func (p *Publisher) Close() error {
	if err := p.tasks.Close(); err != nil {
		return fmt.Errorf("close task queue: %w", err)
	}
	return nil
}

// load reads what is on disk. What cannot be read is left alone and told of: it is
// an operator's to look at.
func (p *Publisher) load() error {
	ids, err := p.files.Uploads()
	if err != nil {
		return fmt.Errorf("load uploads: %w", err)
	}
	for _, id := range ids {
		u, err := p.loadUpload(id)
		if err != nil {
			p.log.Error("an upload on disk cannot be read", "video", id, "err", err)
			continue
		}
		p.uploads[id] = u
	}
	return nil
}

// upload gives the upload id, nil if there is none.
func (p *Publisher) upload(id video.ID) *upload {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.uploads[id]
}

// all gives the uploads, in no order.
func (p *Publisher) all() []*upload {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*upload, 0, len(p.uploads))
	for _, u := range p.uploads {
		all = append(all, u)
	}
	return all
}

// forget takes an upload from the map; its directory is gone.
func (p *Publisher) forget(id video.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.uploads, id)
}

func errNoUpload() error {
	return &api.Error{Code: api.CodeNotFound, Message: "There is no such upload. It may have ended or expired."}
}

// unavailable gives err a code where it has none: stores fail with plain errors
// when Redis is away.
func unavailable(err error) error {
	var e *api.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Message: "The pod cannot reach its database right now. What you sent is kept. Try again in a moment.", Cause: err}
}

// Uploads lists a user's uploads that are not a video yet, the newest first.
func (p *Publisher) Uploads(_ context.Context, username string) ([]api.Upload, error) {
	out := []api.Upload{}
	for _, u := range p.all() {
		if u.Uploader != username {
			continue
		}
		if view, ok := u.view(p.cfg.Expiry); ok {
			out = append(out, view)
		}
	}
	slices.SortFunc(out, func(a, b api.Upload) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// EditUpload changes what is said of an upload. api.CodeNotFound where it is
// another user's, or a video already: then it is in the catalogue.
func (p *Publisher) EditUpload(_ context.Context, who accounts.Actor, id video.ID, in api.VideoEdit) (api.Upload, error) {
	u := p.upload(id)
	if u == nil || !u.mayTouch(who) {
		return api.Upload{}, errNoUpload()
	}
	return u.edit(in, p.cfg.Expiry)
}

// SetThumbnail sets the picture of an upload or of a video, in place of any
// before it.
func (p *Publisher) SetThumbnail(ctx context.Context, who accounts.Actor, id video.ID, webp []byte) error {
	u := p.upload(id)
	if u != nil && !u.mayTouch(who) {
		return errNoUpload()
	}
	if err := p.files.CheckThumbnail(webp); err != nil {
		return err
	}
	if u != nil {
		var err error
		if webp, err = p.smaller(ctx, webp); err != nil {
			return err
		}
		if done, err := u.setThumbnail(webp); done || err != nil {
			return err
		}
	}
	release, err := p.turns.take(ctx, id, nil)
	if err != nil {
		return err
	}
	defer release()
	v, err := p.catalog.Get(ctx, id)
	if err != nil {
		return unavailable(err)
	}
	if v.Origin != p.cfg.Host || v.Uploader != who.Username && !who.MayModerate() {
		return &api.Error{Code: api.CodeForbidden, Message: "Only its uploader and moderators may change a video."}
	}
	if webp, err = p.smaller(ctx, webp); err != nil {
		return err
	}
	return p.replaceThumbnail(ctx, v, webp)
}

// replaceThumbnail sets the picture of a video. The caller has the turn.
func (p *Publisher) replaceThumbnail(ctx context.Context, v video.Video, webp []byte) error {
	hash, err := p.files.PutThumbnail(webp, v.ID)
	if err != nil || hash == v.Thumbnail {
		return err
	}
	err = p.catalog.SetThumbnail(ctx, v.ID, hash)
	if api.Is(err, api.CodeNotFound) {
		return errors.Join(err, p.files.RemoveThumbnail(hash))
	}
	if err != nil {
		return unavailable(err) // it may have been set all the same
	}
	if u := p.upload(v.ID); u != nil {
		if err := u.noteThumbnail(hash); err != nil {
			return err
		}
	}
	if v.Thumbnail == "" {
		return nil
	}
	if err := p.deleteThumbnail(ctx, v.Thumbnail); err != nil {
		p.log.Warn("a picture that was replaced could not be deleted yet", "video", v.ID, "err", err)
		p.auditSoon.Store(true)
	}
	return nil
}

// Exists says whether id is an upload or a video.
func (p *Publisher) Exists(ctx context.Context, id video.ID) (bool, error) {
	if p.upload(id) != nil {
		return true, nil
	}
	_, err := p.catalog.Get(ctx, id)
	if api.Is(err, api.CodeNotFound) {
		return false, nil
	}
	return err == nil, err
}
