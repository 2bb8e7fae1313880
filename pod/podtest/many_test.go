package podtest

import (
	bits "encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"kinopod/pod/redisstore"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

// With ten thousand videos a restart asks Redis as little as with one, and looks at no
// video's file: these have none.
func TestRestartWithManyVideos(t *testing.T) {
	p := Start(t)
	ann := p.User(t, "ann", api.RoleUser)
	v, film := ann.Film(t, WebM)
	few := askedByRestart(t, p)
	addVideos(t, p, 10_000)
	many := askedByRestart(t, p)
	t.Logf("bytes asked of Redis until the pod serves: %d with 1 video, %d with 10,001", few, many)
	if many > few+10_000 { // a byte a video; it asks some times whether Redis has loaded
		t.Errorf("a restart asks Redis with %d bytes, with %d where there is one video", many, few)
	}
	if got := get(t, v.StreamURL); got != string(film) {
		t.Error("the film is another one")
	}
	page, err := ann.Videos(t.Context(), api.VideosQuery{Limit: 50})
	if err != nil || len(page.Videos) != 50 || page.Cursor == "" {
		t.Errorf("%d videos, %v", len(page.Videos), err)
	}
}

// addVideos lists videos that are not there.
func addVideos(t *testing.T, p *Pod, n int) {
	t.Helper()
	db, err := redisstore.Open(t.Context(), p.Redis().Addr(), Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range n {
		v := video.Video{
			Origin: p.Host(), Name: fmt.Sprintf("Film %d", i), Uploader: "ann", Created: time.Now(), Duration: time.Minute,
			Renditions: []video.Rendition{{Size: 1 << 20, Width: 320, Height: 180, MIME: video.MP4, FileName: "film.mp4"}},
		}
		bits.BigEndian.PutUint32(v.ID[:], uint32(i+1))
		h := magnet.InfoHash{0xfe}
		bits.BigEndian.PutUint32(h[1:], uint32(i+1))
		v.Renditions[0].InfoHash = h
		if _, err := db.Add(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
}

var inputBytes = regexp.MustCompile(`total_net_input_bytes:(\d+)`)

// askedByRestart restarts the pod, whose Redis starts anew as well, and tells how many
// bytes of questions that has had when the pod serves.
func askedByRestart(t *testing.T, p *Pod) int {
	t.Helper()
	p.Restart(t)
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: p.Redis().Addr()})
	defer c.Close()
	info, err := c.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(inputBytes.FindStringSubmatch(info)[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
