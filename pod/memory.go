package pod

import (
	"context"
	"runtime"
	"runtime/debug"
	heap "runtime/metrics"
	"time"
)

const (
	trimEvery = 10 * time.Second
	// trimFrom is how much memory has to be of no use: less is not worth the work.
	trimFrom = 24 << 20
	// ballast is never written, so it takes no memory. To the collector it is in use: where
	// that is only a few megabytes it would run after each few dozen requests, and each that
	// comes meanwhile waits for it.
	ballast = 8 << 20
)

// trimMemory gives memory back to the system that is of no use after a peak: reading a
// snapshot of the search index takes tens of megabytes for a moment, and checking a
// password 32. Go would keep most of it for as long as little else is asked of it.
func trimMemory(ctx context.Context) error {
	weight := make([]byte, ballast)
	defer runtime.KeepAlive(weight)
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			// A pod with much that is in use has much garbage between two collections.
			if unused, live := heapNow(); unused > max(trimFrom, live/2) {
				debug.FreeOSMemory()
			}
		}
	}
}

// heapNow is what was in use at the last collection, and what the heap holds besides.
func heapNow() (unused, live uint64) {
	samples := []heap.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/live:bytes"}}
	heap.Read(samples)
	held := samples[0].Value.Uint64() + samples[1].Value.Uint64()
	live = samples[2].Value.Uint64()
	return held - min(held, live), live
}
