package outbox

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// joinNetwork makes friends with the network that the hosts of the configuration are
// of: everybody asked, and everybody in at least half of their lists.
func (o *Outbox) joinNetwork(ctx context.Context) {
	if len(o.cfg.Join) > 0 {
		if err := o.Join(ctx, o.cfg.Join, false); err != nil {
			o.cfg.Log.Warn("not all pods of the configuration can be friends", "err", err)
		}
	}
}

// Join asks hosts, and the network they are of, for friendship. It returns when their
// lists are here or cannot be had; the rest goes on by itself, for as long as it takes.
// insist is an operator's word, see friends.List.Ask.
func (o *Outbox) Join(ctx context.Context, hosts []network.Host, insist bool) error {
	lists := o.lists(ctx, hosts)
	chosen := network.Quorum(o.cfg.Host, lists)
	for _, h := range hosts { // who did not answer is retried
		if _, answered := lists[h]; !answered && h != o.cfg.Host {
			chosen = append(chosen, h)
		}
	}
	var failed error
	for _, h := range chosen {
		named := slices.Contains(hosts, h) // what is insisted on, and what an error is about
		if _, err := o.parts.Friends.Ask(ctx, h, insist && named); err != nil {
			if failed == nil && (named || !api.Is(err, api.CodeConflict) && !api.Is(err, api.CodeForbidden)) {
				failed = err
			}
			continue
		}
		o.atOnce(ctx, taskJoin, h)
	}
	return failed
}

// lists asks hosts for their friends, at the same time.
func (o *Outbox) lists(ctx context.Context, hosts []network.Host) map[network.Host][]network.Host {
	var mu sync.Mutex
	var all sync.WaitGroup
	out := map[network.Host][]network.Host{}
	for _, h := range hosts {
		if h == o.cfg.Host {
			continue
		}
		all.Go(func() {
			f, _, _ := o.parts.Friends.Get(ctx, h)
			list, err := o.parts.Caller.Friends(ctx, h, f.Secure)
			if err != nil {
				o.cfg.Log.Info("a pod does not say who its friends are; it is tried again", "friend", h, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[h] = list
		})
	}
	all.Wait()
	return out
}

// joinEvery is how often a pod is asked that does not answer, or does not want.
const joinEvery = 15 * time.Second

// join presents us to a pod that we asked to be a friend.
func (o *Outbox) join(ctx context.Context, h network.Host) error {
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil || !ok || f.State != network.Asked {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	card, err := o.Look(ctx, h, f.Secure)
	if err != nil {
		return &again{joinEvery, err}
	}
	f.Key, f.Secure, f.Protocol = card.Key, f.Secure || card.Secure, card.Protocol
	keys := o.cfg.Keys()
	refused, err := o.hello(ctx, f)
	if refused {
		return &again{10 * joinEvery, err}
	}
	if err == nil { // its key may have changed before it took us for a friend
		card, err = o.Look(ctx, h, f.Secure)
	}
	if err != nil {
		return &again{joinEvery, err}
	}
	card.OurKey = keys.Public().ID()
	return o.Meet(ctx, h, card)
}

// Look calls a pod and says who it is.
func (o *Outbox) Look(ctx context.Context, h network.Host, secure bool) (friends.Card, error) {
	card, err := o.card(ctx, h, secure)
	if err != nil {
		return friends.Card{}, err
	}
	if o.dormant(friends.Friend{Protocol: card.Protocol}) {
		return friends.Card{}, &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("%s speaks no version of the protocol that this pod speaks.", h)}
	}
	return card, nil
}

// Meet makes a friend of a pod that proved who it is, and asks for its videos. It has seen
// our card.
func (o *Outbox) Meet(ctx context.Context, h network.Host, card friends.Card) error {
	cursor, err := o.parts.Log.LastChange(ctx)
	if err != nil {
		return err
	}
	if card.Told = o.told; card.OurKey == "" {
		card.OurKey = o.cfg.Keys().Public().ID()
	}
	fresh, err := o.parts.Friends.Meet(ctx, h, card, cursor)
	if err != nil {
		return err
	}
	if fresh {
		o.cfg.Log.Info("a new friend", "friend", h)
		o.atOnce(ctx, taskRepair, h)
	}
	return nil
}

// Leave ends a friendship, by our word, and tells the other side; where it cannot be
// reached it will see that we do not answer.
func (o *Outbox) Leave(ctx context.Context, h network.Host) error {
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil {
		return err
	}
	if !ok || f.State != network.Friend && f.State != network.Asked {
		return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("%s is no friend.", h)}
	}
	// First it is so here: one that was told by a pod that ends right then would be taken
	// for one that forgot us, and be a friend again.
	if _, err := o.parts.Friends.Leave(ctx, h, true); err != nil {
		return err
	}
	err = o.parts.Catalog.ForgetAll(ctx, h)
	o.tellLeave(ctx, f)
	return err
}

// tellLeave tells a friend that it is none any more. One that cannot be told will see
// that we do not answer.
func (o *Outbox) tellLeave(ctx context.Context, f friends.Friend) {
	if f.State != network.Friend {
		return
	}
	if err := o.deliver(ctx, f, federation.Batch{Events: []federation.Event{{Kind: federation.PodLeave}}}); err != nil {
		o.cfg.Log.Info("a friend could not be told that it is none any more", "friend", f.Host, "err", err)
	}
}

// Block keeps a pod out, and its videos.
func (o *Outbox) Block(ctx context.Context, h network.Host) error {
	f, _, err := o.parts.Friends.Get(ctx, h)
	if err != nil {
		return err
	}
	if err := o.parts.Friends.Block(ctx, h); err != nil {
		return err
	}
	err = o.parts.Catalog.ForgetAll(ctx, h)
	o.tellLeave(ctx, f)
	return err
}
