package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// lastOf is the position of the last entry of a stream. One without any gets one that
// says nothing: then there is a position.
func (db *DB) lastOf(ctx context.Context, key, field string) (string, error) {
	last, err := db.redis.XRevRangeN(ctx, key, "+", "-", 1).Result()
	if err != nil {
		return "", told("read log", err)
	}
	if len(last) == 1 {
		return last[0].ID, nil
	}
	id, err := db.redis.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{field, ""}}).Result()
	return id, told("begin log", err)
}

// after takes the entry at a position off those that begin with it. lost says that it is
// not there: some after it may not be there either, or it is of another stream.
func after(position string, entries []redis.XMessage) (rest []redis.XMessage, lost bool) {
	if len(entries) > 0 && entries[0].ID == position {
		return entries[1:], false
	}
	return entries, true
}

// changeWait is how long await waits at most: less than commandTimeout.
const changeWait = 2 * time.Second

// await returns when a stream has an entry after a position, or after a while. The end of
// ctx does not end the client's reading: that goes on for the rest of changeWait, or to
// Close, and nobody waits for it.
func (db *DB) await(ctx context.Context, key, position string) error {
	read := make(chan error, 1)
	db.reading.Go(func() {
		read <- db.redis.XRead(ctx, &redis.XReadArgs{Streams: []string{key, position}, Count: 1, Block: changeWait}).Err()
	})
	var err error
	select {
	case err = <-read:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return told("wait for a change", err)
}

// LastChange is the position of the last change of this pod's videos.
func (db *DB) LastChange(ctx context.Context) (string, error) { return db.lastOf(ctx, keyLog(), "v") }

// Changes are up to most changes after a position, the oldest first. lost says that
// some are not known any more, or that the position is of another log.
func (db *DB) Changes(ctx context.Context, position string, most int) (changes []catalog.Change, lost bool, err error) {
	entries, err := db.redis.XRangeN(ctx, keyLog(), position, "+", int64(most)+1).Result()
	if err != nil {
		return nil, false, told("read log", err)
	}
	entries, lost = after(position, entries)
	for _, e := range entries[:min(len(entries), most)] {
		c := catalog.Change{Position: e.ID}
		text, _ := e.Values["v"].(string)
		copy(c.ID[:], text)
		changes = append(changes, c)
	}
	return changes, lost, nil
}

// AwaitChange returns when there is a change after a position, or after a while.
func (db *DB) AwaitChange(ctx context.Context, position string) error {
	return db.await(ctx, keyLog(), position)
}

// FirstMessage notes a message of a friend until a time, and says whether it is new.
func (db *DB) FirstMessage(ctx context.Context, h network.Host, id string, until time.Time) (bool, error) {
	// The command is repeated where its answer was lost: who noted it tells that.
	ours := strconv.FormatUint(rand.Uint64(), 36)
	there, err := db.redis.SetArgs(ctx, keySeen(h, id), ours, redis.SetArgs{Mode: "NX", Get: true, ExpireAt: until}).Result()
	if errors.Is(err, redis.Nil) {
		return true, nil
	}
	return err == nil && there == ours, told("note message", err)
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
	slices.Sort(locals)
	found, err := db.fetch(ctx, slices.Compact(locals))
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
