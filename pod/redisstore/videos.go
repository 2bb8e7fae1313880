package redisstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// goneFor is how long Add remembers a withdrawn video: whoever was interrupted while
// publishing has long come back.
const goneFor = 90 * 24 * time.Hour

// ref is a thing by which videos are found, and which several may share: an entry of
// keyID, keyInfoHash or keyThumbnail.
type ref struct {
	key, field string
	hash       string       // all of it; field is its beginning
	unused     string       // the list it goes on when no video has it, "" for none
	origin     network.Host // only this pod's videos have it, "" is any: files are of own videos
	locals     string       // what the entry says: local ids, "7" or "7,12"
}

func refOfID(id video.ID) ref {
	key, field := keyID(id[:])
	return ref{key: key, field: field, hash: string(id[:])}
}

func refOfFile(origin network.Host, h magnet.InfoHash) ref {
	key, field := keyInfoHash(h[:])
	return ref{key: key, field: field, hash: string(h[:]), origin: origin, unused: keyUnusedFiles()}
}

func refOfThumbnail(hash string) []ref {
	h, err := hex.DecodeString(hash)
	if err != nil || len(h) < refPrefix {
		return nil
	}
	key, field := keyThumbnail(h)
	return []ref{{key: key, field: field, hash: string(h), unused: keyUnusedThumbnails()}}
}

// refsOf gives all of a video, its ID first.
func refsOf(v *video.Video) []ref {
	refs := []ref{refOfID(v.ID)}
	for i, r := range v.Renditions {
		same := func(other video.Rendition) bool { return other.InfoHash == r.InfoHash }
		if !slices.ContainsFunc(v.Renditions[:i], same) {
			refs = append(refs, refOfFile(v.Origin, r.InfoHash))
		}
	}
	return append(refs, refOfThumbnail(v.Thumbnail)...)
}

// holds says whether v is one of the videos that r finds.
func (r ref) holds(v *video.Video) bool {
	return (r.origin == "" || r.origin == v.Origin) && slices.ContainsFunc(refsOf(v), func(o ref) bool { return o.hash == r.hash })
}

// read fills in what the entries say.
func (db *DB) read(ctx context.Context, refs []ref) error {
	answers := make([]*redis.StringCmd, len(refs))
	err := db.pipelined(ctx, "look video up", func(p redis.Pipeliner) {
		for i, r := range refs {
			answers[i] = p.HGet(ctx, r.key, r.field)
		}
	})
	for i := range refs {
		refs[i].locals = answers[i].Val()
	}
	return err
}

// stored is a video with its local id and its record.
type stored struct {
	video.Video
	local  uint32
	record string
}

// fetch gets videos by their local ids; those that are gone are left out.
func (db *DB) fetch(ctx context.Context, locals []uint32) ([]stored, error) {
	if len(locals) == 0 {
		return nil, nil
	}
	answers := make([]*redis.StringCmd, len(locals))
	err := db.pipelined(ctx, "get videos", func(p redis.Pipeliner) {
		for i, local := range locals {
			key, field := keyVideos(local)
			answers[i] = p.HGet(ctx, key, field)
		}
	})
	if err != nil {
		return nil, err
	}
	out := make([]stored, 0, len(locals))
	for i, a := range answers {
		if a.Val() == "" {
			continue
		}
		v, err := decodeVideo(a.Val())
		if err != nil {
			return nil, err
		}
		out = append(out, stored{v, locals[i], a.Val()})
	}
	return out, nil
}

// holder finds a video that has all of a hash, not only its beginning, among what an
// entry says. It gives catalog.ErrNotFound for none.
func (db *DB) holder(ctx context.Context, r ref, but uint32) (stored, error) {
	for _, local := range parseLocals(r.locals) {
		if local == but {
			continue
		}
		found, err := db.fetch(ctx, []uint32{local})
		if err != nil {
			return stored{}, err
		}
		if len(found) == 1 && r.holds(&found[0].Video) {
			return found[0], nil
		}
	}
	return stored{}, catalog.ErrNotFound
}

// noVideo is no local id: they begin with 1.
const noVideo = 0

func (db *DB) find(ctx context.Context, r ref) (stored, error) {
	refs := []ref{r}
	if err := db.read(ctx, refs); err != nil {
		return stored{}, err
	}
	return db.holder(ctx, refs[0], noVideo)
}

