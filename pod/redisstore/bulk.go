package redisstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kinopod/shared/network"
)

// Friends' videos come and go by the hundred thousand. What most of them are, a video of
// which nothing is known, or one that shares nothing with others, is put and taken out by
// one script for many of one origin: it decides about each, and answers which it left
// alone. Those are looked at one by one, by transact. A script is atomic, so each video
// is; one that runs twice, because its answer was lost, finds what it has done and leaves
// it alone.

// putAtOnce and dropAtOnce bound what one script does: a few milliseconds, in which Redis
// does nothing else, and far fewer words than Lua's stack holds.
const (
	putAtOnce  = 64
	dropAtOnce = 64
)

// putScript lists videos of one origin. KEYS are keyOrigin, keyVideoNext, keyNewest,
// keyGone, keyEvents and keyUnusedThumbnails. ARGV: eventsMost, mostLocals, how
// many videos, and of each its ID, its record, when it was made (ms),
// the hash of its thumbnail or "", how many things find it, and of each of those key and
// field; the ID is the first. It answers the local id of each video that it listed, 0 for
// the others: one that is known or gone, or whose entries are full.
var putScript = `
local call, ARGV = redis.call, ARGV
local fields = ` + fieldsLua() + `
local origin, counter, newest, gone, events, unused = unpack(KEYS)
local crowd, n = tonumber(ARGV[2]), tonumber(ARGV[3])
local begins, ends, ids, at = {}, {}, {}, 4
for i = 1, n do
  begins[i], ids[i] = at, ARGV[at]
  at = at + 5 + 2 * tonumber(ARGV[at + 4])
  ends[i] = at - 1
end
local withdrawn = {}
if call('EXISTS', gone) == 1 then withdrawn = call('ZMSCORE', gone, unpack(ids)) end
local before = tonumber(call('GET', counter) or 0)
local last, answer = before, {}
local dates, members, pictures = {}, {}, {}

-- link puts id, as text, into entries. Where the first, the ID's, is there, or one is full, it
-- leaves all of them as they were.
local function link(id, from, to)
  for r = from, to, 2 do
    if call('HSETNX', ARGV[r], ARGV[r + 1], id) == 0 then
      local locals = call('HGET', ARGV[r], ARGV[r + 1])
      local _, commas = string.gsub(locals, ',', '')
      if r == from or commas >= crowd - 1 then
        for done = from, r - 2, 2 do
          local now = call('HGET', ARGV[done], ARGV[done + 1])
          local was = string.match(now, '^(.*),%d+$')
          if was then call('HSET', ARGV[done], ARGV[done + 1], was) else call('HDEL', ARGV[done], ARGV[done + 1]) end
        end
        return false
      end
      call('HSET', ARGV[r], ARGV[r + 1], locals .. ',' .. id)
    end
  end
  return true
end

-- write writes the records of a hash.
local hash, records = 0, {}
local function write()
  if #records > 0 then call('HSET', 'v:' .. hash, unpack(records)) end
end

for i = 1, n do
  local p, id = begins[i], last + 1
  local text = tostring(id)
  answer[i] = 0
  if not withdrawn[i] and link(text, p + 5, ends[i]) then
    last, answer[i] = id, id
    local field = id % ` + videosAHashText + `
    if field == 0 or #records == 0 then
      write()
      hash, records = (id - field) / ` + videosAHashText + `, {}
    end
    records[#records + 1] = fields[field + 1]
    records[#records + 1] = ARGV[p + 1]
    dates[#dates + 1] = ARGV[p + 2]
    dates[#dates + 1] = struct.pack('>I4', id)
    members[#members + 1] = text
    if ARGV[p + 3] ~= '' then pictures[#pictures + 1] = ARGV[p + 3] end
  end
end
if last == before then return answer end
call('SET', counter, members[#members])
write()
call('ZADD', newest, unpack(dates))
call('SADD', origin, unpack(members))
if #pictures > 0 and call('EXISTS', unused) == 1 then call('ZREM', unused, unpack(pictures)) end
local first, event = before + 1, ''
while first >= 128 do
  event = event .. string.char(first % 128 + 128)
  first = math.floor(first / 128)
end
event = event .. string.char(first) .. string.rep('\1', last - before - 1)
call('XADD', events, 'MAXLEN', '~', ARGV[1], '*', '` + fieldSeqs + `', event)
return answer`

