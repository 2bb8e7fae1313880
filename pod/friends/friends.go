// Package friends is the list of pods that ours knows: which are friends, how reliable
// each is, and how one becomes a friend or stops being one (design.md, 4).
//
// Errors for the person who asked are *api.Error.
package friends

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// Friend is another pod, whatever its state.
type Friend struct {
	Host     network.Host     `json:"host"`
	State    network.State    `json:"state"`
	Name     string           `json:"name,omitempty"` // what it calls itself
	Key      string           `json:"key,omitempty"`  // JWK
	Score    network.Score    `json:"score"`
	Secure   bool             `json:"secure,omitempty"` // https has worked
	Protocol network.Versions `json:"protocol"`
	Since    time.Time        `json:"since"`           // of the state
	ByUs     bool             `json:"byUs,omitempty"`  // of Left: it was our word
	Until    time.Time        `json:"until,omitempty"` // of Revoked: it may come back from then on
	// Wanted says that we asked it: where it is revoked, we ask again after Until, and
	// where this pod is for members, it may vouch for its own.
	Wanted bool `json:"wanted,omitempty"`

	// What it knows of us, and when we looked at its card.
	OurKey string    `json:"ourKey,omitempty"` // ID of the key; "" is the first that this pod had
	Told   string    `json:"told,omitempty"`   // digest of our card
	Looked time.Time `json:"looked,omitzero"`

	// Deliveries.
	Cursor      string    `json:"cursor,omitempty"`   // what of our log it knows
	Attempts    int       `json:"attempts,omitempty"` // that failed, of the delivery under way
	Forgiven    time.Time `json:"forgiven,omitzero"`  // since when attempts of it do not count, because it is there
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	LastFailure time.Time `json:"lastFailure,omitzero"`
	Problem     string    `json:"problem,omitempty"` // of the last attempt

	// What we know of its videos.
	Repaired time.Time `json:"repaired,omitzero"` // when it was last the same as what it knows
}

// Reachable says whether the last attempt to reach it succeeded.
func (f Friend) Reachable() bool { return f.Attempts == 0 }

// Dormant says whether two pods have no version of the protocol in common at a time:
// ours is what this pod speaks.
func (f Friend) Dormant(ours network.Versions, now time.Time) bool {
	_, speaks := ours.Common(f.Protocol, now.Unix())
	return !speaks
}

// Store keeps the list durably. Each method is atomic.
type Store interface {
	Friends(ctx context.Context) ([]Friend, error)
	// ChangeFriend lets change work on the record of h, a new one with nothing but Host
	// where there is none, and keeps it. change may be called several times; its error is
	// answered, and nothing kept then. Where change leaves State empty the record goes.
	ChangeFriend(ctx context.Context, h network.Host, change func(*Friend) error) (Friend, error)
}

// Times of the rules.
const (
	cooldown = 24 * time.Hour // of a revoked friend
	// fresh is how long the list is believed that was read: another process of the same
	// pod may have changed it.
	fresh = time.Second
)

// List is this pod's friends: the rules; its Store keeps them.
type List struct {
	store Store
	us    network.Host
	most  network.Score
	now   func() time.Time
	seed  maphash.Seed
	turns [turns]chan struct{} // of those who change a pod's record, by its host

	mu      sync.Mutex
	known   map[network.Host]Friend // guarded by mu
	read    time.Time               // guarded by mu
	changes int                     // guarded by mu: of this process
}

// turns is how many records are changed at a time. Those who change the same one wait
// for each other here: in the store they would get in each other's way.
const turns = 64

// New joins the rules with a store. most is the highest score, 0 for the default.
func New(store Store, us network.Host, most network.Score, now func() time.Time) *List {
	if most <= 0 {
		most = network.DefaultScore
	}
	l := &List{store: store, us: us, most: most, now: now, seed: maphash.MakeSeed()}
	for i := range l.turns {
		l.turns[i] = make(chan struct{}, 1)
	}
	return l
}