// Get implements catalog.Store.
func (db *DB) Get(ctx context.Context, id video.ID) (video.Video, error) {
	s, err := db.find(ctx, refOfID(id))
	return s.Video, err
}

// ByInfoHash implements catalog.Store.
func (db *DB) ByInfoHash(ctx context.Context, origin network.Host, h magnet.InfoHash) (video.Video, error) {
	s, err := db.find(ctx, refOfFile(origin, h))
	return s.Video, err
}

// link adds a video to an entry, and takes what it names off the list of the unused.
func link(t *tx, r ref, local uint32) {
	t.expect(r.locals, "HGET", r.key, r.field)
	t.do("HSET", r.key, r.field, joinLocals(append(parseLocals(r.locals), local)))
	if r.unused != "" {
		t.do("ZREM", r.unused, r.hash)
	}
}

// unlink takes a video out of an entry. What no other video has goes on the list of
// the unused; that the others of the entry stay as they are, the check of the entry
// makes sure.
func (db *DB) unlink(ctx context.Context, t *tx, r ref, local uint32) error {
	t.expect(r.locals, "HGET", r.key, r.field)
	left := slices.DeleteFunc(parseLocals(r.locals), func(l uint32) bool { return l == local })
	if len(left) > 0 {
		t.do("HSET", r.key, r.field, joinLocals(left))
	} else {
		t.do("HDEL", r.key, r.field)
	}
	return db.putUnused(ctx, t, r, local)
}

func (db *DB) putUnused(ctx context.Context, t *tx, r ref, but uint32) error {
	if r.unused == "" {
		return nil
	}
	_, err := db.holder(ctx, r, but)
	if errors.Is(err, catalog.ErrNotFound) {
		t.do("ZADD", r.unused, "NX", millis(time.Now()), r.hash)
		return nil
	}
	return err
}

// Add implements catalog.Store.
func (db *DB) Add(ctx context.Context, v video.Video) (added bool, err error) {
	if v.Revision == 0 {
		v.Revision = time.Now().UnixMilli()
	}
	record, err := encodeVideo(&v)
	if err != nil {
		return false, err
	}
	local, withdrawn := uint32(noVideo), false
	err = db.transact(ctx, "add video", func(t *tx) error {
		added, withdrawn = false, false
		refs := refsOf(&v)
		if err := db.read(ctx, refs); err != nil {
			return err
		}
		switch there, err := db.holder(ctx, refs[0], noVideo); {
		case err == nil:
			added = there.local == local // by a commit whose answer was lost
			return nil
		case !errors.Is(err, catalog.ErrNotFound):
			return err
		}
		gone, err := db.isGone(ctx, v.ID)
		if err != nil {
			return err
		}
		t.expect(gone, "ZSCORE", keyGone(), v.ID[:])
		if gone != "" {
			withdrawn = true
			return db.refuse(ctx, t, refs)
		}
		if local == noVideo {
			n, err := db.redis.Incr(ctx, keyVideoNext()).Result()
			if err != nil {
				return told("draw local id", err)
			}
			local = uint32(n)
		}
		added = true
		put(t, stored{v, local, string(record)}, refs)
		tellFriends(t, v.ID)
		return nil
	})
	if err == nil && withdrawn {
		err = catalog.ErrWithdrawn
	}
	return added && err == nil, err
}

// put writes a new video into every index.
func put(t *tx, v stored, refs []ref) {
	key, field := keyVideos(v.local)
	t.do("HSET", key, field, v.record)
	for _, r := range refs {
		link(t, r, v.local)
	}
	t.do("ZADD", keyNewest(), millis(v.Created), member(v.local))
	t.do("ZADD", keyUploader(v.Origin, v.Uploader), millis(v.Created), member(v.local))
	t.do("SADD", keyOrigin(v.Origin), v.local)
}

// refuse puts what only a withdrawn video would have had on the lists of the unused.
func (db *DB) refuse(ctx context.Context, t *tx, refs []ref) error {
	for _, r := range refs {
		t.expect(r.locals, "HGET", r.key, r.field)
		if err := db.putUnused(ctx, t, r, noVideo); err != nil {
			return err
		}
	}
	return nil
}

