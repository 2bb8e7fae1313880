package upload

import (
	"context"
	"slices"
	"strconv"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Refresh asks the pod for its limits, the caller's account, and the uploads that
// were not finished. CodeUnauthorized says that nobody is logged in.
func (q *Queue) Refresh(ctx context.Context) error {
	me, err := q.cfg.API.Me(ctx)
	if err != nil {
		return err
	}
	pod, err := q.cfg.API.Pod(ctx)
	if err != nil {
		return err
	}
	uploads, err := q.cfg.API.Uploads(ctx)
	if err != nil {
		return err
	}
	q.change(func() { q.me, q.pod, q.unfinished, q.known = me, pod, uploads, true })
	return nil
}

// Account is the pod and the account that Refresh found; ok is false before.
func (q *Queue) Account() (pod api.Pod, me api.User, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pod, q.me, q.known
}

// Unfinished lists the caller's uploads that the pod keeps and that are not in the
// queue: they go on once their file is chosen again (Add or Continue).
func (q *Queue) Unfinished() []api.Upload {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(q.unfinished), func(u api.Upload) bool { return q.has(u.ID) })
}

func (q *Queue) has(id video.ID) bool {
	return slices.ContainsFunc(q.items, func(it *item) bool { return it.ID == id })
}

// Discard makes the pod forget one of Unfinished.
func (q *Queue) Discard(ctx context.Context, id video.ID) error {
	if err := q.client.terminate(ctx, id); err != nil {
		return api.AsError(err)
	}
	q.change(func() { q.drop(id) })
	return nil
}

func (q *Queue) drop(id video.ID) {
	q.unfinished = slices.DeleteFunc(q.unfinished, func(u api.Upload) bool { return u.ID == id })
}

// match finds the unfinished upload that a file goes on with: the one of its ID, or
// else, where this device does not know the file, the one with the same name and
// size that began after the file last changed. Called with the queue locked.
func (q *Queue) match(it *item) (api.Upload, bool) {
	for _, u := range q.unfinished {
		switch {
		case it.ID == u.ID:
			return u, true
		case it.ID.IsZero() && u.Size == it.Size && sameName(it.FileName, u.FileName) && !changedSince(it.file, u) && !q.has(u.ID):
			return u, true
		}
	}
	return api.Upload{}, false
}

// changedSince says whether a file is not what it was when the upload began.
func changedSince(f *File, u api.Upload) bool {
	return f.Modified().After(u.Created.Add(clockSlack))
}

// clockSlack is how far the clocks of a device and its pod may differ.
const clockSlack = 5 * time.Minute

// sameName compares a file's name with what a pod made of it.
func sameName(name, stored string) bool {
	return stored == name || stored == video.FileName(name, video.MP4) || stored == video.FileName(name, video.WebM)
}

// formatBytes writes a number of bytes as people read it: "3.4 MiB".
func formatBytes(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v /= 1024; v < 999.5 {
			break
		}
	}
	digits := 0
	if v < 9.95 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + unit
}
