package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Reserve books bytes of the user's quota for an upload, which its video keeps
// later. Booked again for the same id, the new number counts: a repeated call does
// not add up. api.CodeTooLarge where the quota does not reach.
func (a *Accounts) Reserve(ctx context.Context, user string, id video.ID, bytes int64) error {
	if bytes < 0 {
		return fail(api.CodeInvalid, "A file cannot have less than no bytes.")
	}
	r := Reservation{ID: id, Bytes: bytes, At: a.now()}
	err := a.store.Reserve(ctx, user, r, a.policy.QuotaBytes)
	if errors.Is(err, ErrNotFound) { // removed meanwhile
		return errLoggedOut()
	}
	if !errors.Is(err, ErrQuota) {
		return err
	}
	free := "nothing"
	if used, err := a.store.Used(ctx, user); err == nil && used < a.policy.QuotaBytes {
		free = size(a.policy.QuotaBytes - used)
	}
	return fail(api.CodeTooLarge, fmt.Sprintf("The file has %s, and of your %s %s is free. Remove a video first.", size(bytes), size(a.policy.QuotaBytes), free))
}

// Release gives back what was booked for an upload or a video. It may be repeated.
func (a *Accounts) Release(ctx context.Context, user string, id video.ID) error {
	return a.store.Release(ctx, user, id)
}

// vanishAfter is how long a booking may stand before there is anything to see of
// its upload.
const vanishAfter = time.Hour

// ReleaseVanished gives back what is booked for ids that are neither an upload nor
// a video, as exists says: a pod that was killed between Reserve and the first
// trace of the upload, or between the end of a video and Release, leaves such.
// Call it at start and now and then; it returns how many there were.
func (a *Accounts) ReleaseVanished(ctx context.Context, exists func(context.Context, video.ID) (bool, error)) (int, error) {
	names, err := a.store.Usernames(ctx)
	if err != nil {
		return 0, err
	}
	released, before := 0, a.now().Add(-vanishAfter)
	for _, name := range names {
		all, err := a.store.Reservations(ctx, name)
		if err != nil {
			return released, err
		}
		for _, r := range all {
			if r.At.After(before) {
				continue
			}
			ok, err := exists(ctx, r.ID)
			if err != nil {
				return released, fmt.Errorf("look for %s: %w", r.ID, err)
			}
			if ok {
				continue
			}
			if err := a.store.Release(ctx, name, r.ID); err != nil {
				return released, err
			}
			released++
		}
	}
	return released, nil
}

// size writes bytes as people read them.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	value, unit := float64(n)/(1<<10), "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB", "PiB"} {
		if value < 1<<10 {
			break
		}
		value, unit = value/(1<<10), next
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
