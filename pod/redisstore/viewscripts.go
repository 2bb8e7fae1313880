package redisstore

// What counts views runs as scripts: the same view counted by two processes at the same
// time must not be lost, and nothing has to be decided in Go. Numbers of a video are
// written only where its record is there: what is gone leaves nothing behind.

// rankLua adds views to the ranking (package views): score is the binary logarithm of a
// sum, in which a view of now is 2^weight.
const rankLua = `
local function rank(key, member, weight, n)
  if n <= 0 then return end
  local new = weight + math.log(n) / math.log(2)
  local old = tonumber(redis.call('ZSCORE', key, member) or '')
  if old then
    local high, low = math.max(old, new), math.min(old, new)
    new = high + math.log(1 + 2 ^ (low - high)) / math.log(2)
  end
  redis.call('ZADD', key, string.format('%.17g', new), member)
end
local function bound(key, most)
  redis.call('ZREMRANGEBYRANK', key, 0, -(most + 1))
end
-- budget takes up to n of what is left of a day for one, of which one field gets a quarter at most.
local function budget(key, field, n, most)
  if most <= 0 then return n end
  local left = math.min(most - tonumber(redis.call('HGET', key, 'sum') or '0'), most / 4 - tonumber(redis.call('HGET', key, field) or '0'))
  n = math.floor(math.max(0, math.min(n, left)))
  if n > 0 then
    redis.call('HINCRBY', key, 'sum', n)
    redis.call('HINCRBY', key, field, n)
    redis.call('EXPIRE', key, 172800)
  end
  return n
end`

// ownViewsScript counts views of this pod's videos. KEYS: trend, changed, batches, day.
// ARGV: weight of now, most of the ranking, now in ms, who tells of them ("" is this pod),
// its batch, most a day of it; then of each video the key and field of its record, the key of its
// number, its member and the views. A batch that was counted counts no more.
const ownViewsScript = rankLua + `
local weight, most, from, batch = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[4], ARGV[5]
if from ~= '' then
  if tonumber(batch) <= tonumber(redis.call('HGET', KEYS[3], from) or '0') then return 0 end
  redis.call('HSET', KEYS[3], from, batch)
end
for at = 7, #ARGV, 5 do
  local n = tonumber(ARGV[at + 4])
  if redis.call('HEXISTS', ARGV[at], ARGV[at + 1]) == 1 then
    if from ~= '' then n = budget(KEYS[4], ARGV[at + 3], n, tonumber(ARGV[6])) end
    if n > 0 then
      redis.call('HINCRBY', ARGV[at + 2], ARGV[at + 1], n)
      redis.call('ZADD', KEYS[2], ARGV[3], ARGV[at + 3])
      rank(KEYS[1], ARGV[at + 3], weight, n)
    end
  end
end
bound(KEYS[1], most)
return 1`

// friendViewScript counts a view of a friend's video. KEYS: trend, what its origin is to be
// told, number, record. ARGV: weight, most of the ranking, field, member, ID, most that is told at once.
const friendViewScript = rankLua + `
if redis.call('HEXISTS', KEYS[4], ARGV[3]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[3], ARGV[3], 1)
rank(KEYS[1], ARGV[4], tonumber(ARGV[1]), 1)
bound(KEYS[1], tonumber(ARGV[2]))
if redis.call('HEXISTS', KEYS[2], ARGV[5]) == 1 or redis.call('HLEN', KEYS[2]) < tonumber(ARGV[6]) then
  redis.call('HINCRBY', KEYS[2], ARGV[5], 1)
end
return 1`

// totalsScript takes what a friend says of its videos. KEYS: trend, what it is to be told,
// what it is being told, day. ARGV: weight of now, most of the ranking, the batch that it has taken,
// most a day; then of each video key and field of its record, key of its number, member, ID, total, and
// the weight of when it was made: of views that come all at once nobody knows when they were.
const totalsScript = rankLua + `
local weight, most = tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('HGET', KEYS[3], 'batch') == ARGV[3] then redis.call('DEL', KEYS[3]) end
for at = 5, #ARGV, 7 do
  if redis.call('HEXISTS', ARGV[at], ARGV[at + 1]) == 1 then
    local id, number = ARGV[at + 4], tonumber(ARGV[at + 5])
    number = number + tonumber(redis.call('HGET', KEYS[2], id) or '0') + tonumber(redis.call('HGET', KEYS[3], id) or '0')
    local old = redis.call('HGET', ARGV[at + 2], ARGV[at + 1])
    redis.call('HSET', ARGV[at + 2], ARGV[at + 1], string.format('%.0f', number))
    local more = budget(KEYS[4], ARGV[at + 3], number - tonumber(old or '0'), tonumber(ARGV[4]))
    rank(KEYS[1], ARGV[at + 3], old and weight or tonumber(ARGV[at + 6]), more)
  end
end
bound(KEYS[1], most)
return 1`
