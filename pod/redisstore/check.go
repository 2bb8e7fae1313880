package redisstore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// A check compares the records, which are what is true, with everything that is made of
// them. It does not ask Redis for each video: it sums up for each key what the records
// say should be in it, and then what is in it, and looks closer where the sums differ.
// The pod may run meanwhile: what differs is looked at again, and only then counted.

// Report is what a check found.
type Report struct {
	Videos   int      // records
	Problems []string // one line each, the first few
	Found    int      // problems in all
	Mended   int
}

const mostProblems = 50

func (r *Report) say(format string, args ...any) {
	if r.Found++; len(r.Problems) < mostProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// inKey is where a video stands.
type inKey struct {
	key    string
	member string // of a hash the field, else the local id
	score  string // of a zset, ms
}

// keysOf is everywhere that a video has to stand.
func keysOf(v *stored) []inKey {
	local, date := strconv.FormatUint(uint64(v.local), 10), millis(v.Created)
	out := []inKey{{keyNewest(), local, date}, {keyOrigin(v.Origin), local, ""}}
	for _, r := range refsOf(&v.Video) {
		if p := (inKey{r.key, r.field, ""}); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// sum tells what is in a key from other things that could be.
func (p inKey) sum(local uint32) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%q %q %d", p.member, p.score, local)
	return h.Sum64()
}

// each gives every record, some at a time.
func (db *DB) each(ctx context.Context, use func([]stored) error) error {
	last, err := db.LastSeq(ctx)
	if err != nil {
		return err
	}
	for seq := last + 1; seq > 0; {
		videos, next, err := db.Below(ctx, seq)
		if err != nil {
			return err
		}
		some := make([]stored, len(videos))
		for i := range videos {
			some[i] = stored{Video: videos[i].Video, local: videos[i].Seq}
		}
		if err := use(some); err != nil {
			return err
		}
		seq = next
	}
	return nil
}

// Check says where what is made of the videos does not agree with them, and mends it
// where repair is set. us is this pod, or "" where that
// is not known. The numbers of all videos come with it, in order.
func (db *DB) Check(ctx context.Context, us network.Host, repair bool) (r Report, seqs []uint32, err error) {
	want := map[string]uint64{}
	err = db.each(ctx, func(some []stored) error {
		for i := range some {
			seqs = append(seqs, some[i].local)
			for _, p := range keysOf(&some[i]) {
				want[p.key] += p.sum(some[i].local)
			}
		}
		return nil
	})
	if err != nil {
		return r, nil, err
	}
	slices.Sort(seqs)
	r.Videos = len(seqs)
	var differ []string
	err = db.scanIndexes(ctx, func(key string) error {
		have := uint64(0)
		err := db.eachIn(ctx, key, func(p inKey, local uint32) { have += p.sum(local) })
		if have != want[key] {
			differ = append(differ, key)
		}
		delete(want, key)
		return err
	})
	if err != nil {
		return r, nil, err
	}
	for key := range want {
		differ = append(differ, key) // there is no such key
	}
	suspects, err := db.suspects(ctx, differ)
	if err != nil {
		return r, nil, err
	}
	for local, keys := range suspects {
		if err := db.mend(ctx, &r, local, keys, repair); err != nil {
			return r, nil, err
		}
	}
	err = db.checkUnused(ctx, &r, us, repair)
	slices.Sort(r.Problems)
	return r, seqs, err
}

// suspects are the videos that are not in a key although they should be, or the other way,
// each with those keys.
func (db *DB) suspects(ctx context.Context, keys []string) (map[uint32]map[string]bool, error) {
	out := map[uint32]map[string]bool{}
	if len(keys) == 0 {
		return out, nil
	}
	suspect := func(local uint32, key string) {
		if out[local] == nil {
			out[local] = map[string]bool{}
		}
		out[local][key] = true
	}
	have := map[string]map[uint64]uint32{}
	for _, key := range keys {
		in := map[uint64]uint32{}
		if err := db.eachIn(ctx, key, func(p inKey, local uint32) { in[p.sum(local)] = local }); err != nil {
			return nil, err
		}
		have[key] = in
	}
	err := db.each(ctx, func(some []stored) error {
		for i := range some {
			for _, p := range keysOf(&some[i]) {
				in, ok := have[p.key]
				if !ok {
					continue
				}
				sum := p.sum(some[i].local)
				if _, there := in[sum]; !there {
					suspect(some[i].local, p.key)
				}
				delete(in, sum)
			}
		}
		return nil
	})
	for key, rest := range have {
		for _, local := range rest {
			suspect(local, key)
		}
	}
	return out, err
}

// scanIndexes gives each key of an index once or more.
func (db *DB) scanIndexes(ctx context.Context, use func(key string) error) error {
	seen := map[string]bool{}
	for cursor := uint64(0); ; {
		keys, next, err := db.redis.Scan(ctx, cursor, "", 1000).Result()
		if err != nil {
			return told("list keys", err)
		}
		for _, key := range keys {
			begin, _, more := strings.Cut(key, ":")
			isIndex := key == keyNewest() || more && slices.Contains([]string{"id", "ih", "th", "p"}, begin)
			if !isIndex || seen[key] {
				continue
			}
			seen[key] = true
			if err := use(key); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// eachIn gives what is in a key of an index, some of it perhaps twice where it changes.
func (db *DB) eachIn(ctx context.Context, key string, use func(p inKey, local uint32)) error {
	for cursor := uint64(0); ; {
		var all []string
		var err error
		switch {
		case strings.HasPrefix(key, "p:"):
			all, cursor, err = db.redis.SScan(ctx, key, cursor, "", 1000).Result()
			for _, local := range localsOf(all) {
				use(inKey{key, strconv.FormatUint(uint64(local), 10), ""}, local)
			}
		case key == keyNewest():
			all, cursor, err = db.redis.ZScan(ctx, key, cursor, "", 1000).Result()
			for i := 0; i+1 < len(all); i += 2 {
				local := localOf(all[i])
				score, _ := strconv.ParseFloat(all[i+1], 64)
				use(inKey{key, strconv.FormatUint(uint64(local), 10), strconv.FormatInt(int64(score), 10)}, local)
			}
		default:
			all, cursor, err = db.redis.HScan(ctx, key, cursor, "", 1000).Result()
			for i := 0; i+1 < len(all); i += 2 {
				for _, local := range parseLocals(all[i+1]) {
					use(inKey{key, all[i], ""}, local)
				}
			}
		}
		if err != nil {
			return told("read "+key, err)
		}
		if cursor == 0 {
			return nil
		}
	}
}

// mend looks at one video and at keys where it may be missing, or be too much, and puts it
// there or takes it out, in a transaction that sees to it that the record stays.
func (db *DB) mend(ctx context.Context, r *Report, local uint32, keys map[string]bool, repair bool) error {
	var wrong []string
	err := db.transact(ctx, "mend index", func(t *tx) error {
		wrong = nil
		found, err := db.fetch(ctx, []uint32{local})
		if err != nil {
			return err
		}
		key, field := keyVideos(local)
		var should []inKey
		record := ""
		if len(found) == 1 {
			record, should = found[0].record, keysOf(&found[0])
		}
		t.expect(record, "HGET", key, field)
		for key := range keys {
			if err := db.mendKey(ctx, t, local, key, should, &wrong); err != nil {
				return err
			}
		}
		if !repair {
			t.writes = 0
		} else if len(wrong) > 0 {
			t.changed(local)
		}
		return nil
	})
	for _, w := range wrong {
		r.say("%s", w)
		if repair && err == nil {
			r.Mended++
		}
	}
	return err
}

// mendKey adds to t what makes one key right about one video.
func (db *DB) mendKey(ctx context.Context, t *tx, local uint32, key string, should []inKey, wrong *[]string) error {
	var want []inKey
	for _, p := range should {
		if p.key == key {
			want = append(want, p)
		}
	}
	name := fmt.Sprintf("video %d: %q", local, key)
	say := func(what string) { *wrong = append(*wrong, name+" "+what) }
	switch {
	case strings.HasPrefix(key, "p:"):
		there, err := db.redis.SIsMember(ctx, key, local).Result()
		if err != nil {
			return told("read "+key, err)
		}
		if there && len(want) == 0 {
			t.do("SREM", key, local)
			say("has it and should not")
		} else if !there && len(want) > 0 {
			t.do("SADD", key, local)
			say("does not have it")
		}
	case key == keyNewest():
		score, err := db.redis.ZScore(ctx, key, string(member(local))).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return told("read "+key, err)
		}
		there := err == nil
		if there && len(want) == 0 {
			t.do("ZREM", key, member(local))
			say("has it and should not")
		} else if len(want) > 0 && (!there || strconv.FormatInt(int64(score), 10) != want[0].score) {
			t.do("ZADD", key, want[0].score, member(local))
			say("does not have it, or at another time")
		}
	default:
		all, err := db.redis.HGetAll(ctx, key).Result()
		if err != nil {
			return told("read "+key, err)
		}
		for field, text := range all {
			locals := parseLocals(text)
			wanted := slices.ContainsFunc(want, func(p inKey) bool { return p.member == field })
			if wanted || !slices.Contains(locals, local) {
				continue
			}
			t.expect(text, "HGET", key, field)
			if locals = slices.DeleteFunc(locals, func(l uint32) bool { return l == local }); len(locals) == 0 {
				t.do("HDEL", key, field)
			} else {
				t.do("HSET", key, field, joinLocals(locals))
			}
			say("has it and should not")
		}
		for _, p := range want {
			if locals := parseLocals(all[p.member]); !slices.Contains(locals, local) {
				t.expect(all[p.member], "HGET", key, p.member)
				t.do("HSET", key, p.member, joinLocals(append(locals, local)))
				say("does not have it")
			}
		}
	}
	return nil
}

// checkUnused takes off the lists of what is to be deleted what a video has.
func (db *DB) checkUnused(ctx context.Context, r *Report, us network.Host, repair bool) error {
	files, err := db.Withdrawn(ctx)
	if err != nil {
		return err
	}
	thumbnails, err := db.UnusedThumbnails(ctx)
	if err != nil {
		return err
	}
	look := func(what string, v video.Video, err error, off func() error) error {
		switch {
		case errors.Is(err, catalog.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		r.say("%s is to be deleted, and %s has it", what, v.ID)
		if !repair {
			return nil
		}
		r.Mended++
		return off()
	}
	for _, hash := range thumbnails {
		v, err := db.ByThumbnail(ctx, hash)
		if err := look("thumbnail "+hash, v, err, func() error { return db.ThumbnailDeleted(ctx, hash) }); err != nil {
			return err
		}
	}
	for _, h := range files {
		if us == "" {
			break // nobody said whose files they are
		}
		v, err := db.ByInfoHash(ctx, us, h)
		if err := look("file "+h.String(), v, err, func() error { return db.Deleted(ctx, h) }); err != nil {
			return err
		}
	}
	return nil
}
