package redisstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
)

// CountUsers implements accounts.Store.
func (db *DB) CountUsers(ctx context.Context) (int, error) {
	n, err := db.redis.HLen(ctx, keyUsers()).Result()
	return int(n), told("count users", err)
}

// Usernames implements accounts.Store; the names are folded.
func (db *DB) Usernames(ctx context.Context) ([]string, error) {
	names, err := db.redis.HKeys(ctx, keyUsers()).Result()
	return names, told("list users", err)
}

// User implements accounts.Store.
func (db *DB) User(ctx context.Context, name string) (accounts.User, error) {
	u, record, err := db.user(ctx, name)
	if err == nil && record == "" {
		err = accounts.ErrNotFound
	}
	return u, err
}

// user gives the record as well, "" for nobody.
func (db *DB) user(ctx context.Context, name string) (u accounts.User, record string, err error) {
	record, err = value("get user", db.redis.HGet(ctx, keyUsers(), accounts.Fold(name)))
	if err != nil || record == "" {
		return u, "", err
	}
	u, err = decodeUser(record)
	return u, record, err
}

// expectUser lets a tx happen only if the user's record is this, "" for nobody.
func expectUser(t *tx, name, record string) {
	t.expect(record, "HGET", keyUsers(), accounts.Fold(name))
}

func writeUser(t *tx, u accounts.User) {
	t.do("HSET", keyUsers(), accounts.Fold(u.Name), encodeUser(&u))
}

// CreateUser implements accounts.Store.
func (db *DB) CreateUser(ctx context.Context, u accounts.User, g accounts.Grant) error {
	return db.transact(ctx, "create user", func(t *tx) error {
		_, record, err := db.user(ctx, u.Name)
		switch {
		case err != nil:
			return err
		case record == string(encodeUser(&u)): // this very user, by a commit whose answer was lost
			return nil
		case record != "":
			return accounts.ErrTaken
		}
		ok, err := db.ValidGrant(ctx, g)
		if err != nil {
			return err
		}
		if !ok {
			return accounts.ErrGrant
		}
		expectUser(t, u.Name, "")
		writeUser(t, u)
		t.do("DEL", keySetup())
		switch g.Kind {
		case accounts.GrantSetup:
			t.expect(string(g.Token[:]), "GET", keySetup())
		case accounts.GrantInvite:
			t.expect("1", "EXISTS", keyInvite(g.Token))
			t.do("DEL", keyInvite(g.Token))
		}
		return nil
	})
}

// SetRole implements accounts.Store.
func (db *DB) SetRole(ctx context.Context, name string, role api.Role) error {
	return db.transact(ctx, "set role", func(t *tx) error {
		u, record, err := db.user(ctx, name)
		switch {
		case err != nil:
			return err
		case record == "":
			return accounts.ErrNotFound
		case u.Role == role:
			return nil
		}
		if u.Role == api.RoleAdmin {
			if err := db.expectOtherAdmin(ctx, t, name); err != nil {
				return err
			}
		}
		expectUser(t, name, record)
		u.Role = role
		writeUser(t, u)
		return nil
	})
}

// expectOtherAdmin lets a tx happen only if there is an administrator beside name.
func (db *DB) expectOtherAdmin(ctx context.Context, t *tx, name string) error {
	all, err := db.redis.HGetAll(ctx, keyUsers()).Result()
	if err != nil {
		return told("list users", err)
	}
	for other, record := range all {
		u, err := decodeUser(record)
		if err != nil {
			return err
		}
		if u.Role == api.RoleAdmin && other != accounts.Fold(name) {
			expectUser(t, other, record)
			return nil
		}
	}
	return accounts.ErrLastAdmin
}

// RemoveUser implements accounts.Store.
func (db *DB) RemoveUser(ctx context.Context, name string) error {
	tried := false
	return db.transact(ctx, "remove user", func(t *tx) error {
		u, record, err := db.user(ctx, name)
		switch {
		case err != nil:
			return err
		case record == "" && tried: // by a commit whose answer was lost
			return nil
		case record == "":
			return accounts.ErrNotFound
		}
		if u.Role == api.RoleAdmin {
			if err := db.expectOtherAdmin(ctx, t, name); err != nil {
				return err
			}
		}
		booked, err := db.Reservations(ctx, name)
		if err != nil {
			return err
		}
		if len(booked) > 0 {
			return accounts.ErrBooked
		}
		sum, err := value("get quota", db.redis.HGet(ctx, keyQuota(name), fieldQuotaSum))
		if err != nil {
			return err
		}
		ids, err := db.redis.ZRange(ctx, keySessions(name), 0, -1).Result()
		if err != nil {
			return told("list sessions", err)
		}
		expectUser(t, name, record)
		t.expect(strings.Join(ids, ""), "ZRANGE", keySessions(name), 0, -1)
		t.expect(sum, "HGET", keyQuota(name), fieldQuotaSum) // who reserves changes it
		for _, id := range sessionIDs(ids) {
			endSession(t, name, id)
		}
		t.do("HDEL", keyUsers(), accounts.Fold(name))
		t.do("HDEL", keyProfiles(), accounts.Fold(name))
		t.do("DEL", keyQuota(name))
		tried = true
		return nil
	})
}

// ValidGrant implements accounts.Store.
func (db *DB) ValidGrant(ctx context.Context, g accounts.Grant) (bool, error) {
	switch g.Kind {
	case accounts.GrantFree:
		return true, nil
	case accounts.GrantSetup:
		token, err := value("get setup token", db.redis.Get(ctx, keySetup()))
		return token == string(g.Token[:]), err
	case accounts.GrantInvite:
		n, err := db.redis.Exists(ctx, keyInvite(g.Token)).Result()
		return n == 1, told("get invitation", err)
	}
	return false, fmt.Errorf("grant of kind %d", g.Kind)
}

// PutSetup implements accounts.Store.
func (db *DB) PutSetup(ctx context.Context, token accounts.TokenHash) error {
	return db.transact(ctx, "put setup token", func(t *tx) error {
		n, err := db.CountUsers(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			return accounts.ErrTaken
		}
		t.expect("0", "HLEN", keyUsers())
		t.do("SET", keySetup(), token[:])
		return nil
	})
}

// PutInvite implements accounts.Store.
func (db *DB) PutInvite(ctx context.Context, token accounts.TokenHash, by string, expires time.Time) error {
	err := db.redis.Do(ctx, "SET", keyInvite(token), by, "PXAT", millis(expires)).Err()
	return told("put invitation", err)
}

// SetPassword implements accounts.Store.
func (db *DB) SetPassword(ctx context.Context, name string, old, hash accounts.PasswordHash, keep accounts.TokenHash) error {
	return db.transact(ctx, "set password", func(t *tx) error {
		u, record, err := db.user(ctx, name)
		switch {
		case err != nil:
			return err
		case record == "":
			return accounts.ErrNotFound
		case u.Password == hash: // by a commit whose answer was lost: hashes have salt
			return nil
		case old != "" && u.Password != old:
			return accounts.ErrChanged
		}
		ids, err := db.redis.ZRange(ctx, keySessions(name), 0, -1).Result()
		if err != nil {
			return told("list sessions", err)
		}
		expectUser(t, name, record)
		u.Password = hash
		writeUser(t, u)
		// Nobody logs in with the old password from here on (CreateSession), and
		// whoever did before is in ids, or this is planned again.
		t.expect(strings.Join(ids, ""), "ZRANGE", keySessions(name), 0, -1)
		for _, id := range sessionIDs(ids) {
			if id != keep {
				endSession(t, name, id)
			}
		}
		return nil
	})
}
