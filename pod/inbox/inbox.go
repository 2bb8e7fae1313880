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
	"net/netip"
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
	// Take lists videos that a friend told of.
	Take(ctx context.Context, origin network.Host, told []federation.Video) (changed int, err error)
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
	Keys     func() federation.Ring
	Name     string                      // of the pod
	Version  string                      // of the software
	Speaks   network.Versions            // of the protocol; federation.Speaks
	Messages int                         // a minute of one friend at most; 0 is no limit
	From     func(*fiber.Ctx) netip.Addr // who sent a request; the other end of its connection
	Friends  int                         // that this pod did not ask for, at most; 0 is no limit
	// Details are those of a video of this pod for a friend; api.CodeNotFound for
	// another's.
	Details func(context.Context, network.Host, federation.DetailsRequest) (federation.Details, error)
	// Views takes what a friend says was watched of this pod's videos, and tells how often
	// they were watched everywhere.
	Views func(context.Context, network.Host, federation.ViewsRequest) (federation.Views, error)
	Log   *slog.Logger
	Now   func() time.Time // time.Now
}

// Inbox is one pod's.
type Inbox struct {
	cfg     Config
	friends *friends.List
	outbox  Outbox
	catalog Catalog
	store   Store
	opener  federation.Opener
	own     own

	counts map[federation.Reason]*atomic.Int64
	taken  atomic.Int64

	hellos *hellos

	mu    sync.Mutex
	rates map[network.Host]*minute // guarded by mu
}

// New makes an inbox; Mount puts it into a server.
func New(cfg Config, list *friends.List, o Outbox, c Catalog, s Store) (*Inbox, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Speaks == (network.Versions{}) {
		cfg.Speaks = federation.Speaks
	}
	if cfg.From == nil {
		cfg.From = func(c *fiber.Ctx) netip.Addr { return netip.AddrFrom16([16]byte(c.Context().RemoteIP().To16())) }
	}
	in := &Inbox{
		cfg: cfg, friends: list, outbox: o, catalog: c, store: s,
		counts: map[federation.Reason]*atomic.Int64{}, rates: map[network.Host]*minute{}, hellos: newHellos(),
	}
	for _, r := range federation.Reasons {
		in.counts[r] = &atomic.Int64{}
	}
	in.own = own{host: cfg.Host, catalog: c, store: s}
	in.opener = federation.Opener{
		Host: cfg.Host, Now: cfg.Now, Sender: in.keyOf,
		First: func(ctx context.Context, h network.Host, id federation.MessageID, until time.Time) (bool, error) {
			text, _ := id.MarshalText()
			return s.FirstMessage(ctx, h, string(text), until)
		},
	}
	return in, nil
}

// open opens a message with the keys of now.
func (in *Inbox) open(ctx context.Context, message []byte, path string) (federation.Header, []byte, error) {
	o := in.opener
	o.Keys, o.Versions = in.cfg.Keys(), in.cfg.Speaks
	return o.Open(ctx, message, path)
}

// card is what this pod says of itself.
func (in *Inbox) card(c *fiber.Ctx) error {
	card, err := json.Marshal(federation.Card{
		Host: in.cfg.Host, Name: in.cfg.Name, Software: "kinopod", Version: in.cfg.Version, Key: in.cfg.Keys().Public(), Protocol: in.cfg.Speaks,
	})
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/json")
	c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
	c.Set(fiber.HeaderCacheControl, "no-cache")
	return c.Send(card)
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
	app.Get(federation.PathCard, in.card)
	app.Post(federation.PathHello, in.hello)
	for path, handle := range map[string]handler{
		federation.PathEvents: in.events, federation.PathDigest: in.digest, federation.PathVideos: in.videos, federation.PathDetails: in.details, federation.PathViews: in.views,
	} {
		app.Post(path, in.sealed(path, handle))
	}
	app.Use("/federation", func(*fiber.Ctx) error { return fiber.ErrNotFound })
}

// handler answers the body of a message; nil is 204.
type handler func(ctx context.Context, from network.Host, body []byte) (answer any, err error)

// errNothing is what who is not listened to is told.
var errNothing = fiber.ErrNotFound

func (in *Inbox) sealed(path string, handle handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		ctx := c.UserContext()
		h, body, err := in.open(ctx, c.BodyRaw(), path) // as it came: what is packed is no message
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
	f, _, err := in.friends.Get(ctx, asked.From)
	if err != nil {
		return err
	}
	key, err := in.keyOf(ctx, asked.From)
	if err != nil || key == nil {
		return errors.Join(err, errNothing)
	}
	h := asked
	h.From, h.To, h.Time = asked.To, asked.From, in.cfg.Now().UnixMilli()
	message, err := federation.Seal(h, in.cfg.Keys().Known(f.OurKey), key, plain)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/jose")
	return c.Send(message)
}

// minute counts the messages of a friend in a minute.
type minute struct {
	number int64
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
		r = &minute{}
		in.rates[h] = r // friends only: their number is bounded by the operator's patience
	}
	if now := in.cfg.Now().Unix() / 60; r.number != now {
		*r = minute{number: now}
	}
	r.n++
	return r.n <= in.cfg.Messages
}
