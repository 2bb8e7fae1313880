package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/pod/federation"
	"kinopod/pod/views"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

var _ views.Store = (*DB)(nil)

// rankedMost bounds the ranking.
const rankedMost = 100_000

var (
	ownViews   = redis.NewScript(ownViewsScript)
	friendView = redis.NewScript(friendViewScript)
	takeTotals = redis.NewScript(totalsScript)
)

// CountView implements views.Store. Where the answer is lost on the way the view may count
// twice, which is less than what a viewer can do.
func (db *DB) CountView(ctx context.Context, host network.Host, id video.ID) error {
	s, err := db.find(ctx, refOfID(id))
	if errors.Is(err, catalog.ErrNotFound) {
		return views.ErrNotFound
	}
	if err != nil {
		return err
	}
	now := time.Now()
	key, field := keyVideos(s.local)
	if s.Origin == host {
		return db.countOwn(ctx, now, "", 0, 0, []any{key, field, keyNumbers(s.local), member(s.local), 1})
	}
	keys := []string{keyTrend(), keyViewsNew(s.Origin), keyNumbers(s.local), key}
	err = friendView.Run(ctx, db.redis, keys, score(views.Weight(now)), rankedMost, field, member(s.local), id[:], federation.MaxViews).Err()
	return told("count view", err)
}

// countOwn counts views of own videos; items are five words each, see ownViewsScript.
func (db *DB) countOwn(ctx context.Context, now time.Time, from network.Host, batch int64, mostADay int, items []any) error {
	keys := []string{keyTrend(), keyViewsChanged(), keyViewsBatches(), keyViewsDay(now, "by", from)}
	args := append([]any{score(views.Weight(now)), rankedMost, millis(now), string(from), batch, mostADay}, items...)
	return told("count views", ownViews.Run(ctx, db.redis, keys, args...).Err())
}

// TakeViews counts what a friend says was watched of this pod's videos: once for each
// batch, whose numbers grow, and up to mostADay (0 is any), of one video a quarter of that.
func (db *DB) TakeViews(ctx context.Context, host, from network.Host, batch int64, counts []federation.ViewCount, mostADay int) error {
	found, err := db.ofOrigin(ctx, host, counts)
	if err != nil {
		return err
	}
	var items []any
	for _, f := range found {
		key, field := keyVideos(f.local)
		items = append(items, key, field, keyNumbers(f.local), member(f.local), f.count)
	}
	return db.countOwn(ctx, time.Now(), from, batch, mostADay, items)
}

// counted is a video with what somebody says of it.
type counted struct {
	stored
	count int64
}

// ofOrigin finds those videos that are of one pod.
func (db *DB) ofOrigin(ctx context.Context, origin network.Host, said []federation.ViewCount) (found []counted, err error) {
	refs := make([]ref, len(said))
	counts := make(map[video.ID]int64, len(said))
	for i, t := range said {
		refs[i] = refOfID(t.ID)
		counts[t.ID] = t.Count
	}
	if len(refs) == 0 {
		return nil, nil
	}
	if err := db.read(ctx, refs); err != nil {
		return nil, err
	}
	var locals []uint32
	for _, r := range refs {
		locals = append(locals, parseLocals(r.locals)...)
	}
	slices.Sort(locals) // an entry may name many, and two the same
	all, err := db.fetch(ctx, slices.Compact(locals))
	for _, s := range all {
		if n, ok := counts[s.ID]; ok && s.Origin == origin {
			found = append(found, counted{s, n})
		}
	}
	return found, err
}