func refuse(code api.Code, format string, args ...any) error {
	return &api.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// All are the pods that we know, by host.
func (l *List) All(ctx context.Context) (out []Friend, err error) {
	if err := l.look(ctx, func(known map[network.Host]Friend) { out = slices.Collect(maps.Values(known)) }); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Friend) int { return strings.Compare(string(a.Host), string(b.Host)) })
	return out, nil
}

// Get is what we know of h; ok is false for nothing.
func (l *List) Get(ctx context.Context, h network.Host) (f Friend, ok bool, err error) {
	err = l.look(ctx, func(known map[network.Host]Friend) { f, ok = known[h] })
	return f, ok, err
}

// look shows the list, which is known or read now. It is changed afterwards.
func (l *List) look(ctx context.Context, at func(map[network.Host]Friend)) error {
	now := l.now()
	l.mu.Lock()
	if l.known != nil && now.Sub(l.read) < fresh && !now.Before(l.read) {
		defer l.mu.Unlock()
		at(l.known)
		return nil
	}
	changes := l.changes
	l.mu.Unlock()
	all, err := l.store.Friends(ctx)
	if err != nil {
		return err
	}
	known := make(map[network.Host]Friend, len(all))
	for _, f := range all {
		known[f.Host] = f
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changes == changes { // or it may have been read before the change
		l.known, l.read = known, now
	}
	at(known)
	return nil
}

func (l *List) change(ctx context.Context, h network.Host, change func(*Friend) error) (Friend, error) {
	turn := l.turns[maphash.String(l.seed, string(h))%turns]
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return Friend{}, ctx.Err()
	}
	defer func() { <-turn }()
	f, err := l.store.ChangeFriend(ctx, h, change)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes++
	switch {
	case l.known == nil:
	case err != nil: // nobody knows whether it was kept
		l.known = nil
	case f.State == "":
		delete(l.known, h)
	default: // this one alone: with a thousand friends the whole list is much to read
		l.known[h] = f
	}
	return f, err
}

// enter is a change of state.
func (l *List) enter(f *Friend, s network.State) {
	f.State, f.Since, f.Until, f.ByUs = s, l.now(), time.Time{}, false
}

// Ask notes that we want to be a friend of h. Where it is one, or blocked, nothing
// happens. insist is an operator's word: it undoes that we left, and a friend that only
// presented itself is one that we asked from then on.
func (l *List) Ask(ctx context.Context, h network.Host, insist bool) (Friend, error) {
	if h == l.us {
		return Friend{}, refuse(api.CodeInvalid, "%s is this pod.", h)
	}
	return l.change(ctx, h, func(f *Friend) error {
		switch {
		case f.State == network.Friend, f.State == network.Asked:
			f.Wanted = f.Wanted || insist
			return nil
		case f.State == network.Blocked:
			return refuse(api.CodeForbidden, "%s is blocked. Unblock it first.", h)
		case f.State == network.Left && f.ByUs && !insist:
			return refuse(api.CodeConflict, "This pod left %s.", h)
		case f.State == network.Revoked && l.now().Before(f.Until) && !insist:
			return refuse(api.CodeConflict, "%s was revoked and may come back after %s.", h, f.Until.UTC().Format(time.RFC3339))
		}
		key := f.Key
		if insist {
			key = "" // whoever is there now is meant
		}
		*f = Friend{Host: h, Key: key, Score: f.returning(), Secure: f.Secure, OurKey: f.OurKey, Wanted: true}
		l.enter(f, network.Asked)
		return nil
	})
}

// returning is the score of one that is to be a friend: whoever was one before has the
// score that it left with, and half of the first one where it was revoked.
func (f Friend) returning() network.Score {
	switch {
	case f.State == "":
		return network.StartScore
	case f.State == network.Revoked, f.Score == 0: // blocked, it may be, after it was revoked
		return network.StartScore / 2
	}
	return f.Score
}

// Card is what a pod proved to be.
type Card struct {
	Name     string
	Key      string // JWK
	Secure   bool   // it was reached by https
	Protocol network.Versions
	// What it saw of us: see Friend.
	OurKey, Told string
}

