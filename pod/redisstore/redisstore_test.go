package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// log keeps what was logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func anyone(*video.Video) error { return nil }

func TestOpen(t *testing.T) {
	port := freePort(t)
	s := startServer(t, "port "+port, "requirepass secret")
	for _, where := range []string{
		"redis://:secret@127.0.0.1:" + port,
		"redis://default:secret@127.0.0.1:" + port + "/3",
		"unix://:secret@" + s.socket(),
		"unix://:secret@" + s.socket() + "?db=2",
	} {
		db := open(t, where)
		if _, err := db.Add(t.Context(), catalogtest.NewVideo(1)); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	for where, want := range map[string]string{
		"redis://:wrong@127.0.0.1:" + port:  "WRONGPASS",
		s.socket():                          "NOAUTH",
		"http://:secret@127.0.0.1:" + port:  "scheme",
		"redis://:secret@127.0.0.1:nonsens": "port",
		"redis://:secret@127.0.0.1/x":       "database",
		"":                                  "scheme",
	} {
		_, err := Open(t.Context(), where, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "wrong@") {
			t.Errorf("%s: %v; want %s, and no password", where, err, want)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// TestOpenWaits: a Redis that is started with the pod may come up after it.
func TestOpenWaits(t *testing.T) {
	s := startServer(t)
	s.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, s.socket(), slog.New(slog.DiscardHandler))
	if !api.Is(err, api.CodeUnavailable) || !strings.Contains(err.Error(), s.socket()) {
		t.Errorf("nobody there: %v", err)
	}
	started := s.startIn(t, 300*time.Millisecond)
	open(t, s.socket())
	<-started
}

func TestWarnsOfAForgetfulRedis(t *testing.T) {
	small := "\nhash-max-listpack-value 64\nhash-max-listpack-entries 64\nset-max-intset-entries 512"
	for want, settings := range map[int]string{0: "", 2: "appendonly no\nmaxmemory-policy allkeys-lru", 3: small} {
		var l log
		db, err := Open(t.Context(), startServer(t, settings).socket(), l.logger())
		if err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
		if n := l.count("level=WARN"); n != want {
			t.Errorf("%d warnings, want %d: %s", n, want, l.b.String())
		}
	}
}

// calls is one of each kind of operation.
func calls(ctx context.Context, db *DB, v video.Video, u accounts.User) map[string]func() error {
	one := func(_ any, err error) error { return err }
	return map[string]func() error{
		"Ping":       func() error { return db.Ping(ctx) },
		"Add":        func() error { return one(db.Add(ctx, catalogtest.NewVideo(7))) },
		"Get":        func() error { return one(db.Get(ctx, v.ID)) },
		"ByInfoHash": func() error { return one(db.ByInfoHash(ctx, "", v.Renditions[0].InfoHash)) },
		"Page":       func() error { _, _, err := db.Page(ctx, catalog.Listing{Limit: 10}); return err },
		"Update": func() error {
			return one(db.Update(ctx, v.ID, func(v *video.Video) error { v.Name += "!"; return nil }))
		},
		"Withdraw":   func() error { return one(db.Withdraw(ctx, v.ID, anyone)) },
		"Withdrawn":  func() error { return one(db.Withdrawn(ctx)) },
		"User":       func() error { return one(db.User(ctx, u.Name)) },
		"CreateUser": func() error { return db.CreateUser(ctx, accounts.User{Name: "new"}, accounts.Grant{}) },
		"CreateSession": func() error {
			return db.CreateSession(ctx, accounts.Session{User: u.Name, Expires: time.Now().Add(time.Hour)}, u.Password)
		},
		"Sessions":         func() error { return one(db.Sessions(ctx, u.Name)) },
		"Reserve":          func() error { return db.Reserve(ctx, u.Name, accounts.Reservation{ID: v.ID, Bytes: 1}, 0) },
		"PutInvite":        func() error { return db.PutInvite(ctx, accounts.TokenHash{1}, u.Name, time.Now().Add(time.Hour)) },
		"Reservations":     func() error { return one(db.Reservations(ctx, u.Name)) },
		"UnusedThumbnails": func() error { return one(db.UnusedThumbnails(ctx)) },
	}
}

// TestOutage: while Redis is gone, or does not answer, each operation fails in a few
// seconds as unavailable; when it is back everything goes on, and one line each tells.
func TestOutage(t *testing.T) {
	for name, outage := range map[string]struct{ begin, end func(t *testing.T, s *server) }{
		"killed": {func(_ *testing.T, s *server) { s.kill() }, func(t *testing.T, s *server) { s.start(t) }},
		"frozen": {func(_ *testing.T, s *server) { s.signal(syscall.SIGSTOP) }, func(_ *testing.T, s *server) { s.signal(syscall.SIGCONT) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			var l log
			db, err := Open(t.Context(), s.socket(), l.logger())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			v, u := catalogtest.NewVideo(1), accounts.User{Name: "anna", Password: "x", Created: at}
			if _, err := db.Add(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			if err := db.CreateUser(t.Context(), u, accounts.Grant{}); err != nil {
				t.Fatal(err)
			}
			outage.begin(t, s)
			var wg sync.WaitGroup
			for what, call := range calls(t.Context(), db, v, u) {
				wg.Go(func() {
					began := time.Now()
					err := call()
					if took := time.Since(began); !api.Is(err, api.CodeUnavailable) || took > time.Minute {
						t.Errorf("%s: %v after %v", what, err, took)
					}
				})
			}
			wg.Wait()
			outage.end(t, s)
			ready, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if err := db.waitReady(ready); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Get(t.Context(), v.ID); err != nil {
				t.Errorf("Get afterwards: %v", err)
			}
			check(t, db)
			if n, m := l.count("redis does not answer"), l.count("redis answers again"); n != 1 || m != 1 {
				t.Errorf("%d lines of the begin and %d of the end: %s", n, m, l.b.String())
			}
		})
	}
}

// TestShortOutage: a private server that is killed and started again is not noticed.
func TestShortOutage(t *testing.T) {
	s := startServer(t)
	db := open(t, s.socket())
	v := catalogtest.NewVideo(1)
	if _, err := db.Add(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	for short, all := 0, 0; short < 3; all++ {
		s.kill()
		began, outage := time.Now(), make(chan time.Duration, 1)
		started := s.startIn(t, 100*time.Millisecond)
		go func() { <-started; outage <- time.Since(began) }()
		_, err := db.Get(t.Context(), v.ID)
		added, err2 := db.Add(t.Context(), catalogtest.NewVideo(2))
		if took := <-outage; took > commandTimeout/2 && all < 50 {
			t.Logf("the server was away for %v: a busy machine", took)
			continue
		}
		if short++; err != nil || !added || err2 != nil {
			t.Errorf("Get: %v; Add: %v, %v", err, added, err2)
		}
	}
	check(t, db)
}

func TestCancelledIsNoOutage(t *testing.T) {
	var l log
	s := startServer(t)
	db, err := Open(t.Context(), s.socket(), l.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Get(ctx, video.NewID("pod.example")); !errors.Is(err, context.Canceled) || api.Is(err, api.CodeUnavailable) {
		t.Errorf("Get: %v", err)
	}
	if n := l.count("redis does not answer"); n != 0 {
		t.Errorf("a caller that went away is logged as an outage: %s", l.b.String())
	}
}

// TestNoRoom: a Redis that takes no writes is unavailable, and keeps nothing of them.
func TestNoRoom(t *testing.T) {
	db := open(t, startServer(t).socket())
	v, u := catalogtest.NewVideo(1), accounts.User{Name: "anna", Password: "x", Created: at}
	if _, err := db.Add(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateUser(t.Context(), u, accounts.Grant{}); err != nil {
		t.Fatal(err)
	}
	if err := db.redis.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	reads := "Ping Get ByInfoHash Page Withdrawn User Sessions Reservations UnusedThumbnails"
	all := calls(t.Context(), db, v, u)
	withdraw := all["Withdraw"]
	delete(all, "Withdraw")
	for what, call := range all {
		err := call()
		if strings.Contains(reads, what) {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		} else if !api.Is(err, api.CodeUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	check(t, db)
	if got, err := db.Get(t.Context(), v.ID); err != nil || got.Name != v.Name {
		t.Errorf("%q, %v", got.Name, err)
	}
	if err := withdraw(); err != nil { // it makes room
		t.Errorf("Withdraw: %v", err)
	}
	check(t, db)
}

// TestContention: who never gets their turn is told in a few seconds.
func TestContention(t *testing.T) {
	db := open(t, startServer(t).socket())
	v := catalogtest.NewVideo(1)
	if _, err := db.Add(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	n := 0
	_, err := db.Update(t.Context(), v.ID, func(v *video.Video) error {
		n++ // somebody else is faster each time
		other := fmt.Sprintf("Name %d", n)
		_, err := db.Update(t.Context(), v.ID, func(v *video.Video) error { v.Name = other; return nil })
		v.Description = "mine"
		return err
	})
	if !api.Is(err, api.CodeUnavailable) {
		t.Errorf("Update: %v after %d turns", err, n)
	}
	if got, err := db.Get(t.Context(), v.ID); err != nil || got.Name != fmt.Sprintf("Name %d", n) || got.Description == "mine" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestErrorsOfRedis(t *testing.T) {
	db := open(t, startServer(t).socket())
	if err := db.redis.Set(t.Context(), keyUsers(), "not a hash", 0).Err(); err != nil {
		t.Fatal(err)
	}
	_, err := db.User(t.Context(), "anna")
	if err == nil || api.Is(err, api.CodeUnavailable) || !strings.Contains(err.Error(), "get user: WRONGTYPE") {
		t.Errorf("a fault of ours: %v", err)
	}
	for text, want := range map[string]bool{
		"LOADING Redis is loading": true, "MISCONF Errors writing to the AOF file": true, "READONLY You can't write": true,
		"ERR max number of clients reached": true, "ERR unknown command": false, "WRONGTYPE Operation": false,
	} {
		if got := isOutage(answer(text)); got != want {
			t.Errorf("isOutage(%s) = %v", text, got)
		}
	}
}

// answer is an error that Redis answers.
type answer string

var _ redis.Error = answer("")

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

func TestOldRedis(t *testing.T) {
	for version, want := range map[string]bool{"7.0.15": true, "8.2": true, "10.0.1": true, "unstable": true, "": true, "6.2.14": false, "6.0.16": false, "2.8.0": false} {
		info := "# Server\r\nredis_version:" + version + "\r\nredis_mode:standalone\r\n"
		if err := checkVersion(info); (err == nil) != want {
			t.Errorf("%s: %v", version, err)
		}
	}
}
