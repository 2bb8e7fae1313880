package redisstore

import (
	"context"

	"kinopod/shared/network"
)

// MembersOnly are the pods that said last that their videos are for members.
func (db *DB) MembersOnly(ctx context.Context) ([]network.Host, error) {
	names, err := db.redis.SMembers(ctx, keyMembers()).Result()
	if err != nil {
		return nil, told("list pods for members", err)
	}
	hosts := make([]network.Host, len(names))
	for i, n := range names {
		hosts[i] = network.Host(n)
	}
	return hosts, nil
}

// SetMembersOnly notes what a pod said.
func (db *DB) SetMembersOnly(ctx context.Context, h network.Host, members bool) error {
	if members {
		return told("note pod for members", db.redis.SAdd(ctx, keyMembers(), string(h)).Err())
	}
	return told("note pod for members", db.redis.SRem(ctx, keyMembers(), string(h)).Err())
}
