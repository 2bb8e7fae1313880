package inbox

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/time/rate"

	"kinopod/pod/federation"
	"kinopod/pod/household"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// Anybody can name any pod in a hello, and each has us call that pod: so they are few.
const (
	helloTime = 10 * time.Second // bounds the call back

	maxHellos        = 20 // pods that are called back at a time, of those that are no friends
	maxHellosAddress = 4  // of those for one address that says hello
)

// quota is how often something may be done: burst times at once, and again after every.
type quota struct {
	burst int
	every time.Duration
}

var (
	perHost    = quota{4, time.Minute}       // of one pod that is named
	perAddress = quota{20, 10 * time.Second} // of one address that says hello
	inAll      = quota{60, time.Second}      // of strangers
	mostKnown  = 10_000                      // hosts and addresses that are remembered; beyond it all are forgotten
	errHellos  = &api.Error{Code: api.CodeRateLimited, Message: "Too many pods say hello. Try again in a minute."}
)

func (q quota) bucket() *rate.Limiter { return rate.NewLimiter(rate.Every(q.every), q.burst) }

// named is a friend that is named by somebody at an address.
type named struct {
	host network.Host
	from netip.Prefix
}

// seat is an address that says hello for one who is known, or for a stranger.
type seat struct {
	from  netip.Prefix
	known bool
}

// hellos are the hellos of a while.
type hellos struct {
	mu        sync.Mutex
	under     map[network.Host]bool          // guarded by mu: are looked at now
	strangers int                            // guarded by mu: of them
	addresses map[seat]int                   // guarded by mu: for whom they are looked at now
	friends   map[named]*rate.Limiter        // guarded by mu
	hosts     map[network.Host]*rate.Limiter // guarded by mu: strangers
	from      map[netip.Prefix]*rate.Limiter // guarded by mu
	all       *rate.Limiter
}

func newHellos() *hellos {
	return &hellos{
		under: map[network.Host]bool{}, addresses: map[seat]int{}, friends: map[named]*rate.Limiter{}, hosts: map[network.Host]*rate.Limiter{},
		from: map[netip.Prefix]*rate.Limiter{}, all: inAll.bucket(),
	}
}

// take takes one from the bucket of a key.
func take[K comparable](buckets map[K]*rate.Limiter, key K, q quota, now time.Time) bool {
	b := buckets[key]
	if b == nil {
		if len(buckets) >= mostKnown {
			for k, b := range buckets {
				if b.TokensAt(now) >= float64(q.burst) {
					delete(buckets, k)
				}
			}
		}
		if len(buckets) >= mostKnown {
			clear(buckets)
		}
		b = q.bucket()
		buckets[key] = b
	}
	return b.AllowN(now, 1)
}

// begin has one hello of a host at a time, and few in all. Who is known does not wait
// behind strangers.
func (s *hellos) begin(h network.Host, known bool, from netip.Addr, now time.Time) (over func(), ok bool) {
	address := household.Of(from)
	at := seat{address, known}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.under[h]:
		return nil, false
	case s.addresses[at] >= maxHellosAddress:
		return nil, false
	case known: // what others say in its name does not count against it
		if !take(s.friends, named{h, address}, perHost, now) {
			return nil, false
		}
	case s.strangers >= maxHellos,
		!take(s.from, address, perAddress, now), !take(s.hosts, h, perHost, now), !s.all.AllowN(now, 1):
		return nil, false
	}
	s.under[h] = true
	s.addresses[at]++
	if !known {
		s.strangers++
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.under, h)
		if !known {
			s.strangers--
		}
		if s.addresses[at]--; s.addresses[at] == 0 {
			delete(s.addresses, at)
		}
	}, true
}

// room says whether this pod takes more friends that it did not ask for.
func (in *Inbox) room(ctx context.Context) error {
	all, err := in.friends.All(ctx)
	if err != nil || in.cfg.Friends == 0 {
		return err
	}
	n := 0
	for _, f := range all {
		if f.State == network.Friend && !f.Wanted {
			n++
		}
	}
	if n >= in.cfg.Friends {
		return &api.Error{Code: api.CodeUnavailable, Message: "This pod has as many friends as it takes. Its operator may still ask you."}
	}
	return nil
}

// hello takes a friendship: what a stranger says is believed when the pod that it names
// says so itself.
func (in *Inbox) hello(c *fiber.Ctx) error {
	var h federation.Hello
	if err := json.Unmarshal(c.BodyRaw(), &h); err != nil {
		return &api.Error{Code: api.CodeInvalid, Message: "The body is not a hello."}
	}
	host, err := network.ParseHost(string(h.Host))
	if err != nil || host == in.cfg.Host {
		return &api.Error{Code: api.CodeInvalid, Message: "The hello names no other pod."}
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), helloTime)
	defer cancel()
	f, _, err := in.friends.Get(ctx, host)
	if err != nil {
		return err
	}
	switch {
	case f.State == network.Blocked, f.State == network.Left && f.ByUs:
		return &api.Error{Code: api.CodeForbidden, Message: "This pod does not want to be a friend."}
	case f.State == network.Revoked && in.cfg.Now().Before(f.Until):
		return &api.Error{Code: api.CodeUnavailable, Message: "The pod was not reliable. It may come back after " + f.Until.UTC().Format(time.RFC3339) + "."}
	}
	if f.State == "" {
		if err := in.room(ctx); err != nil {
			return err
		}
	}
	over, ok := in.hellos.begin(host, f.State == network.Friend || f.State == network.Asked, in.cfg.From(c), time.Now())
	if !ok {
		return errHellos
	}
	defer over()
	card, err := in.outbox.Look(ctx, host, f.Secure)
	if err != nil {
		in.cfg.Log.Info("a pod said hello and could not be called back", "friend", host, "err", err)
		if api.Is(err, api.CodeConflict) { // it was reached, and speaks no version of ours
			return err
		}
		return &api.Error{Code: api.CodeUnavailable, Message: "You could not be called back at your host.", Cause: err}
	}
	if err := in.outbox.Meet(ctx, host, card); err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}
