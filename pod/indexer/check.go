package indexer

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// checkTime is how long a check waits for an index that is built, or behind.
const checkTime = 10 * time.Minute

// Check says where the index has other videos than those of the catalogue, whose numbers
// are given in order, and mends it where repair is set. It waits until the index is whole.
// What a snapshot that could not be used was like is said once.
func (x *Index) Check(ctx context.Context, seqs []uint32, repair bool) (problems []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	last, err := x.events.LastEvent(ctx)
	if err != nil {
		return nil, err
	}
	for {
		x.mu.Lock()
		position := x.position
		x.mu.Unlock()
		if position >= last {
			break
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the search index is not up to date: %w", ctx.Err())
		}
		wait(ctx, 10*time.Millisecond)
	}
	x.mu.Lock()
	words, unusable := x.words, x.unusable
	x.unusable = nil
	x.mu.Unlock()
	if unusable != nil {
		problems = append(problems, fmt.Sprintf("search: the snapshot could not be used, and the index was built anew: %v", unusable))
	}
	differ := except(words.IDs(), seqs)
	missing := except(seqs, words.IDs())
	// What came or went while the catalogue was read differs, and is as it should be.
	var wrong []uint32
	for _, some := range [][]uint32{differ, missing} {
		for some := range slices.Chunk(some, videosAtOnce) {
			found, err := x.events.BySeq(ctx, some)
			if err != nil {
				return problems, err
			}
			listed := make([]uint32, len(found))
			for i := range found {
				listed[i] = found[i].Seq
			}
			has := words.IDs()
			for _, seq := range some {
				_, isListed := slices.BinarySearch(listed, seq)
				if _, is := slices.BinarySearch(has, seq); is != isListed {
					wrong = append(wrong, seq)
					problems = append(problems, fmt.Sprintf("search: video %d is listed: %v, can be found: %v", seq, isListed, is))
				}
			}
		}
	}
	if repair && len(wrong) > 0 {
		return problems, x.apply(ctx, words, wrong)
	}
	return problems, nil
}

// except gives what is in a and not in b; both are in order.
func except(a, b []uint32) (out []uint32) {
	for _, n := range a {
		for len(b) > 0 && b[0] < n {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != n {
			out = append(out, n)
		}
	}
	return out
}
