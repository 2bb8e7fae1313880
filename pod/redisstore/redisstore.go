// Package redisstore keeps what a pod knows in Redis: the stores of accounts, catalog,
// friends and views, the log that friends are told from, and the events that the search
// index follows.
//
// Every write is one transaction (see transact) or one script (bulk.go, viewscripts.go):
// Redis never holds half of it. Repeating it after a lost answer changes nothing more,
// but for a single view, which may count twice.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/friends"
	"kinopod/shared/api"
)

// DB is a pod's Redis.
type DB struct {
	redis                            *redis.Client
	log                              *slog.Logger
	commit, page, records, put, drop *redis.Script
	down                             atomic.Bool                               // the last command had no answer
	friends                          atomic.Pointer[map[string]friends.Friend] // by their records, as they were read last
	reading                          sync.WaitGroup                            // of await
}

var (
	_ accounts.Store = (*DB)(nil)
	_ catalog.Store  = (*DB)(nil)
)

const (
	// commandTimeout bounds one exchange with Redis, with its repetitions: longer
	// than a private server takes to be back, short enough for a person.
	commandTimeout = 3 * time.Second
	dialTimeout    = time.Second
	replyTimeout   = 2 * time.Second
	repetitions    = 3
)

// Open connects to Redis at where: a URL, redis:// or rediss:// or unix://, or the
// path of a unix socket. It waits until Redis answers or ctx ends.
func Open(ctx context.Context, where string, log *slog.Logger) (*DB, error) {
	opt, err := options(where)
	if err != nil {
		return nil, err
	}
	// What go-redis prints by itself comes back as an error, too.
	redis.SetLogger(quiet{})
	db := &DB{
		redis: redis.NewClient(opt), log: log,
		commit: redis.NewScript(commitScript), page: redis.NewScript(pageScript), records: redis.NewScript(recordsLua + `return records(ARGV)`),
		put: redis.NewScript(putScript), drop: redis.NewScript(dropScript),
	}
	db.redis.AddHook(&watch{db})
	if err := db.waitReady(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("redis at %s: %w", opt.Addr, err)
	}
	if err := db.look(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("redis at %s: %w", opt.Addr, err)
	}
	if err := db.joinStretches(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("redis at %s: %w", opt.Addr, err)
	}
	return db, nil
}

func options(where string) (*redis.Options, error) {
	opt := &redis.Options{Network: "unix", Addr: where}
	if !strings.HasPrefix(where, "/") {
		var err error
		if opt, err = redis.ParseURL(where); err != nil {
			var bad *url.Error
			if errors.As(err, &bad) { // its text has the URL, and that a password
				err = bad.Err
			}
			return nil, fmt.Errorf("address of redis: %w", err)
		}
	}
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout = dialTimeout, replyTimeout, replyTimeout
	opt.MaxRetries, opt.ContextTimeoutEnabled = repetitions, true
	opt.PipelinePoolSize = -1 // the pipelines are small
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return opt, nil
}