// fieldsLua is a table of the fields of a hash of records: Lua makes text of a number slowly.
func fieldsLua() string {
	fields := make([]string, videosAHash)
	for i := range fields {
		fields[i] = fmt.Sprintf("'%d'", i)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// videosAHashText is videosAHash.
const videosAHashText = "64"

// bulky says whether a video can be put by putScript: two of its entries may be one.
func bulky(refs []ref) bool {
	for i, r := range refs {
		for _, o := range refs[:i] {
			if o.key == r.key && o.field == r.field {
				return false
			}
		}
	}
	return true
}

// picture is the hash of the thumbnail among refs, "" for none.
func picture(refs []ref) string {
	if last := refs[len(refs)-1]; last.unused == keyUnusedThumbnails() {
		return last.hash
	}
	return ""
}

// putNew lists those of some videos of one origin of which nothing is known; of several
// with one ID the first. It answers their local ids, noVideo for the others.
func (db *DB) putNew(ctx context.Context, some []stored) (locals []int64, err error) {
	locals = make([]int64, len(some))
	args, sent := make([]any, 3, 3+11*len(some)), make([]int, 0, len(some))
	for i := range some {
		v := &some[i]
		refs := refsOf(&v.Video)
		if !bulky(refs) {
			continue
		}
		sent = append(sent, i)
		args = append(args, v.ID[:], v.record, millis(v.Created), picture(refs), len(refs))
		for _, r := range refs {
			args = append(args, r.key, r.field)
		}
	}
	if len(sent) == 0 {
		return locals, nil
	}
	args[0], args[1], args[2] = eventsMost, mostLocals, len(sent)
	keys := []string{keyOrigin(some[0].Origin), keyVideoNext(), keyNewest(), keyGone(), keyEvents(), keyUnusedThumbnails()}
	done, err := db.put.Run(ctx, db.redis, keys, args...).Int64Slice()
	if err == nil && len(done) != len(sent) {
		err = fmt.Errorf("%d answers for %d videos", len(done), len(sent))
	}
	if err != nil {
		return nil, told("take friend's videos", err)
	}
	for n, i := range sent {
		locals[i] = done[n]
	}
	return locals, nil
}

// dropScript takes videos of one origin out that share nothing with others. KEYS are
// keyOrigin, keyNewest, keyEvents, keyUnusedThumbnails and keyTrend; the key of a video's
// number is that of its record with another letter. ARGV: eventsMost, the event,
// now (ms), and of each video its local id, that in four bytes, the key and the field of
// its record, its record, the hash of its thumbnail or "", how
// many things find it, and of each of those key and field. It answers 1 for each that it
// took out, 0 for the others.
const dropScript = `
local origin, newest, events, unused, trend = unpack(KEYS)
local at, answer, taken = 4, {}, false
local all, members, pictures = {}, {}, {}

while at <= #ARGV do
  local id, refs = ARGV[at], tonumber(ARGV[at + 6])
  local first, last = at + 7, at + 6 + 2 * refs
  local alone = redis.call('HGET', ARGV[at + 2], ARGV[at + 3]) == ARGV[at + 4]
  for r = first, last, 2 do
    alone = alone and redis.call('HGET', ARGV[r], ARGV[r + 1]) == id
  end
  answer[#answer + 1] = alone and 1 or 0
  if alone then
    taken = true
    for r = first, last, 2 do redis.call('HDEL', ARGV[r], ARGV[r + 1]) end
    redis.call('HDEL', ARGV[at + 2], ARGV[at + 3])
    redis.call('HDEL', 'n' .. string.sub(ARGV[at + 2], 2), ARGV[at + 3])
    all[#all + 1] = ARGV[at + 1]
    members[#members + 1] = id
    if ARGV[at + 5] ~= '' then
      pictures[#pictures + 1] = ARGV[3]
      pictures[#pictures + 1] = ARGV[at + 5]
    end
  end
  at = last + 1
end
if not taken then return answer end
redis.call('ZREM', newest, unpack(all))
redis.call('ZREM', trend, unpack(all))
redis.call('SREM', origin, unpack(members))
if #pictures > 0 then redis.call('ZADD', unused, 'NX', unpack(pictures)) end
redis.call('XADD', events, 'MAXLEN', '~', ARGV[1], '*', '` + fieldSeqs + `', ARGV[2])
return answer`

// dropAlone takes those of some videos of one origin out that share nothing with others,
// and says which.
func (db *DB) dropAlone(ctx context.Context, origin network.Host, some []stored) (dropped []bool, err error) {
	dropped = make([]bool, len(some))
	seqs := make([]uint32, len(some))
	args := make([]any, 3, 3+13*len(some))
	for i := range some {
		v := &some[i]
		seqs[i] = v.local
		refs := refsOf(&v.Video)
		key, field := keyVideos(v.local)
		args = append(args, v.local, member(v.local), key, field, v.record, picture(refs), len(refs))
		for _, r := range refs {
			args = append(args, r.key, r.field)
		}
	}
	if len(some) == 0 {
		return dropped, nil
	}
	args[0], args[1], args[2] = eventsMost, packSeqs(seqs), millis(time.Now())
	keys := []string{keyOrigin(origin), keyNewest(), keyEvents(), keyUnusedThumbnails(), keyTrend()}
	done, err := db.drop.Run(ctx, db.redis, keys, args...).Int64Slice()
	if err == nil && len(done) != len(some) {
		err = fmt.Errorf("%d answers for %d videos", len(done), len(some))
	}
	if err != nil {
		return nil, told("drop friend's videos", err)
	}
	for i, ok := range done {
		dropped[i] = ok == 1
	}
	return dropped, nil
}
