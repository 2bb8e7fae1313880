package podtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/pod/redisstore"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// tapped is a pod that runs as the binary, with a wire before its door and another
// before its private redis-server.
type tapped struct {
	*Process
	host  network.Host
	door  *Wire
	redis *Wire
}

// execTapped runs a pod whose redis-server listens where a wire leads, and which others
// reach through a wire.
func execTapped(t *testing.T, args ...string) *tapped {
	t.Helper()
	found := map[string]any{}
	for _, program := range []string{"redis-server", "sed", "ln"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		found[program] = path
	}
	dir, err := os.MkdirTemp("", "tapped") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	wire := NewWire(t, "unix", filepath.Join(dir, "wire"), filepath.Join(dir, "data", "redis", "real.sock"))
	// In the place of redis-server stands one that is the same, but for its socket.
	script := fmt.Sprintf("#!/bin/sh\nset -e\n%s 's/^unixsocket redis.sock/unixsocket real.sock/' > conf\n%s -sf %s redis.sock\nexec %s - < conf\n", found["sed"], found["ln"], wire.Addr, found["redis-server"])
	if err := os.WriteFile(filepath.Join(dir, "redis-server"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	listen := FreePort(t)
	x := &tapped{redis: wire, door: NewWire(t, "tcp", "", listen)}
	x.host = network.Host(x.door.Addr)
	x.Process = newProcess(filepath.Join(dir, "data"), listen, x.door.Addr, args...)
	giveKey(t, x.Dir)
	x.Env = []string{"PATH=" + dir} // no ffmpeg either: a thumbnail would be another change
	t.Cleanup(x.Kill)
	x.Start(t)
	return x
}

// direct is the pod's Redis without the wire.
func (x *tapped) direct() string { return filepath.Join(x.Dir, "redis", "real.sock") }

var processID = regexp.MustCompile(`process_id:(\d+)`)

// killRedis ends the pod's redis-server at once (kill -9).
func (x *tapped) killRedis() {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: x.direct()})
	defer c.Close()
	if m := processID.FindStringSubmatch(c.Info(context.Background(), "server").Val()); m != nil {
		pid, _ := strconv.Atoi(m[1])
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// listed are the pod's videos of origin as its Redis has them, by id, and how many.
func (x *tapped) listed(t *testing.T, origin network.Host) map[video.ID]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	db, err := redisstore.Open(ctx, x.direct(), Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[video.ID]int64{}
	err = db.Marks(ctx, origin, func(marks []catalog.Mark) error {
		for _, m := range marks {
			out[m.ID] = m.Revision
		}
		return nil
	})
	if n, err2 := db.Count(ctx, origin); err != nil || err2 != nil || n != len(out) {
		t.Errorf("%s has %d videos of %s in %d entries: %v %v", x.host, len(out), origin, n, err, err2)
	}
	return out
}

// step is a step of a delivery, and how it is recognised.
type step struct {
	name string
	wire func(a, b *tapped) *Wire
	said func(b *tapped) func([]byte) bool
	at   []Moment
}

func has(all ...string) func([]byte) bool {
	return func(said []byte) bool {
		for _, s := range all {
			if !bytes.Contains(said, []byte(s)) {
				return false
			}
		}
		return true
	}
}

func always(f func([]byte) bool) func(*tapped) func([]byte) bool {
	return func(*tapped) func([]byte) bool { return f }
}

// steps are those of a delivery from a to b.
var steps = []step{
	{"the event is logged", senders, always(has("evalsha", "XADD", "fed:log")), []Moment{Before, Answered}},
	{"the task is put in line", senders, func(b *tapped) func([]byte) bool {
		return has("evalsha", "asynq:{federation}:pending", "t:flush:"+string(b.host))
	}, []Moment{Before, Answered}},
	{"the message is sealed", doors, always(has("POST /federation/v1/events")), []Moment{Before}},
	{"the message is posted", doors, always(has("POST /federation/v1/events")), []Moment{Half, Heard}},
	{"it is verified, and its id is noted", receivers, always(has("fed:seen:")), []Moment{Before, Answered}},
	{"it is applied", receivers, always(func(said []byte) bool {
		return has("evalsha", "v:next", "new", "gone")(said) || has("evalsha", "HSET", "v:")(said) || has("evalsha", "HDEL", "v:")(said)
	}), []Moment{Before, Answered}},
	{"it is answered", doors, always(has("POST /federation/v1/events")), []Moment{Answered}},
	{"the cursor is moved, and the score is raised", senders, func(b *tapped) func([]byte) bool {
		return has("evalsha", "HSET", "friends", `"cursor"`, string(b.host))
	}, []Moment{Before, Answered}},
	{"the task is taken away", senders, func(b *tapped) func([]byte) bool {
		return has("evalsha", "asynq:{federation}:active", "asynq:{federation}:processed", "t:flush:"+string(b.host))
	}, []Moment{Before, Answered}},
}

func senders(a, _ *tapped) *Wire   { return a.redis }
func receivers(_, b *tapped) *Wire { return b.redis }
func doors(_, b *tapped) *Wire     { return b.door }

var moments = map[Moment]string{Before: "before", Half: "half of it heard", Heard: "heard", Answered: "after"}

// pair is a and b, friends, of which a changes its videos.
type pair struct {
	t     *testing.T
	a, b  *tapped
	ann   *Client
	film  []byte
	ids   []video.ID
	n     int
	score network.Score
	after func() // what is to be done when somebody was hit
}

func newPair(t *testing.T) *pair {
	film, err := os.ReadFile(Sample{video.WebM, time.Second, 64, 36, 20_000}.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, film: film, after: func() {}}
	p.a = execTapped(t, "--most-score", "100000")
	p.b = execTapped(t, "--most-score", "100000", "--friends", string(p.a.host))
	p.ann = p.a.User(t, "ann")
	p.eventually("they are friends", func() bool { f, ok := p.friend(); return ok && f.Reachable })
	p.put()
	p.converge("the first video")
	f, _ := p.friend()
	p.score = f.Score
	return p
}

// eventually is Eventually, in which who was hit is seen to.
func (p *pair) eventually(what string, ok func() bool) {
	p.t.Helper()
	Eventually(p.t, what, func() bool {
		p.after()
		return ok()
	})
}

// friend is what a says of b.
func (p *pair) friend() (api.Friend, bool) {
	list, err := api.NewClient(p.a.URL, "").Friends(p.t.Context())
	if err != nil {
		return api.Friend{}, false
	}
	for _, f := range list.Friends {
		if f.Host == p.b.host {
			return f, true
		}
	}
	return api.Friend{}, false
}

// put publishes a video, however often the pod ends meanwhile.
func (p *pair) put() {
	p.n++
	var upload string
	p.eventually("an upload begins", func() bool {
		a, err := p.ann.ask(p.t.Context(), "POST", api.PathUploads, nil, "Tus-Resumable: 1.0.0", fmt.Sprintf("Upload-Length: %d", len(p.film)),
			"Upload-Metadata: "+Metadata(api.MetaFileName, "film.webm", api.MetaName, fmt.Sprintf("Film %d", p.n)))
		if err != nil || a.StatusCode != 201 {
			return false
		}
		upload = a.Header.Get("Location")
		upload = upload[strings.Index(upload, api.PathUploads):]
		return true
	})
	p.eventually("the upload ends", func() bool {
		p.ann.send(p.t.Context(), upload, p.film, 0)
		a, err := p.ann.ask(p.t.Context(), "HEAD", upload, nil, "Tus-Resumable: 1.0.0")
		if err != nil {
			return false
		}
		id, err := video.ParseID(a.Header.Get(api.HeaderVideoID))
		if err == nil {
			p.ids = append(p.ids, id)
		}
		return err == nil
	})
}

func (p *pair) edit() {
	p.n++
	name := fmt.Sprintf("Edit %d", p.n)
	p.eventually("an edit is taken", func() bool {
		_, err := p.ann.EditVideo(p.t.Context(), p.ids[0], api.VideoEdit{Name: &name})
		return err == nil
	})
}

func (p *pair) remove() {
	id := p.ids[len(p.ids)-1]
	p.eventually("a removal is taken", func() bool {
		err := p.ann.RemoveVideo(p.t.Context(), id)
		return err == nil || api.Is(err, api.CodeNotFound)
	})
	p.ids = p.ids[:len(p.ids)-1]
}

// changes are the kinds of change, in an order that leaves as many videos as before.
func (p *pair) changes() []struct {
	name string
	do   func()
} {
	return []struct {
		name string
		do   func()
	}{{"put", p.put}, {"edit", p.edit}, {"remove", p.remove}}
}

// converge waits until b has what a has, and a knows it. Then each is listed once.
func (p *pair) converge(what string) {
	p.t.Helper()
	p.eventually(what+": the friend has been told", func() bool {
		f, ok := p.friend()
		return ok && f.Reachable && f.Behind == 0
	})
	own, theirs := p.a.listed(p.t, p.a.host), p.b.listed(p.t, p.a.host)
	if len(own) != len(p.ids) || !maps.Equal(own, theirs) {
		p.t.Fatalf("%s: the origin has %d of %d videos, the friend has %d: %v %v\n%s\n%s", what, len(own), len(p.ids), len(theirs), own, theirs, p.a.Log(), p.b.Log())
	}
	page, err := api.NewClient(p.b.URL, "").Videos(p.t.Context(), api.VideosQuery{Limit: api.MaxPage})
	seen := map[video.ID]int{}
	for _, v := range page.Videos {
		seen[v.ID]++
	}
	for _, id := range p.ids {
		if seen[id] != 1 {
			p.t.Errorf("%s: %s is listed %d times by the friend (%v)", what, id, seen[id], err)
		}
	}
}

// paid sees that the score was raised once for each of some deliveries.
func (p *pair) paid(what string, deliveries int) {
	p.t.Helper()
	want := p.score + network.Score(deliveries)*network.ScoreStep
	f, _ := p.friend()
	if f.Score != want {
		p.t.Errorf("%s: a score of %d after %d deliveries, want %d", what, f.Score, deliveries, want)
	}
	p.score = f.Score
}

// TestKilledDelivery kills a pod (kill -9) at each step of a delivery, the sender and
// the receiver, for each kind of change: after its restart the change has had its effect
// once.
func TestKilledDelivery(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for _, s := range steps {
		for _, at := range s.at {
			for _, c := range p.changes() {
				for name, victim := range s.victims(p) {
					what := fmt.Sprintf("%s killed at a %s: %s (%s)", name, c.name, s.name, moments[at])
					began := time.Now()
					p.hitAt(what, s, at, victim.Kill, func() { victim.Start(t) }, c.do)
					t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
				}
			}
		}
	}
}

// TestKilledDeliveryRedis does the same to the redis-server of either, which the pod
// starts again: at each step with one kind of change.
func TestKilledDeliveryRedis(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	n := 0
	for _, s := range steps {
		for _, at := range s.at {
			for name, victim := range s.victims(p) {
				c := p.changes()[n%3]
				n++
				what := fmt.Sprintf("the Redis of the %s killed at a %s: %s (%s)", name, c.name, s.name, moments[at])
				began := time.Now()
				p.hitAt(what, s, at, victim.killRedis, func() {}, c.do)
				t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
			}
		}
	}
}

// victims are who can be killed at a step: who does it, and both where it is between
// them.
func (s step) victims(p *pair) map[string]*tapped {
	switch s.wire(p.a, p.b) {
	case p.a.redis:
		return map[string]*tapped{"sender": p.a}
	case p.b.redis:
		return map[string]*tapped{"receiver": p.b}
	}
	return map[string]*tapped{"sender": p.a, "receiver": p.b}
}

// hitAt has hit happen at a step of the delivery of a change, and then after.
func (p *pair) hitAt(what string, s step, at Moment, hit, after, change func()) {
	p.t.Helper()
	wire := s.wire(p.a, p.b)
	sprung := wire.Set(Trap{Match: s.said(p.b), At: at, Do: hit})
	p.after = func() {
		select {
		case <-sprung:
			p.after = func() {}
			after()
		default:
		}
	}
	change()
	p.eventually(what+" is seen to happen", func() bool {
		select {
		case <-sprung:
			return true
		default:
			return false
		}
	})
	p.converge(what)
	p.paid(what, 1)
}

// TestKilledAtAnyMoment kills either pod, or the redis-server of one, at a moment that is
// drawn, while changes go on.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 24 {
		victim := []*tapped{p.a, p.b}[random.IntN(2)]
		hit, after := victim.Kill, func() { victim.Start(t) }
		if random.IntN(3) == 0 {
			hit, after = victim.killRedis, func() {}
		}
		wait, done := time.Duration(random.IntN(400))*time.Millisecond, make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(wait)
			hit()
		}()
		p.after = func() {
			select {
			case <-done:
				p.after = func() {}
				after()
			default:
			}
		}
		for _, c := range p.changes() {
			c.do()
		}
		<-done
		what := fmt.Sprintf("round %d", round)
		p.converge(what)
		// Two changes that are told together are one delivery, and one that is taken back
		// before it is told is none.
		f, _ := p.friend()
		if f.Score <= p.score || f.Score > p.score+3*network.ScoreStep {
			t.Errorf("%s: the score went from %d to %d with three changes", what, p.score, f.Score)
		}
		p.score = f.Score
	}
}
