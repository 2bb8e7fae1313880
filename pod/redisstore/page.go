package redisstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinopod/pod/catalog"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

// pageScript walks down KEYS[1], a zset of local ids by time, from behind the place
// (ARGV[1] ms, ARGV[2] local id), from the top where they are empty. It looks at
// ARGV[4] members at most and takes those in the set KEYS[2], if given, up to
// ARGV[3]. It answers the place of the last it looked at, whether more follow, and
// what it took with the records of that. Redis orders by score and then by member, as the
// pairs compared here; where too many are of the very time of the place, the next is found
// by halving.
var pageScript = recordsLua + `
local key, filter = KEYS[1], KEYS[2]
local limit, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local seen, passed = nil, 0
if ARGV[1] == '' then
  seen = redis.call('ZREVRANGE', key, 0, most, 'WITHSCORES')
else
  local sameTime = 8
  local score, number = tonumber(ARGV[1]), tonumber(ARGV[2])
  local function before(member, s)
    s = tonumber(s)
    return s > score or (s == score and struct.unpack('>I4', member) >= number)
  end
  seen = redis.call('ZREVRANGEBYSCORE', key, ARGV[1], '-inf', 'WITHSCORES', 'LIMIT', 0, most + sameTime + 1)
  while passed < sameTime and seen[2 * passed + 1] and before(seen[2 * passed + 1], seen[2 * passed + 2]) do passed = passed + 1 end
  if passed == sameTime then
    local low, high = 0, redis.call('ZCARD', key)
    while low < high do
      local middle = math.floor((low + high) / 2)
      local e = redis.call('ZREVRANGE', key, middle, middle, 'WITHSCORES')
      if before(e[1], e[2]) then low = middle + 1 else high = middle end
    end
    seen, passed = redis.call('ZREVRANGE', key, low, low + most, 'WITHSCORES'), 0
  end
end
local numbers = {}
for i = 2 * passed + 1, math.min(#seen, 2 * (passed + most)), 2 do numbers[#numbers + 1] = struct.unpack('>I4', seen[i]) end
if #numbers == 0 or (filter and redis.call('EXISTS', filter) == 0) then return {'', 0, 0, {}, {}} end
local fits = filter and redis.call('SMISMEMBER', filter, unpack(numbers))
local taken, last = {}, 0
repeat
  last = last + 1
  if not fits or fits[last] == 1 then taken[#taken + 1] = numbers[last] end
until last == #numbers or #taken == limit
return {seen[2 * (passed + last)], numbers[last], seen[2 * (passed + last) + 1] and 1 or 0, taken, records(taken)}`

const (
	// scanMost is how many members one call of the script looks at where it filters:
	// about half a millisecond, in which Redis does nothing else.
	scanMost = 1000
	// scanSteps bounds one page: it may be short, or empty, and more follow.
	scanSteps = 8
)

// Page implements catalog.Store. The list of an uploader is gone through as that of the origin
// is: what asks for one asks the search index, but for a time.
func (db *DB) Page(ctx context.Context, l catalog.Listing) ([]video.Video, *catalog.Position, error) {
	keys, step, steps := []string{keyNewest()}, l.Limit, 1
	if l.Origin != "" {
		keys, step, steps = append(keys, keyOrigin(l.Origin)), 2*l.Limit, scanSteps
	}
	var videos []video.Video
	at, more := l.After, true
	for ; steps > 0 && more && len(videos) < l.Limit; steps-- {
		left := l.Limit - len(videos)
		take := left
		if l.Uploader != "" {
			take = recordsAtOnce
		}
		w, err := db.walk(ctx, keys, at, take, step)
		if err != nil {
			return nil, nil, err
		}
		some, err := appendStored(nil, w.taken, w.records)
		if err != nil {
			return nil, nil, err
		}
		if l.Uploader != "" {
			some = slices.DeleteFunc(some, func(v stored) bool { return !strings.EqualFold(v.Uploader, l.Uploader) })
		}
		at, more = w.at, w.more
		if len(some) > left {
			some = some[:left]
			last := &some[left-1]
			at, more = &catalog.Position{Created: last.Created, Seq: last.local}, true
		}
		videos = slices.Grow(videos, len(some))
		for i := range some {
			videos = append(videos, some[i].Video)
		}
		step = min(4*step, scanMost)
	}
	if !more {
		at = nil
	}
	return videos, at, nil
}

