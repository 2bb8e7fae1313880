package publish

import (
	"context"
	"os"
	"slices"
	"sync"

	"kinopod/pod/catalog"
	"kinopod/pod/filestore"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

// fakeCatalog is a catalogue in memory.
type fakeCatalog struct {
	mu      sync.Mutex
	videos  map[video.ID]video.Video
	gone    map[video.ID]bool
	files   []magnet.InfoHash
	unused  []string
	added   int   // times that Add listed something
	down    error // what every call answers, if not nil
	adding  func()
	changes []string
}

var _ Catalog = (*fakeCatalog)(nil)

func newFakeCatalog() *fakeCatalog {
	return &fakeCatalog{videos: map[video.ID]video.Video{}, gone: map[video.ID]bool{}}
}

// fail has every call fail, until it is called with nil.
func (c *fakeCatalog) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = err
}

func (c *fakeCatalog) Add(_ context.Context, v video.Video) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return false, c.down
	}
	if err := v.Validate(); err != nil {
		return false, err
	}
	if c.gone[v.ID] {
		return false, catalog.ErrWithdrawn
	}
	if c.adding != nil {
		c.adding()
	}
	if _, ok := c.videos[v.ID]; ok {
		return false, nil
	}
	c.videos[v.ID] = v
	c.added++
	return true, nil
}

var errNoVideo = &api.Error{Code: api.CodeNotFound, Message: "There is no such video."}

func (c *fakeCatalog) Get(_ context.Context, id video.ID) (video.Video, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return video.Video{}, c.down
	}
	v, ok := c.videos[id]
	if !ok {
		return v, errNoVideo
	}
	return v, nil
}

func (c *fakeCatalog) SetThumbnail(_ context.Context, id video.ID, hash string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.videos[id]
	switch {
	case c.down != nil:
		return c.down
	case !ok:
		return errNoVideo
	case v.Thumbnail != "":
		c.unused = append(c.unused, v.Thumbnail)
	}
	v.Thumbnail = hash
	c.videos[id] = v
	return nil
}

func (c *fakeCatalog) Withdraw(_ context.Context, who catalog.Editor, id video.ID) (video.Video, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.videos[id]
	switch {
	case c.down != nil:
		return v, c.down
	case !ok:
		return v, errNoVideo
	case v.Uploader != who.Username && !who.Moderator:
		return v, &api.Error{Code: api.CodeForbidden, Message: "Not yours."}
	}
	delete(c.videos, id)
	c.gone[id] = true
	for _, r := range v.Renditions {
		c.files = append(c.files, r.InfoHash)
	}
	if v.Thumbnail != "" {
		c.unused = append(c.unused, v.Thumbnail)
	}
	c.changes = append(c.changes, "withdraw")
	return v, nil
}

func (c *fakeCatalog) Withdrawn(context.Context) ([]magnet.InfoHash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.files), c.down
}

func (c *fakeCatalog) Deleted(_ context.Context, h magnet.InfoHash) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = slices.DeleteFunc(c.files, func(x magnet.InfoHash) bool { return x == h })
	c.changes = append(c.changes, "deleted")
	return c.down
}

func (c *fakeCatalog) UnusedThumbnails(context.Context) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.unused), c.down
}

func (c *fakeCatalog) Unclaimed(_ context.Context, hashes []string) (out []string, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, hash := range hashes {
		claimed := false
		for _, v := range c.videos {
			claimed = claimed || v.Thumbnail == hash
		}
		if !claimed {
			out = append(out, hash)
		}
	}
	return out, nil
}

func (c *fakeCatalog) ThumbnailDeleted(_ context.Context, hash string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unused = slices.DeleteFunc(c.unused, func(x string) bool { return x == hash })
	return c.down
}

// fakeQuota books in memory; 100 MiB a user.
type fakeQuota struct {
	mu   sync.Mutex
	used map[string]map[video.ID]int64
	down error
	old  bool // bookings are old enough to vanish

	unlimited bool
}

var _ Quota = (*fakeQuota)(nil)

const testQuota = 100 << 20

func (q *fakeQuota) Reserve(_ context.Context, user string, id video.ID, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down != nil {
		return q.down
	}
	if q.used[user] == nil {
		q.used[user] = map[video.ID]int64{}
	}
	if !q.unlimited && q.sum(user)+n > testQuota {
		return &api.Error{Code: api.CodeTooLarge, Message: "Over your quota."}
	}
	q.used[user][id] = n
	return nil
}

func (q *fakeQuota) sum(user string) (sum int64) {
	for _, n := range q.used[user] {
		sum += n
	}
	return sum
}

func (q *fakeQuota) of(user string) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sum(user)
}

func (q *fakeQuota) Release(_ context.Context, user string, id video.ID) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down == nil {
		delete(q.used[user], id)
	}
	return q.down
}

func (q *fakeQuota) ReleaseVanished(ctx context.Context, exists func(context.Context, video.ID) (bool, error)) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, of := range q.used {
		if !q.old {
			break
		}
		for id := range of {
			ok, err := exists(ctx, id)
			if err != nil {
				return n, err
			}
			if !ok {
				delete(of, id)
				n++
			}
		}
	}
	return n, q.down
}

// testFiles are real files with switches for what disks do.
type testFiles struct {
	*filestore.Store
	mu   sync.Mutex
	full bool  // writes of data fail with ENOSPC
	free int64 // what Free answers, if not 0
}

func (f *testFiles) set(change func(*testFiles)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *testFiles) UploadFile(id video.ID, name string) (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full && name == dataFile {
		return os.OpenFile("/dev/full", os.O_RDWR, 0)
	}
	return f.Store.UploadFile(id, name)
}

func (f *testFiles) Free() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.free != 0 {
		return f.free, nil
	}
	return f.Store.Free()
}

// drops notes what tracker and seeder are told.
type drops struct {
	mu  sync.Mutex
	got []magnet.InfoHash
	on  func(magnet.InfoHash)
}

func (d *drops) Drop(h magnet.InfoHash) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, h)
	if d.on != nil {
		d.on(h)
	}
}
