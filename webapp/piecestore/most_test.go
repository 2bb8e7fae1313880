package piecestore

import "testing"

func TestMostBytes(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct{ chosen, quota, want int64 }{
		{0, 100 * gib, 2 * gib},
		{0, 10 * gib, 2 * gib},
		{0, 10*gib - 5, 2*gib - 1},
		{0, 5 * gib, gib},
		{0, 0, 0},  // what the browser does not say
		{0, -1, 0}, // what it should not
		{3 * gib, 5 * gib, 3 * gib},
		{1, 100 * gib, 1},
	} {
		if got := mostBytes(c.chosen, c.quota); got != c.want {
			t.Errorf("%d chosen of %d: %d, want %d", c.chosen, c.quota, got, c.want)
		}
	}
}
