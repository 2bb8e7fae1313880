package redisstore

import (
	"context"

	"kinopod/pod/accounts"
	"kinopod/shared/video"
)

const profileVersion = 1

func encodeProfile(p *video.Profile) []byte {
	return appendText(appendText([]byte{profileVersion}, p.Name), p.About)
}

func decodeProfile(b string) (video.Profile, error) {
	r := reader{rest: b}
	r.version(profileVersion)
	p := video.Profile{Name: r.text(), About: r.text()}
	return p, r.end("profile")
}

// Profile implements accounts.Store.
func (db *DB) Profile(ctx context.Context, name string) (video.Profile, error) {
	record, err := value("get profile", db.redis.HGet(ctx, keyProfiles(), accounts.Fold(name)))
	if err != nil || record == "" {
		return video.Profile{}, err
	}
	return decodeProfile(record)
}

// SetProfile implements accounts.Store.
func (db *DB) SetProfile(ctx context.Context, name string, p video.Profile) error {
	return db.transact(ctx, "set profile", func(t *tx) error {
		if _, err := db.User(ctx, name); err != nil {
			return err
		}
		t.expect("1", "HEXISTS", keyUsers(), accounts.Fold(name))
		t.do("HSET", keyProfiles(), accounts.Fold(name), encodeProfile(&p))
		return nil
	})
}
