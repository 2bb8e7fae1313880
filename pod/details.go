package pod

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/pod/redisstore"
	"kinopod/pod/viewing"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// ownDetails tells friends the details of this pod's videos. A pass goes to those alone
// whom this pod asked to be friends: anybody may present a pod, and would be a member.
func ownDetails(host network.Host, videos *catalog.Catalog, users *accounts.Accounts, gate *viewing.Gate, list *friends.List) func(context.Context, network.Host, federation.DetailsRequest) (federation.Details, error) {
	return func(ctx context.Context, from network.Host, q federation.DetailsRequest) (federation.Details, error) {
		d := federation.Details{Members: gate.Closed()}
		v, err := videos.Get(ctx, q.ID)
		if err != nil {
			return d, err
		}
		if v.Origin != host { // nobody answers for another's
			return d, &api.Error{Code: api.CodeNotFound, Message: "There is no such video."}
		}
		if d.Description, err = videos.Text(ctx, q.ID); err != nil {
			return d, err
		}
		if d.Uploader, err = users.Profile(ctx, v.Uploader); err != nil {
			return d, err
		}
		if !q.Watch || !gate.Closed() || len(v.Renditions) == 0 {
			return d, nil
		}
		friend, _, err := list.Get(ctx, from)
		if err != nil {
			return d, err
		}
		if friend.Wanted {
			pass := gate.Pass(v.Renditions[0].InfoHash)
			d.Pass = &pass
		}
		return d, nil
	}
}

// passKey derives the key of passes from the pod's: with a new one, what the old one
// signed is worth nothing.
func passKey(keys func() federation.Ring) func() []byte {
	type derived struct {
		from *rsa.PrivateKey
		key  [sha256.Size]byte
	}
	var last atomic.Pointer[derived]
	return func() []byte {
		from, d := keys()[0], last.Load()
		if d == nil || d.from != from {
			d = &derived{from, sha256.Sum256(append([]byte("kinopod: passes of a pod's videos\n"), x509.MarshalPKCS1PrivateKey(from)...))}
			last.Store(d)
		}
		return d.key[:]
	}
}

// policies are which friends' videos are for members, as they said last: what is not
// known is taken for public, since each origin looks for itself who comes.
type policies struct {
	db *redisstore.DB

	mu    sync.Mutex
	known map[network.Host]policy // guarded by mu
}

type policy struct {
	members bool
	until   time.Time // to be asked for again from then on
}

func newPolicies(ctx context.Context, db *redisstore.DB) (*policies, error) {
	hosts, err := db.MembersOnly(ctx)
	if err != nil {
		return nil, err
	}
	p := &policies{db: db, known: map[network.Host]policy{}}
	for _, h := range hosts {
		p.known[h] = policy{members: true}
	}
	return p, nil
}

// of says what is known of a pod, and whether it is still to be relied on.
func (p *policies) of(h network.Host) (members, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.known[h]
	return k.members, time.Now().Before(k.until)
}

func (p *policies) closed(h network.Host) bool {
	members, _ := p.of(h)
	return members
}

func (p *policies) note(ctx context.Context, h network.Host, members bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[h].members != members {
		if err := p.db.SetMembersOnly(ctx, h, members); err != nil {
			return err
		}
	}
	p.known[h] = policy{members, time.Now().Add(detailsFresh)}
	return nil
}

// Bounds of what friends are asked for viewers.
const (
	detailsFresh = 10 * time.Minute // then it is asked for again
	passLeft     = 6 * time.Hour    // a pass with less is not handed on
	passMost     = 24 * time.Hour   // one with more is not believed
	mostPasses   = 10_000
	// A friend takes friend_messages_per_minute of us, and has to hear our changes too.
	asksPerSecond = 2
	asksAtOnce    = 60
)

// errBusy is for who asks for more than a friend is to be asked.
var errBusy = &api.Error{Code: api.CodeUnavailable, Message: "Too much is asked of the pod that this video comes from. Try again in a moment."}

// asked is who is asked for what: anybody may have details asked for, which keeps no
// member from a pass.
type asked struct {
	host  network.Host
	watch bool
}

// mayAsk says whether a friend may be asked once more now.
func (f *foreignFiles) mayAsk(a asked) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.asking[a]
	if l == nil {
		l = rate.NewLimiter(asksPerSecond, asksAtOnce) // as many as there are friends
		f.asking[a] = l
	}
	return l.Allow()
}

// ask has a friend's answer kept. watch asks for a pass too.
func (f *foreignFiles) ask(v video.Video, watch bool) error {
	key := "details " + v.ID.String()
	if watch {
		key = "pass " + v.ID.String()
	}
	return f.once(key, func(ctx context.Context) error {
		if !f.mayAsk(asked{v.Origin, watch}) {
			return errBusy
		}
		d, err := f.outbox.Details(ctx, v.Origin, federation.DetailsRequest{ID: v.ID, Watch: watch})
		if err != nil {
			return err
		}
		if err := f.policy.note(ctx, v.Origin, d.Members); err != nil {
			return err
		}
		if d.Pass != nil && time.Until(time.Unix(d.Pass.Expires, 0)) < passMost {
			f.mu.Lock()
			if len(f.passes) >= mostPasses {
				clear(f.passes)
			}
			f.passes[v.ID] = *d.Pass
			f.mu.Unlock()
		}
		d.Pass = nil
		text, err := json.Marshal(federation.KeptDetails{Revision: v.Revision, Details: d})
		if err != nil {
			return err
		}
		return f.files.KeepDetails(v.ID, text)
	})
}

// kept gives what a friend said of a video, and whether it has to be asked for again.
func (f *foreignFiles) kept(v video.Video) (d api.Details, ok bool) {
	text, at, err := f.files.KeptDetails(v.ID)
	if err != nil {
		return d, false
	}
	k, err := federation.ParseKeptDetails(text)
	if err != nil {
		return d, false
	}
	return api.Details{
		Description: k.Details.Description, Uploader: k.Details.Uploader, AsOf: at.UTC(),
		Stale: k.Revision != v.Revision || time.Since(at) > detailsFresh,
	}, true
}

// Details implements httpapi.Foreign.
func (f *foreignFiles) Details(_ context.Context, v video.Video) (api.Details, error) {
	if d, ok := f.kept(v); ok && !d.Stale {
		return d, nil
	}
	err := f.ask(v, false)
	d, ok := f.kept(v)
	if ok {
		return d, nil // stale, where the friend could not be asked
	}
	if err != nil && !api.Is(err, api.CodeUnavailable) {
		err = &api.Error{Code: api.CodeUnavailable, Message: "The pod that this video comes from cannot be reached. Try again in a moment.", Cause: err}
	}
	return api.Details{}, err
}

// Access implements httpapi.Foreign.
func (f *foreignFiles) Access(_ context.Context, v video.Video, member, ask bool) (pass api.Pass, members bool) {
	members, fresh := f.policy.of(v.Origin)
	if ask && !fresh {
		_ = f.ask(v, member && members) // what is known stands where it fails
		members, _ = f.policy.of(v.Origin)
	}
	if !members || !member || len(v.Renditions) == 0 {
		return api.Pass{}, members
	}
	pass = f.pass(v)
	if ask && time.Until(time.Unix(pass.Expires, 0)) < passLeft {
		_ = f.ask(v, true)
		pass = f.pass(v)
	}
	return pass, members
}

func (f *foreignFiles) pass(v video.Video) api.Pass {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.passes[v.ID]
}
