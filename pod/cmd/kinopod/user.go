package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"kinopod/pod"
	"kinopod/shared/api"
)

type createUser struct {
	Name          string `arg:"" help:"Name of the account."`
	Admin         bool   `name:"admin" xor:"role" help:"Make an administrator."`
	Moderator     bool   `name:"moderator" xor:"role" help:"Make a moderator."`
	PasswordStdin bool   `name:"password-stdin" required:"" help:"Read the password from the first line of standard input."`
}

// maxPassword bounds the line that is read, in bytes.
const maxPassword = 4 << 10

// readPassword reads the first line of standard input.
func (c *command) readPassword() (string, error) {
	line, err := bufio.NewReader(io.LimitReader(c.in, maxPassword)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

type setPassword struct {
	Name          string `arg:"" help:"Name of the account."`
	PasswordStdin bool   `name:"password-stdin" required:"" help:"Read the password from the first line of standard input."`
}

// Run sets the password; sessions of the account end.
func (s setPassword) Run(ctx context.Context, c *command) error {
	password, err := c.readPassword()
	if err != nil {
		return err
	}
	log, err := newLog(c.Log, c.err)
	if err != nil {
		return err
	}
	if err := pod.SetPassword(ctx, c.Config, pod.NewUser{Username: s.Name, Password: password}, log); err != nil {
		var known *api.Error
		if errors.As(err, &known) {
			return errors.New(known.Message)
		}
		return err
	}
	return c.say(s.Name + " has another password, and is logged out everywhere.")
}

// Run makes the account, at the pod that runs with the data directory or, where
// none does, in its Redis.
func (u createUser) Run(ctx context.Context, c *command) error {
	password, err := c.readPassword()
	if err != nil {
		return err
	}
	user := pod.NewUser{Username: u.Name, Password: password, Role: api.RoleUser}
	switch {
	case u.Admin:
		user.Role = api.RoleAdmin
	case u.Moderator:
		user.Role = api.RoleModerator
	}
	log, err := newLog(c.Log, c.err)
	if err != nil {
		return err
	}
	if err := pod.CreateUser(ctx, c.Config, user, log); err != nil {
		var known *api.Error
		if errors.As(err, &known) {
			return errors.New(known.Message)
		}
		return err
	}
	if c.JSON {
		return writeJSON(c.out, map[string]string{"username": user.Username, "role": string(user.Role)})
	}
	_, err = fmt.Fprintf(c.out, "Made the account %s (%s).\n", user.Username, user.Role)
	return err
}
