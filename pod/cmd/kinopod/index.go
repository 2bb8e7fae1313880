package main

import (
	"context"
	"errors"
	"fmt"

	"kinopod/pod"
)

type checkIndex struct {
	Repair bool `name:"repair" help:"Mend what does not agree: the records are right, what is made of them follows."`
}

// errNotMended makes scripts see that something is wrong.
var errNotMended = errors.New("the catalogue does not agree with what is made of it: kinopod index check --repair")

// Run checks the catalogue of the running pod, or where none runs its files.
func (i checkIndex) Run(ctx context.Context, c *command) error {
	log, err := newLog(c.Log, c.err)
	if err != nil {
		return err
	}
	r, err := pod.CheckIndex(ctx, c.Config, pod.IndexCheck{Repair: i.Repair}, log)
	if err != nil {
		return err
	}
	if c.JSON {
		err = writeJSON(c.out, r)
	} else {
		for _, p := range r.Problems {
			fmt.Fprintln(c.out, p)
		}
		_, err = fmt.Fprintf(c.out, "Videos: %d, of them searched: %d. Problems: %d, of them mended: %d.\n", r.Videos, r.Searched, r.Found, r.Mended)
	}
	if err == nil && r.Mended < r.Found {
		err = errNotMended
	}
	return err
}
