package outbox

import (
	"context"
	"errors"
	"time"

	"kinopod/pod/federation"
	"kinopod/shared/network"
)

// detailsTime bounds a question that a viewer waits for.
const detailsTime = 3 * time.Second

// Details asks a friend for the details of one of its videos. That it cannot be asked
// does not count against it: deliveries do.
func (o *Outbox) Details(ctx context.Context, h network.Host, q federation.DetailsRequest) (federation.Details, error) {
	f, ok, err := o.parts.Friends.Get(ctx, h)
	if err != nil {
		return federation.Details{}, err
	}
	if !ok || f.State != network.Friend {
		return federation.Details{}, errNoFriend
	}
	if o.dormant(f) {
		return federation.Details{}, errDormant
	}
	ctx, cancel := context.WithTimeout(ctx, detailsTime)
	defer cancel()
	answer, err := o.ask(ctx, f, federation.PathDetails, q)
	if err != nil {
		return federation.Details{}, err
	}
	if len(answer) == 0 {
		return federation.Details{}, errors.New("an answer without details")
	}
	return federation.ParseDetails(answer)
}
