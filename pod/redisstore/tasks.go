package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// DropTask takes out a task that asynq takes for being worked at, whose worker is gone.
func (db *DB) DropTask(ctx context.Context, queue, id string) error {
	_, err := db.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.LRem(ctx, keyTasks(queue, "active"), 0, id)
		p.ZRem(ctx, keyTasks(queue, "lease"), id)
		p.Del(ctx, keyTasks(queue, "t:"+id))
		return nil
	})
	return told("drop task", err)
}
