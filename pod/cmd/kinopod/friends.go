package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"kinopod/pod"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// ask asks the running pod.
func (c *command) ask(ctx context.Context, method, path string, in, out any) error {
	err := pod.Command(ctx, c.Config, method, path, in, out)
	var known *api.Error
	switch {
	case errors.As(err, &known):
		return errors.New(known.Message)
	case errors.Is(err, pod.ErrNotRunning):
		return fmt.Errorf("%w: start it first (%s)", err, c.Data)
	}
	return err
}

type listFriends struct{}

// Run prints the pods that the running one knows.
func (listFriends) Run(ctx context.Context, c *command) error {
	var list api.FriendList
	if err := c.ask(ctx, http.MethodGet, "/friends", nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(c.out, list)
	}
	if len(list.Friends) == 0 {
		_, err := fmt.Fprintln(c.out, "This pod is alone. kinopod friends join HOST")
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tSTATE\tSCORE\tVIDEOS\tBEHIND\tLAST DELIVERY\tPROBLEM")
	for _, f := range list.Friends {
		last := "never"
		if !f.LastDelivery.IsZero() {
			last = f.LastDelivery.Local().Format(time.DateTime)
		}
		state := string(f.State)
		if f.Dormant {
			state = "dormant" // until one of both upgrades
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", f.Host, state, f.Score, f.Videos, f.Behind, last, f.Problem)
	}
	return w.Flush()
}

// podHost is a host on the command line.
type podHost network.Host

// UnmarshalText reads it.
func (h *podHost) UnmarshalText(b []byte) error {
	parsed, err := network.ParseHost(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a host or host:port; it has no scheme and no path", b)
	}
	*h = podHost(parsed)
	return nil
}

type joinPods struct {
	Hosts []podHost `arg:"" name:"host" help:"Hosts of pods."`
}

// Run asks pods for friendship.
func (j joinPods) Run(ctx context.Context, c *command) error {
	var in api.PodsToJoin
	var names []string
	for _, h := range j.Hosts {
		in.Hosts = append(in.Hosts, network.Host(h))
		names = append(names, string(h))
	}
	if err := c.ask(ctx, http.MethodPost, "/friends", in, nil); err != nil {
		return err
	}
	return c.say("Asked " + strings.Join(names, ", ") + " and their friends. kinopod friends list shows who is one.")
}

type ofPod struct {
	Host podHost `arg:"" help:"Host of the pod."`
}

func (o ofPod) run(ctx context.Context, c *command, method, rest, said string) error {
	if err := c.ask(ctx, method, "/friends/"+string(o.Host)+rest, nil, nil); err != nil {
		return err
	}
	return c.say(string(o.Host) + " " + said)
}

type (
	leavePod   struct{ ofPod }
	blockPod   struct{ ofPod }
	unblockPod struct{ ofPod }
)

// Run ends a friendship.
func (l leavePod) Run(ctx context.Context, c *command) error {
	return l.run(ctx, c, http.MethodDelete, "", "is no friend any more. Its videos are gone here, and ours there.")
}

// Run keeps a pod out.
func (b blockPod) Run(ctx context.Context, c *command) error {
	return b.run(ctx, c, http.MethodPut, "/block", "is blocked.")
}

// Run lets a pod come back.
func (u unblockPod) Run(ctx context.Context, c *command) error {
	return u.run(ctx, c, http.MethodDelete, "/block", "may come back.")
}

// say prints a sentence, or the same as JSON.
func (c *command) say(sentence string) error {
	if c.JSON {
		return writeJSON(c.out, map[string]string{"message": sentence})
	}
	_, err := fmt.Fprintln(c.out, sentence)
	return err
}
