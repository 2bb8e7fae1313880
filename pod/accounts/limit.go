package accounts

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"kinopod/shared/api"
)

// Limited is the cause of an api.CodeRateLimited of this package: when to try again.
type Limited struct{ After time.Duration }

func (l *Limited) Error() string { return fmt.Sprintf("limited for %s", l.After) }

// limiter allows so many attempts a minute for each account and each address: a
// bucket for each, full at first. It is in memory alone, since addresses of viewers
// are nothing to keep.
//
// Where a user has logged in before they have a bucket of their own: strangers who
// guess cannot lock them out there.
type limiter struct {
	perMinute int
	now       func() time.Time

	mu      sync.Mutex
	buckets map[string]bucket
	known   map[string]struct{} // accounts at addresses, as loginKeys names them
}

type bucket struct {
	tokens float64
	at     time.Time // when tokens was so
}

// What bounds the memory: buckets that a flood from many addresses can make, and
// places where somebody logged in.
const (
	maxBuckets = 100_000
	maxKnown   = 100_000
)

func newLimiter(perMinute int, now func() time.Time) *limiter {
	return &limiter{perMinute: perMinute, now: now, buckets: map[string]bucket{}, known: map[string]struct{}{}}
}

func accountKey(name string) string {
	if checkUsername(name) != nil {
		return "account" // nobody's: they all share one
	}
	return "account " + Fold(name)
}

// addressKey takes a /64 for one address of IPv6, as one customer has it.
func addressKey(from netip.Addr) string {
	from = from.Unmap().WithZone("")
	if from.Is6() {
		p, err := from.Prefix(64)
		if err == nil {
			return "address " + p.String()
		}
	}
	return "address " + from.String()
}

// loginKeys are what an attempt to log in counts against.
func (l *limiter) loginKeys(name string, from netip.Addr) []string {
	account, address := accountKey(name), addressKey(from)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.known[account+" at "+address]; ok {
		account += " at " + address
	}
	return []string{account, address}
}

// loggedIn notes that name is at home there.
func (l *limiter) loggedIn(name string, from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for place := range l.known {
		if len(l.known) < maxKnown {
			break
		}
		delete(l.known, place)
	}
	l.known[accountKey(name)+" at "+addressKey(from)] = struct{}{}
}

// take counts an attempt against each key, or against none of them where one has
// none left.
func (l *limiter) take(keys ...string) error {
	if l.perMinute <= 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	wait := time.Duration(0)
	for _, key := range keys {
		if t := l.tokens(key, now); t < 1 {
			wait = max(wait, time.Duration((1-t)*float64(time.Minute)/float64(l.perMinute)))
		}
	}
	if wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		e := fail(api.CodeRateLimited, fmt.Sprintf("Too many attempts. Try again in %d s.", seconds))
		e.Cause = &Limited{After: time.Duration(seconds) * time.Second}
		return e
	}
	for _, key := range keys {
		l.set(key, l.tokens(key, now)-1, now)
	}
	return nil
}

// giveBack takes back what take counted: the attempt was no guess.
func (l *limiter) giveBack(keys ...string) {
	if l.perMinute <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, key := range keys {
		l.set(key, min(l.tokens(key, now)+1, float64(l.perMinute)), now)
	}
}

func (l *limiter) tokens(key string, now time.Time) float64 {
	b, ok := l.buckets[key]
	if !ok {
		return float64(l.perMinute)
	}
	return min(float64(l.perMinute), b.tokens+now.Sub(b.at).Minutes()*float64(l.perMinute))
}

func (l *limiter) set(key string, tokens float64, now time.Time) {
	if _, ok := l.buckets[key]; !ok && len(l.buckets) >= maxBuckets {
		l.prune(now)
	}
	l.buckets[key] = bucket{tokens, now}
}

// prune drops the buckets that are full again, and any tenth of them where none is.
func (l *limiter) prune(now time.Time) {
	for key := range l.buckets {
		if l.tokens(key, now) >= float64(l.perMinute) {
			delete(l.buckets, key)
		}
	}
	for key := range l.buckets {
		if len(l.buckets) < maxBuckets*9/10 {
			return
		}
		delete(l.buckets, key)
	}
}
