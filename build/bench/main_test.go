package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// Where one benchmark fails the others run all the same, and all failures are told.
func TestOneFailureDoesNotStopTheOthers(t *testing.T) {
	var ran []string
	part := func(name string, err error) benchmark {
		return benchmark{name, func(context.Context, []string) error { ran = append(ran, name); return err }}
	}
	all := []benchmark{part("first", errors.New("no browser")), part("second", nil), part("third", errors.New("no nginx"))}
	err := run(t.Context(), all, nil)
	if !slices.Equal(ran, []string{"first", "second", "third"}) {
		t.Errorf("ran %v", ran)
	}
	if err == nil || !strings.Contains(err.Error(), "2 of 3 failed") || !strings.Contains(err.Error(), "first: no browser") || !strings.Contains(err.Error(), "third: no nginx") {
		t.Errorf("%v", err)
	}
	if err := run(t.Context(), all[1:2], nil); err != nil {
		t.Error(err)
	}
	ran = nil
	if err := run(t.Context(), all, []string{"third"}); err == nil || !slices.Equal(ran, []string{"third"}) {
		t.Errorf("ran %v: %v", ran, err)
	}
	if err := run(t.Context(), all, []string{"fourth"}); err == nil {
		t.Error("a benchmark that there is not")
	}
}

// Who interrupts does not wait for the rest.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ran := 0
	part := benchmark{"part", func(context.Context, []string) error { ran++; cancel(); return context.Canceled }}
	if err := run(ctx, []benchmark{part, part}, nil); err == nil || ran != 1 {
		t.Errorf("%d ran: %v", ran, err)
	}
}
