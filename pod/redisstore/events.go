package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/catalog"
)

// The search index follows the catalogue by a stream of local ids: what became of each
// video is what the catalogue says of it when the event is read.

const (
	// eventsMost is about how many events an index may be behind before it is built anew.
	eventsMost = 100_000
	fieldSeqs  = "n"
)

// packSeqs orders local ids and writes how far each is from the one before, as uvarints:
// of videos that came together a byte each.
func packSeqs(seqs []uint32) []byte {
	seqs = slices.Clone(seqs)
	slices.Sort(seqs)
	b := make([]byte, 0, len(seqs)+4)
	last := uint32(0)
	for _, n := range seqs {
		b = binary.AppendUvarint(b, uint64(n-last))
		last = n
	}
	return b
}

// appendSeqs reads what packSeqs writes; of anything else what can be read.
func appendSeqs(seqs []uint32, packed string) []uint32 {
	b, last := []byte(packed), uint64(0)
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if last += n; size <= 0 || last > 1<<32-1 || n > 1<<32-1 {
			break
		}
		seqs, b = append(seqs, uint32(last)), b[size:]
	}
	return seqs
}

// A position is the catalogue's name and that of an entry of the stream, both parts of
// which are 16 hexadecimal digits, so that positions are ordered as strings are.

func formatPosition(which, entry string) string {
	ms, n, _ := strings.Cut(entry, "-")
	a, _ := strconv.ParseUint(ms, 10, 64)
	b, _ := strconv.ParseUint(n, 10, 64)
	return fmt.Sprintf("%s %016x-%016x", which, a, b)
}

// parsePosition keeps what a broken snapshot says from being an error of Redis.
func parsePosition(position string) (which, entry string, ok bool) {
	which, at, ok := strings.Cut(position, " ")
	ms, n, _ := strings.Cut(at, "-")
	a, err1 := strconv.ParseUint(ms, 16, 64)
	b, err2 := strconv.ParseUint(n, 16, 64)
	return which, fmt.Sprintf("%d-%d", a, b), ok && err1 == nil && err2 == nil
}

// LastEvent implements catalog.Events.
func (db *DB) LastEvent(ctx context.Context) (string, error) {
	for {
		var which *redis.StringCmd
		var last *redis.XMessageSliceCmd
		err := db.pipelined(ctx, "read events", func(p redis.Pipeliner) {
			which = p.Get(ctx, keyCatalogue())
			last = p.XRevRangeN(ctx, keyEvents(), "+", "-", 1)
		})
		if err != nil {
			return "", err
		}
		if which.Val() != "" && len(last.Val()) == 1 {
			return formatPosition(which.Val(), last.Val()[0].ID), nil
		}
		if err := db.redis.SetNX(ctx, keyCatalogue(), rand.Text(), 0).Err(); err != nil {
			return "", told("tell the catalogue from others", err)
		}
		if _, err := db.lastOf(ctx, keyEvents(), fieldSeqs); err != nil {
			return "", err
		}
	}
}

// Events implements catalog.Events.
func (db *DB) Events(ctx context.Context, position string, most int) (seqs []uint32, last string, lost bool, err error) {
	which, at, ok := parsePosition(position)
	if !ok {
		return nil, position, true, nil
	}
	var now *redis.StringCmd
	var found *redis.XMessageSliceCmd
	err = db.pipelined(ctx, "read events", func(p redis.Pipeliner) {
		now = p.Get(ctx, keyCatalogue())
		found = p.XRangeN(ctx, keyEvents(), at, "+", int64(most)+1)
	})
	if err != nil {
		return nil, position, false, err
	}
	entries, lost := after(at, found.Val())
	if lost || now.Val() != which {
		return nil, position, true, nil
	}
	for _, e := range entries {
		text, _ := e.Values[fieldSeqs].(string)
		seqs, at = appendSeqs(seqs, text), e.ID
	}
	return seqs, formatPosition(which, at), false, nil
}

// AwaitEvent implements catalog.Events.
func (db *DB) AwaitEvent(ctx context.Context, position string) error {
	_, at, _ := parsePosition(position)
	return db.await(ctx, keyEvents(), at)
}

// BySeq implements catalog.Events.
func (db *DB) BySeq(ctx context.Context, seqs []uint32) ([]catalog.Numbered, error) {
	found, err := db.fetch(ctx, seqs)
	out := make([]catalog.Numbered, len(found))
	for i := range found {
		out[i] = catalog.Numbered{Seq: found[i].local, Video: found[i].Video}
	}
	return out, err
}

// LastSeq implements catalog.Events.
func (db *DB) LastSeq(ctx context.Context) (uint32, error) {
	text, err := value("get last local id", db.redis.Get(ctx, keyVideoNext()))
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}

// hashesAtOnce is how many hashes of records are read together.
const hashesAtOnce = 16

// Below implements catalog.Events.
func (db *DB) Below(ctx context.Context, seq uint32) (videos []catalog.Numbered, next uint32, err error) {
	if seq == 0 {
		return nil, 0, nil
	}
	last := (seq - 1) / videosAHash
	first := last - min(last, hashesAtOnce-1)
	answers := make([]*redis.MapStringStringCmd, 0, hashesAtOnce)
	err = db.pipelined(ctx, "read the catalogue", func(p redis.Pipeliner) {
		for n := first; n <= last; n++ {
			key, _ := keyVideos(n * videosAHash)
			answers = append(answers, p.HGetAll(ctx, key))
		}
	})
	if err != nil {
		return nil, seq, err
	}
	for i, a := range answers {
		for field, record := range a.Val() {
			n, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return nil, seq, err
			}
			local := (first+uint32(i))*videosAHash + uint32(n)
			v, err := decodeVideo(record)
			if err != nil {
				return nil, seq, err
			}
			if local < seq {
				videos = append(videos, catalog.Numbered{Seq: local, Video: v})
			}
		}
	}
	return videos, first * videosAHash, nil
}
