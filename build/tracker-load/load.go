package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kinopod/shared/announce"
)

// load is one run.
type load struct {
	options
	counters
	began                 time.Time
	hashes                []announce.ID
	offerJSON, answerJSON []byte
	random                chance
}

// chance is the same in every run: trackers that are compared get the same swarms.
type chance struct {
	mu     sync.Mutex
	source *rand.ChaCha8
	zipf   *rand.Zipf
}

func (c *chance) Read(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.source.Read(b)
}

func newLoad(o options) *load {
	l := &load{options: o, began: time.Now(), offerJSON: description("offer", o.sdp), answerJSON: description("answer", o.sdp)}
	l.random.source = rand.NewChaCha8([32]byte{})
	l.random.zipf = rand.NewZipf(rand.New(rand.NewPCG(1, 42)), 1.1, 1, uint64(o.torrents-1))
	for range o.torrents {
		var h announce.ID
		l.random.Read(h[:])
		l.hashes = append(l.hashes, h)
	}
	return l
}

// pick chooses a torrent.
func (l *load) pick() int {
	l.random.mu.Lock()
	defer l.random.mu.Unlock()
	return int(l.random.zipf.Uint64())
}

func (l *load) now() time.Duration { return time.Since(l.began) }

func (l *load) run() (r result, err error) {
	before := used(l.pid)
	peers := l.connect()
	if len(peers) == 0 {
		return r, errors.New("no connection came about")
	}
	var all sync.WaitGroup
	for _, p := range peers {
		all.Go(p.read)
	}
	done := make(chan struct{})
	if l.idle {
		l.announceOnce(peers)
	} else {
		tokens := l.pace(done)
		for i, p := range peers {
			all.Go(func() { l.keepAnnouncing(i, p, tokens, done) })
		}
	}
	time.Sleep(l.warmup)
	own, tracker, machine, from := used(os.Getpid()), used(l.pid), busy(), time.Now()
	l.measuring.Store(true)
	time.Sleep(l.duration)
	l.measuring.Store(false)
	seconds := time.Since(from).Seconds()
	trackerNow, ownNow, machineNow := used(l.pid), used(os.Getpid()), busy()
	l.stopping.Store(true)
	close(done)
	for _, p := range peers {
		_ = p.nc.Close()
	}
	all.Wait()
	r = result{
		Connections: len(peers), Seconds: seconds,
		Announces: float64(l.answered.Load()) / seconds, Offers: float64(l.relayed.Load()) / seconds, Answers: float64(l.replies.Load()) / seconds,
		RelayP50: l.way.quantile(.5), RelayP99: l.way.quantile(.99), ResponseP50: l.counters.response.quantile(.5), ResponseP99: l.counters.response.quantile(.99),
		Failures: l.failures.Load(), Errors: l.badConns.Load(),
		CPU: trackerNow.cpu - tracker.cpu, RSS: float64(trackerNow.rss) / (1 << 20), PerConn: float64(trackerNow.rss-before.rss) / 1024 / float64(len(peers)),
		OwnCPU: ownNow.cpu - own.cpu,
	}
	if r.CPU > 0 {
		r.PerCPUSecond = float64(l.answered.Load()) / r.CPU
	}
	r.Others = max(0, (machineNow-machine-r.CPU-r.OwnCPU)/seconds)
	return r, nil
}

// handshakes are made at a time.
const handshakes = 64

// connect opens the connections.
func (l *load) connect() (peers []*peer) {
	var next atomic.Int64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range handshakes {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < l.conns; i = int(next.Add(1)) - 1 {
				p, err := l.dial(i)
				if err != nil {
					l.fail("dial", err)
					continue
				}
				mu.Lock()
				peers = append(peers, p)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return peers
}

// announceOnce has every peer announce, some thousands a second.
func (l *load) announceOnce(peers []*peer) {
	for i, p := range peers {
		p.prepare(i, announce.Started)
		if err := p.send(); err != nil {
			l.fail("announce", err)
		}
		if i%3 == 2 {
			time.Sleep(time.Millisecond)
		}
	}
}

// pace gives a token for each announce that is due; nil without a rate.
func (l *load) pace(done chan struct{}) chan struct{} {
	if l.rate == 0 {
		return nil
	}
	tokens := make(chan struct{}, int(l.rate/10)+1)
	go func() { // until done
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		begin, given := time.Now(), 0
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			for ; given < int(time.Since(begin).Seconds()*l.rate); given++ {
				select {
				case tokens <- struct{}{}:
				default: // nobody is free to announce: the tracker does not keep up
				}
			}
		}
	}()
	return tokens
}

// keepAnnouncing announces again and again, each time when it may and the last one was
// answered.
func (l *load) keepAnnouncing(i int, p *peer, tokens, done chan struct{}) {
	p.prepare(i, announce.Started)
	for first := true; !l.stopping.Load(); first = false {
		if tokens != nil {
			select {
			case <-tokens:
			case <-done:
				return
			}
		}
		if err := p.send(); err != nil {
			l.fail("announce", err)
			return
		}
		if _, ok := <-p.response; !ok {
			return
		}
		if first {
			p.prepare(i, "")
		}
	}
}
