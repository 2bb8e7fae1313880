package redisproc

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// syncEvery is how much of what was acknowledged may be lost with the power.
const syncEvery = time.Second

// syncLoop syncs the append-only file each second (see config).
func (p *Process) syncLoop(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	synced := map[string]int64{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.syncFiles(synced)
		}
	}
}

// syncFiles syncs the increments of the append-only file that have grown since
// synced, by path and size, was brought up to date. The server itself syncs the
// base, the manifest, and an increment that it closes.
func (p *Process) syncFiles(synced map[string]int64) {
	paths, _ := filepath.Glob(filepath.Join(globEscape(p.dir), "appendonlydir", "*.incr.aof"))
	for _, path := range paths {
		if err := syncFile(path, synced); err != nil && !os.IsNotExist(err) {
			p.log.Error("the append-only file of redis-server cannot be synced", "err", err)
		}
	}
	for path := range synced { // a rewrite leaves old increments behind
		if _, err := os.Stat(path); err != nil {
			delete(synced, path)
		}
	}
}

func syncFile(path string, synced map[string]int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == synced[path] {
		return err
	}
	// Of the file, not of the descriptor: fsync(2) takes what others wrote too.
	if err := f.Sync(); err != nil {
		return err
	}
	synced[path] = info.Size()
	return nil
}
