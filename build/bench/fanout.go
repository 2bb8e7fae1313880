package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kinopod/build/pods"
	"kinopod/pod/federation"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// fanOut measures how long one event of a pod needs to a thousand friends: simulated
// pods in this process, each with a host of its own on loopback, all with one key. They
// take what comes, and look into it afterwards.
func fanOut(ctx context.Context, args []string) error {
	many, rounds, bits := 1000, 3, 2048
	if err := flags("fanout", args, func(f *flag.FlagSet) {
		f.IntVar(&many, "friends", many, "how many friends there are")
		f.IntVar(&rounds, "rounds", rounds, "how many events, one after the other")
		f.IntVar(&bits, "bits", bits, "of the friends' one key; the pod has 3072")
	}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kinopod-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, err := startOne(ctx, filepath.Join(dir, "pod"))
	if err != nil {
		return err
	}
	defer p.Stop()
	crowd, err := newCrowd(ctx, p, many, bits)
	if err != nil {
		return err
	}
	defer crowd.close()
	db, err := storeOf(ctx, p)
	if err != nil {
		return err
	}
	defer db.Close()
	child, err := childOf(p.PID(), "redis-server")
	if err != nil {
		return err
	}
	fmt.Printf("%d friends on loopback by http, one key of %d bits\n", many, bits)
	for round := range rounds + 1 {
		v := someVideo(p.Host, round)
		crowd.expect()
		var seen *enqueued
		if round == 0 { // who watches Redis slows it down: not in the rounds that are timed
			if seen, err = watchEnqueue(filepath.Join(p.Dir, "redis", "redis.sock"), many); err != nil {
				return err
			}
		}
		podBefore, _ := used(p.PID())
		redisBefore, _ := used(child)
		began := time.Now()
		if _, err := db.Add(ctx, v); err != nil {
			return err
		}
		took, half, err := crowd.wait(ctx, began)
		if err != nil {
			return err
		}
		podAfter, _ := used(p.PID())
		redisAfter, _ := used(child)
		if err := crowd.check(v.ID); err != nil {
			return err
		}
		if seen != nil {
			fmt.Printf("  %d tasks are in line after %v (Redis is watched)\n", many, seen.wait().Sub(began).Round(time.Millisecond))
			continue
		}
		fmt.Printf("  all have it after %v (half of them after %v); CPU s of the pod %.2f, of its Redis %.2f; memory of the pod %d MiB, of its Redis %d MiB\n",
			took.Round(time.Millisecond), half.Round(time.Millisecond), (podAfter.cpu - podBefore.cpu).Seconds(), (redisAfter.cpu - redisBefore.cpu).Seconds(), podAfter.rss>>10, redisAfter.rss>>10)
		time.Sleep(2 * time.Second) // the last are noted
	}
	took, cpu, err := crowd.plain(ctx, p.Host)
	if err != nil {
		return err
	}
	fmt.Printf("  the same event as plain JSON, 16 posts at a time, nothing kept: %v, CPU s %.2f (friends included)\n", took.Round(time.Millisecond), cpu.Seconds())
	return nil
}

// crowd are simulated pods.
type crowd struct {
	pod     network.Host
	podKey  *rsa.PublicKey
	key     *rsa.PrivateKey
	hosts   []network.Host
	servers []*http.Server

	mu       sync.Mutex
	got      map[network.Host][]byte // guarded by mu: the last message
	came     []time.Time             // guarded by mu
	compared map[network.Host]bool   // guarded by mu: who was asked for its videos
	failed   atomic.Pointer[error]
}

func newCrowd(ctx context.Context, p *pods.Pod, many, bits int) (*crowd, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	c := &crowd{pod: p.Host, key: key, compared: map[network.Host]bool{}}
	res, err := http.Get(p.Base + federation.PathCard)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var card federation.Card
	if err := json.NewDecoder(res.Body).Decode(&card); err != nil {
		return nil, err
	}
	c.podKey = card.Key.PublicKey
	for range many {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		h := network.Host(l.Addr().String())
		s := &http.Server{Handler: c.one(h)}
		c.hosts, c.servers = append(c.hosts, h), append(c.servers, s)
		go func() { _ = s.Serve(l) }() // until close
	}
	// Each says hello, a few at a time, and is asked for its videos.
	line := make(chan network.Host)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for h := range line {
				body, _ := json.Marshal(federation.Hello{Host: h})
				res, err := http.Post(p.Base+federation.PathHello, "application/json", bytes.NewReader(body))
				if err == nil {
					if res.Body.Close(); res.StatusCode != http.StatusNoContent {
						err = fmt.Errorf("the answer to a hello is %s", res.Status)
					}
				}
				if err != nil {
					c.failed.Store(&err)
				}
			}
		})
	}
	for _, h := range c.hosts {
		line <- h
	}
	close(line)
	all.Wait()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c.mu.Lock()
		n := len(c.compared)
		c.mu.Unlock()
		switch err := c.failed.Load(); {
		case err != nil:
			return nil, *err
		case n == many:
			time.Sleep(2 * time.Second) // the last are noted
			return c, nil
		case ctx.Err() != nil || time.Now().After(end):
			return nil, fmt.Errorf("%d of %d friends were asked for their videos", n, many)
		}
	}
}

func (c *crowd) close() {
	for _, s := range c.servers {
		_ = s.Close()
	}
}

