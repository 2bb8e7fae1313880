package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// LastChange is the position of the last change of this pod's videos.
func (db *DB) LastChange(ctx context.Context) (string, error) {
	last, err := db.redis.XRevRangeN(ctx, keyLog(), "+", "-", 1).Result()
	if err != nil {
		return "", told("read log", err)
	}
	if len(last) == 1 {
		return last[0].ID, nil
	}
	id, err := db.redis.XAdd(ctx, &redis.XAddArgs{Stream: keyLog(), Values: []any{"v", ""}}).Result()
	return id, told("begin log", err)
}

// Changes are up to most changes after a position, the oldest first. lost says that
// some are not known any more, or that the position is of another log.
func (db *DB) Changes(ctx context.Context, after string, most int) (changes []catalog.Change, lost bool, err error) {
	entries, err := db.redis.XRangeN(ctx, keyLog(), after, "+", int64(most)+1).Result()
	if err != nil {
		return nil, false, told("read log", err)
	}
	if len(entries) > 0 && entries[0].ID == after {
		entries = entries[1:]
	} else {
		lost = true
	}
	for _, e := range entries[:min(len(entries), most)] {
		c := catalog.Change{Position: e.ID}
		text, _ := e.Values["v"].(string)
		copy(c.ID[:], text)
		changes = append(changes, c)
	}
	return changes, lost, nil
}

// changeWait is how long AwaitChange waits at most: less than commandTimeout.
const changeWait = 2 * time.Second

// AwaitChange returns when there is a change after a position, or after a while.
func (db *DB) AwaitChange(ctx context.Context, after string) error {
	err := db.redis.XRead(ctx, &redis.XReadArgs{Streams: []string{keyLog(), after}, Count: 1, Block: changeWait}).Err()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return told("wait for a change", err)
}

// FirstMessage notes a message of a friend until a time, and says whether it is new.
func (db *DB) FirstMessage(ctx context.Context, h network.Host, id string, until time.Time) (bool, error) {
	err := db.redis.SetArgs(ctx, keySeen(h, id), "", redis.SetArgs{Mode: "NX", ExpireAt: until}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, told("note message", err)
}

// Versions gives this pod's videos of some IDs as they are now; those that are gone are
// left out.
func (db *DB) Versions(ctx context.Context, ids []video.ID) ([]video.Video, error) {
	refs := make([]ref, len(ids))
	for i, id := range ids {
		refs[i] = refOfID(id)
	}
	if err := db.read(ctx, refs); err != nil {
		return nil, err
	}
	var locals []uint32
	for _, r := range refs {
		locals = append(locals, parseLocals(r.locals)...)
	}
	found, err := db.fetch(ctx, locals)
	if err != nil {
		return nil, err
	}
	wanted := map[video.ID]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	var out []video.Video
	for _, s := range found {
		if wanted[s.ID] {
			out = append(out, s.Video)
		}
	}
	return out, nil
}
