package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// The task that makes a thumbnail, its queue, and how often and long it is tried.
const (
	thumbnailTask    = "publish:thumbnail"
	thumbnailQueue   = "publish"
	thumbnailRetries = 3
	thumbnailTime    = time.Minute
)

// thumbnailPayload is the task's payload.
type thumbnailPayload struct {
	Video video.ID `json:"video"`
}

// enqueueThumbnail has a thumbnail made of a video that has none, once however
// often it is asked for. Without ffmpeg, and where Redis is away, there is none.
func (p *Publisher) enqueueThumbnail(ctx context.Context, id video.ID) {
	if p.ffmpeg == "" {
		return
	}
	payload, err := json.Marshal(thumbnailPayload{Video: id})
	if err == nil {
		_, err = p.tasks.EnqueueContext(ctx, asynq.NewTask(thumbnailTask, payload),
			asynq.TaskID("thumbnail:"+id.String()), asynq.Queue(thumbnailQueue), asynq.MaxRetry(thumbnailRetries), asynq.Timeout(thumbnailTime))
	}
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		p.log.Warn("a thumbnail could not be asked for", "video", id, "err", err)
	}
}

// startTasks begins to work on tasks; the caller shuts the server down.
func (p *Publisher) startTasks(ctx context.Context) (*asynq.Server, error) {
	server := asynq.NewServer(p.redis, asynq.Config{
		Concurrency: 1, Queues: map[string]int{thumbnailQueue: 1},
		TaskCheckInterval: 200 * time.Millisecond, DelayedTaskCheckInterval: time.Second, ShutdownTimeout: 5 * time.Second,
		BaseContext:    func() context.Context { return ctx },
		RetryDelayFunc: func(n int, _ error, _ *asynq.Task) time.Duration { return time.Duration(n+1) * 10 * time.Second },
		Logger:         taskLog{p.log}, LogLevel: asynq.WarnLevel,
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc(thumbnailTask, p.doThumbnail)
	return server, server.Start(mux)
}

// doThumbnail makes the thumbnail of a video that still has none. The last failure
// ends the task: one that is archived would keep its id.
func (p *Publisher) doThumbnail(ctx context.Context, task *asynq.Task) error {
	var in thumbnailPayload
	if err := json.Unmarshal(task.Payload(), &in); err != nil {
		return fmt.Errorf("payload of %s: %w: %w", thumbnailTask, err, asynq.SkipRetry)
	}
	err := p.makeThumbnail(ctx, in.Video)
	retried, _ := asynq.GetRetryCount(ctx)
	if err != nil && retried >= thumbnailRetries {
		p.log.Warn("a video has no thumbnail: none could be made", "video", in.Video, "err", err)
		return nil
	}
	return err
}

func (p *Publisher) makeThumbnail(ctx context.Context, id video.ID) error {
	v, err := p.catalog.Get(ctx, id)
	if api.Is(err, api.CodeNotFound) || err == nil && (v.Thumbnail != "" || len(v.Renditions) == 0) || p.ffmpeg == "" {
		return nil
	}
	if err != nil {
		return unavailable(err)
	}
	picture, err := p.still(ctx, p.files.VideoPath(v.Renditions[0].InfoHash), v.Renditions[0].MIME, v.Duration/10)
	if err != nil {
		return err
	}
	release, err := p.turns.take(ctx, id, nil)
	if err != nil {
		return err
	}
	defer release()
	// Its uploader may have chosen one, or removed the video, meanwhile.
	v, err = p.catalog.Get(ctx, id)
	if api.Is(err, api.CodeNotFound) || err == nil && v.Thumbnail != "" {
		return nil
	}
	if err != nil {
		return unavailable(err)
	}
	if err := p.replaceThumbnail(ctx, v, picture); !api.Is(err, api.CodeNotFound) {
		return err
	}
	return nil
}

// taskLog gives asynq's log to ours.
type taskLog struct{ log *slog.Logger }

func (l taskLog) Debug(...any)      {}
func (l taskLog) Info(...any)       {}
func (l taskLog) Warn(args ...any)  { l.log.Warn("task queue", "err", fmt.Sprint(args...)) }
func (l taskLog) Error(args ...any) { l.log.Error("task queue", "err", fmt.Sprint(args...)) }
func (l taskLog) Fatal(args ...any) { l.log.Error("task queue", "err", fmt.Sprint(args...)) }
