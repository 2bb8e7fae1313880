package httpapi

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// burst is how many seconds' worth of requests may come at once: a page opens
// with a handful.
const burst = 3

// mostBuckets bounds the memory of a limiter; beyond it full buckets go first.
const mostBuckets = 50_000

// limiter allows each key so many requests a second.
type limiter[K comparable] struct {
	perSecond int // 0 is no limit

	mu      sync.Mutex
	buckets map[K]*rate.Limiter
}

func newLimiter[K comparable](perSecond int) *limiter[K] {
	return &limiter[K]{perSecond: perSecond, buckets: map[K]*rate.Limiter{}}
}

func (l *limiter[K]) allow(key K, now time.Time) bool {
	if l.perSecond == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= mostBuckets {
			l.prune(now)
		}
		b = rate.NewLimiter(rate.Limit(l.perSecond), l.perSecond*burst)
		l.buckets[key] = b
	}
	return b.AllowN(now, 1)
}

// prune forgets who has asked nothing for a while, and everybody if nobody has:
// then so many ask at once that a new start for all harms less than the memory.
func (l *limiter[K]) prune(now time.Time) {
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.perSecond*burst) {
			delete(l.buckets, key)
		}
	}
	if len(l.buckets) >= mostBuckets {
		clear(l.buckets)
	}
}
