package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"kinopod/pod"
	"kinopod/pod/config"
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

type listUsers struct{}

// Run prints the accounts.
func (listUsers) Run(ctx context.Context, c *command) error {
	var all []api.User
	if err := c.ask(ctx, http.MethodGet, "/users", nil, &all); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(c.out, all)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tUSED\tQUOTA\tSINCE")
	for _, u := range all {
		quota := "none"
		if u.QuotaBytes > 0 {
			quota = config.Bytes(u.QuotaBytes).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f MiB\t%s\t%s\n", u.Username, u.Role, float64(u.UsedBytes)/(1<<20), quota, u.Created.Local().Format(time.DateOnly))
	}
	return w.Flush()
}

type setRole struct {
	Name string   `arg:"" help:"Name of the account."`
	Role api.Role `arg:"" enum:"user,moderator,admin" help:"user, moderator or admin."`
}

// Run changes the role.
func (s setRole) Run(ctx context.Context, c *command) error {
	if err := c.ask(ctx, http.MethodPut, "/users/"+url.PathEscape(s.Name)+"/role", pod.NewUser{Role: s.Role}, nil); err != nil {
		return err
	}
	return c.say(s.Name + " is " + string(s.Role) + " now.")
}

type removeUser struct {
	Name   string `arg:"" help:"Name of the account."`
	Videos bool   `name:"videos" help:"Remove its uploads and videos too."`
}

// Run removes the account, with --videos what it has uploaded before.
func (r removeUser) Run(ctx context.Context, c *command) error {
	path, removed := "/users/"+url.PathEscape(r.Name), 0
	for more := r.Videos; more; {
		var done pod.Withdrawn
		if err := c.ask(ctx, http.MethodDelete, path+"/videos", nil, &done); err != nil {
			return err
		}
		removed += done.Removed
		more = done.More
	}
	if err := c.ask(ctx, http.MethodDelete, path, nil, nil); err != nil {
		if !r.Videos {
			err = fmt.Errorf("%w (--videos removes uploads and videos, too)", err)
		}
		return err
	}
	if removed > 0 {
		return c.say(fmt.Sprintf("Removed the account %s and %d of its uploads and videos.", r.Name, removed))
	}
	return c.say("Removed the account " + r.Name + ".")
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