// isGone gives when a video was withdrawn, ms, "" for never.
func (db *DB) isGone(ctx context.Context, id video.ID) (string, error) {
	at, err := db.redis.ZScore(ctx, keyGone(), string(id[:])).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return strconv.FormatInt(int64(at), 10), told("look for withdrawn video", err)
}

// Update implements catalog.Store.
func (db *DB) Update(ctx context.Context, id video.ID, change func(*video.Video) error) (video.Video, error) {
	var now video.Video
	err := db.transact(ctx, "update video", func(t *tx) error {
		old, err := db.find(ctx, refOfID(id))
		if err != nil {
			return err
		}
		changed := old.Video
		changed.Tags, changed.Renditions = slices.Clone(old.Tags), slices.Clone(old.Renditions)
		if err := change(&changed); err != nil {
			return err
		}
		now = old.Video
		now.Name, now.Description, now.Tags, now.Thumbnail = changed.Name, changed.Description, changed.Tags, changed.Thumbnail
		if same, err := encodeVideo(&now); err != nil || string(same) == old.record {
			return err
		}
		now.Revision = max(old.Revision+1, time.Now().UnixMilli())
		record, err := encodeVideo(&now)
		if err != nil {
			return err
		}
		key, field := keyVideos(old.local)
		t.expect(old.record, "HGET", key, field)
		t.do("HSET", key, field, record)
		tellFriends(t, id)
		if now.Thumbnail == old.Thumbnail {
			return nil
		}
		return db.swapThumbnail(ctx, t, old, now.Thumbnail)
	})
	if err != nil {
		return video.Video{}, err
	}
	return now, nil
}

func (db *DB) swapThumbnail(ctx context.Context, t *tx, old stored, hash string) error {
	before, after := refOfThumbnail(old.Thumbnail), refOfThumbnail(hash)
	if err := db.read(ctx, before); err != nil {
		return err
	}
	if err := db.read(ctx, after); err != nil {
		return err
	}
	for _, r := range before {
		if err := db.unlink(ctx, t, r, old.local); err != nil {
			return err
		}
	}
	for _, r := range after {
		link(t, r, old.local)
	}
	return nil
}

// Withdraw implements catalog.Store.
func (db *DB) Withdraw(ctx context.Context, id video.ID, allow func(*video.Video) error) (video.Video, error) {
	var v video.Video
	tried := false
	err := db.transact(ctx, "withdraw video", func(t *tx) error {
		old, err := db.find(ctx, refOfID(id))
		if errors.Is(err, catalog.ErrNotFound) && tried {
			return nil // by a commit whose answer was lost, or by another at the same time
		}
		if err != nil {
			return err
		}
		v = old.Video
		if err := allow(&v); err != nil {
			return err
		}
		v, tried = old.Video, true
		if err := db.takeOut(ctx, t, old, refsOf(&old.Video)); err != nil {
			return err
		}
		tellFriends(t, id)
		remember(t, id)
		return nil
	})
	if err != nil {
		return video.Video{}, err
	}
	return v, nil
}

// takeOut takes a video, of which refs are all, out of every index.
func (db *DB) takeOut(ctx context.Context, t *tx, old stored, refs []ref) error {
	if err := db.read(ctx, refs); err != nil {
		return err
	}
	key, field := keyVideos(old.local)
	t.expect(old.record, "HGET", key, field)
	t.do("HDEL", key, field)
	for _, r := range refs {
		if err := db.unlink(ctx, t, r, old.local); err != nil {
			return err
		}
	}
	t.do("ZREM", keyNewest(), member(old.local))
	t.do("ZREM", keyUploader(old.Origin, old.Uploader), member(old.local))
	t.do("SREM", keyOrigin(old.Origin), old.local)
	return nil
}

func member(local uint32) []byte { return binary.BigEndian.AppendUint32(nil, local) }

func parseLocals(s string) (locals []uint32) {
	for text := range strings.SplitSeq(s, ",") {
		if n, err := strconv.ParseUint(text, 10, 32); err == nil {
			locals = append(locals, uint32(n))
		}
	}
	return locals
}

func joinLocals(locals []uint32) string {
	text := make([]string, len(locals))
	for i, l := range locals {
		text[i] = strconv.FormatUint(uint64(l), 10)
	}
	return strings.Join(text, ",")
}