// ErrOtherKey is what Meet answers for a pod with another key than the one on record,
// also where it is no friend now: or whoever has a host could take a pod's place by
// leaving in its name.
var ErrOtherKey = &api.Error{Code: api.CodeConflict, Message: "The pod is known with another key. A new key has to be announced with the old one; where that is lost, an operator has to join the pod anew."}

// Meet makes h a friend, which was called back and is who it says; cursor is the end of
// our log. It may be repeated: fresh is false where h is a friend already. ErrOtherKey.
func (l *List) Meet(ctx context.Context, h network.Host, card Card, cursor string) (fresh bool, err error) {
	if h == l.us {
		return false, refuse(api.CodeInvalid, "%s is this pod.", h)
	}
	_, err = l.change(ctx, h, func(f *Friend) error {
		fresh = false
		switch {
		case f.State == network.Friend:
			if f.Key != card.Key {
				return ErrOtherKey
			}
			l.refresh(f, card)
			return nil
		case f.State == network.Blocked, f.State == network.Left && f.ByUs:
			return refuse(api.CodeForbidden, "This pod does not want to be a friend.")
		case f.State == network.Revoked && l.now().Before(f.Until):
			// No "forbidden", which would be for good.
			return refuse(api.CodeUnavailable, "The pod was not reliable. It may come back after %s.", f.Until.UTC().Format(time.RFC3339))
		case f.Key != "" && f.Key != card.Key:
			return ErrOtherKey
		}
		*f = Friend{Host: h, Key: card.Key, Score: f.returning(), Secure: f.Secure, Wanted: f.Wanted, OurKey: card.OurKey, Told: card.Told, Cursor: cursor}
		l.refresh(f, card)
		l.enter(f, network.Friend)
		fresh = true
		return nil
	})
	return fresh && err == nil, err
}

// refresh notes what a friend's card says, whose key is the one on record.
func (l *List) refresh(f *Friend, card Card) {
	f.Name, f.Protocol, f.Secure, f.Looked = card.Name, card.Protocol, f.Secure || card.Secure, l.now()
}

// Refresh notes what a friend's card says. One with another key than the one on record
// is not believed: a new key is announced with the old one.
func (l *List) Refresh(ctx context.Context, h network.Host, card Card) (f Friend, ok bool, err error) {
	return l.withFriend(ctx, h, func(f *Friend) {
		if f.Looked = l.now(); f.Key == card.Key {
			l.refresh(f, card)
		}
	})
}

// Knows notes which key of ours a friend has on record, and what of our card it was told;
// "" leaves that as it is.
func (l *List) Knows(ctx context.Context, h network.Host, ourKey, told string) error {
	_, _, err := l.withFriend(ctx, h, func(f *Friend) {
		if f.OurKey = ourKey; told != "" {
			f.Told = told
		}
	})
	return err
}

// Secured notes that https has worked for a pod, whatever its state.
func (l *List) Secured(ctx context.Context, h network.Host) error {
	f, ok, err := l.Get(ctx, h)
	if err != nil || !ok || f.Secure {
		return err
	}
	_, err = l.change(ctx, h, func(f *Friend) error {
		f.Secure = f.State != "" // or there is no record any more
		return nil
	})
	return err
}

// errNoFriend ends a change of who is no friend.
var errNoFriend = errors.New("no friend")

// withFriend changes a friend, and does nothing for who is none.
func (l *List) withFriend(ctx context.Context, h network.Host, change func(*Friend)) (f Friend, ok bool, err error) {
	f, err = l.change(ctx, h, func(f *Friend) error {
		if f.State != network.Friend {
			return errNoFriend
		}
		change(f)
		return nil
	})
	if errors.Is(err, errNoFriend) {
		return Friend{}, false, nil
	}
	return f, err == nil, err
}

// Delivered notes that a delivery succeeded and what of our log the friend knows now.
// pay is whether it counts for the score: what only says that we are here does not.
func (l *List) Delivered(ctx context.Context, h network.Host, cursor string, pay bool) error {
	_, _, err := l.withFriend(ctx, h, func(f *Friend) {
		f.Cursor, f.Attempts, f.Forgiven, f.LastSuccess, f.Problem = cursor, 0, time.Time{}, l.now(), ""
		if pay {
			f.Score = f.Score.Delivered(l.most)
		}
	})
	return err
}

