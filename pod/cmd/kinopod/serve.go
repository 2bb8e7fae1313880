package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"kinopod/pod"
	"kinopod/pod/config"
)

type serveCommand struct{}

// Run runs the pod until ctx ends.
func (serveCommand) Run(ctx context.Context, c *command) error {
	log, err := newLog(c.Log, c.err)
	if err != nil {
		return err
	}
	p, err := pod.New(ctx, c.Config, pod.Options{Version: version(), Log: log, Pages: pages})
	if err != nil {
		return err
	}
	welcome, err := p.Welcome(ctx)
	if err == nil {
		err = greet(c, welcome)
	}
	if err != nil {
		return errors.Join(err, p.Close())
	}
	return p.Run(ctx)
}

// greet says where to go next.
func greet(c *command, w pod.Welcome) error {
	if c.JSON {
		return writeJSON(c.out, w)
	}
	_, err := fmt.Fprintf(c.out, "\n  %s is at %s\n", c.Name, w.URL)
	if err == nil && w.SetupURL != "" {
		_, err = fmt.Fprintf(c.out, "\n  It has no account yet. Make the first one, an administrator's, at\n  %s\n  The link works once, until the pod is started again.\n", w.SetupURL)
	}
	if err == nil {
		_, err = fmt.Fprintln(c.out)
	}
	return err
}

func newLog(cfg config.Log, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return slog.New(slog.NewTextHandler(w, options)), nil
}
