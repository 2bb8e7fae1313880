// Command setup installs what running or testing Kinopod needs and the machine
// lacks: Debian packages where it may (as root, with apt-get), else it says what to
// install; and the npm packages that tests use.
//
//	go run ./build/setup run     what `make run` needs
//	go run ./build/setup test    what `make test` needs
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// tool is a program and the Debian packages that bring it.
type tool struct {
	program  string
	packages []string
}

var (
	toRun  = []tool{{"redis-server", []string{"redis-server"}}, {"ffmpeg", []string{"ffmpeg"}}}
	toTest = append(slices.Clone(toRun), []tool{
		{"chromium", []string{"chromium"}},
		{"firefox-esr", []string{"firefox-esr"}},
		{"aria2c", []string{"aria2"}},
		{"transmission-cli", []string{"transmission-cli"}},
		{"caddy", []string{"caddy"}},
		{"nginx", []string{"nginx-light"}},
		{"curl", []string{"curl"}},
		{"node", []string{"nodejs"}},
		{"npm", []string{"npm"}},
		{"gcc", []string{"gcc", "libc6-dev"}}, // go test -race,
		{"g++", []string{"g++"}},              // where anacrolix's uTP is C++
	}...)
)

// nodeFolders have a package-lock.json.
var nodeFolders = []string{"build/node", "build/tracker-conformance"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := setup(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func setup(ctx context.Context, args []string) error {
	switch strings.Join(args, " ") {
	case "run":
		return install(ctx, missing(toRun))
	case "test":
		if err := install(ctx, missing(toTest)); err != nil {
			return err
		}
		for _, folder := range nodeFolders {
			if err := installNode(ctx, folder); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("say what for: run or test")
}

func missing(tools []tool) (packages []string) {
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			packages = append(packages, t.packages...)
		}
	}
	return packages
}

func install(ctx context.Context, packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	words := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("these are missing (names of Debian's packages): %s. Install them and try again", words)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("these are missing: %s. Install them and try again: sudo apt-get install %s", words, words)
	}
	fmt.Println("Installing", words)
	restore, err := keepServicesDown()
	if err != nil {
		return err
	}
	defer restore()
	if err := command(ctx, ".", "apt-get", "update", "-q"); err != nil {
		return err
	}
	return command(ctx, ".", "apt-get", append([]string{"install", "-y", "-q", "--no-install-recommends"}, packages...)...)
}

// policy is what Debian's packages ask before they start a service.
const policy = "/usr/sbin/policy-rc.d"

// keepServicesDown has packages installed without their services being started: no
// service of the machine is touched. restore makes it as it was.
func keepServicesDown() (restore func(), err error) {
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil // somebody decided already
	}
	if err != nil {
		return nil, fmt.Errorf("keep services from being started: %w", err)
	}
	restore = func() { _ = os.Remove(policy) }
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err = errors.Join(err, f.Close()); err != nil {
		restore()
		return nil, fmt.Errorf("keep services from being started: %w", err)
	}
	return restore, nil
}

// installNode installs the packages of a folder's lock file, once for each version
// of it. No script of a package is run.
func installNode(ctx context.Context, folder string) error {
	lock, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("npm packages: %w", err)
	}
	sum := sha256.Sum256(lock)
	want, stamp := hex.EncodeToString(sum[:]), filepath.Join(folder, "node_modules", ".installed")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		return nil
	}
	fmt.Println("Installing npm packages in", folder)
	if err := command(ctx, folder, "npm", "ci", "--ignore-scripts"); err != nil {
		return err
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		return fmt.Errorf("note that npm packages are installed: %w", err)
	}
	return nil
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}
