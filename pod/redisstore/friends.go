package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/friends"
	"kinopod/shared/network"
)

// Friends implements friends.Store.
func (db *DB) Friends(ctx context.Context) ([]friends.Friend, error) {
	records, err := db.redis.HVals(ctx, keyFriends()).Result()
	if err != nil {
		return nil, told("list friends", err)
	}
	out := make([]friends.Friend, len(records))
	for i, r := range records {
		if err := json.Unmarshal([]byte(r), &out[i]); err != nil {
			return nil, fmt.Errorf("friend: %w: %w", errRecord, err)
		}
	}
	return out, nil
}

// ChangeFriend implements friends.Store.
func (db *DB) ChangeFriend(ctx context.Context, h network.Host, change func(*friends.Friend) error) (friends.Friend, error) {
	var now friends.Friend
	written := ""
	err := db.transact(ctx, "change friend", func(t *tx) error {
		record, err := db.redis.HGet(ctx, keyFriends(), string(h)).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return told("read friend", err)
		}
		if written != "" && record == written {
			return nil // by a commit whose answer was lost
		}
		f := friends.Friend{Host: h}
		if record != "" {
			if err := json.Unmarshal([]byte(record), &f); err != nil {
				return fmt.Errorf("friend: %w: %w", errRecord, err)
			}
		}
		if err := change(&f); err != nil {
			return err
		}
		now = f
		t.expect(record, "HGET", keyFriends(), string(h))
		if f.State == "" {
			t.do("HDEL", keyFriends(), string(h))
			return nil
		}
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if written = string(b); written == record {
			t.writes, t.writing = 0, nil // nothing changes
			return nil
		}
		t.do("HSET", keyFriends(), string(h), written)
		return nil
	})
	return now, err
}
