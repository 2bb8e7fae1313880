package leak

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Who takes longer than goleak waits is no leak.
func TestLateEnd(t *testing.T) {
	before := goleak.IgnoreCurrent()
	go time.Sleep(2 * time.Second)
	if goleak.Find(before) == nil {
		t.Error("goleak waits for so long itself")
	}
	Check(t, before)
}
