//go:build !race

package swarm

import (
	"testing"
	"time"
)

// The race detector takes 8 GB for what is 150 MB without it: make test runs this on its own.
func TestCopiesOfFiftyViewers(t *testing.T) {
	staysBelow(t, scene{50, 5 * time.Second, 60, 4, 8, 0}, 3)
	staysBelow(t, scene{50, 5 * time.Second, 60, 4, 5, 0}, 3)
}
