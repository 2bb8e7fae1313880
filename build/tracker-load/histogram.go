package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations with an error below 1/64.
type histogram struct {
	buckets [64 * 40]atomic.Int64
	count   atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(max(0, d.Microseconds()))].Add(1)
	h.count.Add(1)
}

// bucketOf gives 64 buckets to each power of two.
func bucketOf(us int64) int {
	if us < 64 {
		return int(us)
	}
	shift := bits.Len64(uint64(us)) - 7
	return min(64*(shift+1)+int(us>>shift)-64, 64*40-1)
}

func bucketStart(i int) int64 {
	if i < 64 {
		return int64(i)
	}
	return int64(64+i%64) << (i/64 - 1)
}

// quantile is in milliseconds.
func (h *histogram) quantile(q float64) float64 {
	want, seen := int64(q*float64(h.count.Load())), int64(0)
	for i := range h.buckets {
		if seen += h.buckets[i].Load(); seen > want {
			return float64(bucketStart(i)) / 1000
		}
	}
	return 0
}
