// Package inbox is what other pods say to this one: it shows who this pod is, takes
// friendships, and opens, checks and applies the messages of friends (package
// federation says what they are).
//
// What is not taken is answered with 404 and nothing more, and counted by its reason.
package inbox

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Outbox does what has to be done elsewhere when something was heard.
type Outbox interface {
	// Look calls a pod and says who it is.
	Look(ctx context.Context, h network.Host, secure bool) (friends.Card, error)
	// Meet makes a friend of one that was looked at.
	Meet(ctx context.Context, h network.Host, card friends.Card) error
	// Heard is called for each message of a friend.
	Heard(ctx context.Context, h network.Host)
	// Compare has a friend's videos compared with what we have.
	Compare(ctx context.Context, h network.Host)
	// Take lists a video that a friend told of.
	Take(ctx context.Context, origin network.Host, v federation.Video) (changed bool, err error)
	// Gone ends a friendship here.
	Gone(ctx context.Context, h network.Host, byUs bool) error
}

// Catalog is the index of videos; *catalog.Catalog.
type Catalog interface {
	Drop(ctx context.Context, origin network.Host, id video.ID) error
	Marks(ctx context.Context, origin network.Host, each func([]catalog.Mark) error) error
}

// Store is what of Redis is needed beside.
type Store interface {
	FirstMessage(ctx context.Context, h network.Host, id string, until time.Time) (bool, error)
	LastChange(ctx context.Context) (string, error)
	Versions(ctx context.Context, ids []video.ID) ([]video.Video, error)
}

// Config is an inbox's own.
type Config struct {
	Host     network.Host
	Key      *rsa.PrivateKey
	Name     string // of the pod
	Version  string // of the software
	Messages int    // a minute of one friend at most; 0 is no limit
	Log      *slog.Logger
}

// Inbox is one pod's.
type Inbox struct {
	cfg     Config
	card    []byte
	friends *friends.List
	outbox  Outbox
	catalog Catalog
	store   Store
	opener  federation.Opener
	own     own

	counts map[federation.Reason]*atomic.Int64
	taken  atomic.Int64

	mu     sync.Mutex
	rates  map[network.Host]*rate // guarded by mu
	hellos map[network.Host]bool  // guarded by mu: are looked at now
}

// New makes an inbox; Mount puts it into a server.
func New(cfg Config, list *friends.List, o Outbox, c Catalog, s Store) (*Inbox, error) {
	card, err := json.Marshal(federation.Card{
		Host: cfg.Host, Name: cfg.Name, Software: "kinopod", Version: cfg.Version, Key: federation.Key{PublicKey: &cfg.Key.PublicKey}, Protocol: federation.Speaks,
	})
	if err != nil {
		return nil, err
	}
	in := &Inbox{
		cfg: cfg, card: card, friends: list, outbox: o, catalog: c, store: s,
		counts: map[federation.Reason]*atomic.Int64{}, rates: map[network.Host]*rate{}, hellos: map[network.Host]bool{},
	}
	for _, r := range federation.Reasons {
		in.counts[r] = &atomic.Int64{}
	}
	in.own = own{host: cfg.Host, catalog: c, store: s}
	in.opener = federation.Opener{
		Host: cfg.Host, Key: cfg.Key, Versions: federation.Speaks, Now: time.Now, Sender: in.keyOf,
		First: func(ctx context.Context, h network.Host, id federation.MessageID, until time.Time) (bool, error) {
			text, _ := id.MarshalText()
			return s.FirstMessage(ctx, h, string(text), until)
		},
	}
	return in, nil
}

func (in *Inbox) keyOf(ctx context.Context, h network.Host) (*rsa.PublicKey, error) {
	f, ok, err := in.friends.Get(ctx, h)
	if err != nil || !ok || f.State != network.Friend {
		return nil, err
	}
	key, err := federation.ParseKey(f.Key)
	if err != nil {
		return nil, nil // nobody can have signed with it
	}
	return key, nil
}

// Stats is what was taken and what was refused, by reason.
type Stats struct {
	Taken   int64
	Refused map[federation.Reason]int64
}

// Stats tells.
func (in *Inbox) Stats() Stats {
	s := Stats{Taken: in.taken.Load(), Refused: map[federation.Reason]int64{}}
	for r, n := range in.counts {
		s.Refused[r] = n.Load()
	}
	return s
}

