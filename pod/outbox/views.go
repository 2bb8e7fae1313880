package outbox

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/network"
)

// Views are how often videos are watched.
type Views interface {
	// ViewsToTell is a batch of what was watched here of a friend's videos, the same until
	// TakeTotals names it; 0 for none.
	ViewsToTell(ctx context.Context, h network.Host) (batch int64, counts []federation.ViewCount, err error)
	// TakeTotals notes what a friend says of its own videos, and that it has a batch.
	TakeTotals(ctx context.Context, h network.Host, batch int64, totals []federation.ViewCount, mostADay int) error
}

const (
	// DefaultViews is the time between two exchanges of views with a friend.
	DefaultViews = 10 * time.Minute
	viewsAtOnce  = 4 // friends
	// viewPages bounds one exchange: what is left comes with the next one.
	viewPages = 10
	// viewsAnew is when all numbers are asked for once more: some may have come before
	// their video, or been lost.
	viewsAnew = 24 * time.Hour
)

// asked is how far a friend's numbers have been read.
type asked struct {
	after string
	began time.Time // from the beginning
}

// exchangeViews tells friends now and then how often their videos were watched here, and
// asks them how often they were watched everywhere. What could not be told is told the
// next time, and counts against nobody.
func (o *Outbox) exchangeViews(ctx context.Context) {
	read := map[network.Host]*asked{}
	for wait := o.cfg.Views / 10; ; wait = o.cfg.Views {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		known, err := o.parts.Friends.All(ctx)
		if err != nil {
			continue
		}
		var some errgroup.Group
		some.SetLimit(viewsAtOnce)
		now := map[network.Host]*asked{}
		for _, f := range known {
			if f.State != network.Friend || o.dormant(f) || !f.Reachable() || !o.knowsKey(f) {
				continue
			}
			a := read[f.Host]
			if a == nil || o.cfg.Now().Sub(a.began) > viewsAnew {
				a = &asked{began: o.cfg.Now()}
			}
			now[f.Host] = a
			some.Go(func() error {
				if err := o.exchangeWith(ctx, f, a); err != nil && ctx.Err() == nil {
					o.cfg.Log.Debug("views were not exchanged; they will be", "friend", f.Host, "err", err)
				}
				return nil
			})
		}
		_ = some.Wait() // they give no error
		read = now
	}
}

func (o *Outbox) exchangeWith(ctx context.Context, f friends.Friend, a *asked) error {
	for range viewPages {
		batch, counts, err := o.parts.Views.ViewsToTell(ctx, f.Host)
		if err != nil {
			return err
		}
		answer, err := o.ask(ctx, f, federation.PathViews, federation.ViewsRequest{Batch: batch, Views: counts, After: a.after})
		if err != nil {
			return err
		}
		if len(answer) == 0 {
			return errors.New("an answer without views")
		}
		v, err := federation.ParseViews(answer)
		if err != nil {
			return err
		}
		if err := o.parts.Views.TakeTotals(ctx, f.Host, batch, v.Totals, o.cfg.MostViews); err != nil {
			return err
		}
		if a.after = v.Next; !v.More {
			return nil
		}
	}
	return nil
}
