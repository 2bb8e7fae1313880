package redisstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"kinopod/pod/catalog"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// logMost is about how many changes friends may be behind before they are to compare
// digests instead.
const logMost = 100_000

// tellFriends notes that something is to be told of a video of this pod.
func tellFriends(t *tx, id video.ID) {
	t.do("XADD", keyLog(), "MAXLEN", "~", logMost, "*", "v", id[:])
}

// foreign makes refs of a friend's video: this pod has no file of it to delete.
func foreign(refs []ref) []ref {
	for i := range refs {
		if refs[i].origin != "" {
			refs[i].unused = ""
		}
	}
	return refs
}

// Take implements catalog.Store.
func (db *DB) Take(ctx context.Context, v video.Video) (changed bool, err error) {
	record, err := encodeVideo(&v)
	if err != nil {
		return false, err
	}
	local := uint32(noVideo)
	err = db.transact(ctx, "take friend's video", func(t *tx) error {
		refs := foreign(refsOf(&v))
		if err := db.read(ctx, refs); err != nil {
			return err
		}
		there, err := db.holder(ctx, refs[0], noVideo)
		if err == nil {
			changed, err = db.replace(ctx, t, there, stored{v, there.local, string(record)}, refs, changed)
			return err
		}
		if !errors.Is(err, catalog.ErrNotFound) {
			return err
		}
		gone, err := db.isGone(ctx, v.ID)
		if err != nil {
			return err
		}
		if gone != "" {
			return catalog.ErrWithdrawn
		}
		t.expect("", "ZSCORE", keyGone(), v.ID[:])
		if local == noVideo {
			n, err := db.redis.Incr(ctx, keyVideoNext()).Result()
			if err != nil {
				return told("draw local id", err)
			}
			local = uint32(n)
		}
		changed = true
		put(t, stored{v, local, string(record)}, refs)
		return nil
	})
	return changed && err == nil, err
}

// replace writes a friend's video in the place of an earlier version of it. tried says
// that this call may have done it already, by a commit whose answer was lost.
func (db *DB) replace(ctx context.Context, t *tx, old, v stored, refs []ref, tried bool) (changed bool, err error) {
	if old.Origin != v.Origin {
		return false, catalog.ErrForeign
	}
	if v.Revision <= old.Revision {
		return tried && old.record == v.record, nil
	}
	key, field := keyVideos(old.local)
	t.expect(old.record, "HGET", key, field)
	t.do("HSET", key, field, v.record)
	before := foreign(refsOf(&old.Video))
	if err := db.read(ctx, before); err != nil {
		return false, err
	}
	for _, r := range before {
		if !in(refs, r) {
			if err := db.unlink(ctx, t, r, old.local); err != nil {
				return false, err
			}
		}
	}
	for _, r := range refs {
		if !in(before, r) {
			link(t, r, old.local)
		}
	}
	if !old.Created.Equal(v.Created) {
		t.do("ZADD", keyNewest(), millis(v.Created), member(v.local))
	}
	if !old.Created.Equal(v.Created) || old.Uploader != v.Uploader {
		t.do("ZREM", keyUploader(old.Origin, old.Uploader), member(v.local))
		t.do("ZADD", keyUploader(v.Origin, v.Uploader), millis(v.Created), member(v.local))
	}
	return true, nil
}

// in says whether a ref of the same thing is among refs.
func in(refs []ref, r ref) bool {
	for _, o := range refs {
		if o.key == r.key && o.hash == r.hash {
			return true
		}
	}
	return false
}

// Drop implements catalog.Store.
func (db *DB) Drop(ctx context.Context, origin network.Host, id video.ID, final bool) error {
	tried := false
	return db.transact(ctx, "drop friend's video", func(t *tx) error {
		old, err := db.find(ctx, refOfID(id))
		if errors.Is(err, catalog.ErrNotFound) && tried {
			return nil // by a commit whose answer was lost, or by another at the same time
		}
		if err != nil {
			return err
		}
		if old.Origin != origin {
			return catalog.ErrNotFound
		}
		tried = true
		if err := db.takeOut(ctx, t, old, foreign(refsOf(&old.Video))); err != nil {
			return err
		}
		if final {
			remember(t, id)
		}
		return nil
	})
}

// DropSome implements catalog.Store.
func (db *DB) DropSome(ctx context.Context, origin network.Host, most int) (dropped int, err error) {
	locals, err := db.redis.SRandMemberN(ctx, keyOrigin(origin), int64(most)).Result()
	if err != nil {
		return 0, told("list friend's videos", err)
	}
	for _, text := range locals {
		local, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return dropped, err
		}
		err = db.transact(ctx, "drop friend's video", func(t *tx) error {
			found, err := db.fetch(ctx, []uint32{uint32(local)})
			if err != nil || len(found) == 0 {
				return err
			}
			return db.takeOut(ctx, t, found[0], foreign(refsOf(&found[0].Video)))
		})
		if err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, nil
}

// marksAtOnce is how many records are read at a time.
const marksAtOnce = 500

// Marks implements catalog.Store.
func (db *DB) Marks(ctx context.Context, origin network.Host, each func([]catalog.Mark) error) error {
	for cursor := uint64(0); ; {
		members, next, err := db.redis.SScan(ctx, keyOrigin(origin), cursor, "", marksAtOnce).Result()
		if err != nil {
			return told("list friend's videos", err)
		}
		for len(members) > 0 {
			some := members[:min(len(members), marksAtOnce)]
			members = members[len(some):]
			marks, err := db.marksOf(ctx, some)
			if err != nil {
				return err
			}
			if err := each(marks); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (db *DB) marksOf(ctx context.Context, members []string) ([]catalog.Mark, error) {
	locals := make([]uint32, 0, len(members))
	for _, m := range members {
		locals = append(locals, parseLocals(m)...)
	}
	found, err := db.fetch(ctx, locals)
	if err != nil {
		return nil, err
	}
	marks := make([]catalog.Mark, len(found))
	for i := range found {
		marks[i] = catalog.Mark{ID: found[i].ID, Revision: found[i].Revision}
	}
	return marks, nil
}

// Count implements catalog.Store.
func (db *DB) Count(ctx context.Context, origin network.Host) (int, error) {
	n, err := db.redis.SCard(ctx, keyOrigin(origin)).Result()
	return int(n), told("count videos", err)
}

// remember notes that a video is gone for good.
func remember(t *tx, id video.ID) {
	t.do("ZADD", keyGone(), millis(time.Now()), id[:])
	t.do("ZREMRANGEBYSCORE", keyGone(), "-inf", millis(time.Now().Add(-goneFor)))
}
