package accounts

import (
	"context"
	"errors"
	"slices"
	"strings"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// What an operator does with accounts; the caller has checked who asks.

// List gives all accounts by name.
func (a *Accounts) List(ctx context.Context) ([]api.User, error) {
	names, err := a.store.Usernames(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]api.User, 0, len(names))
	for _, name := range names {
		u, err := a.store.User(ctx, name)
		if errors.Is(err, ErrNotFound) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		shown, err := a.show(ctx, u)
		if err != nil {
			return nil, err
		}
		all = append(all, shown)
	}
	slices.SortFunc(all, func(a, b api.User) int { return strings.Compare(Fold(a.Username), Fold(b.Username)) })
	return all, nil
}

// SetRole changes what a user may do, from their next request on.
func (a *Accounts) SetRole(ctx context.Context, name string, role api.Role) error {
	if role != api.RoleUser && role != api.RoleModerator && role != api.RoleAdmin {
		return fail(api.CodeInvalid, "A role is user, moderator or admin.")
	}
	return managed(a.store.SetRole(ctx, name, role))
}

// Booked lists what of a user's takes space: their uploads and videos.
func (a *Accounts) Booked(ctx context.Context, name string) ([]video.ID, error) {
	if _, err := a.store.User(ctx, name); err != nil {
		return nil, managed(err)
	}
	booked, err := a.store.Reservations(ctx, name)
	ids := make([]video.ID, len(booked))
	for i, r := range booked {
		ids[i] = r.ID
	}
	return ids, err
}

// Remove ends an account and its sessions; the name is free then. Uploads and videos
// have to be removed before, lest they become another's who takes the name.
func (a *Accounts) Remove(ctx context.Context, name string) error {
	return managed(a.store.RemoveUser(ctx, name))
}

// managed has a sentence for what a Store refuses an operator.
func managed(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return fail(api.CodeNotFound, "There is no such user.")
	case errors.Is(err, ErrLastAdmin):
		return fail(api.CodeConflict, "This is the only administrator. Make another one first.")
	case errors.Is(err, ErrBooked):
		return fail(api.CodeConflict, "The account still has uploads or videos.")
	}
	return err
}
