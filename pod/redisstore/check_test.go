package redisstore

import (
	"strings"
	"testing"

	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// TestCheck breaks everything that is made of videos, one after the other: it is found and
// mended.
func TestCheck(t *testing.T) {
	db := open(t, startServer(t).socket())
	ctx := t.Context()
	const us, theirs = network.Host("pod.example"), network.Host("friend.example")
	var videos []video.Video
	for i := range 60 {
		v := catalogtest.NewVideo(i)
		if i%2 == 1 {
			v.ID, v.Origin = video.NewID(theirs), theirs
			if _, err := db.Take(ctx, v); err != nil {
				t.Fatal(err)
			}
		} else if _, err := db.Add(ctx, v); err != nil {
			t.Fatal(err)
		}
		videos = append(videos, v)
	}
	v := videos[7]
	s, err := db.find(ctx, refOfID(v.ID))
	if err != nil {
		t.Fatal(err)
	}
	id, ih, th := refsOf(&v)[0], refsOf(&v)[1], refOfThumbnail(v.Thumbnail)[0]
	key, field := keyVideos(s.local)
	run := func(name string, breaks [][]any) {
		for _, c := range breaks {
			if err := db.redis.Do(ctx, c...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		first, _, err := db.Check(ctx, us, false)
		if err != nil || (first.Found == 0) != (breaks == nil) || first.Mended != 0 {
			t.Fatalf("%s: %+v, %v", name, first, err)
		}
		r, seqs, err := db.Check(ctx, us, true)
		if err != nil || r.Found != first.Found || r.Mended != r.Found || len(seqs) != r.Videos {
			t.Errorf("%s: repair: %+v, %v", name, r, err)
		}
		if r, _, err = db.Check(ctx, us, false); err != nil || r.Found != 0 {
			t.Errorf("%s: afterwards: %s, %v", name, strings.Join(r.Problems, "; "), err)
		}
		check(t, db)
	}
	for name, breaks := range map[string][][]any{
		"nothing":               nil,
		"newest":                {{"ZREM", keyNewest(), member(s.local)}},
		"another time":          {{"ZADD", keyNewest(), v.Created.UnixMilli() + 1, member(s.local)}},
		"a video of nobody":     {{"ZADD", keyNewest(), 5, member(999_999)}},
		"all of the newest":     {{"DEL", keyNewest()}},
		"origin":                {{"SREM", keyOrigin(theirs), s.local}, {"SADD", keyOrigin("third.example"), s.local}},
		"id":                    {{"HDEL", id.key, id.field}},
		"file":                  {{"HSET", ih.key, ih.field, "999999"}},
		"thumbnail":             {{"HSET", th.key, th.field, joinLocals([]uint32{s.local, 999_999})}},
		"an entry of nobody":    {{"HSET", "th:5", "12345678", "999999"}},
		"to be deleted":         {{"ZADD", keyUnusedThumbnails(), 1, th.hash}, {"ZADD", keyUnusedFiles(), 1, string(videos[0].Renditions[0].InfoHash[:])}},
		"the key of an origin":  {{"DEL", keyOrigin(us)}},
		"a bucket of the files": {{"DEL", ih.key}},
	} {
		run(name, breaks)
	}
	run("a record", [][]any{{"HDEL", key, field}})
}
