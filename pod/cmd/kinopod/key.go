package main

import (
	"context"
	"fmt"
	"net/http"

	"kinopod/pod"
)

type changeKey struct{}

// Run gives the running pod a new key.
func (changeKey) Run(ctx context.Context, c *command) error {
	var changed pod.ChangedKey
	if err := c.ask(ctx, http.MethodPost, "/key", nil, &changed); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(c.out, changed)
	}
	_, err := fmt.Fprintf(c.out, "The pod has a new key, %s. Friends that are told of it, now or when they are back: %d.\n", changed.Key, len(changed.Tell))
	return err
}