func (db *DB) waitReady(ctx context.Context) error {
	var why error
	for {
		err := db.Ping(ctx)
		switch {
		case err == nil:
			return nil
		case why == nil || ctx.Err() == nil: // the end of ctx says less than what was before
			why = err
		}
		if ctx.Err() != nil || !api.Is(err, api.CodeUnavailable) {
			return why
		}
		select {
		case <-ctx.Done():
			return why
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// leastRedis is the first version that has all commands that are used: SET with NX and
// GET is the newest.
const leastRedis = 7

// look refuses a Redis that is too old, and tells the operator of one of their own what
// would lose data.
func (db *DB) look(ctx context.Context) error {
	info, err := db.redis.Info(ctx).Result()
	if err != nil {
		return nil // not every Redis lets its users ask
	}
	if err := checkVersion(info); err != nil {
		return err
	}
	db.tellSettings(ctx, info)
	return nil
}

// settings are the least of what the pod's own Redis is started with (package redisproc),
// and what it costs to do without.
var settings = []struct {
	name  string
	least int    // that is enough
	want  string // where it is no number
	costs string
}{
	{"appendonly", 0, "yes", "accounts and videos may be lost when redis ends"},
	{"maxmemory-policy", 0, "noeviction", "redis may throw accounts and videos away when its memory is full"},
	{"hash-max-listpack-value", 4096, "", "videos take more memory"},
	{"hash-max-listpack-entries", 128, "", "videos take more memory"},
	{"set-max-intset-entries", 65536, "", "the list of a pod with many videos takes more memory"},
}

// tellSettings tells the operator of a Redis of their own what is missing there. Nothing
// is set: others may use it, too.
func (db *DB) tellSettings(ctx context.Context, info string) {
	have := map[string]string{"maxmemory-policy": infoValue(info, "maxmemory_policy"), "appendonly": "yes"}
	if strings.Contains(info, "\naof_enabled:0") {
		have["appendonly"] = "no"
	}
	for _, s := range settings { // not every Redis lets its users ask
		if all, err := db.redis.ConfigGet(ctx, s.name).Result(); err == nil && all[s.name] != "" {
			have[s.name] = all[s.name]
		}
		value := have[s.name]
		n, _ := strconv.Atoi(value)
		if value != "" && (s.want != "" && value != s.want || s.want == "" && n < s.least) {
			want := s.want
			if want == "" {
				want = strconv.Itoa(s.least)
			}
			db.log.Warn("redis: without this setting "+s.costs, "setting", s.name, "is", value, "set", want)
		}
	}
}

func checkVersion(info string) error {
	version := infoValue(info, "redis_version")
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < leastRedis {
		return fmt.Errorf("it is version %s, and the pod needs %d or later", version, leastRedis)
	}
	return nil
}

func infoValue(info, name string) string {
	_, rest, _ := strings.Cut(info, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	return value
}

// Ping says whether Redis answers.
func (db *DB) Ping(ctx context.Context) error { return told("ping", db.redis.Ping(ctx).Err()) }

// Close gives the connections back.
func (db *DB) Close() error {
	err := db.redis.Close()
	db.reading.Wait()
	return err
}

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// told adds what was done to an error of Redis. Where Redis does not answer, or
// does not take writes for now, the code is api.CodeUnavailable.
func told(what string, err error) error {
	var known *api.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	}
	err = fmt.Errorf("%s: %w", what, err)
	if errors.Is(err, context.Canceled) || !isOutage(err) {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Message: "The pod's memory does not answer. Try again in a moment.", Cause: err}
}

// isOutage holds for an error of the connection, and for the answers of a Redis that
// starts, fails over, or has no room.
func isOutage(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return true
	}
	word, _, _ := strings.Cut(answer.Error(), " ")
	switch word {
	case "LOADING", "READONLY", "MASTERDOWN", "NOREPLICAS", "TRYAGAIN", "BUSY", "MISCONF", "OOM":
		return true
	}
	return strings.HasPrefix(answer.Error(), "ERR max number of clients")
}

// watch is a hook that bounds each exchange with Redis, and logs the begin and the
// end of an outage once.
type watch struct{ db *DB }

var _ redis.Hook = (*watch)(nil)

func (w *watch) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *watch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		bounded, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		err := next(bounded, cmd)
		w.db.note(ctx, err)
		return err
	}
}

func (w *watch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		bounded, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		err := next(bounded, cmds)
		w.db.note(ctx, err)
		return err
	}
}

// note takes how an exchange went; one that its caller gave up tells nothing.
func (db *DB) note(ctx context.Context, err error) {
	switch {
	case err == nil || !isOutage(err):
		if db.down.CompareAndSwap(true, false) {
			db.log.Info("redis answers again")
		}
	case ctx.Err() == nil && !errors.Is(err, redis.ErrClosed):
		if db.down.CompareAndSwap(false, true) {
			db.log.Error("redis does not answer", "err", err)
		}
	}
}
