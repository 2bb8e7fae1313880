package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/accounts"
)

// CreateSession implements accounts.Store.
func (db *DB) CreateSession(ctx context.Context, s accounts.Session, password accounts.PasswordHash) error {
	return db.transact(ctx, "create session", func(t *tx) error {
		u, record, err := db.user(ctx, s.User)
		if err != nil {
			return err
		}
		if record == "" || u.Password != password {
			return accounts.ErrChanged
		}
		members, err := db.redis.ZRange(ctx, keySessions(s.User), 0, -1).Result()
		if err != nil {
			return told("list sessions", err)
		}
		expectUser(t, s.User, record)
		writeSession(t, &s)
		t.do("ZREMRANGEBYSCORE", keySessions(s.User), "-inf", millis(time.Now()))
		ids := sessionIDs(members)
		for _, id := range ids[:max(0, len(ids)-accounts.MaxSessions+1)] { // the first expire first
			if id != s.ID {
				endSession(t, s.User, id)
			}
		}
		return nil
	})
}

func writeSession(t *tx, s *accounts.Session) {
	t.do("SET", keySession(s.ID), encodeSession(s), "PXAT", millis(s.Expires))
	t.do("ZADD", keySessions(s.User), millis(s.Expires), s.ID[:])
}

func endSession(t *tx, user string, id accounts.TokenHash) {
	t.do("DEL", keySession(id))
	t.do("ZREM", keySessions(user), id[:])
}

// sessionIDs reads members of keySessions.
func sessionIDs(members []string) []accounts.TokenHash {
	ids := make([]accounts.TokenHash, len(members))
	for i, m := range members {
		copy(ids[i][:], m)
	}
	return ids
}

// Session implements accounts.Store.
func (db *DB) Session(ctx context.Context, id accounts.TokenHash) (accounts.Session, error) {
	s, _, err := db.session(ctx, id)
	return s, err
}

func (db *DB) session(ctx context.Context, id accounts.TokenHash) (s accounts.Session, record string, err error) {
	record, err = value("get session", db.redis.Get(ctx, keySession(id)))
	switch {
	case err != nil:
		return s, "", err
	case record == "":
		return s, "", accounts.ErrNotFound
	}
	s, err = decodeSession(id, record)
	return s, record, err
}

// TouchSession implements accounts.Store.
func (db *DB) TouchSession(ctx context.Context, s accounts.Session) error {
	return db.transact(ctx, "touch session", func(t *tx) error {
		_, record, err := db.session(ctx, s.ID)
		if errors.Is(err, accounts.ErrNotFound) || record == string(encodeSession(&s)) {
			return nil
		}
		if err != nil {
			return err
		}
		t.expect(record, "GET", keySession(s.ID))
		writeSession(t, &s)
		return nil
	})
}

// Sessions implements accounts.Store.
func (db *DB) Sessions(ctx context.Context, name string) ([]accounts.Session, error) {
	members, err := db.redis.ZRange(ctx, keySessions(name), 0, -1).Result()
	if err != nil || len(members) == 0 {
		return nil, told("list sessions", err)
	}
	ids := sessionIDs(members)
	records := make([]*redis.StringCmd, len(ids))
	err = db.pipelined(ctx, "list sessions", func(p redis.Pipeliner) {
		for i, id := range ids {
			records[i] = p.Get(ctx, keySession(id))
		}
	})
	if err != nil {
		return nil, err
	}
	var out []accounts.Session
	for i, r := range records {
		if r.Val() == "" { // it expired or ended
			continue
		}
		s, err := decodeSession(ids[i], r.Val())
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// EndSession implements accounts.Store.
func (db *DB) EndSession(ctx context.Context, name string, id accounts.TokenHash) error {
	s, _, err := db.session(ctx, id)
	if err != nil {
		return err
	}
	if accounts.Fold(s.User) != accounts.Fold(name) {
		return accounts.ErrNotFound
	}
	return db.transact(ctx, "end session", func(t *tx) error {
		endSession(t, name, id)
		return nil
	})
}
