package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/friends"
	"kinopod/shared/network"
)

// Friends implements friends.Store. It is asked once a second: what is written as it was
// before is not read again, which for a thousand friends is most of the work.
func (db *DB) Friends(ctx context.Context) ([]friends.Friend, error) {
	records, err := db.redis.HVals(ctx, keyFriends()).Result()
	if err != nil {
		return nil, told("list friends", err)
	}
	var known map[string]friends.Friend
	if before := db.friends.Load(); before != nil {
		known = *before
	}
	out, next := make([]friends.Friend, len(records)), make(map[string]friends.Friend, len(records))
	for i, r := range records {
		var there bool
		if out[i], there = known[r]; !there {
			if err := json.Unmarshal([]byte(r), &out[i]); err != nil {
				return nil, fmt.Errorf("friend: %w: %w", errRecord, err)
			}
		}
		next[r] = out[i]
	}
	db.friends.Store(&next)
	return out, nil
}

// friendRecord is what is kept of a pod.
type friendRecord struct {
	friends.Friend
	// Write is drawn by who wrote it: two who note the same at the same time are told
	// apart, and who does not know whether it was done finds out.
	Write uint64 `json:"write,omitempty"`
}

// ChangeFriend implements friends.Store.
func (db *DB) ChangeFriend(ctx context.Context, h network.Host, change func(*friends.Friend) error) (friends.Friend, error) {
	var now friends.Friend
	write, removed := rand.Uint64()|1, false
	err := db.transact(ctx, "change friend", func(t *tx) error {
		record, err := db.redis.HGet(ctx, keyFriends(), string(h)).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return told("read friend", err)
		}
		old := friendRecord{Friend: friends.Friend{Host: h}}
		if record != "" {
			if err := json.Unmarshal([]byte(record), &old); err != nil {
				return fmt.Errorf("friend: %w: %w", errRecord, err)
			}
		}
		if old.Write == write || removed && record == "" {
			return nil // by a commit whose answer was lost
		}
		f := old
		if err := change(&f.Friend); err != nil {
			return err
		}
		now = f.Friend
		t.expect(record, "HGET", keyFriends(), string(h))
		if removed = f.State == ""; removed {
			t.do("HDEL", keyFriends(), string(h))
			return nil
		}
		b, err := json.Marshal(f)
		if err != nil || string(b) == record {
			t.writes = 0 // nothing changes
			return err
		}
		f.Write = write
		if b, err = json.Marshal(f); err != nil {
			return err
		}
		t.do("HSET", keyFriends(), string(h), b)
		return nil
	})
	return now, err
}
