package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// How two pods stay known to each other: what a friend knows of us (friends.Friend.OurKey
// and Told) is noted when it has said so, and until then it is told.

const (
	lookEvery   = 24 * time.Hour   // at the card of a friend
	lookDormant = 10 * time.Minute // at the card of one that may have upgraded, or could not be told of ours
)

// digestOf tells cards of this pod apart, without the key: that is told by an event.
func digestOf(cfg Config) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %+v %v", cfg.Name, cfg.Speaks, cfg.Secure))
	return hex.EncodeToString(sum[:8])
}

func (o *Outbox) dormant(f friends.Friend) bool { return f.Dormant(o.cfg.Speaks, o.cfg.Now()) }

// errDormant is what a friend is not asked for its version.
var errDormant = errors.New("the friend speaks no version of the protocol that this pod speaks")

// knowsKey says whether a friend knows the key in use.
func (o *Outbox) knowsKey(f friends.Friend) bool {
	keys := o.cfg.Keys()
	return keys.Known(f.OurKey) == keys[0]
}

// toKnow says whether a friend's card is to be looked at, or ours to be shown.
func (o *Outbox) toKnow(f friends.Friend) bool {
	age := o.cfg.Now().Sub(f.Looked)
	return f.Told != o.told || age > lookEvery || age > lookDormant && o.dormant(f)
}

// NewKey has each friend told of the key that is in use now.
func (o *Outbox) NewKey(ctx context.Context) { o.flushAll(ctx) }

// tellKey tells a friend of the key in use, by the one that it has on record.
func (o *Outbox) tellKey(ctx context.Context, f friends.Friend) error {
	key := o.cfg.Keys().Public()
	if err := o.deliver(ctx, f, federation.Batch{Events: []federation.Event{{Kind: federation.PodKey, Key: &key}}}); err != nil {
		return err
	}
	return o.parts.Friends.Knows(ctx, f.Host, key.ID(), "")
}

// hello shows our card to f, which may be no friend yet. Where f has on record a key of
// ours that is not the one it was thought to know, it is told with that.
func (o *Outbox) hello(ctx context.Context, f friends.Friend) (refused bool, err error) {
	keys := o.cfg.Keys()
	refused, err = o.parts.Caller.Hello(ctx, f.Host, f.Secure, o.cfg.Host)
	for i := 1; i < len(keys) && api.Is(err, api.CodeConflict); i++ {
		f.OurKey = federation.Key{PublicKey: &keys[i].PublicKey}.ID()
		if told := o.tellKey(ctx, f); told == nil {
			err = nil
		} else if !errors.Is(told, errUnknown) {
			err = told
		}
	}
	if err != nil {
		return refused, err
	}
	// Should the key have changed meanwhile, and f know that one already: the next
	// message is not taken, and f is shown our card again.
	return false, o.parts.Friends.Knows(ctx, f.Host, keys.Public().ID(), o.told)
}

// look looks at a friend's card, and shows it ours where it was not told of it.
func (o *Outbox) look(ctx context.Context, h network.Host) error {
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil || !ok || f.State != network.Friend {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	if f, err = o.refresh(ctx, f); err != nil {
		return &again{lookDormant, err}
	}
	if f.State != network.Friend || f.Told == o.told || o.dormant(f) {
		return nil
	}
	refused, err := o.hello(ctx, f)
	if refused {
		o.cfg.Log.Info("a friend left", "friend", h)
		return o.Gone(ctx, h, false)
	}
	if err != nil {
		return &again{lookDormant, err}
	}
	return nil
}

// refresh notes what a friend's card says now. One that slept and speaks a version of
// ours again is told what waits for it.
func (o *Outbox) refresh(ctx context.Context, f friends.Friend) (friends.Friend, error) {
	card, err := o.card(ctx, f.Host, f.Secure)
	if err != nil {
		return f, err
	}
	slept := o.dormant(f)
	now, ok, err := o.parts.Friends.Refresh(ctx, f.Host, card)
	if err != nil || !ok {
		return now, err
	}
	switch sleeps := o.dormant(now); {
	case slept && !sleeps:
		o.cfg.Log.Info("a friend speaks a version of the protocol that this pod speaks again", "friend", f.Host)
		o.atOnce(ctx, taskFlush, f.Host)
		o.atOnce(ctx, taskRepair, f.Host)
	case sleeps && !slept:
		o.cfg.Log.Info("a friend is dormant: it speaks no version of the protocol that this pod speaks", "friend", f.Host)
	}
	return now, nil
}

// card gets the card of a pod.
func (o *Outbox) card(ctx context.Context, h network.Host, secure bool) (friends.Card, error) {
	card, by, err := o.parts.Caller.Card(ctx, h, secure)
	if err != nil {
		return friends.Card{}, err
	}
	key, err := json.Marshal(card.Key)
	if err != nil {
		return friends.Card{}, err
	}
	return friends.Card{Name: card.Name, Key: string(key), Secure: by, Protocol: card.Protocol}, nil
}

// reconcile is called where a friend did not take a message: it may not speak this
// version any more, or have forgotten us, or know another key of ours, or have left. over
// says that there is nothing to be sent to it; else it may take the message now, where
// there is no error.
func (o *Outbox) reconcile(ctx context.Context, f friends.Friend) (over bool, err error) {
	if now, err := o.refresh(ctx, f); err == nil && (now.State != network.Friend || o.dormant(now)) {
		return true, nil
	}
	refused, err := o.hello(ctx, f)
	if refused {
		o.cfg.Log.Info("a friend left", "friend", f.Host)
		return true, o.Gone(ctx, f.Host, false)
	}
	return false, err
}