// ViewsToTell is a batch of what was watched here of a friend's videos, the same until
// TakeTotals is told that it was taken; none for nothing.
func (db *DB) ViewsToTell(ctx context.Context, h network.Host) (batch int64, counts []federation.ViewCount, err error) {
	err = db.transact(ctx, "make a batch of views", func(t *tx) error {
		batch, counts = 0, nil
		there, err := db.redis.HGetAll(ctx, keyViewsOut(h)).Result()
		if err != nil {
			return told("read views", err)
		}
		if batch, counts = parseBatch(there); batch != 0 {
			return nil
		}
		waiting, err := db.redis.Exists(ctx, keyViewsNew(h)).Result()
		if err != nil || waiting == 0 {
			return told("look for views", err)
		}
		last, err := value("read batch of views", db.redis.HGet(ctx, keyViewsBatches(), ">"+string(h)))
		if err != nil {
			return err
		}
		n, _ := strconv.ParseInt(last, 10, 64)
		next := max(n+1, time.Now().UnixMilli()) // also after a loss of memory greater than what was told before
		t.expect(last, "HGET", keyViewsBatches(), ">"+string(h))
		t.expect("0", "EXISTS", keyViewsOut(h))
		t.expect("1", "EXISTS", keyViewsNew(h))
		t.do("RENAME", keyViewsNew(h), keyViewsOut(h))
		t.do("HSET", keyViewsOut(h), "batch", next)
		t.do("HSET", keyViewsBatches(), ">"+string(h), next)
		return nil
	})
	if err != nil || batch != 0 {
		return batch, counts, err
	}
	there, err := db.redis.HGetAll(ctx, keyViewsOut(h)).Result()
	batch, counts = parseBatch(there)
	return batch, counts, told("read views", err)
}

func parseBatch(fields map[string]string) (batch int64, counts []federation.ViewCount) {
	batch, _ = strconv.ParseInt(fields["batch"], 10, 64)
	for field, text := range fields {
		n, err := strconv.ParseInt(text, 10, 64)
		if len(field) == len(video.ID{}) && err == nil {
			counts = append(counts, federation.ViewCount{ID: video.ID([]byte(field)), Count: n})
		}
	}
	return batch, counts
}

// TakeTotals notes how often a friend's videos were watched everywhere, as it says, and that
// it has taken a batch of views. mostADay bounds what that does to the ranking.
func (db *DB) TakeTotals(ctx context.Context, h network.Host, batch int64, totals []federation.ViewCount, mostADay int) error {
	found, err := db.ofOrigin(ctx, h, totals)
	if err != nil {
		return err
	}
	now := time.Now()
	keys := []string{keyTrend(), keyViewsNew(h), keyViewsOut(h), keyViewsDay(now, "of", h)}
	args := []any{score(views.Weight(now)), rankedMost, batch, mostADay}
	for _, f := range found {
		key, field := keyVideos(f.local)
		made := f.Created
		if made.After(now) {
			made = now
		}
		args = append(args, key, field, keyNumbers(f.local), member(f.local), f.ID[:], f.count, score(views.Weight(made)))
	}
	return told("take numbers of views", takeTotals.Run(ctx, db.redis, keys, args...).Err())
}

// dropViews forgets what a pod was to be told that is no friend any more.
func (db *DB) dropViews(ctx context.Context, h network.Host) error {
	return told("forget views", db.redis.Del(ctx, keyViewsNew(h), keyViewsOut(h)).Err())
}

// ViewTotals are how often videos of this pod were watched, of those that were watched
// after a place, the longest ago first; more says that others follow next.
func (db *DB) ViewTotals(ctx context.Context, after string, most int) (totals []federation.ViewCount, next string, more bool, err error) {
	at, seq := parsePlace(after)
	locals, last, more, err := db.between(ctx, keyViewsChanged(), false, views.Rank{Score: float64(at), Seq: seq}, at != 0, most)
	if err != nil || len(locals) == 0 {
		return nil, after, false, err
	}
	found, err := db.fetch(ctx, locals)
	for _, s := range found {
		totals = append(totals, federation.ViewCount{ID: s.ID, Count: s.Views})
	}
	return totals, strconv.FormatInt(int64(last.Score), 10) + "-" + strconv.FormatUint(uint64(last.Seq), 10), more, err
}

