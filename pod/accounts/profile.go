package accounts

import (
	"context"
	"errors"
	"fmt"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Profile is what a user says of themself to everybody; the zero one of who says
// nothing, or is nobody.
func (a *Accounts) Profile(ctx context.Context, name string) (video.Profile, error) {
	return a.store.Profile(ctx, name)
}

// SetProfile changes what the actor says of themself.
func (a *Accounts) SetProfile(ctx context.Context, actor Actor, in video.Profile) error {
	p, err := in.Clean()
	if err != nil {
		return &api.Error{
			Code: api.CodeInvalid, Cause: err,
			Message: fmt.Sprintf("The name shown may have %d characters, the text about you %d.", video.MaxShownName, video.MaxAbout),
		}
	}
	err = a.store.SetProfile(ctx, actor.Username, p)
	if errors.Is(err, ErrNotFound) {
		return errLoggedOut()
	}
	return err
}
