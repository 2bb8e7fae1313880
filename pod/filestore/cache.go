package filestore

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// cache is a directory of small files that can be had again from elsewhere. Together
// they take at most a number of bytes of the disk: those that were used longest ago go.
// What was used is known since the start only; before, it is when a file was written.
type cache struct {
	store *Store
	dir   string // below the store's; files are in <first two characters>/
	most  int64  // bytes; 0 is any

	mu    sync.Mutex
	files map[string]*list.Element // of *cached
	order *list.List               // used last first
	total int64
}

type cached struct {
	name string
	size int64
	at   time.Time
}

// onDisk is what a file of n bytes takes of a disk.
func onDisk(n int64) int64 {
	const block = 4 << 10
	return (n + block) / block * block // an entry of its directory too
}

// open reads what is there.
func (c *cache) open() error {
	c.files, c.order = map[string]*list.Element{}, list.New()
	var found []*cached
	err := filepath.WalkDir(filepath.Join(c.store.dir, c.dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		found = append(found, &cached{e.Name(), onDisk(info.Size()), info.ModTime()})
		return nil
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", c.dir, err)
	}
	slices.SortFunc(found, func(a, b *cached) int { return b.at.Compare(a.at) })
	for _, f := range found {
		c.files[f.name] = c.order.PushBack(f)
		c.total += f.size
	}
	return c.shrink()
}

func (c *cache) path(name string) string {
	return filepath.Join(c.store.dir, c.dir, name[:2], name)
}

// put keeps a file in place of one that is there.
func (c *cache) put(name string, data []byte) error {
	f := &cached{name, onDisk(int64(len(data))), time.Now()}
	if c.most > 0 && f.size > c.most {
		return fmt.Errorf("keep %s: %d bytes have no room in %s", name, len(data), c.dir)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	path := c.path(name)
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := c.store.writeFile(path, data); err != nil {
		return err
	}
	c.forget(name)
	c.files[name] = c.order.PushFront(f)
	c.total += f.size
	return c.shrink()
}

// get gives a file and when it was put; ErrNotFound.
func (c *cache) get(name string) ([]byte, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.files[name]
	if e == nil {
		return nil, time.Time{}, ErrNotFound
	}
	b, err := os.ReadFile(c.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		c.forget(name)
		return nil, time.Time{}, ErrNotFound
	}
	c.order.MoveToFront(e)
	return b, e.Value.(*cached).at, err
}

// forget takes a file out of the count; c.mu is held.
func (c *cache) forget(name string) {
	if e := c.files[name]; e != nil {
		c.total -= e.Value.(*cached).size
		c.order.Remove(e)
		delete(c.files, name)
	}
}

// shrink removes what is too much; c.mu is held.
func (c *cache) shrink() error {
	for c.most > 0 && c.total > c.most {
		f := c.order.Back().Value.(*cached)
		if err := os.Remove(c.path(f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make room in %s: %w", c.dir, err)
		}
		c.forget(f.name)
	}
	return nil
}