// walked is what one call of the script saw, and where it ended.
type walked struct {
	at      *catalog.Position
	more    bool
	taken   []uint32
	records []string // see recordsLua
}

func (db *DB) walk(ctx context.Context, keys []string, after *catalog.Position, limit, step int) (walked, error) {
	date, number := "", ""
	if after != nil {
		date, number = millis(after.Created), strconv.FormatUint(uint64(after.Seq), 10)
	}
	answer, err := db.page.Run(ctx, db.redis, keys, date, number, limit, step).Slice()
	if err != nil {
		return walked{}, told("list videos", err)
	}
	return parseWalk(answer)
}

func parseWalk(answer []any) (w walked, err error) {
	if len(answer) != 5 {
		return w, fmt.Errorf("list videos: %d answers", len(answer))
	}
	date, ok1 := answer[0].(string)
	number, ok2 := answer[1].(int64)
	more, ok3 := answer[2].(int64)
	taken, ok4 := answer[3].([]any)
	records, ok5 := answer[4].([]any)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return w, fmt.Errorf("list videos: strange answer %.200q", fmt.Sprint(answer))
	}
	if date == "" { // nothing there
		return w, nil
	}
	ms, err := strconv.ParseFloat(date, 64)
	if err != nil {
		return w, fmt.Errorf("list videos: strange date %q", date)
	}
	w.taken, w.records = make([]uint32, len(taken)), make([]string, len(records))
	for i := range taken {
		n, _ := taken[i].(int64)
		w.taken[i] = uint32(n)
	}
	for i := range records {
		w.records[i], _ = records[i].(string)
	}
	w.at, w.more = &catalog.Position{Created: time.UnixMilli(int64(ms)).UTC(), Seq: uint32(number)}, more == 1
	return w, nil
}

// Withdrawn implements catalog.Store.
func (db *DB) Withdrawn(ctx context.Context) ([]magnet.InfoHash, error) {
	members, err := db.redis.ZRange(ctx, keyUnusedFiles(), 0, -1).Result()
	out := make([]magnet.InfoHash, len(members))
	for i, m := range members {
		copy(out[i][:], m)
	}
	return out, told("list withdrawn files", err)
}

// Deleted implements catalog.Store.
func (db *DB) Deleted(ctx context.Context, h magnet.InfoHash) error {
	return told("take deleted file off", db.redis.ZRem(ctx, keyUnusedFiles(), h[:]).Err())
}

// UnusedThumbnails implements catalog.Store.
func (db *DB) UnusedThumbnails(ctx context.Context) ([]string, error) {
	members, err := db.redis.ZRange(ctx, keyUnusedThumbnails(), 0, -1).Result()
	out := make([]string, len(members))
	for i, m := range members {
		out[i] = hex.EncodeToString([]byte(m))
	}
	return out, told("list unused thumbnails", err)
}

// ByThumbnail implements catalog.Store.
func (db *DB) ByThumbnail(ctx context.Context, hash string) (video.Video, error) {
	for _, r := range refOfThumbnail(hash) {
		s, err := db.find(ctx, r)
		return s.Video, err
	}
	return video.Video{}, catalog.ErrNotFound
}

// Unclaimed implements catalog.Store.
func (db *DB) Unclaimed(ctx context.Context, hashes []string) (unclaimed []string, err error) {
	var refs []ref
	for _, hash := range hashes {
		refs = append(refs, refOfThumbnail(hash)...)
	}
	if err := db.read(ctx, refs); err != nil {
		return nil, err
	}
	for _, r := range refs {
		_, err := db.holder(ctx, r, noVideo)
		switch {
		case errors.Is(err, catalog.ErrNotFound):
			unclaimed = append(unclaimed, hex.EncodeToString([]byte(r.hash)))
		case err != nil:
			return nil, err
		}
	}
	return unclaimed, nil
}

// ThumbnailDeleted implements catalog.Store.
func (db *DB) ThumbnailDeleted(ctx context.Context, hash string) error {
	h, err := hex.DecodeString(hash)
	if err != nil {
		return fmt.Errorf("take deleted thumbnail off: %w", err)
	}
	return told("take deleted thumbnail off", db.redis.ZRem(ctx, keyUnusedThumbnails(), h).Err())
}
