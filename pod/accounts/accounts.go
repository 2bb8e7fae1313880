// Package accounts decides who may do what at this pod: users and their passwords,
// sessions, invitations, the first run, and how many bytes each user may keep.
//
// Errors for the person who asked are *api.Error. Names of users are unique
// without regard to case, and every method that takes one ignores its case.
package accounts

import (
	"context"
	"errors"
	"time"

	"kinopod/shared/api"
)

// Registration says who may make an account.
type Registration string

// The values of Registration. Whoever has the link of the first run may in any case.
const (
	Closed Registration = "closed"
	Invite Registration = "invite"
	Open   Registration = "open"
)

// Policy is what the operator has decided.
type Policy struct {
	Registration    Registration
	QuotaBytes      int64 // of one user; 0 is none
	LoginsPerMinute int   // attempts for one account, and from one address; 0 is no limit
}

// Accounts keeps the rules; its Store keeps the data.
type Accounts struct {
	store  Store
	policy Policy
	now    func() time.Time

	hasher *hasher
	limits *limiter
}

// New joins the rules with a store. now is the clock, time.Now but in tests.
func New(store Store, policy Policy, now func() time.Time) *Accounts {
	return &Accounts{
		store: store, policy: policy, now: now,
		hasher: newHasher(),
		limits: newLimiter(policy.LoginsPerMinute, now),
	}
}

// Actor is who asks: the user of a session.
type Actor struct {
	Username  string // as the user wrote it when registering
	Role      api.Role
	SessionID string // as in api.SessionInfo
}

// MayModerate says whether the actor may change what is another user's.
func (a Actor) MayModerate() bool { return a.Role == api.RoleAdmin || a.Role == api.RoleModerator }

// Me is the account of the actor.
func (a *Accounts) Me(ctx context.Context, actor Actor) (api.User, error) {
	u, err := a.store.User(ctx, actor.Username)
	if errors.Is(err, ErrNotFound) {
		return api.User{}, errLoggedOut()
	}
	if err != nil {
		return api.User{}, err
	}
	return a.show(ctx, u)
}

func (a *Accounts) show(ctx context.Context, u User) (api.User, error) {
	used, err := a.store.Used(ctx, u.Name)
	if err != nil {
		return api.User{}, err
	}
	profile, err := a.store.Profile(ctx, u.Name)
	if err != nil {
		return api.User{}, err
	}
	return api.User{
		Username: u.Name, Role: u.Role, Created: u.Created,
		QuotaBytes: a.policy.QuotaBytes, UsedBytes: used, Profile: profile,
	}, nil
}

func fail(code api.Code, sentence string) *api.Error {
	return &api.Error{Code: code, Message: sentence}
}

func errLoggedOut() *api.Error {
	return fail(api.CodeUnauthorized, "Log in first.")
}
