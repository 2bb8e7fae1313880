// Command kinopod is the whole pod: `kinopod serve` runs it, the other commands
// look after it.
//
// Exit status: 0 done, 1 failed, 2 not understood (an unknown command, flag or key,
// or a value that cannot stand).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"kinopod/pod/config"
)

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := untilSignal()
	defer stop()
	e := env{args: os.Args[1:], environ: os.Environ(), in: os.Stdin, out: os.Stdout, err: os.Stderr}
	os.Exit(e.run(ctx))
}

// untilSignal ends its context with the first SIGINT or SIGTERM, and the process
// with the second.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "kinopod: stopped at once, at a second signal")
		os.Exit(exitFailed)
	}()
	return ctx, cancel
}

// env is what a command sees of the world.
type env struct {
	args    []string
	environ []string
	in      io.Reader
	out     io.Writer
	err     io.Writer
}

// cli is the command line. Every flag of config.Config belongs to every command.
type cli struct {
	File string `name:"config" placeholder:"FILE" help:"Read this TOML file (KINOPOD_CONFIG)."`
	JSON bool   `name:"json" help:"Print JSON."`

	config.Config `embed:""`

	Serve serveCommand `cmd:"" help:"Run the pod."`
	User  struct {
		Create   createUser  `cmd:"" help:"Make an account."`
		Password setPassword `cmd:"" help:"Give an account another password."`
		List     listUsers   `cmd:"" help:"List the accounts of the running pod."`
		Role     setRole     `cmd:"" help:"Change what an account may do."`
		Remove   removeUser  `cmd:"" help:"Remove an account."`
	} `cmd:"" help:"Look after accounts."`
	Friends struct {
		List    listFriends `cmd:"" help:"List the pods that this one knows."`
		Join    joinPods    `cmd:"" help:"Ask pods, and the network they are of, for friendship."`
		Leave   leavePod    `cmd:"" help:"End a friendship. Joining again works."`
		Block   blockPod    `cmd:"" help:"Keep a pod out."`
		Unblock unblockPod  `cmd:"" help:"Let a blocked pod come back."`
	} `cmd:"" help:"Look after the friends of the running pod."`
	Index struct {
		Check checkIndex `cmd:"" help:"Compare the catalogue with its indexes and the search index."`
	} `cmd:"" help:"Look after the catalogue."`
	Key struct {
		Change changeKey `cmd:"" help:"Give the running pod a new key, and tell its friends of it, signed with the old one."`
	} `cmd:"" help:"Look after the pod's key."`
	Show    showConfig  `cmd:"" name:"config" help:"Print the effective configuration and where each value came from."`
	Version showVersion `cmd:"" help:"Print the version."`
}

// command is what kong calls: the context and what a command may use are bound.
type command struct {
	*cli
	env
	settings *config.Settings
	flags    map[string]bool // names of the flags that were given
}

// exit carries kong's wish to end (after --help) out of its parser.
type exit int

func (e *env) run(ctx context.Context) (code int) {
	defer func() {
		if e, ok := recover().(exit); ok {
			code = int(e)
		}
	}()
	var c cli
	parser, err := kong.New(
		&c, kong.Name("kinopod"), kong.Writers(e.out, e.err),
		kong.Description("Video hosting that a network of small servers does together."),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return e.fail(err, exitFailed)
	}
	settings, err := e.settings()
	if err != nil {
		return e.fail(err, exitUsage)
	}
	kong.Resolvers(settings).Apply(parser) //nolint:errcheck // it only appends
	parsed, err := parser.Parse(e.args)
	if err != nil {
		return e.fail(err, exitUsage)
	}
	if err := c.Validate(); err != nil {
		return e.fail(err, exitUsage)
	}
	cmd := &command{cli: &c, env: *e, settings: settings, flags: map[string]bool{}}
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved {
			cmd.flags[p.Flag.Name] = true
		}
	}
	if err := parsed.Run(cmd); err != nil && !errors.Is(err, context.Canceled) {
		return e.fail(err, exitFailed)
	}
	return exitDone
}

func (e *env) fail(err error, code int) int {
	fmt.Fprintf(e.err, "kinopod: %v\n", err)
	return code
}

// settings reads the file, whose path has to be known before the other flags are,
// and the variables.
func (e *env) settings() (*config.Settings, error) {
	path := e.configPath()
	if path == "" {
		return config.Read("", nil, e.environ)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return config.Read(path, file, e.environ)
}

func (e *env) configPath() (path string) {
	for _, v := range e.environ {
		if value, ok := strings.CutPrefix(v, config.FileVariable+"="); ok {
			path = value
		}
	}
	for i, a := range e.args {
		if value, ok := strings.CutPrefix(a, "--config="); ok {
			path = value
		} else if a == "--config" && i+1 < len(e.args) {
			path = e.args[i+1]
		}
	}
	return path
}
