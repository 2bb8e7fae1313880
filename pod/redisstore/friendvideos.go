package redisstore

import (
	"context"
	"errors"
	"math"
	"slices"
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
func (db *DB) Take(ctx context.Context, videos ...video.Video) ([]catalog.Outcome, error) {
	before, err := db.LastSeq(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]catalog.Outcome, 0, len(videos))
	for len(all) < len(videos) {
		n, rest := 1, videos[len(all):]
		for n < min(len(rest), putAtOnce) && rest[n].Origin == rest[0].Origin {
			n++
		}
		outcomes, err := db.takeSome(ctx, rest[:n], videos[:len(all)], before)
		if err != nil {
			return nil, err
		}
		all = append(all, outcomes...)
	}
	return all, nil
}

// takeSome takes what is new of one origin together, and the others one by one. earlier are
// those that the same call took before them, the first one when before was the last local id.
func (db *DB) takeSome(ctx context.Context, videos, earlier []video.Video, before uint32) ([]catalog.Outcome, error) {
	some := make([]stored, len(videos))
	for i := range videos {
		record, err := encodeVideo(&videos[i])
		if err != nil {
			return nil, err
		}
		some[i] = stored{Video: videos[i], record: string(record)}
	}
	locals, err := db.putNew(ctx, some)
	if err != nil {
		return nil, err
	}
	outcomes := make([]catalog.Outcome, len(videos))
	for i, local := range locals {
		if outcomes[i] = catalog.Taken; local != noVideo {
			continue
		}
		last, same := before, func(o video.Video) bool { return o.ID == videos[i].ID }
		if slices.ContainsFunc(videos[:i], same) || slices.ContainsFunc(earlier, same) {
			last = math.MaxUint32 // what is there is of the one before
		}
		if outcomes[i], err = db.takeOne(ctx, some[i], last); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// takeOne takes a video of which more may be known. It may have been put there already,
// by a script whose answer was lost: then its local id is greater than before.
func (db *DB) takeOne(ctx context.Context, v stored, before uint32) (outcome catalog.Outcome, err error) {
	err = db.transact(ctx, "take friend's video", func(t *tx) error {
		refs := foreign(refsOf(&v.Video))
		if err := db.read(ctx, refs); err != nil {
			return err
		}
		there, err := db.holder(ctx, refs[0], noVideo)
		if err == nil {
			ours := outcome == catalog.Taken || there.local > before
			outcome, err = db.replace(ctx, t, there, stored{v.Video, there.local, v.record}, refs, ours)
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
			outcome = catalog.Withdrawn
			return nil
		}
		t.expect("", "ZSCORE", keyGone(), v.ID[:])
		if v.local == noVideo {
			n, err := db.redis.Incr(ctx, keyVideoNext()).Result()
			if err != nil {
				return told("draw local id", err)
			}
			v.local = uint32(n)
		}
		if crowded(refs, nil) {
			outcome = catalog.Full
			return nil
		}
		outcome = catalog.Taken
		put(t, v, refs)
		return nil
	})
	return outcome, err
}

// replace writes a friend's video in the place of an earlier version of it. tried says
// that this call may have done it already, by a commit whose answer was lost.
func (db *DB) replace(ctx context.Context, t *tx, old, v stored, refs []ref, tried bool) (catalog.Outcome, error) {
	if old.Origin != v.Origin {
		return catalog.Foreign, nil
	}
	if v.Revision <= old.Revision {
		if tried && old.record == v.record {
			return catalog.Taken, nil
		}
		return catalog.Known, nil
	}
	before := foreign(refsOf(&old.Video))
	if err := db.read(ctx, before); err != nil {
		return catalog.Known, err
	}
	if crowded(refs, before) {
		return catalog.Full, nil
	}
	key, field := keyVideos(old.local)
	t.expect(old.record, "HGET", key, field)
	t.do("HSET", key, field, v.record)
	t.changed(old.local)
	for _, r := range before {
		if !in(refs, r) {
			if err := db.unlink(ctx, t, r, old.local); err != nil {
				return catalog.Known, err
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
	return catalog.Taken, nil
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
	members, err := db.redis.SRandMemberN(ctx, keyOrigin(origin), int64(min(most, dropAtOnce))).Result()
	if err != nil {
		return 0, told("list friend's videos", err)
	}
	if len(members) == 0 {
		return 0, db.dropViews(ctx, origin)
	}
	some, err := db.fetch(ctx, localsOf(members))
	if err != nil {
		return 0, err
	}
	done, err := db.dropAlone(ctx, origin, some)
	if err != nil {
		return 0, err
	}
	for i, v := range some {
		if !done[i] {
			err = db.transact(ctx, "drop friend's video", func(t *tx) error {
				found, err := db.fetch(ctx, []uint32{v.local})
				if err != nil || len(found) == 0 {
					return err
				}
				return db.takeOut(ctx, t, found[0], foreign(refsOf(&found[0].Video)))
			})
			if err != nil {
				return dropped, err
			}
		}
		dropped++
	}
	return dropped, nil
}

// localsOf reads members of keyOrigin.
func localsOf(members []string) []uint32 {
	locals := make([]uint32, 0, len(members))
	for _, m := range members {
		locals = append(locals, parseLocals(m)...)
	}
	return locals
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
	found, err := db.fetch(ctx, localsOf(members))
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
