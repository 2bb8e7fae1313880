package accounts

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"kinopod/shared/api"
)

const (
	// sessionLifetime counts from when the session was last used.
	sessionLifetime = 30 * 24 * time.Hour
	// touchEvery keeps requests from writing: LastSeen is that exact.
	touchEvery = time.Hour
)

// Login begins a session. from and userAgent are of the caller's connection. An
// unknown user and a wrong password cannot be told apart, by time neither.
func (a *Accounts) Login(ctx context.Context, in api.Credentials, from netip.Addr, userAgent string) (api.Session, error) {
	keys := a.limits.loginKeys(in.Username, from)
	if err := a.limits.take(keys...); err != nil {
		return api.Session{}, err
	}
	var u User
	if checkUsername(in.Username) == nil {
		var err error
		if u, err = a.store.User(ctx, in.Username); err != nil && !errors.Is(err, ErrNotFound) {
			return api.Session{}, err
		}
	}
	wrong := fail(api.CodeUnauthorized, "The user name or the password is wrong.")
	ok, err := a.hasher.matches(ctx, in.Password, u.Password)
	if err != nil {
		return api.Session{}, err
	}
	if !ok {
		return api.Session{}, wrong
	}
	a.limits.giveBack(keys...)
	a.limits.loggedIn(in.Username, from)
	s, err := a.begin(ctx, u, userAgent)
	if errors.Is(err, ErrChanged) {
		return api.Session{}, wrong
	}
	return s, err
}

func (a *Accounts) begin(ctx context.Context, u User, userAgent string) (api.Session, error) {
	token, hash := newToken()
	now := a.now().UTC().Truncate(time.Millisecond)
	s := Session{
		ID: hash, User: u.Name, Client: clientOf(userAgent),
		Created: now, LastSeen: now, Expires: now.Add(sessionLifetime),
	}
	if err := a.store.CreateSession(ctx, s, u.Password); err != nil {
		return api.Session{}, err
	}
	shown, err := a.show(ctx, u)
	if err != nil {
		return api.Session{}, err
	}
	return api.Session{Token: token, User: shown, Expires: s.Expires}, nil
}

// Authenticate says whose session a token is, and prolongs it;
// api.CodeUnauthorized for none.
func (a *Accounts) Authenticate(ctx context.Context, token string) (Actor, error) {
	id, ok := hashToken(token)
	if !ok {
		return Actor{}, errLoggedOut()
	}
	s, err := a.store.Session(ctx, id)
	now := a.now()
	if errors.Is(err, ErrNotFound) || err == nil && !now.Before(s.Expires) {
		return Actor{}, errLoggedOut()
	}
	if err != nil {
		return Actor{}, err
	}
	u, err := a.store.User(ctx, s.User)
	if errors.Is(err, ErrNotFound) {
		return Actor{}, errLoggedOut()
	}
	if err != nil {
		return Actor{}, err
	}
	if now.Sub(s.LastSeen) >= touchEvery {
		s.LastSeen, s.Expires = now, now.Add(sessionLifetime)
		// A store that cannot write, say for a full disk, still knows who this is.
		_ = a.store.TouchSession(ctx, s)
	}
	return Actor{Username: u.Name, Role: u.Role, SessionID: id.String()}, nil
}

// Logout ends the session of the actor.
func (a *Accounts) Logout(ctx context.Context, actor Actor) error {
	err := a.EndSession(ctx, actor, actor.SessionID)
	if api.Is(err, api.CodeNotFound) {
		return nil
	}
	return err
}

// Sessions lists where the actor is logged in, the last used first.
func (a *Accounts) Sessions(ctx context.Context, actor Actor) ([]api.SessionInfo, error) {
	all, err := a.store.Sessions(ctx, actor.Username)
	if err != nil {
		return nil, err
	}
	now := a.now()
	all = slices.DeleteFunc(all, func(s Session) bool { return !now.Before(s.Expires) })
	slices.SortFunc(all, func(x, y Session) int {
		if c := y.LastSeen.Compare(x.LastSeen); c != 0 {
			return c
		}
		return y.Created.Compare(x.Created)
	})
	out := make([]api.SessionInfo, len(all))
	for i, s := range all {
		out[i] = api.SessionInfo{
			ID: s.ID.String(), Client: s.Client, Created: s.Created, LastSeen: s.LastSeen,
			Current: s.ID.String() == actor.SessionID,
		}
	}
	return out, nil
}

// EndSession ends one of the actor's sessions by api.SessionInfo.ID.
func (a *Accounts) EndSession(ctx context.Context, actor Actor, id string) error {
	notFound := fail(api.CodeNotFound, "There is no such session.")
	hash, ok := parseTokenHash(id)
	if !ok {
		return notFound
	}
	err := a.store.EndSession(ctx, actor.Username, hash)
	if errors.Is(err, ErrNotFound) {
		return notFound
	}
	return err
}

// ChangePassword sets a new password and ends the actor's other sessions.
func (a *Accounts) ChangePassword(ctx context.Context, actor Actor, in api.PasswordChange) error {
	if err := checkPassword(in.New, actor.Username); err != nil {
		return err
	}
	// Not the account's bucket: who has a session is not kept waiting by strangers.
	key := accountKey(actor.Username) + " password"
	if err := a.limits.take(key); err != nil {
		return err
	}
	u, err := a.store.User(ctx, actor.Username)
	if errors.Is(err, ErrNotFound) {
		return errLoggedOut()
	}
	if err != nil {
		return err
	}
	ok, err := a.hasher.matches(ctx, in.Old, u.Password)
	if err != nil {
		return err
	}
	if !ok {
		return fail(api.CodeForbidden, "The current password is wrong.")
	}
	a.limits.giveBack(key)
	keep, _ := parseTokenHash(actor.SessionID)
	return a.setPassword(ctx, u.Name, in.New, u.Password, keep)
}

// SetPassword gives a user a new password and ends all of their sessions. It is
// for the operator and administrators: the caller has checked who asks.
func (a *Accounts) SetPassword(ctx context.Context, name, password string) error {
	if err := checkPassword(password, name); err != nil {
		return err
	}
	return a.setPassword(ctx, name, password, "", TokenHash{})
}

func (a *Accounts) setPassword(ctx context.Context, name, password string, old PasswordHash, keep TokenHash) error {
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	switch err := a.store.SetPassword(ctx, name, old, hash, keep); {
	case errors.Is(err, ErrChanged):
		return fail(api.CodeConflict, "The password was changed elsewhere meanwhile.")
	case errors.Is(err, ErrNotFound):
		return fail(api.CodeNotFound, "There is no such user.")
	default:
		return err
	}
}
