package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// tx is a transaction: writes that happen together, where Redis still answers what
// they were made from. Reading and deciding are done in Go; nothing is locked.
type tx struct {
	checks, writes int
	reading        []any // of each check: the answer, the number of words, the words
	writing        []any // of each write: the number of words, the words
	seqs           []uint32
}

// expect lets the transaction happen only if a reading command answers this. A
// missing value answers "", a number its decimal digits, a list its elements in a row.
func (t *tx) expect(answer string, command ...any) {
	t.checks++
	t.reading = append(append(t.reading, answer, len(command)), command...)
}

// do adds a writing command.
func (t *tx) do(command ...any) {
	t.writes++
	t.writing = append(append(t.writing, len(command)), command...)
}

// changed says that a video is listed, changed or taken out: whoever follows Events is
// told in the same transaction.
func (t *tx) changed(local uint32) { t.seqs = append(t.seqs, local) }

// args are those of commitScript.
func (t *tx) args() []any {
	if len(t.seqs) > 0 {
		t.do("XADD", keyEvents(), "MAXLEN", "~", eventsMost, "*", fieldSeqs, packSeqs(t.seqs))
		t.seqs = nil
	}
	return slices.Concat([]any{t.checks}, t.reading, t.writing)
}

// commitScript runs a tx: the number of its checks, the checks, the writes. A script is the one thing in Redis that can decide and
// write at once; what each means is said by who makes the tx.
const commitScript = `
local at = 2
for _ = 1, tonumber(ARGV[1]) do
  local words = tonumber(ARGV[at + 1])
  local answer = redis.call(unpack(ARGV, at + 2, at + 1 + words))
  if type(answer) == 'table' then answer = table.concat(answer) end
  if tostring(answer or '') ~= ARGV[at] then return 0 end
  at = at + 2 + words
end
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + 1 + words
end
return 1`

// contention is how long a transaction is tried against others that change the same.
const contention = 3 * time.Second

// transact calls plan, which reads and fills the tx, and commits it; over again while
// somebody else changes meanwhile what plan has read. A plan that adds no write ends
// it. The answer to a commit may be lost and the commit be repeated, so a plan that
// runs again must take its own work, done, for success. Its error is answered as it is.
func (db *DB) transact(ctx context.Context, what string, plan func(*tx) error) error {
	for end := time.Now().Add(contention); ; {
		t := &tx{}
		if err := plan(t); err != nil || t.writes == 0 {
			return err
		}
		done, err := db.commit.Run(ctx, db.redis, nil, t.args()...).Int()
		if err != nil {
			return told(what, err)
		}
		if done == 1 {
			return nil
		}
		if time.Now().After(end) {
			return told(what, fmt.Errorf("others changed the same for %s", contention))
		}
		// Whoever lost waits, or many would get in each other's way for ever.
		time.Sleep(rand.N(time.Millisecond))
	}
}

// pipelined sends commands together. A missing value is no error: its command's
// Val is empty.
func (db *DB) pipelined(ctx context.Context, what string, add func(redis.Pipeliner)) error {
	commands, err := db.redis.Pipelined(ctx, func(p redis.Pipeliner) error { add(p); return nil })
	for _, c := range commands {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return told(what, err)
		}
	}
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return told(what, err)
}

// value gives "" for a missing value.
func value(what string, c *redis.StringCmd) (string, error) {
	s, err := c.Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return s, told(what, err)
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
