// Package conformance holds the black-box checks of a WebTorrent tracker (README.md)
// and the test that runs them against the pod.
package conformance

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"kinopod/pod/podtest"
)

// TestTracker runs the conformance checks, the hardened ones too, against the built
// binary as a public tracker. What they open and send from one address is more than
// its limits, which are tested on their own.
func TestTracker(t *testing.T) {
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("npm packages are missing: go run ./build/setup test")
	}
	p := podtest.Exec(t, "--tracker-open")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "run.js", "--hardened", "--quiet")
	cmd.Env = append(os.Environ(), "TRACKER_URL="+strings.Replace(p.URL, "http://", "ws://", 1)+"/tracker/socket")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
	if !regexp.MustCompile(`(?m)^[89]\d passed, 0 failed`).Match(out) {
		t.Error("fewer checks ran than there are")
	}
}