// parsePlace reads what ViewTotals wrote; what is none is the beginning.
func parsePlace(s string) (ms int64, seq uint32) {
	for i := range len(s) {
		if s[i] != '-' {
			continue
		}
		a, err1 := strconv.ParseInt(s[:i], 10, 64)
		b, err2 := strconv.ParseUint(s[i+1:], 10, 32)
		if err1 == nil && err2 == nil && a > 0 {
			return a, uint32(b)
		}
	}
	return 0, 0
}

// Ranked implements views.Store.
func (db *DB) Ranked(ctx context.Context, origin network.Host, after *views.Rank, most int) (some []views.Ranked, last *views.Rank, more bool, err error) {
	from := views.Rank{}
	if after != nil {
		from = *after
	}
	locals, ranks, more, err := db.ranked(ctx, keyTrend(), true, from, after != nil, most)
	if err != nil || len(locals) == 0 {
		return nil, after, false, err
	}
	at := make(map[uint32]views.Rank, len(locals))
	for i, l := range locals {
		at[l] = ranks[i]
	}
	if origin != "" {
		if locals, err = db.among(ctx, keyOrigin(origin), locals); err != nil {
			return nil, nil, false, err
		}
	}
	found, err := db.fetch(ctx, locals)
	for _, s := range found {
		some = append(some, views.Ranked{Video: s.Video, At: at[s.local]})
	}
	return some, &ranks[len(ranks)-1], more, err
}

// among gives those locals that are in a set.
func (db *DB) among(ctx context.Context, key string, locals []uint32) (in []uint32, err error) {
	members := make([]any, len(locals))
	for i, l := range locals {
		members[i] = l
	}
	is, err := db.redis.SMIsMember(ctx, key, members...).Result()
	for i := range is {
		if is[i] {
			in = append(in, locals[i])
		}
	}
	return in, told("list videos", err)
}

// between is ranked with the last place only.
func (db *DB) between(ctx context.Context, key string, down bool, after views.Rank, hasAfter bool, most int) ([]uint32, views.Rank, bool, error) {
	locals, ranks, more, err := db.ranked(ctx, key, down, after, hasAfter, most)
	if err != nil || len(ranks) == 0 {
		return nil, views.Rank{}, false, err
	}
	return locals, ranks[len(ranks)-1], more, nil
}

// ranked gives up to most local ids of a zset behind a place, with their places. Redis
// finds a score, and orders those of one score by member: what of them is not behind the
// place is passed over.
func (db *DB) ranked(ctx context.Context, key string, down bool, after views.Rank, hasAfter bool, most int) (locals []uint32, ranks []views.Rank, more bool, err error) {
	q := redis.ZRangeArgs{Key: key, Start: "-inf", Stop: "+inf", ByScore: true, Rev: down, Count: int64(most) + 1}
	if down {
		q.Start, q.Stop = q.Stop, q.Start
	}
	if hasAfter {
		q.Start = score(after.Score)
	}
	for {
		entries, err := db.redis.ZRangeArgsWithScores(ctx, q).Result()
		if err != nil {
			return nil, nil, false, told("list videos", err)
		}
		for _, e := range entries {
			text, _ := e.Member.(string)
			r := views.Rank{Score: e.Score, Seq: localOf(text)}
			if r.Seq == noVideo {
				continue
			}
			if hasAfter && r.Score == after.Score && (down && r.Seq >= after.Seq || !down && r.Seq <= after.Seq) {
				continue
			}
			if len(locals) == most {
				return locals, ranks, true, nil
			}
			locals, ranks = append(locals, r.Seq), append(ranks, r)
		}
		if int64(len(entries)) < q.Count {
			return locals, ranks, false, nil
		}
		q.Offset += q.Count
	}
}

// score writes a number so that Redis reads the same.
func score(f float64) string { return strconv.FormatFloat(f, 'g', 17, 64) }
