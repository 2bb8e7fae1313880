package pod

import (
	"context"
	"crypto/rsa"
	"time"

	"kinopod/pod/federation"
	"kinopod/shared/network"
)

const (
	// keepKeys is how long an old key is kept in any case: a pod that is no friend now may
	// have it on record and come back.
	keepKeys   = 90 * 24 * time.Hour
	forgetEach = time.Hour
)

// keys are this pod's.
func (p *Pod) keys() federation.Ring { return p.identity.Keys() }

// ChangedKey is what a change of the pod's key answers.
type ChangedKey struct {
	Key  string         `json:"key"`  // its ID
	Tell []network.Host `json:"tell"` // the friends that are told of it now, or when they are there again
}

// changeKey makes a new key, of which friends are told.
func (p *Pod) changeKey(ctx context.Context) (ChangedKey, error) {
	out := ChangedKey{Tell: []network.Host{}}
	known, err := p.friends.All(ctx)
	if err != nil {
		return out, err
	}
	if err := p.identity.Change(time.Now()); err != nil {
		return out, err
	}
	out.Key = p.keys().Public().ID()
	for _, f := range known {
		if f.State == network.Friend {
			out.Tell = append(out.Tell, f.Host)
		}
	}
	p.log.Info("the pod has a new key", "key", out.Key, "friends", len(out.Tell))
	p.outbox.NewKey(ctx)
	return out, nil
}

// forgetKeys forgets old keys that nobody needs, until ctx ends.
func (p *Pod) forgetKeys(ctx context.Context) error {
	tick := time.NewTicker(forgetEach)
	defer tick.Stop()
	for {
		if err := p.forgetOldKeys(ctx, time.Now().Add(-keepKeys)); err != nil && ctx.Err() == nil {
			p.log.Warn("old keys could not be forgotten", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// forgetOldKeys forgets what was replaced before a time and no friend has on record.
func (p *Pod) forgetOldKeys(ctx context.Context, before time.Time) error {
	keys := p.keys()
	if len(keys) == 1 {
		return nil
	}
	known, err := p.friends.All(ctx)
	if err != nil {
		return err
	}
	needed := map[*rsa.PublicKey]bool{}
	for _, f := range known {
		if f.State == network.Friend {
			needed[&keys.Known(f.OurKey).PublicKey] = true
		}
	}
	n, err := p.identity.Forget(before, func(k *rsa.PublicKey) bool { return needed[k] })
	if n > 0 {
		p.log.Info("old keys are forgotten", "keys", n)
	}
	return err
}
