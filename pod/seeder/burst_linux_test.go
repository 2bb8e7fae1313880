package seeder

import "testing"

// Where the system does not take datagrams together they go one by one.
func TestDatagramsOneByOne(t *testing.T) {
	ours, theirs := bursts(t)
	ours.segments.refused.Store(true)
	keepsDatagrams(t, ours, theirs)
}
