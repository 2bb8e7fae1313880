package outbox

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

const (
	// changesAtOnce is how many changes are read for a batch.
	changesAtOnce = 300
	// batchBytes bounds a batch, within federation.MaxBody.
	batchBytes = 200 << 10
	// sendTime bounds one message and its answer.
	sendTime = 30 * time.Second
)

// flush sends what a friend does not know yet.
func (o *Outbox) flush(ctx context.Context, h network.Host) error {
	woken, reconciled := o.takeWake(h), false
	for {
		f, ok, err := o.parts.Friends.Get(ctx, h)
		if err != nil {
			return err
		}
		if !ok || f.State != network.Friend {
			// Where its end was cut off, or a message of it was under way, some are left.
			return o.parts.Catalog.ForgetAll(ctx, h)
		}
		if o.dormant(f) {
			return nil // what waits for it is sent when it has upgraded
		}
		knows := o.knowsKey(f)
		batch, cursor, err := o.batch(ctx, f)
		if err != nil {
			return err
		}
		if knows && cursor == f.Cursor && !woken && f.Reachable() {
			return nil // a greeting that failed is tried again as any delivery
		}
		if !knows {
			err = o.tellKey(ctx, f)
		} else {
			err = o.deliver(ctx, f, batch)
		}
		if errors.Is(err, errUnknown) && !reconciled {
			over, cause := o.reconcile(ctx, f)
			if over {
				return cause
			}
			if reconciled = true; cause == nil {
				woken = true // a greeting is one also the second time
				continue
			}
			err = cause
		}
		if err != nil {
			return o.failed(ctx, f, err)
		}
		if !knows {
			continue
		}
		woken = false
		if err := o.parts.Friends.Delivered(ctx, h, cursor, len(batch.Events) > 0); err != nil {
			return err
		}
		if !f.Reachable() {
			o.cfg.Log.Info("a friend is reached again", "friend", h)
		}
	}
}

// batch is what to send to f next, and where in the log it is then.
func (o *Outbox) batch(ctx context.Context, f friends.Friend) (b federation.Batch, cursor string, err error) {
	changes, lost, err := o.parts.Log.Changes(ctx, f.Cursor, changesAtOnce)
	if err != nil {
		return b, "", err
	}
	if lost { // it was away for longer than the log goes back
		cursor, err := o.parts.Log.LastChange(ctx)
		return federation.Batch{Compare: true}, cursor, err
	}
	ids := make([]video.ID, 0, len(changes))
	for _, c := range changes {
		ids = append(ids, c.ID)
	}
	videos, err := o.parts.Log.Versions(ctx, ids)
	if err != nil {
		return b, "", err
	}
	return compose(f.Cursor, changes, videos)
}

// compose makes events of changes, one for each video, until a batch is full.
func compose(cursor string, changes []catalog.Change, videos []video.Video) (federation.Batch, string, error) {
	b := federation.Batch{Events: []federation.Event{}}
	now := map[video.ID]video.Video{}
	for _, v := range videos {
		now[v.ID] = v
	}
	told := map[video.ID]bool{}
	for size := 0; len(changes) > 0; changes = changes[1:] {
		c := changes[0]
		if !c.ID.IsZero() && !told[c.ID] {
			e := federation.Event{Kind: federation.VideoRemove, ID: &c.ID}
			if v, ok := now[c.ID]; ok {
				wire := federation.VideoOf(v)
				e = federation.Event{Kind: federation.VideoPut, Video: &wire}
			}
			text, err := json.Marshal(e)
			if err != nil {
				return b, "", err
			}
			if size += len(text); size > batchBytes && len(b.Events) > 0 {
				break
			}
			told[c.ID] = true
			b.Events = append(b.Events, e)
		}
		cursor = c.Position
	}
	return b, cursor, nil
}

// errUnknown is a message that was not taken: the friend may have forgotten us.
var errUnknown = errors.New("it does not take our messages")

// deliver sends a batch. Where the connection broke nobody knows whether the batch was
// taken, or only its answer was lost: it is sent once more before that is a failure.
func (o *Outbox) deliver(ctx context.Context, f friends.Friend, b federation.Batch) error {
	_, err := o.ask(ctx, f, federation.PathEvents, b)
	if broken(err) {
		_, err = o.ask(ctx, f, federation.PathEvents, b)
	}
	return err
}

// broken says whether a connection ended without an answer.
func broken(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ask sends a message, sealed anew, and opens the answer, nil where there is none.
func (o *Outbox) ask(ctx context.Context, f friends.Friend, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	key, err := keyOf(f)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	version, _ := o.cfg.Speaks.Common(f.Protocol, o.cfg.Now().Unix())
	keys := o.cfg.Keys()
	h := federation.Header{From: o.cfg.Host, To: f.Host, Path: path, Version: version, Time: o.cfg.Now().UnixMilli(), ID: federation.NewMessageID()}
	message, err := federation.Seal(h, keys.Known(f.OurKey), key, plain)
	if err != nil {
		return nil, err
	}
	answer, unknown, err := o.parts.Caller.Send(ctx, f.Host, f.Secure, path, message)
	if unknown {
		return nil, errUnknown
	}
	if err != nil || len(answer) == 0 {
		return nil, err
	}
	opener := federation.Opener{Host: o.cfg.Host, Keys: keys, Versions: network.Versions{Min: version, Max: version}, Now: o.cfg.Now}
	return opener.OpenAnswer(answer, h, key)
}

func keyOf(f friends.Friend) (*rsa.PublicKey, error) {
	key, err := federation.ParseKey(f.Key)
	if err != nil {
		return nil, fmt.Errorf("the key of %s cannot be read: %w", f.Host, err)
	}
	return key, nil
}

// failed notes an attempt that failed, and says when to try again.
func (o *Outbox) failed(ctx context.Context, f friends.Friend, cause error) error {
	if ctx.Err() != nil { // our own end is not the friend's fault
		return &again{friends.RetryAfter(1), cause}
	}
	// One that comes early, because this pod started again, does not count: who is down
	// for a day is no less a friend of a pod that starts often.
	if due := f.LastFailure.Add(f.NextTry() - time.Second).Sub(o.cfg.Now()); f.Attempts > 0 && due > 0 && due <= f.NextTry() { // or the clock was ahead
		return &again{due + time.Second, cause}
	}
	now, revoked, err := o.parts.Friends.Failed(ctx, f.Host, brief(cause))
	switch {
	case err != nil:
		return err
	case revoked:
		o.cfg.Log.Warn("a friend is revoked: its score came to 0", "friend", f.Host)
		return o.parts.Catalog.ForgetAll(ctx, f.Host)
	case now.State != network.Friend:
		return nil
	}
	if f.Reachable() {
		o.cfg.Log.Info("a friend cannot be reached", "friend", f.Host, "err", cause)
	}
	return &again{now.NextTry(), cause}
}

// brief is what an operator reads of an error.
func brief(err error) string {
	text := err.Error()
	if len(text) > 300 {
		text = text[:300]
	}
	return text
}

// Gone ends a friendship here, and with it go the videos.
func (o *Outbox) Gone(ctx context.Context, h network.Host, byUs bool) error {
	if _, err := o.parts.Friends.Leave(ctx, h, byUs); err != nil {
		return err
	}
	return o.parts.Catalog.ForgetAll(ctx, h)
}
