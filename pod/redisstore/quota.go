package redisstore

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/accounts"
	"kinopod/shared/video"
)

// booking is what stands for one id, and the sum over all ids of the user.
type booking struct {
	record, sum string // as in Redis; "" if missing
	had, total  int64  // bytes
}

func (db *DB) booking(ctx context.Context, name string, id video.ID) (b booking, err error) {
	var record, sum *redis.StringCmd
	err = db.pipelined(ctx, "get quota", func(p redis.Pipeliner) {
		record = p.HGet(ctx, keyQuota(name), string(id[:]))
		sum = p.HGet(ctx, keyQuota(name), fieldQuotaSum)
	})
	if err != nil {
		return b, err
	}
	b.record, b.sum = record.Val(), sum.Val()
	if b.record != "" {
		r, err := decodeReservation(id, b.record)
		if err != nil {
			return b, err
		}
		b.had = r.Bytes
	}
	b.total, err = parseSum(b.sum)
	return b, err
}

func parseSum(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	return strconv.ParseInt(s, 10, 64)
}

// expect lets a tx happen only if the booking is still so.
func (b booking) expect(t *tx, name string, id video.ID) {
	t.expect(b.record, "HGET", keyQuota(name), id[:])
	t.expect(b.sum, "HGET", keyQuota(name), fieldQuotaSum)
}

// Reserve implements accounts.Store.
func (db *DB) Reserve(ctx context.Context, name string, r accounts.Reservation, limit int64) error {
	return db.transact(ctx, "reserve", func(t *tx) error {
		_, user, err := db.user(ctx, name)
		if err != nil {
			return err
		}
		if user == "" {
			return accounts.ErrNotFound
		}
		b, err := db.booking(ctx, name, r.ID)
		if err != nil || b.record == string(encodeReservation(&r)) {
			return err
		}
		total := b.total - b.had + r.Bytes
		if limit > 0 && total > limit && r.Bytes > b.had {
			return accounts.ErrQuota
		}
		t.expect("1", "HEXISTS", keyUsers(), accounts.Fold(name))
		b.expect(t, name, r.ID)
		t.do("HSET", keyQuota(name), r.ID[:], encodeReservation(&r), fieldQuotaSum, total)
		return nil
	})
}

// Release implements accounts.Store.
func (db *DB) Release(ctx context.Context, name string, id video.ID) error {
	return db.transact(ctx, "release", func(t *tx) error {
		b, err := db.booking(ctx, name, id)
		if err != nil || b.record == "" {
			return err
		}
		b.expect(t, name, id)
		t.do("HDEL", keyQuota(name), id[:])
		t.do("HSET", keyQuota(name), fieldQuotaSum, b.total-b.had)
		return nil
	})
}

// Used implements accounts.Store.
func (db *DB) Used(ctx context.Context, name string) (int64, error) {
	sum, err := value("get quota", db.redis.HGet(ctx, keyQuota(name), fieldQuotaSum))
	if err != nil {
		return 0, err
	}
	return parseSum(sum)
}

// Reservations implements accounts.Store.
func (db *DB) Reservations(ctx context.Context, name string) ([]accounts.Reservation, error) {
	fields, err := db.redis.HGetAll(ctx, keyQuota(name)).Result()
	if err != nil {
		return nil, told("list reservations", err)
	}
	var out []accounts.Reservation
	for field, record := range fields {
		if field == fieldQuotaSum {
			continue
		}
		var id video.ID
		copy(id[:], field)
		r, err := decodeReservation(id, record)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
