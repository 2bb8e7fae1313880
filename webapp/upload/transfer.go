package upload

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// transfer sends one file. It is owned by the goroutine that calls run; what
// others want to know of it goes out by its functions.
type transfer struct {
	client   client
	file     *File
	id       video.ID // zero until create
	ledger   ledger
	known    bool // ledger.received is what the pod has
	met      bool // the pod knew the upload in this run
	pace     pace
	failures int // since a byte last arrived

	// metadata is asked when the upload is created, adopt when an attempt to
	// create it may have succeeded without our hearing of it.
	metadata func() map[string]string
	adopt    func(ctx context.Context) (video.ID, bool)
	// published asks whether a video of this id exists: an upload that is gone may
	// have become one.
	published func(ctx context.Context, id video.ID) (bool, error)

	created func(id video.ID)
	// moved is told the ledger whenever it changed, and how many bytes more of the
	// part under way went out.
	moved func(l ledger, more int64)
	// waiting is told why and until when nothing is sent; moved ends it.
	waiting func(cause *api.Error, until time.Time)
	// enough is asked before each part: true pauses without losing a byte.
	enough func() bool
	// wake ends a wait: the network is back, or somebody is impatient.
	wake <-chan struct{}
}

// errEnough is what run returns when enough said so.
var errEnough = errors.New("paused")

// run sends what the pod does not have yet, and returns the video's id when the
// pod has made it. It ends with ctx, with errEnough, or with a *failure that no
// further attempt mends.
func (t *transfer) run(ctx context.Context) (video.ID, error) {
	for {
		id, err := t.step(ctx)
		if err != nil {
			id, err = t.recover(ctx, err)
		}
		if err != nil || !id.IsZero() {
			return id, err
		}
	}
}

// step makes the one request that comes next.
func (t *transfer) step(ctx context.Context) (video.ID, error) {
	switch {
	case t.id.IsZero():
		return video.ID{}, t.create(ctx)
	case !t.known || t.ledger.received >= t.ledger.size:
		return t.ask(ctx)
	case t.enough():
		return video.ID{}, errEnough
	}
	return t.part(ctx)
}

func (t *transfer) create(ctx context.Context) error {
	if t.failures > 0 {
		if id, ok := t.adopt(ctx); ok {
			t.begin(id, false)
			return nil
		}
	}
	began := time.Now()
	id, err := t.client.create(ctx, t.ledger.size, t.metadata())
	if err != nil {
		return err
	}
	t.pace.answered(time.Since(began))
	t.begin(id, true)
	return nil
}

func (t *transfer) begin(id video.ID, fresh bool) {
	t.id, t.known, t.met, t.failures = id, fresh, fresh, 0
	t.created(id)
}

// ask learns what the pod has.
func (t *transfer) ask(ctx context.Context) (video.ID, error) {
	began := time.Now()
	p, err := t.client.status(ctx, t.id)
	if err != nil {
		return video.ID{}, err
	}
	t.pace.answered(time.Since(began))
	if err := t.note(p.offset); err != nil || !p.published.IsZero() {
		return p.published, err
	}
	if p.offset == t.ledger.size {
		return video.ID{}, errPreparing
	}
	return video.ID{}, nil
}

// errPreparing is the whole file without a video: the pod still works on it.
var errPreparing = &failure{
	status: http.StatusServiceUnavailable,
	err:    &api.Error{Code: api.CodeUnavailable, Message: "The pod is preparing the video."},
}

// part sends one part.
func (t *transfer) part(ctx context.Context) (video.ID, error) {
	from := t.ledger.received
	n := t.pace.next(t.ledger)
	before := t.ledger.sent
	began := time.Now()
	p, err := t.client.patch(ctx, t.id, t.file, from, from+n, func(out int64) {
		t.ledger.sent = before + min(out, n)
		t.moved(t.ledger, min(out, n))
	})
	if err != nil {
		t.known = false
		t.pace.failed()
		return video.ID{}, err
	}
	t.ledger.sent = before + n
	t.pace.finished(n, time.Since(began))
	return p.published, t.note(p.offset)
}

// note takes over the pod's word of what it has.
func (t *transfer) note(offset int64) error {
	if offset > t.ledger.size {
		return final(api.CodeConflict, "The pod has more bytes than this file. Cancel the upload and begin again.")
	}
	if offset > t.ledger.received {
		t.failures = 0
	}
	t.known, t.met = true, true
	t.ledger.received = offset
	t.ledger.sent = max(t.ledger.sent, offset)
	t.moved(t.ledger, 0)
	return nil
}

// recover does what is needed before the next step after err: waits, or forgets an
// upload that is gone. It returns an error where there is no next step, and an id
// where the video is there already.
func (t *transfer) recover(ctx context.Context, err error) (video.ID, error) {
	var f *failure
	switch {
	case ctx.Err() != nil:
		return video.ID{}, context.Cause(ctx)
	case !errors.As(err, &f):
		return video.ID{}, err
	case f.gone() && !t.id.IsZero():
		return t.renew(ctx, f)
	case !f.again():
		return video.ID{}, f
	}
	if f.status == 0 {
		if err := t.readable(ctx); err != nil {
			return video.ID{}, err
		}
	}
	t.failures++
	if f.status == http.StatusInternalServerError && t.failures > maxPodFailures {
		return video.ID{}, f
	}
	return video.ID{}, t.wait(ctx, f)
}

// maxPodFailures is how often in a row the pod may say that something is wrong
// with it. A pod that is merely away is waited for without end.
const maxPodFailures = 8

// renew is for an upload that the pod does not have. It became the video; or it
// expired since an earlier page, and the file goes up from its beginning; or
// somebody removed it under our hands, which is f.
func (t *transfer) renew(ctx context.Context, f *failure) (video.ID, error) {
	there, err := t.published(ctx, t.id)
	switch {
	case err != nil:
		t.failures++
		return video.ID{}, t.wait(ctx, lost(err))
	case there:
		return t.id, nil
	case t.met:
		return video.ID{}, f
	}
	t.id, t.known = video.ID{}, false
	t.ledger.sent, t.ledger.received = 0, 0
	return video.ID{}, nil
}

// readable tells a lost network from a file that is gone: the browser calls both
// the same.
func (t *transfer) readable(ctx context.Context) error {
	at := min(t.ledger.received, t.ledger.size-1)
	if _, err := t.file.Bytes(ctx, at, at+1); err != nil && ctx.Err() == nil {
		return final(api.CodeInvalid, "The file can no longer be read: it was changed, moved or deleted. Choose it again.")
	}
	return nil
}

// wait rests before the next attempt: the pod's word if it gave one, else 0.3 s
// doubled with each failure, up to 30 s, give or take a quarter.
func (t *transfer) wait(ctx context.Context, f *failure) error {
	d := min(firstWait<<min(t.failures-1, 10), longestWait)
	d += time.Duration((rand.Float64() - 0.5) / 2 * float64(d))
	d = max(d, f.retryAfter)
	t.waiting(f.err, time.Now().Add(d))
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.wake:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	t.moved(t.ledger, 0)
	return nil
}

const (
	firstWait   = 300 * time.Millisecond
	longestWait = 30 * time.Second
)
