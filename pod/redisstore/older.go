package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// An earlier version cut the list of the newest videos into stretches of time, and had a list
// for each uploader.

// joinScript moves the videos of the oldest stretches to the list, KEYS[2]: ARGV[2] of them.
// KEYS[1] is keyStretches, ARGV[1] prefixStretch. It answers how many stretches are left.
const joinScript = `
local left = tonumber(ARGV[2])
for _, stretch in ipairs(redis.call('ZRANGE', KEYS[1], 0, left - 1)) do
  if left == 0 then break end
  local some = redis.call('ZRANGE', ARGV[1] .. stretch, 0, left - 1, 'WITHSCORES')
  left = left - #some / 2
  for i = 1, #some, 2 do some[i], some[i + 1] = some[i + 1], some[i] end
  if #some > 0 then
    redis.call('ZADD', KEYS[2], unpack(some))
    redis.call('ZREMRANGEBYRANK', ARGV[1] .. stretch, 0, #some / 2 - 1)
  end
  if redis.call('EXISTS', ARGV[1] .. stretch) == 0 then redis.call('ZREM', KEYS[1], stretch) end
end
return redis.call('ZCARD', KEYS[1])`

// joinAtOnce bounds what one script does: a millisecond or two.
const joinAtOnce = 500

var joinStretch = redis.NewScript(joinScript)

// joinStretches brings the lists of an earlier version to the form that they have now. Ended in
// the middle, the next start goes on: each video is in one of both, and the stretches go last.
func (db *DB) joinStretches(ctx context.Context) error {
	there, err := db.redis.Exists(ctx, keyStretches()).Result()
	if err != nil || there == 0 {
		return told("look for older lists", err)
	}
	db.log.Info("the lists of videos are brought to their new form")
	for cursor := uint64(0); ; {
		var keys []string
		keys, cursor, err = db.redis.ScanType(ctx, cursor, patternUploaders, 1000, "zset").Result()
		if err == nil && len(keys) > 0 {
			err = db.redis.Unlink(ctx, keys...).Err()
		}
		if err != nil {
			return told("remove the lists of uploaders", err)
		}
		if cursor == 0 {
			break
		}
	}
	for left := 1; left > 0; {
		if left, err = db.joinSome(ctx); err != nil {
			return err
		}
	}
	return nil
}

// joinSome is one step of joinStretches, and answers how many stretches are left.
func (db *DB) joinSome(ctx context.Context) (left int, err error) {
	left, err = joinStretch.Run(ctx, db.redis, []string{keyStretches(), keyNewest()}, prefixStretch, joinAtOnce).Int()
	return left, told("join the list of the newest videos", err)
}