// Mount adds the inbox's paths to app.
func (in *Inbox) Mount(app *fiber.App) {
	app.Get(federation.PathCard, func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, "application/json")
		c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
		c.Set(fiber.HeaderCacheControl, "no-cache")
		return c.Send(in.card)
	})
	app.Post(federation.PathHello, in.hello)
	for path, handle := range map[string]handler{
		federation.PathEvents: in.events, federation.PathDigest: in.digest, federation.PathVideos: in.videos,
	} {
		app.Post(path, in.sealed(path, handle))
	}
	app.Use("/federation", func(*fiber.Ctx) error { return fiber.ErrNotFound })
}

// helloTime bounds the call back.
const helloTime = 15 * time.Second

// maxHellos is how many pods are called back at a time.
const maxHellos = 20

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
	over, ok := in.begin(host)
	if !ok {
		return &api.Error{Code: api.CodeRateLimited, Message: "Too many pods say hello. Try again in a moment."}
	}
	defer over()
	ctx, cancel := context.WithTimeout(c.UserContext(), helloTime)
	defer cancel()
	f, known, err := in.friends.Get(ctx, host)
	if err != nil {
		return err
	}
	if known && (f.State == network.Blocked || f.State == network.Left && f.ByUs) {
		return &api.Error{Code: api.CodeForbidden, Message: "This pod does not want to be a friend."}
	}
	card, err := in.outbox.Look(ctx, host, f.Secure)
	if err != nil {
		in.cfg.Log.Info("a pod said hello and could not be called back", "friend", host, "err", err)
		return &api.Error{Code: api.CodeUnavailable, Message: "You could not be called back at your host.", Cause: err}
	}
	if err := in.outbox.Meet(ctx, host, card); err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}

// begin has one hello of a host at a time, and few in all.
func (in *Inbox) begin(h network.Host) (over func(), ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.hellos[h] || len(in.hellos) >= maxHellos {
		return nil, false
	}
	in.hellos[h] = true
	return func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		delete(in.hellos, h)
	}, true
}

// handler answers the body of a message; nil is 204.
type handler func(ctx context.Context, from network.Host, body []byte) (answer any, err error)

// errNothing is what who is not listened to is told.
var errNothing = fiber.ErrNotFound

func (in *Inbox) sealed(path string, handle handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		ctx := c.UserContext()
		h, body, err := in.opener.Open(ctx, c.BodyRaw(), path) // as it came: what is packed is no message
		if err == nil && !in.allow(h.From) {
			return &api.Error{Code: api.CodeRateLimited, Message: "Too many messages. Try again in a moment."}
		}
		var answer any
		if err == nil {
			answer, err = handle(ctx, h.From, body)
		}
		var refused *federation.Refusal
		if errors.As(err, &refused) {
			in.counts[refused.Reason].Add(1)
			in.cfg.Log.Debug("a message was refused", "friend", h.From, "reason", string(refused.Reason))
			return errNothing
		}
		if err != nil {
			return err
		}
		in.taken.Add(1)
		in.outbox.Heard(ctx, h.From)
		if answer == nil {
			return c.SendStatus(http.StatusNoContent)
		}
		return in.reply(ctx, c, h, answer)
	}
}

// reply seals an answer to a message.
func (in *Inbox) reply(ctx context.Context, c *fiber.Ctx, asked federation.Header, answer any) error {
	plain, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	key, err := in.keyOf(ctx, asked.From)
	if err != nil || key == nil {
		return errors.Join(err, errNothing)
	}
	h := asked
	h.From, h.To, h.Time = asked.To, asked.From, time.Now().UnixMilli()
	message, err := federation.Seal(h, in.cfg.Key, key, plain)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/jose")
	return c.Send(message)
}

// rate counts the messages of a friend in a minute.
type rate struct {
	minute int64
	n      int
}

func (in *Inbox) allow(h network.Host) bool {
	if in.cfg.Messages <= 0 {
		return true
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	r := in.rates[h]
	if r == nil {
		r = &rate{}
		in.rates[h] = r // friends only: their number is bounded by the operator's patience
	}
	if now := time.Now().Unix() / 60; r.minute != now {
		*r = rate{minute: now}
	}
	r.n++
	return r.n <= in.cfg.Messages
}
