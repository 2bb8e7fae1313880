package redisstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
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
	args := make([]any, 0, min(len(locals), recordsAtOnce))
	out := make([]stored, 0, len(locals))
	for some := range slices.Chunk(locals, recordsAtOnce) {
		args = args[:0]
		for _, local := range some {
			args = append(args, local)
		}
		answer, err := db.records.Run(ctx, db.redis, nil, args...).StringSlice()
		if err != nil {
			return nil, told("get videos", err)
		}
		if out, err = appendStored(out, some, answer); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// recordsLua reads the records of videos with how often each was watched, in turn; both are
// empty where there is none. One script is one answer: two commands a video cost the pod more
// than Redis.
var recordsLua = `
local fields = ` + fieldsLua() + `
local function records(locals)
  local call, out = redis.call, {}
  for i = 1, #locals do
    local rest = locals[i] % ` + videosAHashText + `
    local n, field = tostring((locals[i] - rest) / ` + videosAHashText + `), fields[rest + 1]
    out[2 * i - 1] = call('HGET', 'v:' .. n, field) or ''
    out[2 * i] = call('HGET', 'n:' .. n, field) or ''
  end
  return out
end
`

// recordsAtOnce bounds what one script reads: a fraction of a millisecond.
const recordsAtOnce = 256

// appendStored reads what records of recordsLua answers.
func appendStored(out []stored, locals []uint32, answer []string) ([]stored, error) {
	if len(answer) != 2*len(locals) {
		return nil, fmt.Errorf("get videos: %d answers for %d", len(answer), len(locals))
	}
	out = slices.Grow(out, len(locals))
	for i, local := range locals {
		record, watched := answer[2*i], answer[2*i+1]
		if record == "" {
			continue
		}
		v, err := decodeVideo(record)
		if err != nil {
			return nil, err
		}
		if watched != "" {
			v.Views, _ = strconv.ParseInt(watched, 10, 64)
		}
		out = append(out, stored{v, local, record})
	}
	return out, nil
}

// holder finds a video that has all of a hash, not only its beginning, among what an
// entry says. It gives catalog.ErrNotFound for none.
func (db *DB) holder(ctx context.Context, r ref, but uint32) (stored, error) {
	locals := slices.DeleteFunc(parseLocals(r.locals), func(local uint32) bool { return local == but })
	found, err := db.fetch(ctx, locals)
	if err != nil {
		return stored{}, err
	}
	for _, s := range found {
		if r.holds(&s.Video) {
			return s, nil
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

// Text implements catalog.Store.
func (db *DB) Text(ctx context.Context, id video.ID) (string, error) {
	for {
		v, err := db.Get(ctx, id)
		if err != nil {
			return "", err
		}
		if v.Text, err = db.text(ctx, id); err != nil {
			return "", err
		}
		if now, err := db.Get(ctx, id); err == nil && now.Revision == v.Revision {
			return v.WholeText(), nil
		}
	}
}

// text gives what keyText has, "" for nothing.
func (db *DB) text(ctx context.Context, id video.ID) (string, error) {
	return value("get text", db.redis.Get(ctx, keyText(id)))
}

func writeText(t *tx, v *video.Video) {
	if v.Text == "" {
		t.do("DEL", keyText(v.ID))
		return
	}
	t.do("SET", keyText(v.ID), v.Text)
}

// ByInfoHash implements catalog.Store.
func (db *DB) ByInfoHash(ctx context.Context, origin network.Host, h magnet.InfoHash) (video.Video, error) {
	s, err := db.find(ctx, refOfFile(origin, h))
	return s.Video, err
}

// mostLocals is how many videos of friends share an entry at most: each of them is read
// where one is looked for, and one friend could give all of its videos the same file.
const mostLocals = 64

// crowded says whether a friend's video finds no room in one of its entries, but for
// those that it has in before.
func crowded(refs, before []ref) bool {
	return slices.ContainsFunc(refs, func(r ref) bool {
		return strings.Count(r.locals, ",") >= mostLocals-1 && !in(before, r)
	})
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
		writeText(t, &v)
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
	t.do("SADD", keyOrigin(v.Origin), v.local)
	t.changed(v.local)
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
		if old.Text, err = db.text(ctx, id); err != nil {
			return err
		}
		changed := old.Video
		changed.Tags, changed.Renditions = slices.Clone(old.Tags), slices.Clone(old.Renditions)
		if err := change(&changed); err != nil {
			return err
		}
		now = old.Video
		now.Name, now.Description, now.Text, now.Tags, now.Thumbnail = changed.Name, changed.Description, changed.Text, changed.Tags, changed.Thumbnail
		if same, err := encodeVideo(&now); err != nil || string(same) == old.record && now.Text == old.Text {
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
		t.changed(old.local)
		if now.Text != old.Text { // the record has another revision then
			writeText(t, &now)
		}
		tellFriends(t, id)
		if now.Thumbnail == old.Thumbnail {
			return nil
		}
		return db.swapThumbnail(ctx, t, old, now.Thumbnail)
	})
	if err != nil {
		return video.Video{}, err
	}
	now.Text = ""
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
	t.do("HDEL", keyNumbers(old.local), field)
	t.do("ZREM", keyTrend(), member(old.local))
	t.do("ZREM", keyViewsChanged(), member(old.local))
	for _, r := range refs {
		if err := db.unlink(ctx, t, r, old.local); err != nil {
			return err
		}
	}
	t.do("ZREM", keyNewest(), member(old.local))
	t.do("SREM", keyOrigin(old.Origin), old.local)
	t.do("DEL", keyText(old.ID))
	t.changed(old.local)
	return nil
}

func member(local uint32) []byte { return binary.BigEndian.AppendUint32(nil, local) }

// localOf reads member, noVideo for anything else.
func localOf(m string) uint32 {
	if len(m) != 4 {
		return noVideo
	}
	return binary.BigEndian.Uint32([]byte(m))
}

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
