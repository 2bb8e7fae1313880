package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"kinopod/shared/api"
)

// inviteLifetime is how long an invitation may be used.
const inviteLifetime = 7 * 24 * time.Hour

// Setup makes the token with which the first user, an administrator, registers
// (api.Registration.Setup). needed is false when there are users already. A token
// is valid until there is a user or Setup makes the next.
func (a *Accounts) Setup(ctx context.Context) (token string, needed bool, err error) {
	n, err := a.store.CountUsers(ctx)
	if err != nil || n > 0 {
		return "", false, err
	}
	token, hash := newToken()
	err = a.store.PutSetup(ctx, hash)
	if errors.Is(err, ErrTaken) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return token, true, nil
}

// CreateInvite makes an invitation for one person. Its URL is the caller's to set.
func (a *Accounts) CreateInvite(ctx context.Context, actor Actor) (api.Invite, error) {
	if !actor.MayModerate() {
		return api.Invite{}, fail(api.CodeForbidden, "Only moderators invite.")
	}
	switch a.policy.Registration {
	case Closed:
		return api.Invite{}, fail(api.CodeForbidden, "Registration is closed at this pod.")
	case Open:
		return api.Invite{}, fail(api.CodeConflict, "Everybody may register at this pod: no invitation is needed.")
	}
	token, hash := newToken()
	expires := a.now().Add(inviteLifetime).UTC().Truncate(time.Millisecond)
	if err := a.store.PutInvite(ctx, hash, actor.Username, expires); err != nil {
		return api.Invite{}, err
	}
	return api.Invite{Token: token, Expires: expires}, nil
}

// Register makes an account as the policy allows, and begins a session. from and
// userAgent are of the caller's connection. Each call counts as an attempt of the
// address: nobody makes accounts by the hundred.
func (a *Accounts) Register(ctx context.Context, in api.Registration, from netip.Addr, userAgent string) (api.Session, error) {
	if err := a.limits.take(addressKey(from)); err != nil {
		return api.Session{}, err
	}
	grant, role, err := a.grant(ctx, in)
	if err != nil {
		return api.Session{}, err
	}
	u, err := a.create(ctx, in.Username, in.Password, role, grant)
	if err != nil {
		return api.Session{}, err
	}
	a.limits.loggedIn(u.Name, from)
	return a.begin(ctx, u, userAgent)
}

// Create makes an account for the operator of the pod, whatever the policy is.
func (a *Accounts) Create(ctx context.Context, name, password string, role api.Role) error {
	if role != api.RoleAdmin && role != api.RoleModerator && role != api.RoleUser {
		return fail(api.CodeInvalid, fmt.Sprintf("There is no role %q.", role))
	}
	_, err := a.create(ctx, name, password, role, Grant{})
	return err
}

// grant says by what right somebody registers, and as what. It looks the token up,
// so that a wrong one does not cost a hash; CreateUser has the last word.
func (a *Accounts) grant(ctx context.Context, in api.Registration) (Grant, api.Role, error) {
	if in.Setup != "" {
		g, err := a.look(ctx, GrantSetup, in.Setup)
		return g, api.RoleAdmin, err
	}
	switch a.policy.Registration {
	case Open:
		// The first account is the operator's, by the link of the first run.
		n, err := a.store.CountUsers(ctx)
		if err == nil && n == 0 {
			err = fail(api.CodeForbidden, "This pod is not set up yet.")
		}
		return Grant{}, api.RoleUser, err
	case Invite:
		if in.Invite == "" {
			return Grant{}, "", fail(api.CodeForbidden, "You need an invitation to register at this pod.")
		}
		g, err := a.look(ctx, GrantInvite, in.Invite)
		return g, api.RoleUser, err
	}
	return Grant{}, "", fail(api.CodeForbidden, "Registration is closed at this pod.")
}

func (a *Accounts) look(ctx context.Context, kind GrantKind, token string) (Grant, error) {
	hash, ok := hashToken(token)
	if !ok {
		return Grant{}, errGrant(kind)
	}
	g := Grant{Kind: kind, Token: hash}
	ok, err := a.store.ValidGrant(ctx, g)
	if err == nil && !ok {
		err = errGrant(kind)
	}
	return g, err
}

func errGrant(kind GrantKind) *api.Error {
	if kind == GrantSetup {
		return fail(api.CodeForbidden, "This link for the first account is not valid any more: it was used, or the pod was started again and printed another.")
	}
	return fail(api.CodeForbidden, "This invitation is not valid any more: it was used, or it is too old.")
}

func (a *Accounts) create(ctx context.Context, name, password string, role api.Role, g Grant) (User, error) {
	if err := checkUsername(name); err != nil {
		return User{}, err
	}
	if err := checkPassword(password, name); err != nil {
		return User{}, err
	}
	taken := fail(api.CodeConflict, "This user name is taken.")
	if _, err := a.store.User(ctx, name); err == nil {
		return User{}, taken
	} else if !errors.Is(err, ErrNotFound) {
		return User{}, err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	u := User{Name: name, Role: role, Password: hash, Created: a.now().UTC().Truncate(time.Millisecond)}
	switch err := a.store.CreateUser(ctx, u, g); {
	case errors.Is(err, ErrTaken):
		return User{}, taken
	case errors.Is(err, ErrGrant):
		return User{}, errGrant(g.Kind)
	case err != nil:
		return User{}, err
	}
	return u, nil
}
