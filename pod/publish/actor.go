package publish

import (
	"context"

	"kinopod/pod/accounts"
)

type actorKey struct{}

// WithActor says in a request's context who sends it. Handler asks for it.
func WithActor(ctx context.Context, who accounts.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

func actorOf(ctx context.Context) (accounts.Actor, bool) {
	who, ok := ctx.Value(actorKey{}).(accounts.Actor)
	return who, ok && who.Username != ""
}