// one is one of the pods: who it is, no video, and an ear for events.
func (c *crowd) one(h network.Host) http.Handler {
	opener := federation.Opener{
		Host: h, Keys: federation.Ring{c.key}, Versions: federation.Speaks, Now: time.Now,
		Sender: func(context.Context, network.Host) (*rsa.PublicKey, error) { return c.podKey, nil },
		First:  func(context.Context, network.Host, federation.MessageID, time.Time) (bool, error) { return true, nil },
	}
	mux := http.NewServeMux()
	mux.HandleFunc(federation.PathCard, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(federation.Card{Host: h, Key: federation.Key{PublicKey: &c.key.PublicKey}, Protocol: federation.Speaks})
	})
	mux.HandleFunc(federation.PathEvents, func(w http.ResponseWriter, r *http.Request) {
		message, _ := io.ReadAll(r.Body)
		head, _, _ := bytes.Cut(message, []byte{'.'})
		if text, _ := base64.RawURLEncoding.DecodeString(string(head)); !bytes.Contains(text, []byte(`"from":"`+c.pod+`"`)) {
			http.NotFound(w, r) // of another test of this machine, to whoever had this port before
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.got != nil && c.got[h] == nil {
			c.got[h], c.came = message, append(c.came, time.Now())
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc(federation.PathDigest, func(w http.ResponseWriter, r *http.Request) {
		message, _ := io.ReadAll(r.Body)
		asked, _, err := opener.Open(r.Context(), message, federation.PathDigest)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		plain, _ := json.Marshal(federation.Digest{})
		asked.From, asked.To, asked.Time = h, c.pod, time.Now().UnixMilli()
		sealed, _ := federation.Seal(asked, c.key, c.podKey, plain)
		_, _ = w.Write(sealed)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.compared[h] = true
	})
	mux.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// expect begins to count.
func (c *crowd) expect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got, c.came = map[network.Host][]byte{}, nil
}

// wait waits until everybody has got something.
func (c *crowd) wait(ctx context.Context, began time.Time) (all, half time.Duration, err error) {
	for end := began.Add(5 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		n := len(c.came)
		c.mu.Unlock()
		if n == len(c.hosts) {
			return c.came[n-1].Sub(began), c.came[n/2].Sub(began), nil
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return 0, 0, fmt.Errorf("%d of %d friends have it", n, len(c.hosts))
		}
	}
}

// check opens what everybody has got: it is that video.
func (c *crowd) check(id video.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for h, message := range c.got {
		opener := federation.Opener{
			Host: h, Keys: federation.Ring{c.key}, Versions: federation.Speaks, Now: time.Now,
			Sender: func(context.Context, network.Host) (*rsa.PublicKey, error) { return c.podKey, nil },
			First:  func(context.Context, network.Host, federation.MessageID, time.Time) (bool, error) { return true, nil },
		}
		_, body, err := opener.Open(context.Background(), message, federation.PathEvents)
		if err != nil {
			return fmt.Errorf("what %s got: %w", h, err)
		}
		b, err := federation.ParseBatch(body)
		if err != nil || len(b.Events) != 1 || b.Events[0].Video == nil || b.Events[0].Video.ID != id {
			return errors.Join(fmt.Errorf("%s got %s", h, body), err)
		}
	}
	return nil
}

// plain posts an event to everybody as it is.
func (c *crowd) plain(ctx context.Context, origin network.Host) (took, cpu time.Duration, err error) {
	v := federation.VideoOf(someVideo(origin, 1))
	body, err := json.Marshal(federation.Batch{Events: []federation.Event{{Kind: federation.VideoPut, Video: &v}}})
	if err != nil {
		return 0, 0, err
	}
	return timed(func() error {
		line := make(chan network.Host)
		var all sync.WaitGroup
		var failed atomic.Pointer[error]
		for range 16 {
			all.Go(func() {
				for h := range line {
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+string(h)+"/plain", bytes.NewReader(body))
					if err == nil {
						var res *http.Response
						if res, err = http.DefaultClient.Do(req); err == nil {
							err = res.Body.Close()
						}
					}
					if err != nil {
						failed.Store(&err)
					}
				}
			})
		}
		for _, h := range c.hosts {
			line <- h
		}
		close(line)
		all.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		return nil
	})
}

// enqueued is when the last of some tasks was put in line.
type enqueued struct{ last chan time.Time }

func watchEnqueue(socket string, many int) (*enqueued, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewReaderSize(c, 1<<20)
	if _, err := c.Write([]byte("MONITOR\r\n")); err != nil {
		return nil, err
	}
	if _, err := lines.ReadString('\n'); err != nil { // it watches
		return nil, err
	}
	e := &enqueued{last: make(chan time.Time, 1)}
	go func() {
		defer c.Close()
		tasks := map[string]bool{}
		for len(tasks) < many {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			_, id, found := strings.Cut(line, "asynq:{federation}:t:flush:")
			if id, _, _ = strings.Cut(id, `"`); found && strings.Contains(line, `"evalsha"`) && strings.Contains(line, "asynq:{federation}:pending") {
				tasks[id] = true
			}
		}
		e.last <- time.Now()
	}()
	return e, nil
}

func (e *enqueued) wait() time.Time {
	select {
	case at := <-e.last:
		return at
	case <-time.After(time.Minute):
		return time.Time{}
	}
}
