package main

import (
	"context"
	"os"
	"os/exec"
)

// bundle prints what the web app weighs and what it is made of.
func bundle(ctx context.Context, _ []string) error {
	c := exec.CommandContext(ctx, "go", "run", "./build/bundle")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}