// Tries are how often a delivery is tried: once, and the retries.
const Tries = 1 + 10

// RetryAfter is the wait after the n-th attempt that failed, n from 1: 2 s * 3^(n-1),
// 16 h 24 min in all.
func RetryAfter(n int) time.Duration {
	d := 2 * time.Second
	for range min(n, Tries-1) - 1 {
		d *= 3
	}
	return d
}

// deliveryTime is about how long a delivery is tried.
const deliveryTime = 16 * time.Hour

// Failed notes an attempt that failed. With the last one the delivery has failed for
// good, which costs score; at 0 the friend is revoked, and its videos are to go. One that
// is there and takes nothing has as much time as one that is away.
func (l *List) Failed(ctx context.Context, h network.Host, problem string) (f Friend, revoked bool, err error) {
	f, _, err = l.withFriend(ctx, h, func(f *Friend) {
		f.Attempts, f.LastFailure, f.Problem = f.Attempts+1, l.now(), problem
		if f.Attempts%Tries != 0 && (f.Forgiven.IsZero() || l.now().Sub(f.Forgiven) < deliveryTime) {
			return
		}
		f.Forgiven = time.Time{}
		if f.Score = f.Score.Failed(); f.Score == 0 {
			l.enter(f, network.Revoked)
			f.Until = l.now().Add(cooldown)
		}
	})
	return f, f.State == network.Revoked, err
}

// NextTry is how long to wait after the attempt that failed last.
func (f Friend) NextTry() time.Duration {
	n := f.Attempts % Tries
	if n == 0 {
		return 0 // the delivery starts over
	}
	return RetryAfter(n)
}

// Heard notes that a friend is there: what waits for it is worth another attempt, as a
// delivery that begins anew.
func (l *List) Heard(ctx context.Context, h network.Host) error {
	f, ok, err := l.Get(ctx, h)
	if err != nil || !ok || f.Attempts == 0 {
		return err
	}
	_, _, err = l.withFriend(ctx, h, func(f *Friend) {
		if f.Attempts = 0; f.Forgiven.IsZero() {
			f.Forgiven = l.now()
		}
	})
	return err
}

// Repaired notes that what we know of a friend's videos is what it knows.
func (l *List) Repaired(ctx context.Context, h network.Host) error {
	_, _, err := l.withFriend(ctx, h, func(f *Friend) { f.Repaired = l.now() })
	return err
}

// SetKey notes a friend's new key, which it announced with the old one.
func (l *List) SetKey(ctx context.Context, h network.Host, key string) error {
	_, _, err := l.withFriend(ctx, h, func(f *Friend) { f.Key = key })
	return err
}

// Leave ends a friendship, or a wish for one; byUs says whose word it is. The videos of
// h are to go. left is false where there was none.
func (l *List) Leave(ctx context.Context, h network.Host, byUs bool) (left bool, err error) {
	_, err = l.change(ctx, h, func(f *Friend) error {
		if f.State != network.Friend && f.State != network.Asked {
			return errNoFriend
		}
		l.enter(f, network.Left)
		f.ByUs, f.Wanted = byUs, false
		return nil
	})
	if errors.Is(err, errNoFriend) {
		return false, nil
	}
	return err == nil, err
}

// Block keeps h out until Unblock. The videos of h are to go.
func (l *List) Block(ctx context.Context, h network.Host) error {
	if h == l.us {
		return refuse(api.CodeInvalid, "%s is this pod.", h)
	}
	_, err := l.change(ctx, h, func(f *Friend) error {
		if f.State != network.Blocked {
			l.enter(f, network.Blocked)
		}
		return nil
	})
	return err
}

// Unblock lets h come back: by itself, or with Ask.
func (l *List) Unblock(ctx context.Context, h network.Host) error {
	_, err := l.change(ctx, h, func(f *Friend) error {
		if f.State != network.Blocked {
			return refuse(api.CodeNotFound, "%s is not blocked.", h)
		}
		l.enter(f, network.Left)
		return nil
	})
	return err
}
