package upload

import (
	"context"

	"kinopod/shared/api"
)

// check decides whether a file may go up, and where it goes on.
func (q *Queue) check(it *item) {
	mime, print, err := q.inspect(it.ctx, it.file)
	if err == nil {
		err = q.hold(it, mime, print)
	}
	if err == nil {
		// Without an answer the pod is asked again by the transfer, which waits.
		if rerr := q.Refresh(it.ctx); api.Is(rerr, api.CodeUnauthorized) {
			err = rerr
		}
	}
	q.change(func() {
		it.working = false
		if err == nil {
			err = q.place(it)
		}
		switch {
		case it.ctx.Err() != nil:
		case err != nil:
			it.fail(api.AsError(err))
		case it.State == Checking:
			it.State = Waiting
		}
	})
}

// inspect looks at the file alone.
func (q *Queue) inspect(ctx context.Context, f *File) (mime, print string, err error) {
	if f.Size() == 0 {
		return "", "", invalid("%s is empty.", f.Name())
	}
	b, err := head(ctx, f)
	if err != nil {
		return "", "", &api.Error{Code: api.CodeInvalid, Message: f.Name() + " cannot be read.", Cause: err}
	}
	if mime, err = kindOf(f.Name(), b); err != nil {
		return "", "", err
	}
	return mime, fingerprint(f, b), nil
}

func (q *Queue) hold(it *item, mime, print string) error {
	release, ok := q.cfg.Memory.hold(it.ctx, print)
	if !ok {
		return &api.Error{Code: api.CodeConflict, Message: it.FileName + " is going up already, here or in another tab."}
	}
	q.change(func() {
		it.mime, it.print, it.release = mime, print, release
		if it.ctx.Err() != nil {
			it.letGo()
		}
	})
	return nil
}

// place finds the upload that a file goes on with; a new one must fit the pod's
// limits. Called with the queue locked.
func (q *Queue) place(it *item) error {
	if r, ok := q.cfg.Memory.get(it.print); ok && it.ID.IsZero() {
		it.ID, it.ledger.sent, it.wanted, it.shown = r.ID, r.Sent, r.Chosen, r.Shown-1
	}
	if u, ok := q.match(it); ok {
		it.ID, it.Bytes = u.ID, u.Offset
		it.ledger.sent = max(it.ledger.sent, u.Offset)
		it.saved, it.sure = fieldsOf(u), true
		if !it.Typed {
			it.Details = it.saved.details()
		}
	}
	it.goesOn = !it.ID.IsZero()
	if it.goesOn {
		return nil
	}
	return q.fits(it)
}

// fits holds a new file against the pod's limits; called with the queue locked.
func (q *Queue) fits(it *item) error {
	if !q.known {
		return nil
	}
	if most := q.pod.Limits.UploadBytes; most > 0 && it.Size > most {
		return &api.Error{Code: api.CodeTooLarge, Message: it.FileName + " is " + formatBytes(it.Size) + ". This pod takes files of up to " + formatBytes(most) + "."}
	}
	if q.me.QuotaBytes == 0 {
		return nil
	}
	left := q.me.QuotaBytes - q.me.UsedBytes
	for _, other := range q.items {
		if other != it && other.ID.IsZero() && other.print != "" && other.State != Failed {
			left -= other.Size // not in UsedBytes yet
		}
	}
	if it.Size > left {
		return &api.Error{Code: api.CodeTooLarge, Message: it.FileName + " is " + formatBytes(it.Size) + ", but only " + formatBytes(max(0, left)) + " of your space is left. Remove a video first."}
	}
	return nil
}

func (it *item) fail(err *api.Error) {
	it.State, it.Err = Failed, err
	it.Speed, it.Left = 0, 0
	if it.release != nil {
		it.release()
		it.release = nil
	}
}
